"""Owns times of day: how they are read, and when a local clock reaches them."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

from asyncsched._instants import require_aware
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._union import Joinable
from asyncsched.triggers._wall import next_fixed
from asyncsched.triggers._zones import zone, zone_argument

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_DAY = timedelta(days=1)


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Daily(Joinable):
    """Fires every day at the given times of a local clock.

    A time that the clock skips fires at the end of the gap; one that it repeats fires in the first pass
    (``_wall.next_fixed``). Times that the same gap skips are one fire time.

    Args:
        times: one or more of ``HH:MM:SS`` or ``HH:MM``, two ASCII digits each, 00:00:00 to 23:59:59. They are
            sorted, and equal times count once.
        timezone: an IANA key or a ``tzinfo``.

    Raises:
        ConfigurationError: no time at all, one that is not in this form, or an unknown time zone.
    """

    times: tuple[time, ...]
    timezone: tzinfo

    def __init__(self, *times: str, timezone: str | tzinfo = "UTC") -> None:
        if not times:
            raise ConfigurationError("daily times: none given; at least one such as '09:00:00' is needed")
        object.__setattr__(self, "times", tuple(sorted({_time_of_day(value) for value in times})))
        object.__setattr__(self, "timezone", zone(timezone))

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than ``after``, in the trigger's time zone.

        Raises:
            ConfigurationError: ``after`` is not an aware datetime.
        """
        return next_fixed(require_aware(after, what="next_fire_time()"), self.timezone, self._next_wall)

    def _next_wall(self, shown: datetime) -> datetime | None:
        index = bisect_right(self.times, shown.time())
        if index < len(self.times):
            return datetime.combine(shown, self.times[index])
        try:
            return datetime.combine(shown + _DAY, self.times[0])
        except OverflowError:
            return None

    def __repr__(self) -> str:
        times = ", ".join(repr(value.isoformat()) for value in self.times)
        return f"Daily({times}{zone_argument(self.timezone)})"


def _time_of_day(value: object) -> time:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigurationError(
            f"daily time {value!r} is not HH:MM:SS or HH:MM, two digits each, from 00:00:00 to 23:59:59" + _hint(value)
        )
    hour, minute, second = match.groups(default="0")
    return time(int(hour), int(minute), int(second))


def _hint(value: object) -> str:
    """Return a suggestion for the two forms that people write most: ``9:00`` and ``24:00``."""
    if not isinstance(value, str):
        return ""
    meant = "00" + value[2:] if value.startswith("24:00") else "0" + value
    return f" (did you mean {meant!r}?)" if _TIME.fullmatch(meant) else ""
