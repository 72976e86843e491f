"""Owns fixed times on some days of the week, the month or the year."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import MAXYEAR, date, timedelta, tzinfo

from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._days import weekdays, written
from asyncsched.triggers._times import AtTimes

_LAST = 32
"""Stands for the last day of a month; greater than every other day, so that it sorts behind them."""

_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MOST_YEARS_APART = 8  # 1896 to 1904, and so around each century that is no leap year


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Weekly(AtTimes):
    """Fires on some days of the week, at the given times of a local clock.

    Args:
        days: a day (``"mon"``), a range (``"mon-fri"``, ``"fri-mon"``) or a list (``"mon,wed"``); in any case.
        times: as for ``Daily``.
        timezone: an IANA key or a ``tzinfo``.
        dst: as for ``Daily``.

    Raises:
        ConfigurationError: a day or a time in another form, none at all, an unknown time zone or policy.
    """

    days: tuple[int, ...]

    def __init__(self, days: str, *times: str, timezone: str | tzinfo = "UTC", dst: str = "once") -> None:
        object.__setattr__(self, "days", weekdays(days))
        self._set_times("weekly", times, timezone, dst)

    def _next_day(self, day: date) -> date:
        today = day.weekday()
        return day + timedelta(min((wanted - today) % 7 for wanted in self.days))

    def __repr__(self) -> str:
        return self._shown(written(self.days))


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Monthly(AtTimes):
    """Fires on some days of each month, at the given times of a local clock.

    A month without the day is left out, as in cron: the 31st comes seven times a year. ``"last"`` comes every month.

    Args:
        days: a day from 1 to 31, ``"last"``, or several of these in a tuple.
        times: as for ``Daily``.
        timezone: an IANA key or a ``tzinfo``.
        dst: as for ``Daily``.

    Raises:
        ConfigurationError: a day or a time in another form, none at all, an unknown time zone or policy.
    """

    days: tuple[int, ...]

    def __init__(
        self,
        days: int | str | tuple[int | str, ...],
        *times: str,
        timezone: str | tzinfo = "UTC",
        dst: str = "once",
    ) -> None:
        several = days if isinstance(days, tuple | list) else (days,)
        if not several:
            raise ConfigurationError("day of month: none given; at least one is needed")
        object.__setattr__(self, "days", tuple(sorted({_day_of_month(day) for day in several})))
        self._set_times("monthly", times, timezone, dst)

    def _next_day(self, day: date) -> date | None:
        year, month, first = day.year, day.month, day.day
        while year <= MAXYEAR:
            length = monthrange(year, month)[1]
            for wanted in self.days:
                number = length if wanted == _LAST else wanted
                if first <= number <= length:
                    return date(year, month, number)
            year, month, first = (year, month + 1, 1) if month < 12 else (year + 1, 1, 1)
        return None

    def __repr__(self) -> str:
        days = tuple("last" if day == _LAST else day for day in self.days)
        return self._shown(days[0] if len(days) == 1 else days)


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Yearly(AtTimes):
    """Fires on one day of each year, at the given times of a local clock.

    29 February comes in leap years only; ``(2, "last")`` comes every year.

    Args:
        month: 1 to 12.
        day: a day that the month has, or ``"last"``.
        times: as for ``Daily``.
        timezone: an IANA key or a ``tzinfo``.
        dst: as for ``Daily``.

    Raises:
        ConfigurationError: a day that never comes, a time in another form or none, an unknown time zone or policy.
    """

    month: int
    day: int

    def __init__(
        self, month: int, day: int | str, *times: str, timezone: str | tzinfo = "UTC", dst: str = "once"
    ) -> None:
        if isinstance(month, bool) or not isinstance(month, int) or not 1 <= month <= 12:
            raise ConfigurationError(f"month {month!r} is not a whole number in 1-12")
        number, longest = _day_of_month(day), _LONGEST_MONTHS[month - 1]
        if number != _LAST and number > longest:
            raise ConfigurationError(f"day of month {day!r} never comes: month {month} has {longest} days at most")
        object.__setattr__(self, "month", month)
        object.__setattr__(self, "day", number)
        self._set_times("yearly", times, timezone, dst)

    def _next_day(self, day: date) -> date | None:
        for year in range(day.year, min(day.year + _MOST_YEARS_APART, MAXYEAR) + 1):
            length = monthrange(year, self.month)[1]
            number = length if self.day == _LAST else self.day
            if number <= length and (found := date(year, self.month, number)) >= day:
                return found
        return None

    def __repr__(self) -> str:
        return self._shown(self.month, "last" if self.day == _LAST else self.day)


def _day_of_month(value: object) -> int:
    if value == "last":
        return _LAST
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 31:
        raise ConfigurationError(f"day of month {value!r} is neither a whole number in 1-31 nor 'last'")
    return value
