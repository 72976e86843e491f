"""``Daily`` and ``Cron`` against brute force, across changes of many clocks.

The oracle shares nothing with the code under test: no cronsim, no fold, no search for the change. It walks
through UTC in small ticks, reads the local clock at each of them, and keeps to cron(8):

* wildcard jobs fire whenever the clock shows a matching time;
* fixed times fire when the clock first shows them, or jumps over them; what it has shown does not count
  again.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from asyncsched.triggers import Cron, Daily

if TYPE_CHECKING:
    from asyncsched.protocols import Trigger
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)

Tick = tuple[datetime, datetime, list[datetime]]
"""An instant, what the local clock shows, and the times it shows, or jumps over, for the first time."""

CHANGES = [
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2025-11-02T06:00Z"),
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("Europe/London", "2026-10-25T01:00Z"),
    ("Europe/Dublin", "2026-03-29T01:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00Z"),
    ("America/Sao_Paulo", "2018-02-18T02:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00Z"),
    ("Africa/Casablanca", "2026-03-22T02:00Z"),
    ("Asia/Kathmandu", "1985-12-31T18:30Z"),
    ("Asia/Tehran", "2022-03-21T20:30Z"),
    ("Asia/Tehran", "2022-09-21T19:30Z"),
    ("America/St_Johns", "2010-03-14T03:31Z"),
    ("America/St_Johns", "2010-11-07T02:31Z"),
    ("Pacific/Chatham", "2026-04-04T14:00Z"),
    ("Pacific/Chatham", "2026-09-26T14:00Z"),
    ("Africa/Cairo", "2024-04-25T22:00Z"),
    ("Africa/Cairo", "2024-10-31T21:00Z"),
    ("America/Havana", "2026-03-08T05:00Z"),
    ("America/Havana", "2026-11-01T05:00Z"),
    ("Antarctica/Troll", "2026-03-29T01:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00Z"),
    ("Antarctica/Casey", "2023-03-08T16:00Z"),
    ("Pacific/Kwajalein", "1969-09-30T13:00Z"),
]
EXPRESSIONS = [
    "30 2 * * *", "30 1 * * *", "0 0 * * *", "45 23 * * *", "0,15,30,45 1,2,3 * * *", "10-20/5 0-3 * * *",
    "*/15 * * * *", "0 */6 * * *", "0 */3 * * *", "*/30 1 * * *", "* 2 * * *", "*/7 */5 * * *", "5 * * * *",
]  # fmt: skip


@cache
def ticks(key: str, change: str, width: timedelta, tick: timedelta) -> list[Tick]:
    """Walk over ``width`` on both sides of the change."""
    tz, middle = ZoneInfo(key), datetime.fromisoformat(change)
    walk: list[Tick] = []
    latest = None
    for n in range(-(width // tick), width // tick):
        instant = middle + tick * n
        wall = instant.astimezone(tz).replace(tzinfo=None, fold=0)
        latest = latest or wall
        first_shown = [latest + tick * step for step in range(1, (wall - latest) // tick + 1)]
        walk.append((instant, wall, first_shown))
        latest = max(latest, wall)
    offsets = {wall - instant.replace(tzinfo=None) for instant, wall, _ in walk}
    assert len(offsets) == 2, "the clock does not change here"
    return walk


def values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for term in text.split(","):
        body, _, step = term.partition("/")
        first, _, last = (f"{low}-{high}" if body == "*" else body).partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def simulated(walk: list[Tick], seconds: set[int], minute: str, hour: str, dst: str = "once") -> list[datetime]:
    """Return the instants at which cron(8) would run the job, or would by another policy for fixed times."""
    minutes, hours = values(minute, 0, 59), values(hour, 0, 23)
    wildcard = minute[0] == "*" or hour[0] == "*"

    def matches(wall: datetime) -> bool:
        return wall.minute in minutes and wall.hour in hours and wall.second in seconds

    if wildcard:
        return [instant for instant, wall, _ in walk[1:] if matches(wall)]
    if dst == "skip":  # only what is shown, and shown for the first time
        return [instant for instant, wall, first_shown in walk[1:] if first_shown and matches(wall)]
    if dst == "both":
        return [instant for instant, wall, shown in walk[1:] if matches(wall) or any(map(matches, shown))]
    return [instant for instant, _, first_shown in walk[1:] if any(map(matches, first_shown))]


def answered(trigger: Trigger, walk: list[Tick]) -> list[datetime]:
    found, (after, end) = [], (walk[0][0], walk[-1][0])
    while (answer := trigger.next_fire_time(after)) is not None and answer.astimezone(UTC) <= end:
        after = answer.astimezone(UTC)
        found.append(after)
    return found


def assert_agrees(trigger: Trigger, walk: list[Tick], expected: list[datetime]) -> None:
    assert answered(trigger, walk) == expected
    # And from everywhere, not only from one fire time to the next: within gaps' edges and both passes.
    for instant, *_ in walk[7 :: len(walk) // 16]:
        index = bisect_right(expected, instant)
        if index < len(expected):
            answer = trigger.next_fire_time(instant)
            assert answer is not None
            assert answer.astimezone(UTC) == expected[index], f"asked at {instant}"


@pytest.mark.parametrize(("key", "change"), CHANGES)
def test_cron(key: str, change: str) -> None:
    walk = ticks(key, change, timedelta(hours=25), MINUTE)
    for expression in EXPRESSIONS:
        minute, hour, *_ = expression.split()
        assert_agrees(Cron(expression, key), walk, simulated(walk, {0}, minute, hour))


@pytest.mark.parametrize(("key", "change"), CHANGES)
def test_daily(key: str, change: str) -> None:
    walk = ticks(key, change, timedelta(hours=25), MINUTE)
    for times in (["02:30"], ["00:00", "01:15", "01:45"], ["00:30", "02:00", "03:00", "23:45"]):
        each = [simulated(walk, {0}, time[3:], time[:2]) for time in times]
        assert_agrees(Daily(*times, timezone=key), walk, sorted(set().union(*each)))


@pytest.mark.parametrize("dst", ["skip", "both"])
@pytest.mark.parametrize(("key", "change"), CHANGES)
def test_policies(key: str, change: str, dst: str) -> None:
    walk = ticks(key, change, timedelta(hours=25), MINUTE)
    for expression in EXPRESSIONS:
        minute, hour, *_ = expression.split()
        if not (minute + hour).count("*"):
            cron = Cron(expression, key, dst=dst)
            assert_agrees(cron, walk, simulated(walk, {0}, minute, hour, dst))
    times = ["00:00", "02:15", "03:00"]
    each = [simulated(walk, {0}, time[3:], time[:2], dst) for time in times]
    assert_agrees(Daily(*times, timezone=key, dst=dst), walk, sorted(set().union(*each)))


# The first four change by whole minutes; the others by seconds, as clocks did when they left their local mean
# time.
@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("Europe/Berlin", "2026-03-29T01:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("Africa/Monrovia", "1972-01-07T00:44:30Z"),
        ("Europe/Berlin", "1893-03-31T23:06:32Z"),
        ("America/New_York", "1883-11-18T17:00Z"),
    ],
)
def test_cron_with_seconds(key: str, change: str) -> None:
    walk = ticks(key, change, timedelta(minutes=65), SECOND)
    for expression in (
        "*/25 * * * * *",
        "30 */2 * * * *",
        "15 30 2 * * *",
        "*/20 15,45 1,2,12 * * *",
        "0 50 0,11 * * *",
    ):
        second, minute, hour, *_ = expression.split()
        assert_agrees(Cron(expression, key), walk, simulated(walk, values(second, 0, 59), minute, hour))
