"""Owns what keeps fire times of another trigger back: days, dates, windows of the day, and limits in time.

What is kept back is no fire time at all, so all nodes and all previews agree about it. Filters look at what the local
clock shows when the trigger fires, after any change of clocks, and jump: the next question is asked where the filter
opens again, so a job of every second that rests on Sundays costs one step for the Sunday.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Protocol, cast

from asyncsched._instants import EPOCH, from_us, require_aware, to_us
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._answers import checked_next, require_instant_us, require_trigger
from asyncsched.triggers._days import weekdays, written
from asyncsched.triggers._times import ONE_DAY, time_of_day
from asyncsched.triggers._union import Joinable
from asyncsched.triggers._wall import MICROSECOND, next_elapsed, wall_of
from asyncsched.triggers._zones import zone, zone_argument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncsched.protocols import Trigger

MOST_REFUSED = 5_000
"""How often in a row a filter may jump to where it opens, and find nothing there, before it takes that for never. It is
13 years for a trigger that fires once a day, and a day that comes every 28 years is found."""


class Calendar(Protocol):
    """Any container of dates, such as a calendar of the package ``holidays``."""

    def __contains__(self, day: object, /) -> bool: ...


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Filter(Joinable, ABC):
    """Fires when another trigger does, at the wall times that a subclass lets pass."""

    trigger: Trigger
    timezone: tzinfo

    def _set(self, trigger: Trigger, timezone: str | tzinfo) -> None:
        object.__setattr__(self, "trigger", require_trigger(trigger, what=f"{type(self).__name__}()"))
        object.__setattr__(self, "timezone", zone(timezone))

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time of the trigger that passes and is strictly later than ``after``.

        ``None`` also means that ``MOST_REFUSED`` fire times in a row were kept back.

        Raises:
            ConfigurationError: ``after`` is naive, or a user's trigger answered against the rule.
        """
        answer = checked_next(self.trigger, require_aware(after, what="next_fire_time()"))
        for _ in range(MOST_REFUSED):
            if answer is None or self.lets_pass(answer):
                return answer
            opens = next_elapsed(answer, self.timezone, self._next_open)
            answer = None if opens is None else checked_next(self.trigger, from_us(to_us(opens) - 1))
        return None

    def lets_pass(self, instant: datetime) -> bool:
        """Tell whether a fire time at ``instant`` passes."""
        wall = wall_of(instant, self.timezone)
        return wall is not None and self._passes(wall)

    def _next_open(self, wall: datetime) -> datetime | None:
        try:
            later = wall + MICROSECOND
            return later if self._passes(later) else self._opening(later)
        except OverflowError:
            return None

    @abstractmethod
    def _passes(self, wall: datetime) -> bool:
        """Tell whether a fire time passes at which the clock shows ``wall``."""

    @abstractmethod
    def _opening(self, wall: datetime) -> datetime | None:
        """Return the first wall time that passes after ``wall``, which does not; it may overflow."""

    @abstractmethod
    def describe(self) -> str:
        """Return what the filter asks for, without its trigger."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.trigger!r}, {self.describe()}{zone_argument(self.timezone)})"


@dataclass(init=False, repr=False, frozen=True, slots=True)
class OnDays(Filter):
    """Lets the fire times of another trigger pass on some days of the week.

    Args:
        trigger: any trigger.
        days: one or more of a day (``"mon"``), a range (``"mon-fri"``) or a list (``"mon,wed"``).
        timezone: in which the days are those of the local clock.

    Raises:
        ConfigurationError: a day in another form, or none, an unknown time zone, no trigger.
    """

    days: tuple[int, ...]

    def __init__(self, trigger: Trigger, *days: str, timezone: str | tzinfo = "UTC") -> None:
        object.__setattr__(self, "days", weekdays(*days))
        self._set(trigger, timezone)

    def _passes(self, wall: datetime) -> bool:
        return wall.weekday() in self.days

    def _opening(self, wall: datetime) -> datetime:
        today = wall.weekday()
        return datetime.combine(wall + timedelta(min((wanted - today) % 7 for wanted in self.days)), time())

    def describe(self) -> str:
        """Return what the filter asks for, without its trigger."""
        return repr(written(self.days))


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Between(Filter):
    """Lets the fire times of another trigger pass in a window of each day, both of its ends included.

    A window whose end is before its start goes on over midnight.

    Args:
        trigger: any trigger.
        start: ``HH:MM:SS`` or ``HH:MM``.
        end: the same, and not equal to ``start``.
        timezone: of the local clock.

    Raises:
        ConfigurationError: a time in another form, two equal ones, an unknown time zone, no trigger.
    """

    start: time
    end: time

    def __init__(self, trigger: Trigger, start: str, end: str, timezone: str | tzinfo = "UTC") -> None:
        first, last = (time_of_day(value, what="time") for value in (start, end))
        if first == last:
            raise ConfigurationError(f"the window from {start!r} to {end!r} has equal ends; the rule is two times")
        object.__setattr__(self, "start", first)
        object.__setattr__(self, "end", last)
        self._set(trigger, timezone)

    def _passes(self, wall: datetime) -> bool:
        return self._covers(wall.time())

    def _covers(self, now: time) -> bool:
        if self.start < self.end:
            return self.start <= now <= self.end
        return now >= self.start or now <= self.end

    def _opening(self, wall: datetime) -> datetime:
        return _next_at(wall, self.start)

    def describe(self) -> str:
        """Return what the filter asks for, without its trigger."""
        return f"{self.start.isoformat()!r}, {self.end.isoformat()!r}"


@dataclass(init=False, repr=False, frozen=True, slots=True)
class UnlessBetween(Between):
    """Lets the fire times of another trigger pass outside of a window of each day.

    It is the complement of ``Between``: both ends of the window are kept back.
    """

    def _passes(self, wall: datetime) -> bool:
        return not self._covers(wall.time())

    def _opening(self, wall: datetime) -> datetime:
        return _next_at(wall, self.end) + MICROSECOND


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Excluding(Filter):
    """Keeps the fire times of another trigger back on some dates.

    Args:
        trigger: any trigger.
        dates: one or more of a ``datetime.date``, a list, tuple, set or iterator of these, which is read at once, and a
            calendar: any other container that answers ``date in calendar``, which is asked when a fire time is
            looked for, and must answer alike in every process.
        timezone: in which the dates are those of the local clock.

    Raises:
        ConfigurationError: what is no date, and holds none; nothing at all; an unknown time zone; no trigger.
    """

    dates: frozenset[date]
    calendars: tuple[Calendar, ...] = field(hash=False)  # a calendar is often a dict

    def __init__(self, trigger: Trigger, *dates: object, timezone: str | tzinfo = "UTC") -> None:
        if not dates:
            raise ConfigurationError("excluded dates: none given; at least one date or calendar is needed")
        calendars = tuple(value for value in dates if _is_calendar(value))
        given = (day for value in dates if not _is_calendar(value) for day in _days_in(value))
        object.__setattr__(self, "dates", frozenset(given))
        object.__setattr__(self, "calendars", calendars)
        self._set(trigger, timezone)

    def _passes(self, wall: datetime) -> bool:
        day = wall.date()
        return day not in self.dates and not any(day in calendar for calendar in self.calendars)

    def _opening(self, wall: datetime) -> datetime | None:
        midnight = datetime.combine(wall, time())
        for _ in range(MOST_REFUSED):
            midnight += ONE_DAY
            if self._passes(midnight):
                return midnight
        return None

    def describe(self) -> str:
        """Return what the filter asks for, without its trigger."""
        days = [day.isoformat() for day in sorted(self.dates)]
        shown = [*days[:3], *([f"{len(days) - 3} more dates"] if len(days) > 3 else [])]
        return ", ".join([*shown, *(type(calendar).__name__ for calendar in self.calendars)])


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Within(Joinable):
    """Fires when another trigger does, from one instant on, up to another one, or both; the two are included.

    It moves no grid: ``starting`` is where a schedule begins to count, not what it counts from.

    Args:
        trigger: any trigger.
        starting: no fire time is earlier; aware. ``None``: from ever.
        until: no fire time is later; aware, and not earlier than ``starting``. ``None``: for ever.

    Raises:
        ConfigurationError: neither of the two, a naive instant, an end before the start, no trigger.
    """

    trigger: Trigger
    starting_us: int | None
    until_us: int | None

    def __init__(self, trigger: Trigger, *, starting: datetime | None = None, until: datetime | None = None) -> None:
        if starting is None and until is None:
            raise ConfigurationError("Within(): neither starting nor until is given; at least one is needed")
        first, last = (
            None if instant is None else require_instant_us(instant, what=name)
            for name, instant in (("starting", starting), ("until", until))
        )
        if first is not None and last is not None and last < first:
            raise ConfigurationError(f"until {until!r} is earlier than starting {starting!r}")
        object.__setattr__(self, "trigger", require_trigger(trigger, what="Within()"))
        object.__setattr__(self, "starting_us", first)
        object.__setattr__(self, "until_us", last)

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time of the trigger between the limits that is strictly later than ``after``.

        Raises:
            ConfigurationError: ``after`` is naive, or a user's trigger answered against the rule.
        """
        after_us = to_us(require_aware(after, what="next_fire_time()"))
        if self.starting_us is not None and after_us < self.starting_us - 1:
            after = from_us(self.starting_us - 1)
        answer = checked_next(self.trigger, after)
        return answer if answer is not None and self.lets_pass(answer) else None

    def lets_pass(self, instant: datetime) -> bool:
        """Tell whether ``instant`` lies between the limits."""
        instant_us = to_us(instant)
        if self.starting_us is not None and instant_us < self.starting_us:
            return False
        return self.until_us is None or instant_us <= self.until_us

    def describe(self) -> str:
        """Return what the limits are, without the trigger."""
        limits = (("starting", self.starting_us), ("until", self.until_us))
        return ", ".join(f"{name}={from_us(limit).isoformat()}" for name, limit in limits if limit is not None)

    def __repr__(self) -> str:
        return f"Within({self.trigger!r}, {self.describe()})"


def lets_nothing_pass(filtered: Filter) -> bool:
    """Tell whether a filter keeps back all fire times of its trigger, as far as it looks. The trigger has some."""
    first = filtered.trigger.next_fire_time(EPOCH)
    return first is not None and filtered.next_fire_time(EPOCH) is None


def _next_at(wall: datetime, of_day: time) -> datetime:
    today = datetime.combine(wall, of_day)
    return today if today >= wall else today + ONE_DAY


def _is_calendar(value: object) -> bool:
    return not isinstance(value, str | list | tuple | set | frozenset) and hasattr(value, "__contains__")


def _days_in(value: object) -> list[date]:
    is_one = isinstance(value, date | str) or not hasattr(value, "__iter__")
    several = [value] if is_one else list(cast("Iterable[object]", value))
    for day in several:
        if not isinstance(day, date) or isinstance(day, datetime):
            raise ConfigurationError(f"excluded date {day!r} is not a datetime.date")
    return cast("list[date]", several)
