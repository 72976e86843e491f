"""Histories: each assertion holds for a right one, and fails for a forged wrong one with all that is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import ConfigurationError, Scheduler, UnknownJobError
from asyncsched.testing import FakeClock, History, RecordedRun

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def run(minutes: float, *, node: str = "n0", late: float = 0.0, lasting: float = 0.5, **more: Any) -> RecordedRun:
    return RecordedRun(
        **{
            "job": "work",
            "fire_time": at(minutes),
            "kind": "tick",
            "node": node,
            "attempt": 1,
            "fence": int(minutes),
            "started_at": at(minutes) + timedelta(seconds=late),
            "ended_at": at(minutes + lasting),
            "outcome": "succeeded",
            **more,
        }
    )


@pytest.fixture
async def history() -> History:
    """What a scheduler did in three minutes."""
    clock = FakeClock()
    scheduler = Scheduler(clock=clock, node="n0")

    @scheduler.job("work").per_minutes(1).on_one_server()
    async def work() -> None: ...

    @scheduler.job("once").immediate()
    async def once() -> None: ...

    scheduler.job("never").at(at(60))(work)
    history = History(clock)
    history.watch(scheduler)
    await clock.run_until(at(3), scheduler)
    return history


def lines(check: Callable[[], None]) -> list[str]:
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value).split("\n  ")


def test_it_tells_what_was(history: History) -> None:
    first, *_ = history.of("work")
    assert first == run(1, lasting=0, fence=first.fence)
    assert str(first) == (
        "tick 2026-01-01 00:01:00Z on n0: attempt 1, from 2026-01-01 00:01:00Z until 2026-01-01 00:01:00Z, succeeded"
    )
    assert str(history.of("once")[0]).startswith("start run on n0: attempt 1, from 2026-01-01 00:00:00Z until")
    assert history.of("never") == []
    with pytest.raises(UnknownJobError, match="wrok"):
        history.of("wrok")


def test_the_right_history_is_right(history: History) -> None:
    history.ran_once_per_tick("work")
    history.never_overlapped("work")
    history.ran_at("work", [at(3), at(1), at(2).astimezone(timezone(timedelta(hours=5)))])
    history.ran_at("never", [])
    history.ran_at("once", [START])


def test_a_tick_that_nobody_ran(history: History) -> None:
    history.runs = [run(1), run(3)]
    history._skips = [(at(9), ("work", at(2), "n1", "missed")), (at(2), ("work", at(2), "n0", "store_unavailable"))]
    told = "tick 2026-01-01 00:02:00Z did not run (n0: store_unavailable, n1: missed)"
    assert lines(lambda: history.ran_once_per_tick("work")) == ["job 'work': 1 of 3 ticks did not run once", told]
    assert lines(lambda: history.ran_at("work", [at(1), at(2), at(3)]))[1:] == [told]
    history._skips = []
    assert lines(lambda: history.ran_once_per_tick("work"))[1:] == [
        "tick 2026-01-01 00:02:00Z did not run (it came due on no node)"
    ]


def test_a_tick_that_two_ran(history: History) -> None:
    history.runs = [run(1), run(2), run(2, node="n1", late=7), run(3)]
    what, *told = lines(lambda: history.ran_once_per_tick("work"))
    assert what == "job 'work': 1 of 3 ticks did not run once"
    assert told == [
        "tick 2026-01-01 00:02:00Z ran 2 times",
        "  tick 2026-01-01 00:02:00Z on n0: attempt 1, from 2026-01-01 00:02:00Z until 2026-01-01 00:02:30Z, succeeded",
        "  tick 2026-01-01 00:02:00Z on n1: attempt 1, from 2026-01-01 00:02:07Z until 2026-01-01 00:02:30Z, succeeded",
    ]
    _, *told = lines(lambda: history.ran_at("work", [at(1), at(2), at(3)], within=10))
    assert [line.rpartition(": ")[2] for line in told] == ["was not expected so often"] * 2


@pytest.mark.parametrize("outcome", ["crashed", "cancelled", "lock_lost", "succeeded", "failed"])
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_second_run_is_right_only_as_a_later_attempt_after_an_interruption(
    history: History, outcome: str, attempt: int
) -> None:
    history.runs = [run(1), run(2, outcome=outcome), run(2, node="n1", attempt=attempt), run(3)]
    if attempt == 2 and outcome in ("crashed", "cancelled", "lock_lost"):
        history.ran_once_per_tick("work")
    else:
        assert "ran 2 times" in lines(lambda: history.ran_once_per_tick("work"))[1]


def test_only_ticks_count_as_ticks_and_only_those_that_are_asked_for(history: History) -> None:
    history.runs += [run(2, kind="trigger")]
    history.ran_once_per_tick("work")
    history.runs = [run(2)]
    history.ran_once_per_tick("work", since=at(1), until=at(2))
    with pytest.raises(AssertionError, match=r"no tick after 2026-01-01 00:01:00Z up to 2026-01-01 00:01:30Z"):
        history.ran_once_per_tick("work", since=at(1), until=at(1.5))
    with pytest.raises(AssertionError, match="no tick after"):
        history.ran_once_per_tick("never")
    with pytest.raises(ConfigurationError, match="'once' has no schedule"):
        history.ran_once_per_tick("once")
    for wrong in ({"since": START.replace(tzinfo=None)}, {"until": START.replace(tzinfo=None)}):
        with pytest.raises(ConfigurationError, match="naive"):
            history.ran_once_per_tick("work", **wrong)


def test_runs_that_overlap(history: History) -> None:
    history.runs = [
        run(1, lasting=1),
        run(2, lasting=5),
        run(3, node="n1"),
        run(4, kind="trigger", ended_at=None),
        run(9),
    ]
    what, *told = lines(lambda: history.never_overlapped("work"))
    assert what == "job 'work': 3 pairs of runs overlapped"
    assert [line.split(":0")[0] for line in told[:2]] == ["tick 2026-01-01 00", "  and tick 2026-01-01 00"]
    assert told[3].endswith("still in progress")
    assert ["n1" in line for line in told] == [False, True, False, False, False, False]


def test_nothing_at_all_overlaps_but_proves_nothing(history: History) -> None:
    with pytest.raises(AssertionError, match="has not run at all"):
        history.never_overlapped("never")


def test_runs_at_other_times(history: History) -> None:
    history.runs = [run(1), run(2, late=1.5), run(3)]
    assert lines(lambda: history.ran_at("work", [at(1), at(2)])) == [
        "job 'work' did not run at these 2 instants and no others",
        f"{history.runs[1]}: started 1.5 s after its time, which is not within 1 s",
        f"{history.runs[2]}: was not expected",
    ]
    history.ran_at("work", [at(1), at(2), at(3)], within="2 s")
    history.runs[0] = replace(history.runs[0], started_at=at(1) - timedelta(seconds=0.1))
    assert "started -0.1 s after" in lines(lambda: history.ran_at("work", [at(1), at(2), at(3)], within="2 s"))[1]
    with pytest.raises(ConfigurationError, match="naive"):
        history.ran_at("work", [datetime(2026, 1, 1)])
    with pytest.raises(ConfigurationError, match="within"):
        history.ran_at("work", [], within=-1)


def test_a_long_list_is_cut(history: History) -> None:
    history.runs = [run(minute) for minute in range(100)]
    told = lines(lambda: history.ran_at("work", []))
    assert len(told) == 22
    assert told[-1] == "and 80 lines more"


async def test_what_was_missed_is_told() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock=clock, node="n0", misfire_grace=5)
    scheduler.add_job("work", lambda: None).per_minutes(1)
    history = History(clock)
    forget = history.watch(scheduler)
    async with scheduler:
        await clock.settle()
        clock.elapsed += 70
        await clock.settle()
        await clock.advance(0)
        assert history.skips == [("work", at(1), "n0", "missed")]
        forget()
        await clock.advance(60)
    assert history.runs == []
