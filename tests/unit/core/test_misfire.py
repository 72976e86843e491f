"""What a late look at the timeline means, as tables over plain numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsched._instants import from_us
from asyncsched._misfire import STEPS_AT_ONCE, Due, coalesce, newest_missed, ticks_between
from asyncsched.triggers import Every


def every(interval: int, last: int = 10**9) -> Callable[[int], int | None]:
    """Steps of a trigger on the multiples of ``interval``, up to ``last``."""

    def step(after: int) -> int | None:
        following = (after // interval + 1) * interval
        return following if following <= last else None

    return step


@pytest.mark.parametrize(
    ("tick", "now", "grace", "last", "due"),
    [
        pytest.param(100, 100, 60, 10**9, Due(100, 110, 0, 100), id="on time"),
        pytest.param(100, 109, 60, 10**9, Due(100, 110, 0, 100), id="late, but before the next"),
        pytest.param(100, 110, 60, 10**9, Due(110, 120, 1, 100, 100), id="the next is due too"),
        pytest.param(100, 145, 60, 10**9, Due(140, 150, 4, 100, 130), id="several: the newest runs"),
        pytest.param(100, 105, 5, 10**9, Due(100, 110, 0, 100), id="exactly the grace"),
        pytest.param(100, 106, 5, 10**9, Due(None, 110, 1, 100, 100), id="a microsecond more than the grace"),
        pytest.param(100, 146, 5, 10**9, Due(None, 150, 5, 100, 140), id="all too late"),
        pytest.param(100, 145, 5, 10**9, Due(140, 150, 4, 100, 130), id="the newest exactly in grace"),
        pytest.param(100, 100, 0, 10**9, Due(100, 110, 0, 100), id="no grace, on time"),
        pytest.param(100, 101, 0, 10**9, Due(None, 110, 1, 100, 100), id="no grace, late"),
        pytest.param(100, 10_000_009, None, 100, Due(100, None, 0, 100), id="however late, the only tick"),
        pytest.param(100, 145, None, 10**9, Due(140, 150, 4, 100, 130), id="however late, still only the newest"),
        pytest.param(100, 500, None, 120, Due(120, None, 2, 100, 110), id="the trigger ends meanwhile"),
        pytest.param(100, 500, 10, 120, Due(None, None, 3, 100, 120), id="the trigger ended long ago"),
        pytest.param(100, 99, 60, 10**9, Due(100, 110, 0, 100), id="the clock was set back meanwhile"),
    ],
)
def test_coalesce(tick: int, now: int, grace: int | None, last: int, due: Due) -> None:
    assert coalesce(tick, now, grace, every(10, last)) == due


@pytest.mark.parametrize(
    ("now", "limit", "due"),
    [
        (130, 4, Due(130, 140, 3, 100, 120)),
        (130, 3, Due(None, 130, 3, 100, 120)),
        (500, 3, Due(None, 130, 3, 100, 120)),
        (100, 1, Due(100, 110, 0, 100)),
    ],
)
def test_a_long_walk_is_cut_short(now: int, limit: int, due: Due) -> None:
    assert coalesce(100, now, None, every(10), limit=limit) == due


@given(
    late=st.integers(0, 3000), limit=st.integers(1, 50), grace=st.none() | st.integers(0, 40), last=st.integers(0, 3000)
)
def test_a_walk_cut_short_and_continued_ends_as_a_whole_one(
    late: int, limit: int, grace: int | None, last: int
) -> None:
    step = every(10, 100 + last)
    now = 100 + late
    whole = coalesce(100, now, grace, step, limit=10**6)
    due, missed = coalesce(100, now, grace, step, limit=limit), 0
    first = due.first_missed_us
    while due.run_us is None and due.next_us is not None and due.next_us <= now:
        missed += due.missed
        due = coalesce(due.next_us, now, grace, step, limit=limit)

    assert (due.run_us, due.next_us, missed + due.missed) == (whole.run_us, whole.next_us, whole.missed)
    if whole.missed:
        assert first == whole.first_missed_us == 100
    if due.missed:
        assert due.last_missed_us == whole.last_missed_us


def test_a_long_suspend_of_a_job_of_every_second_is_walked_in_pieces() -> None:
    due = coalesce(0, 10_000, None, every(1))

    assert due == Due(None, STEPS_AT_ONCE, STEPS_AT_ONCE, 0, STEPS_AT_ONCE - 1)


@given(
    interval=st.integers(1000, 10**7),
    anchor=st.integers(-(10**10), 10**10),
    start=st.integers(-(10**9), 10**9),
    ticks_late=st.integers(0, 60),
    part=st.floats(0, 1, exclude_max=True),
    grace=st.none() | st.integers(0, 10**8),
)
def test_the_step_over_a_grid_equals_the_walk(
    interval: int, anchor: int, start: int, ticks_late: int, part: float, grace: int | None
) -> None:
    trigger = Every(interval / 1e6, anchor=from_us(anchor))
    tick = trigger.next_fire_us(start)
    assert tick is not None
    now = tick + ticks_late * trigger.interval_us + int(part * trigger.interval_us)

    assert coalesce(tick, now, grace, trigger.next_fire_us, trigger) == coalesce(tick, now, grace, trigger.next_fire_us)


def test_over_a_grid_a_year_of_milliseconds_is_one_step() -> None:
    trigger, steps = Every(0.001), 0

    def step(after: int) -> int | None:
        nonlocal steps
        steps += 1
        return trigger.next_fire_us(after)

    year = 365 * 86_400 * 10**6
    due = coalesce(1000, year + 1500, None, step, trigger)

    assert due == Due(year + 1000, year + 2000, year // 1000, 1000, year)
    assert steps <= 3


def test_the_grid_may_end() -> None:
    trigger = Every(1)
    last = 253_402_300_799_000_000  # the last second of the year 9999
    due = coalesce(last - 2_000_000, last + 10_000_000, None, trigger.next_fire_us, trigger)

    assert due.missed == 2
    assert due.run_us == last
    assert due.next_us is None


@pytest.mark.parametrize(
    ("last", "now", "within", "end", "missed"),
    [
        pytest.param(100, 135, 1000, 10**9, 130, id="the newest of several"),
        pytest.param(100, 130, 1000, 10**9, 130, id="one that is due now"),
        pytest.param(100, 109, 1000, 10**9, None, id="none yet"),
        pytest.param(130, 135, 1000, 10**9, None, id="it was decided"),
        pytest.param(200, 135, 1000, 10**9, None, id="a later one was decided"),
        pytest.param(100, 135, 5, 10**9, 130, id="exactly as old as it may be"),
        pytest.param(100, 135, 4, 10**9, None, id="a microsecond older"),
        pytest.param(100, 130, 0, 10**9, 130, id="not old at all"),
        pytest.param(100, 10**9, 10**9, 150, 150, id="the trigger has ended meanwhile"),
        pytest.param(100, 10**9, 10**6, 150, None, id="the trigger ended too long ago"),
        pytest.param(-(10**9), 5, 10**10, 10**9, 0, id="before the epoch"),
    ],
)
def test_the_newest_missed_tick(last: int, now: int, within: int, end: int, missed: int | None) -> None:
    assert newest_missed(every(10, end), last, now, within) == missed


@given(
    ticks=st.sets(st.integers(0, 50_000_000), max_size=12),
    last=st.integers(-10, 50_000_010),
    now=st.integers(0, 60_000_000),
    within=st.integers(0, 60_000_000),
)
def test_the_newest_missed_tick_is_what_a_walk_over_all_finds(
    ticks: set[int], last: int, now: int, within: int
) -> None:
    def step(after: int) -> int | None:
        return min((tick for tick in ticks if tick > after), default=None)

    found = [tick for tick in ticks if last < tick <= now and now - tick <= within]
    assert newest_missed(step, last, now, within) == max(found, default=None)


@pytest.mark.parametrize("interval", [1.0, 60.0, 86_400.0])
def test_the_newest_missed_tick_of_a_week_is_found_in_few_steps(interval: float) -> None:
    trigger, steps = Every(interval), 0
    week = 7 * 86_400 * 10**6

    def step(after: int) -> int | None:
        nonlocal steps
        steps += 1
        return trigger.next_fire_us(after)

    assert newest_missed(step, 1, week + 500_000, week) == week
    assert steps <= 30


@pytest.mark.parametrize(
    ("after", "until", "end", "limit", "ticks"),
    [
        pytest.param(0, 30, 10**9, 9, [10, 20, 30], id="the last one is within"),
        pytest.param(9, 29, 10**9, 9, [10, 20], id="later than the first, not later than the last"),
        pytest.param(10, 20, 10**9, 9, [20], id="the first one is not"),
        pytest.param(10, 19, 10**9, 9, [], id="none lies between"),
        pytest.param(20, 10, 10**9, 9, [], id="nothing lies between"),
        pytest.param(0, 100, 20, 9, [10, 20], id="the trigger ends"),
        pytest.param(0, 100, 10**9, 3, [10, 20, 30], id="the oldest of many"),
    ],
)
def test_the_ticks_between(after: int, until: int, end: int, limit: int, ticks: list[int]) -> None:
    assert ticks_between(every(10, end), after, until, limit) == ticks
