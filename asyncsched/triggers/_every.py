"""Owns the fixed grid: instants that lie a whole number of intervals from an anchor. Integers only, so
nothing drifts."""

from __future__ import annotations

from datetime import datetime, timedelta

from asyncsched._durations import Duration, seconds
from asyncsched._instants import EPOCH, from_us, require_aware, to_us
from asyncsched._values import Value
from asyncsched.triggers._answers import FIRST_US, LAST_US, require_instant_us
from asyncsched.triggers._union import Joinable

_SECOND_US = 1_000_000
_SHORTEST = 0.001


class Every(Joinable, Value):
    """Fires at ``anchor + k * interval`` for every whole ``k``, negative ones included.

    The grid hangs on the anchor, not on the start of the process: all nodes and all restarts share it.

    Args:
        interval: seconds or a ``timedelta``, at least 1 ms and at most 36 500 days, rounded to whole
            microseconds.
        anchor: one instant of the grid, aware, in the past or in the future.

    Raises:
        ConfigurationError: an interval that is no duration or out of bounds; an anchor that is not an aware
            datetime.
    """

    __slots__ = ("anchor_us", "interval_us")

    interval_us: int
    anchor_us: int

    def __init__(self, interval: Duration, *, anchor: datetime = EPOCH) -> None:
        object.__setattr__(self, "interval_us", _interval_us(interval))
        object.__setattr__(self, "anchor_us", require_instant_us(anchor, what="Every(anchor=)"))

    def next_fire_us(self, after_us: int) -> int | None:
        """Return what ``next_fire_time`` returns, as microseconds since the epoch."""
        next_us = after_us + self.interval_us - (after_us - self.anchor_us) % self.interval_us
        return next_us if next_us <= LAST_US else None

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first instant of the grid that is strictly later than ``after``, in UTC.

        Raises:
            ConfigurationError: ``after`` is not an aware datetime.
        """
        after_us = to_us(require_aware(after, what="next_fire_time()"))
        next_us = self.next_fire_us(max(after_us, FIRST_US - 1))
        return None if next_us is None else from_us(next_us)

    def count_between(self, after_us: int, until_us: int) -> int:
        """Return how many fire times lie later than ``after_us`` and not later than ``until_us``, in constant
        time.

        Both are microseconds since the epoch. Zero when ``until_us`` is not later than ``after_us``.
        """
        last = (min(until_us, LAST_US) - self.anchor_us) // self.interval_us
        return max(0, last - (after_us - self.anchor_us) // self.interval_us)

    def __repr__(self) -> str:
        whole, rest_us = divmod(self.interval_us, _SECOND_US)
        interval = self.interval_us / _SECOND_US if rest_us else whole
        if not self.anchor_us:
            return f"Every({interval})"
        return f"Every({interval}, anchor={from_us(self.anchor_us).isoformat()})"


def _interval_us(interval: Duration) -> int:
    """Return whole microseconds. Only a ``float`` is rounded; the others stay exact, however large."""
    number = seconds(interval, what="interval", at_least=_SHORTEST)
    if isinstance(interval, timedelta):
        return interval // timedelta(microseconds=1)
    return interval * _SECOND_US if isinstance(interval, int) else round(number * _SECOND_US)
