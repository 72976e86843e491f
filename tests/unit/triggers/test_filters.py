"""Filters: what passes, where they open again across changes of clocks, and that they end where nothing passes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Between, Cron, Daily, Every, Excluding, Once, OnDays, UnlessBetween, Weekly, Within
from asyncsched.triggers._filters import MOST_REFUSED, lets_nothing_pass

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.protocols import Trigger

NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)  # a Friday


def fires(trigger: Trigger, after: str, count: int) -> list[str]:
    found, instant = [], datetime.fromisoformat(after)
    for _ in range(count):
        answer = trigger.next_fire_time(instant)
        if answer is None:
            break
        instant = answer.astimezone(UTC)
        found.append(f"{instant:%a %d %H:%M}")
    return found


class Everything:
    """A calendar of nothing but holidays, which counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __contains__(self, day: object) -> bool:
        assert type(day) is date
        self.asked += 1
        return True


PASSING = [
    pytest.param(
        OnDays(Every(12 * 3600), "mon-fri"), "2026-03-06T00:00Z",
        ["Fri 06 12:00", "Mon 09 00:00", "Mon 09 12:00"], id="weekdays",
    ),
    pytest.param(
        OnDays(Daily("09:00"), "sat", "sun"), "2026-03-06T00:00Z", ["Sat 07 09:00", "Sun 08 09:00"], id="weekends"
    ),
    pytest.param(
        OnDays(Every(12 * 3600), "sat", timezone="Asia/Tokyo"), "2026-03-06T00:00Z",
        ["Sat 07 00:00", "Sat 07 12:00", "Sat 14 00:00"], id="a day as the zone has it",
    ),
    pytest.param(
        Between(Every(1800), "09:00", "10:00"), "2026-03-06T00:00Z",
        ["Fri 06 09:00", "Fri 06 09:30", "Fri 06 10:00", "Sat 07 09:00"], id="both ends of a window are in it",
    ),
    pytest.param(
        Between(Every(3600), "22:00", "01:00"), "2026-03-06T20:00Z",
        ["Fri 06 22:00", "Fri 06 23:00", "Sat 07 00:00", "Sat 07 01:00", "Sat 07 22:00"], id="over midnight",
    ),
    pytest.param(
        UnlessBetween(Every(3600), "01:00", "22:00"), "2026-03-06T00:00Z",
        ["Fri 06 23:00", "Sat 07 00:00", "Sat 07 23:00"], id="both ends of the window are kept back",
    ),
    pytest.param(
        UnlessBetween(Every(6 * 3600), "18:00", "05:00"), "2026-03-06T00:00Z",
        ["Fri 06 06:00", "Fri 06 12:00", "Sat 07 06:00"], id="unless, over midnight",
    ),
    pytest.param(
        Excluding(Daily("09:00"), date(2026, 3, 7), [date(2026, 3, 9)]), "2026-03-06T00:00Z",
        ["Fri 06 09:00", "Sun 08 09:00", "Tue 10 09:00"], id="dates",
    ),
    pytest.param(
        Excluding(Daily("09:00"), {date(2026, 3, 7): "a feast"}, timezone="Asia/Tokyo"), "2026-03-06T00:00Z",
        ["Fri 06 09:00", "Sun 08 09:00"], id="a calendar",
    ),
    pytest.param(
        Within(Every(3600, anchor=NOON), starting=NOON, until=datetime(2026, 3, 6, 14, tzinfo=UTC)),
        "2026-01-01T00:00Z", ["Fri 06 12:00", "Fri 06 13:00", "Fri 06 14:00"], id="both limits are within",
    ),
    pytest.param(
        Within(Every(86400), starting=NOON), "2026-01-01T00:00Z", ["Sat 07 00:00", "Sun 08 00:00"],
        id="a start moves no grid",
    ),
    pytest.param(
        Between(OnDays(Excluding(Every(3600), date(2026, 3, 9)), "mon-fri"), "09:00", "10:00"), "2026-03-06T09:30Z",
        ["Fri 06 10:00", "Tue 10 09:00", "Tue 10 10:00"], id="several",
    ),
    pytest.param(
        Between(Daily("02:30", timezone="Europe/Berlin"), "03:00", "03:10", timezone="Europe/Berlin"),
        "2026-03-01T00:00Z", ["Sun 29 01:00"], id="judged by the hour at which it fires",
    ),
    pytest.param(
        Between(Every(1800), "02:00", "02:30", timezone="Europe/Berlin"), "2026-10-24T01:00Z",
        ["Sun 25 00:00", "Sun 25 00:30", "Sun 25 01:00", "Sun 25 01:30", "Mon 26 01:00"], id="both passes",
    ),
    pytest.param(
        Between(Every(600), "02:00", "02:59", timezone="Europe/Berlin"), "2026-03-29T00:00Z",
        ["Mon 30 00:00"], id="a window that is skipped",
    ),
    pytest.param(
        OnDays(Every(900), "sat", timezone="America/Sao_Paulo"), "2018-02-18T01:30Z",
        ["Sun 18 01:45", "Sun 18 02:00", "Sun 18 02:15", "Sun 18 02:30", "Sun 18 02:45", "Sat 24 03:00"],
        id="an hour of Saturday that comes twice",
    ),
    pytest.param(
        OnDays(Every(30 * 60), "sat", timezone="America/St_Johns"), "2010-11-07T02:00Z",
        ["Sun 07 03:00", "Sat 13 03:30"], id="a day that begins, and ends again",
    ),
    pytest.param(
        OnDays(Every(3600), "fri", timezone="Pacific/Apia"), "2011-12-30T09:00Z",
        ["Thu 05 10:00", "Thu 05 11:00"], id="a Friday that never was",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("trigger", "after", "expected"), PASSING)
def test_what_passes(trigger: Trigger, after: str, expected: list[str]) -> None:
    assert fires(trigger, after, len(expected)) == expected


def test_ends_with_the_limit() -> None:
    last = Within(Every(3600), until=NOON)
    assert last.next_fire_time(NOON - timedelta(seconds=1)) == NOON
    assert last.next_fire_time(NOON) is None
    assert Within(Every(1), until=NOON).next_fire_time(NOON) is None


def test_a_filter_jumps_over_what_it_keeps_back() -> None:
    class Counted:
        asked = 0

        def next_fire_time(self, after: datetime) -> datetime | None:
            self.asked += 1
            return Every(1).next_fire_time(after)

    counted = Counted()
    monday = OnDays(counted, "mon").next_fire_time(datetime(2026, 3, 3, tzinfo=UTC))
    assert monday == datetime(2026, 3, 9, tzinfo=UTC)
    assert counted.asked == 2


@pytest.mark.parametrize(
    "trigger",
    [
        OnDays(Weekly("sat", "09:00"), "mon-fri"),
        Between(Daily("08:00"), "09:00", "17:00"),
        Between(Every(86400), "09:00", "17:00"),
        UnlessBetween(Daily("08:00"), "07:00", "09:00"),
        OnDays(OnDays(Every(60), "mon"), "tue"),
        OnDays(Once(datetime(2030, 1, 5, tzinfo=UTC)), "mon-fri"),
    ],
)
def test_what_lets_nothing_pass_ends_and_is_noticed(trigger: Any) -> None:
    assert trigger.next_fire_time(NOON) is None
    assert lets_nothing_pass(trigger)


@pytest.mark.parametrize(
    "trigger",
    [
        OnDays(Cron("0 0 29 2 *"), "sun"),  # every 28 years, and 40 around 2100
        Between(Every(86400), "09:00", "17:00", timezone="Asia/Tokyo"),
        OnDays(Once(datetime(1960, 1, 2, tzinfo=UTC)), "mon-fri"),  # there is nothing to keep back
    ],
)
def test_what_lets_little_pass_is_not_taken_for_nothing(trigger: Any) -> None:
    assert not lets_nothing_pass(trigger)


def test_a_rare_day_is_found_across_a_century() -> None:
    rare = OnDays(Cron("0 0 29 2 *"), "sun")
    assert fires(rare, "2060-03-01T00:00Z", 2) == ["Sun 29 00:00"] * 2
    assert rare.next_fire_time(datetime(2088, 3, 1, tzinfo=UTC)) == datetime(2128, 2, 29, tzinfo=UTC)


def test_a_calendar_of_nothing_but_holidays_ends() -> None:
    calendar = Everything()
    assert Excluding(Every(60), calendar).next_fire_time(NOON) is None
    assert 0 < calendar.asked <= MOST_REFUSED + 3


def test_a_calendar_is_asked_when_a_fire_time_is_looked_for_and_not_before() -> None:
    calendar = Everything()
    Excluding(Every(60), calendar)
    assert calendar.asked == 0


@pytest.mark.parametrize("trigger", [OnDays(Every(86400), "mon"), Excluding(Every(86400), date(9999, 12, 31))])
def test_the_end_of_time(trigger: Trigger) -> None:
    assert trigger.next_fire_time(datetime(9999, 12, 30, 12, tzinfo=UTC)) is None


REFUSED: list[Any] = [
    pytest.param(
        lambda: OnDays(Every(1)), "day of week: none given; at least one such as 'mon' is needed", id="no day"
    ),
    pytest.param(lambda: OnDays(Every(1), "mo"), "day of week 'mo' is not one of", id="a day"),
    pytest.param(lambda: OnDays(Every, "mon"), "OnDays(): <class", id="no trigger"),
    pytest.param(lambda: OnDays(Every(1), "mon", timezone="Berlin"), "time zone 'Berlin'", id="zone"),
    pytest.param(lambda: Between(Every(1), "9:00", "17:00"), "time '9:00' is not HH:MM:SS", id="time"),
    pytest.param(lambda: Between(Every(1), "09:00", "24:00"), "(did you mean '00:00'?)", id="24:00"),
    pytest.param(
        lambda: Between(Every(1), "09:00", "09:00:00"), "from '09:00' to '09:00:00' has equal ends", id="equal"
    ),
    pytest.param(lambda: Excluding(Every(1)), "excluded dates: none given", id="no date"),
    pytest.param(
        lambda: Excluding(Every(1), "2026-01-01"), "excluded date '2026-01-01' is not a datetime.date", id="text"
    ),
    pytest.param(lambda: Excluding(Every(1), 3), "excluded date 3 is not a datetime.date", id="number"),
    pytest.param(lambda: Excluding(Every(1), [NOON]), "is not a datetime.date", id="an instant"),
    pytest.param(lambda: Within(Every(1)), "neither starting nor until is given", id="no limit"),
    pytest.param(lambda: Within(Every(1), starting=datetime(2026, 1, 1)), "starting: datetime", id="naive start"),
    pytest.param(lambda: Within(Every(1), until=datetime(2026, 1, 1)), "is naive; give it a time zone", id="naive end"),
    pytest.param(lambda: Within(Every(1), until="2026"), "until: '2026' is not a datetime", id="no datetime"),
    pytest.param(
        lambda: Within(Every(1), starting=NOON, until=NOON - timedelta(1)), "is earlier than starting", id="backwards"
    ),
]


@pytest.mark.parametrize(("make", "rule"), REFUSED)
def test_refused(make: Callable[[], Trigger], rule: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert rule in str(caught.value)


# Against brute force: every fire time of the trigger, one after the other, judged by what the local clock shows.

CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00Z"), ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"), ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"), ("America/Sao_Paulo", "2018-02-18T02:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00Z"), ("America/St_Johns", "2010-11-07T02:31Z"),
    ("Africa/Cairo", "2024-10-31T21:00Z"), ("America/Havana", "2026-11-01T05:00Z"),
]  # fmt: skip
of_day = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 29, 30, 59]))
windows = st.tuples(of_day, of_day).filter(lambda ends: ends[0] != ends[1])


