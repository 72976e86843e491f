"""Every trigger against brute force, over whole years in which clocks change.

The oracle shares nothing with the code under test. It walks through the year in UTC by quarters of an hour, reads the
local clock at each of them, and judges what that shows, or has jumped over, by the date and the time of day alone.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from asyncsched.triggers import (
    Between,
    Cron,
    Daily,
    Every,
    Excluding,
    Monthly,
    Once,
    OnDays,
    RRule,
    Union,
    UnlessBetween,
    Weekly,
    Within,
    Yearly,
)  # fmt: skip

if TYPE_CHECKING:
    from asyncsched.protocols import Trigger

QUARTER = timedelta(minutes=15)
YEARS = [
    ("Europe/Berlin", 2026), ("America/New_York", 2026), ("Australia/Lord_Howe", 2026), ("America/Sao_Paulo", 2018),
    ("Africa/Casablanca", 2026), ("Pacific/Apia", 2011), ("Asia/Kolkata", 2024),
]  # fmt: skip
EACH_YEAR = pytest.mark.parametrize(("key", "year"), YEARS)

Matches = Callable[[datetime], bool]


class Tick(NamedTuple):
    """An instant, what the local clock shows, and the times that it shows, or jumps over, for the first time."""

    instant: datetime
    wall: datetime
    first_shown: list[datetime]


@cache
def walk(key: str, year: int) -> list[Tick]:
    tz, start = ZoneInfo(key), datetime(year, 1, 1, tzinfo=UTC)
    latest = start.astimezone(tz).replace(tzinfo=None, fold=0)
    ticks = []
    for n in range(1, 366 * 96):
        instant = start + n * QUARTER
        wall = instant.astimezone(tz).replace(tzinfo=None, fold=0)
        first_shown = [latest + QUARTER * step for step in range(1, (wall - latest) // QUARTER + 1)]
        ticks.append(Tick(instant, wall, first_shown))
        latest = max(latest, wall)
    assert key == "Asia/Kolkata" or any(len(tick.first_shown) != 1 for tick in ticks), "the clock does not change"
    return ticks


def fixed(ticks: list[Tick], matches: Matches, dst: str = "once") -> list[datetime]:
    """Return when wall times that match come; ``once``: at the end of a gap that has them, and in no second pass."""
    if dst == "skip":
        return [tick.instant for tick in ticks if tick.first_shown and matches(tick.wall)]
    if dst == "both":
        return [tick.instant for tick in ticks if matches(tick.wall) or any(map(matches, tick.first_shown))]
    return [tick.instant for tick in ticks if any(map(matches, tick.first_shown))]


def assert_agrees(trigger: Trigger, ticks: list[Tick], expected: list[datetime]) -> None:
    after, found = ticks[0].instant - timedelta(microseconds=1), []
    while (answer := trigger.next_fire_time(after)) is not None and answer.astimezone(UTC) <= ticks[-1].instant:
        after = answer.astimezone(UTC)
        found.append(after)
    assert expected
    assert found == expected, f"{trigger!r}: {sorted(set(found) ^ set(expected))[:5]}"


def at(*times: str) -> Matches:
    wanted = {time.fromisoformat(each) for each in times}
    return lambda wall: wall.time() in wanted


TIMES = ("00:00", "02:00", "02:15", "03:00", "23:45")
Day = Callable[[date], bool]
CALENDAR: list[tuple[Callable[[str, str], Trigger], Day]] = [
    (lambda key, dst: Daily(*TIMES, timezone=key, dst=dst), lambda _: True),
    (lambda key, dst: Weekly("sun", *TIMES, timezone=key, dst=dst), lambda day: day.weekday() == 6),
    (lambda key, dst: Weekly("mon-wed,fri", *TIMES, timezone=key, dst=dst), lambda day: day.weekday() in {0, 1, 2, 4}),
    (lambda key, dst: Monthly((29, 30, 31), *TIMES, timezone=key, dst=dst), lambda day: day.day >= 29),
    (lambda key, dst: Monthly((8, "last"), *TIMES, timezone=key, dst=dst), lambda day: day.day in {8, last_of(day)}),
    (lambda key, dst: Yearly(3, 29, *TIMES, timezone=key, dst=dst), lambda day: (day.month, day.day) == (3, 29)),
    (lambda key, dst: Yearly(2, "last", *TIMES, timezone=key, dst=dst), lambda day: day.month == 2 and is_last(day)),
    (lambda key, dst: Cron("0,15 2 * * SUN#2", key, dst=dst), lambda day: day.weekday() == 6 and 8 <= day.day <= 14),
    (lambda key, dst: Cron("0,15 2 L 3,10 *", key, dst=dst), lambda day: day.month in {3, 10} and is_last(day)),
    (
        lambda key, dst: RRule(
            "FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=2;BYMINUTE=0,15;BYSECOND=0",
            starting=datetime(2000, 1, 1, tzinfo=UTC), timezone=key, dst=dst,
        ),
        lambda day: day.weekday() == 6 and day.day > last_of(day) - 7,
    ),
]  # fmt: skip


def last_of(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def is_last(day: date) -> bool:
    return day.day == last_of(day)


@EACH_YEAR
@pytest.mark.parametrize("dst", ["once", "skip", "both"])
def test_fixed_wall_times(key: str, year: int, dst: str) -> None:
    ticks = walk(key, year)
    is_shown = at(*TIMES)
    shown = [tick for tick in ticks if len(tick.first_shown) != 1 or is_shown(tick.wall)]  # no other one can match
    for make, is_day in CALENDAR:
        trigger = make(key, dst)
        time_matches = at("02:00", "02:15") if isinstance(trigger, Cron | RRule) else at(*TIMES)
        expected = fixed(shown, lambda wall, is_day=is_day, fits=time_matches: fits(wall) and is_day(wall.date()), dst)
        assert_agrees(trigger, ticks, expected)


@EACH_YEAR
def test_cron_that_follows_elapsed_time(key: str, year: int) -> None:
    ticks = walk(key, year)
    expected = [tick.instant for tick in ticks if tick.wall.minute % 30 == 0 and tick.wall.weekday() == 6]
    assert_agrees(Cron("*/30 * * * SUN", key), ticks, expected)


@EACH_YEAR
def test_filters(key: str, year: int) -> None:
    ticks, base = walk(key, year), Every(1800)
    off = {date(year, 3, 29), date(year, 10, 25), date(year, 12, 24)}
    first, last = datetime(year, 3, 25, 7, 30, tzinfo=UTC), datetime(year, 11, 7, 9, tzinfo=UTC)
    cases: list[tuple[Trigger, Matches]] = [
        (OnDays(base, "sat", "sun", timezone=key), lambda wall: wall.weekday() >= 5),
        (Between(base, "01:30", "02:45", timezone=key), lambda wall: time(1, 30) <= wall.time() <= time(2, 45)),
        (UnlessBetween(base, "22:00", "02:00", timezone=key), lambda wall: time(2) < wall.time() < time(22)),
        (Excluding(base, *off, timezone=key), lambda wall: wall.date() not in off),
    ]
    for trigger, passes in cases:
        on_grid = [tick for tick in ticks if tick.instant.minute % 30 == 0]
        assert_agrees(trigger, ticks, [tick.instant for tick in on_grid if passes(tick.wall)])
    within = [tick.instant for tick in ticks if tick.instant.minute % 30 == 0 and first <= tick.instant <= last]
    assert_agrees(Within(base, starting=first, until=last), ticks, within)


@pytest.mark.parametrize("quarters", [1, 3, 7, 28, 97, 672])
def test_every_is_anchored(quarters: int) -> None:
    """A fire time is whole intervals away from the anchor, and nothing else is."""
    ticks, anchor = walk("Europe/Berlin", 2026), datetime(2027, 5, 5, 5, 15, tzinfo=UTC)
    expected = [tick.instant for tick in ticks if (tick.instant - anchor) // QUARTER % quarters == 0]
    assert_agrees(Every(quarters * QUARTER, anchor=anchor), ticks, expected)


@EACH_YEAR
def test_once_and_union(key: str, year: int) -> None:
    ticks = walk(key, year)
    instants = [tick.instant for tick in ticks[5::7001]]
    assert_agrees(Once(*instants[::-1]), ticks, instants)
    expected = set(instants) | set(fixed(ticks, at("02:15"))) | {t.instant for t in ticks if t.instant.minute == 0}
    assert_agrees(Union(Once(*instants), Daily("02:15", timezone=key), Every(3600)), ticks, sorted(expected))
