"""Owns times of day: how they are read, and the triggers' common walk over days and the times on them."""

from __future__ import annotations

import re
from abc import abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from asyncsched._instants import require_aware
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._union import Joinable
from asyncsched.triggers._wall import DST_RULES, WallTrigger, checked_dst
from asyncsched.triggers._zones import zone, zone_argument

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
ONE_DAY = timedelta(days=1)


@dataclass(init=False, repr=False, frozen=True, slots=True)
class AtTimes(Joinable, WallTrigger):
    """Fires at times of day of a local clock, on the days that a subclass names.

    A time that the clock skips fires at the end of the gap; one that it repeats fires in the first pass
    (``_wall.next_fixed``), unless ``dst`` says otherwise. Times that the same gap skips are one fire time.
    """

    times: tuple[time, ...]
    timezone: tzinfo
    dst: str

    def _set_times(self, kind: str, times: tuple[str, ...], timezone: str | tzinfo, dst: str) -> None:
        if not times:
            raise ConfigurationError(f"{kind} times: none given; at least one such as '09:00:00' is needed")
        read = sorted({time_of_day(value, what=f"{kind} time") for value in times})
        object.__setattr__(self, "times", tuple(read))
        object.__setattr__(self, "timezone", zone(timezone))
        object.__setattr__(self, "dst", checked_dst(dst))

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than ``after``, in the trigger's time zone.

        Raises:
            ConfigurationError: ``after`` is not an aware datetime.
        """
        return DST_RULES[self.dst](require_aware(after, what="next_fire_time()"), self.timezone, self.next_wall)

    def next_wall(self, shown: datetime) -> datetime | None:
        """Return the first wall time of the rule strictly later than ``shown``; both naive."""
        today = shown.date()
        try:
            day = self._next_day(today)
            if day == today:
                index = bisect_right(self.times, shown.time())
                if index < len(self.times):
                    return datetime.combine(today, self.times[index])
                day = self._next_day(today + ONE_DAY)
        except OverflowError:
            return None
        return None if day is None else datetime.combine(day, self.times[0])

    @abstractmethod
    def _next_day(self, day: date) -> date | None:
        """Return the first of the trigger's days that is not before ``day``; it may overflow."""

    def _shown(self, *days: object) -> str:
        arguments = ", ".join(map(repr, (*days, *(value.isoformat() for value in self.times))))
        return f"{type(self).__name__}({arguments}{zone_argument(self.timezone)}{dst_argument(self.dst)})"


def dst_argument(dst: str) -> str:
    """Return how ``dst=`` is written in a trigger's ``repr``: empty for the default."""
    return "" if dst == "once" else f", dst={dst!r}"


def time_of_day(value: object, *, what: str) -> time:
    """Return a time of day that is written as ``HH:MM:SS`` or ``HH:MM``.

    Raises:
        ConfigurationError: any other form, or a value out of range.
    """
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigurationError(
            f"{what} {value!r} is not HH:MM:SS or HH:MM, two digits each, from 00:00:00 to 23:59:59" + _hint(value)
        )
    hour, minute, second = match.groups(default="0")
    return time(int(hour), int(minute), int(second))


def _hint(value: object) -> str:
    """Return a suggestion for the two forms that people write most: ``9:00`` and ``24:00``."""
    if not isinstance(value, str):
        return ""
    meant = "00" + value[2:] if value.startswith("24:00") else "0" + value
    return f" (did you mean {meant!r}?)" if _TIME.fullmatch(meant) else ""