def is_inside(now: time, start: time, end: time) -> bool:
    return start <= now <= end if start < end else not end < now < start


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(CHANGES),
    st.integers(-60 * 30, 60 * 30),
    st.sampled_from([60, 420, 1800, 7200]),
    st.sampled_from(["days", "window", "unless", "dates"]),
    st.sets(st.integers(0, 6), min_size=1, max_size=6),
    windows,
)
def test_against_brute_force(
    change: tuple[str, str], minutes: int, interval: int, kind: str, days: set[int], window: tuple[time, time]
) -> None:
    tz, after = ZoneInfo(change[0]), datetime.fromisoformat(change[1]) + timedelta(minutes=minutes)
    start, end = window
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    near = {after.date() + timedelta(day) for day in days}
    every, ends = Every(interval), (f"{start:%H:%M}", f"{end:%H:%M}")
    trigger, passes = {
        "days": (OnDays(every, *[names[day] for day in days], timezone=tz), lambda wall: wall.weekday() in days),
        "window": (Between(every, *ends, timezone=tz), lambda wall: is_inside(wall.time(), start, end)),
        "unless": (UnlessBetween(every, *ends, timezone=tz), lambda wall: not is_inside(wall.time(), start, end)),
        "dates": (Excluding(every, near, timezone=tz), lambda wall: wall.date() not in near),
    }[kind]
    expected = every.next_fire_time(after)
    while expected is not None and not passes(expected.astimezone(tz)):
        expected = every.next_fire_time(expected)
        if expected is not None and expected > after + timedelta(days=20):
            return
    assert trigger.next_fire_time(after) == expected
