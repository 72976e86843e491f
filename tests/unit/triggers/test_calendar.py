"""``Weekly``, ``Monthly`` and ``Yearly``: which days, and what is refused. Their times are those of ``Daily``."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Daily, Monthly, Weekly, Yearly

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.protocols import Trigger

DAY = timedelta(days=1)


def fires(trigger: Trigger, after: str, count: int) -> list[str]:
    found, instant = [], datetime.fromisoformat(after)
    for _ in range(count):
        answer = trigger.next_fire_time(instant)
        assert answer is not None
        instant = answer
        found.append(f"{instant:%a %Y-%m-%d %H:%M}")
    return found


NEXT = [
    pytest.param(
        Weekly("mon", "09:00"), "2026-03-02T09:00Z", ["Mon 2026-03-09 09:00", "Mon 2026-03-16 09:00"], id="one day"
    ),
    pytest.param(
        Weekly("mon-fri", "09:00", "18:00"), "2026-03-06T10:00Z",
        ["Fri 2026-03-06 18:00", "Mon 2026-03-09 09:00", "Mon 2026-03-09 18:00"], id="a range, two times",
    ),
    pytest.param(
        Weekly("Mon,wed", "09:00"), "2026-03-02T10:00Z", ["Wed 2026-03-04 09:00", "Mon 2026-03-09 09:00"], id="a list"
    ),
    pytest.param(
        Weekly("sat-mon", "09:00"), "2026-03-06T10:00Z",
        ["Sat 2026-03-07 09:00", "Sun 2026-03-08 09:00", "Mon 2026-03-09 09:00", "Sat 2026-03-14 09:00"],
        id="a range over the end of the week",
    ),
    pytest.param(
        Monthly(1, "00:05"), "2026-12-31T10:00Z", ["Fri 2027-01-01 00:05", "Mon 2027-02-01 00:05"], id="the first"
    ),
    pytest.param(
        Monthly(31, "09:00"), "2026-01-31T10:00Z",
        ["Tue 2026-03-31 09:00", "Sun 2026-05-31 09:00", "Fri 2026-07-31 09:00", "Mon 2026-08-31 09:00",
         "Sat 2026-10-31 09:00", "Thu 2026-12-31 09:00", "Sun 2027-01-31 09:00"], id="the 31st: not in shorter months",
    ),
    pytest.param(
        Monthly(30, "09:00"), "2026-01-30T10:00Z", ["Mon 2026-03-30 09:00", "Thu 2026-04-30 09:00"],
        id="the 30th: not in February",
    ),
    pytest.param(
        Monthly("last", "23:00"), "2026-01-31T23:00Z",
        ["Sat 2026-02-28 23:00", "Tue 2026-03-31 23:00", "Thu 2026-04-30 23:00"], id="the last",
    ),
    pytest.param(Monthly("last", "23:00"), "2028-02-01T00:00Z", ["Tue 2028-02-29 23:00"], id="the last, leap year"),
    pytest.param(
        Monthly((15, "last"), "18:00"), "2026-02-15T18:00Z", ["Sat 2026-02-28 18:00", "Sun 2026-03-15 18:00"],
        id="two days of the month",
    ),
    pytest.param(
        Monthly((30, "last"), "18:00"), "2026-04-01T18:00Z",
        ["Thu 2026-04-30 18:00", "Sat 2026-05-30 18:00", "Sun 2026-05-31 18:00"], id="two that may be one",
    ),
    pytest.param(
        Yearly(12, 24, "18:00"), "2026-12-24T18:00Z", ["Fri 2027-12-24 18:00", "Sun 2028-12-24 18:00"], id="yearly"
    ),
    pytest.param(
        Yearly(2, 29, "12:00"), "2096-02-29T12:00Z", ["Fri 2104-02-29 12:00", "Wed 2108-02-29 12:00"],
        id="29 February: leap years only, and 2100 is none",
    ),
    pytest.param(
        Yearly(2, "last", "12:00"), "2026-03-01T12:00Z", ["Sun 2027-02-28 12:00", "Tue 2028-02-29 12:00"],
        id="the last of February: every year",
    ),
    pytest.param(
        Weekly("sun", "02:30", timezone="Europe/Berlin"), "2026-03-23T00:00Z",
        ["Sun 2026-03-29 03:00", "Sun 2026-04-05 02:30"], id="inside a gap: its end",
    ),
    pytest.param(
        Weekly("fri", "09:00", timezone="Pacific/Apia"), "2011-12-25T00:00Z",
        ["Sat 2011-12-31 00:00", "Fri 2012-01-06 09:00"], id="a Friday that was skipped: its end",
    ),
    pytest.param(
        Monthly(30, "09:00", timezone="Pacific/Apia", dst="skip"), "2011-12-25T00:00Z", ["Mon 2012-01-30 09:00"],
        id="a skipped day that is to be left out",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("trigger", "after", "expected"), NEXT)
def test_next(trigger: Trigger, after: str, expected: list[str]) -> None:
    assert fires(trigger, after, len(expected)) == expected


@pytest.mark.parametrize("trigger", [Weekly("fri", "00:00"), Monthly("last", "00:00"), Yearly(12, 31, "00:00")])
def test_the_end_of_time(trigger: Trigger) -> None:
    last = trigger.next_fire_time(datetime(9999, 12, 30, 23, tzinfo=UTC))
    assert last is not None
    assert last.date() == date(9999, 12, 31)
    assert trigger.next_fire_time(last) is None
    assert trigger.next_fire_time(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) is None


@pytest.mark.parametrize("trigger", [Monthly(1, "00:00"), Yearly(12, 1, "00:00")])
def test_a_day_that_does_not_come_again(trigger: Trigger) -> None:
    assert trigger.next_fire_time(datetime(9999, 12, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize("trigger", [Yearly(2, 29, "00:00"), Monthly(31, "00:00")])
def test_the_beginning_of_time(trigger: Trigger) -> None:
    first = trigger.next_fire_time(datetime.min.replace(tzinfo=UTC))
    assert first is not None
    assert first.year <= 4


NAMES = "is not one of mon, tue, wed, thu, fri, sat, sun"
TERM = "is not a day such as 'mon' or a range such as 'mon-fri'"
DAY_RULE = "is neither a whole number in 1-31 nor 'last'"
REFUSED: list[tuple[Callable[..., Trigger], tuple[Any, ...], str]] = [
    (Weekly, ("monday", "09:00"), f"day of week 'monday' {NAMES} (did you mean 'mon'?)"),
    (Weekly, ("mon-xyz", "09:00"), f"day of week 'xyz' {NAMES} (in 'mon-xyz')"),
    (Weekly, ("mon, tue", "09:00"), f"day of week ' tue' {TERM} (in 'mon, tue')"),
    (Weekly, ("", "09:00"), f"day of week '' {TERM}"),
    (Weekly, ("\u017fun", "09:00"), TERM),  # a letter that lowers to an s
    (Weekly, (1, "09:00"), "day of week 1 is not a string such as 'mon'"),
    (Weekly, ("mon",), "weekly times: none given; at least one such as '09:00:00' is needed"),
    (Weekly, ("mon", "tue"), "weekly time 'tue' is not HH:MM:SS or HH:MM"),
    (Weekly, ("mon", "9:00"), "(did you mean '09:00'?)"),
    (Monthly, (0, "09:00"), f"day of month 0 {DAY_RULE}"),
    (Monthly, (32, "09:00"), f"day of month 32 {DAY_RULE}"),
    (Monthly, (-1, "09:00"), f"day of month -1 {DAY_RULE}"),
    (Monthly, (True, "09:00"), f"day of month True {DAY_RULE}"),
    (Monthly, (1.0, "09:00"), f"day of month 1.0 {DAY_RULE}"),
    (Monthly, ("first", "09:00"), f"day of month 'first' {DAY_RULE}"),
    (Monthly, ((), "09:00"), "day of month: none given; at least one is needed"),
    (Monthly, (1,), "monthly times: none given"),
    (Yearly, (0, 1, "09:00"), "month 0 is not a whole number in 1-12"),
    (Yearly, (13, 1, "09:00"), "month 13 is not a whole number in 1-12"),
    (Yearly, (True, 1, "09:00"), "month True is not a whole number in 1-12"),
    (Yearly, ("jan", 1, "09:00"), "month 'jan' is not a whole number in 1-12"),
    (Yearly, (2, 30, "09:00"), "day of month 30 never comes: month 2 has 29 days at most"),
    (Yearly, (4, 31, "09:00"), "day of month 31 never comes: month 4 has 30 days at most"),
    (Yearly, (2, 29), "yearly times: none given"),
]


@pytest.mark.parametrize(("make", "arguments", "rule"), REFUSED)
def test_refused(make: Callable[..., Trigger], arguments: tuple[Any, ...], rule: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(*arguments)
    assert rule in str(caught.value)


@pytest.mark.parametrize(("make", "arguments"), [(Daily, ()), (Weekly, ("mon",)), (Monthly, (1,)), (Yearly, (2, 29))])
@pytest.mark.parametrize("dst", ["never", None, "ONCE"])
def test_unknown_policies(make: Callable[..., Trigger], arguments: tuple[Any, ...], dst: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"dst {dst!r} is not one of 'once', 'skip', 'both'"):
        make(*arguments, "09:00", dst=dst)


def last_of_month(day: date) -> bool:
    return (day + DAY).month != day.month


ORACLE: list[tuple[Trigger, Callable[[date], bool]]] = [
    (Weekly("tue,thu-sat", "12:00"), lambda day: day.isoweekday() in {2, 4, 5, 6}),
    (Monthly((1, 29, 31), "12:00"), lambda day: day.day in {1, 29, 31}),
    (Monthly((30, "last"), "12:00"), lambda day: day.day == 30 or last_of_month(day)),
    (Yearly(2, 29, "12:00"), lambda day: (day.month, day.day) == (2, 29)),
    (Yearly(2, "last", "12:00"), lambda day: day.month == 2 and last_of_month(day)),
]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(range(len(ORACLE))), st.dates(date(1890, 1, 1), date(2110, 1, 1)))
def test_against_a_walk_over_the_days(index: int, day: date) -> None:
    trigger, matches = ORACLE[index]
    answer = trigger.next_fire_time(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    expected = day + DAY
    while not matches(expected):
        expected += DAY
    assert answer == datetime(expected.year, expected.month, expected.day, 12, tzinfo=UTC)
