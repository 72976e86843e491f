"""Owns how lengths of time are read in tests: as everywhere in the library, or as a text such as ``"90 minutes"``."""

from __future__ import annotations

import re

from asyncsched._durations import Duration, seconds
from asyncsched.exceptions import ConfigurationError

Length = Duration | str
"""Seconds, a ``timedelta``, or a text: a number, a space if you like, and a unit."""

UNITS = {
    "s": 1,
    "second": 1,
    "seconds": 1,
    "min": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hour": 3600,
    "hours": 3600,
    "day": 86_400,
    "days": 86_400,
    "week": 604_800,
    "weeks": 604_800,
}
"""Seconds of each unit that a text may name; ``m`` is none of them, because it may be a minute or a month."""
_TEXT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]+)")


def length(value: object, *, what: str) -> float:
    """Return ``value`` in seconds.

    Args:
        value: seconds (``int`` or ``float``), a ``timedelta``, or a text such as ``"1 day"`` or ``"2 h"``.
        what: how the message names the value, such as ``"advance()"``.

    Raises:
        ConfigurationError: none of these, negative, not finite or longer than 36 500 days.
    """
    if not isinstance(value, str):
        return seconds(value, what=what)
    match = _TEXT.fullmatch(value)
    if match is None or match[2] not in UNITS:
        raise ConfigurationError(
            f"{what}: {value!r} is no length of time: it must be a number and one of {', '.join(UNITS)}, "
            "such as '90 minutes'"
        )
    return seconds(float(match[1]) * UNITS[match[2]], what=f"{what}: {value!r}")
