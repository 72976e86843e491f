"""Owns how durations are read: seconds as a number, or a ``timedelta``. Knows nothing of clocks."""

from __future__ import annotations

import math
from datetime import timedelta

from asyncsched.exceptions import ConfigurationError

Duration = float | timedelta
"""Seconds as ``int`` or ``float``, or a ``timedelta``."""

LONGEST = 36_500 * 86_400.0
"""Upper bound of every duration, in seconds (36 500 days): beyond it calendar arithmetic overflows."""


def seconds(value: object, *, what: str, at_least: float = 0.0) -> float:
    """Return ``value`` as seconds.

    Args:
        value: seconds (``int`` or ``float``, not ``bool``) or a ``timedelta``.
        what: how the message names the value, such as ``"per_seconds()"``.
        at_least: smallest value allowed, in seconds, itself included.

    Raises:
        ConfigurationError: not a number, not finite, below ``at_least`` or longer than 36 500 days.
    """
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"{what}: {value!r} is neither a number of seconds nor a timedelta")
    else:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise ConfigurationError(f"{what}: {value!r} is not finite")
    if number < at_least:
        raise ConfigurationError(f"{what}: {value!r} is below the least value, {at_least:g} s")
    if number > LONGEST:
        raise ConfigurationError(f"{what}: {value!r} is longer than 36500 days")
    return number
