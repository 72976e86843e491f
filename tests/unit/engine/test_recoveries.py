"""How interrupted and missed ticks go through an engine that has other things to do as well."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from _engine_doubles import Book, Gate, ScriptedStore, Work, answering, counted, down, quick, raising, running

from asyncsched import Scheduler, events
from asyncsched._grants import ClaimAnswer, ClaimKind, LockType, Verdict

if TYPE_CHECKING:
    from asyncsched import Job
    from asyncsched.testing import FakeClock


def kinds(store: ScriptedStore) -> list[ClaimKind]:
    return [request.kind for request in store.claims]


def watches() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "asyncsched-loop-watch"]


async def run_once(scheduler: Scheduler, clock: FakeClock, *, away_for: float) -> None:
    """Let the scheduler live for a minute, and stay away."""
    async with running(scheduler, clock):
        await clock.advance(61)
    await clock.advance(away_for)


async def test_an_immediate_run_under_way_is_no_hindrance_to_catching_up(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    scheduler.add_job("a", quick).immediate().per_seconds(60).on_one_server().catch_up(3600).lock_ttl(30)
    await run_once(scheduler, clock, away_for=300)
    gate = Gate()
    store.on("claim", gate)  # the immediate run is being decided, while the survey is answered
    async with running(scheduler, clock):
        await clock.settle()
        assert kinds(store)[-2:] == [ClaimKind.START, ClaimKind.SURVEY]
        gate.open()
        await clock.settle()
        assert kinds(store)[-1] is ClaimKind.TICK
    ended = [event.fire_time.second + 60 * event.fire_time.minute for event in book.of(events.RunEnded)]
    assert ended[-2:] == [361, 360]


async def test_a_tick_that_has_come_due_meanwhile_leaves_nothing_to_catch_up_with(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler.add_job("a", quick).per_seconds(60).on_one_server().catch_up(3600)
    await run_once(scheduler, clock, away_for=358)
    gate = Gate(decided_first=True)
    store.on("claim", gate)  # the survey's answer arrives only after the next tick has run
    async with running(scheduler, clock):
        await clock.advance(2)
        gate.open()
        await clock.advance(1)
    assert kinds(store) == [ClaimKind.SURVEY, ClaimKind.TICK, ClaimKind.SURVEY, ClaimKind.TICK]
    assert store.claims[-1].tick_us - store.claims[1].tick_us == 360_000_000


async def test_a_trigger_that_fails_for_the_past_costs_its_own_catching_up_only(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful:
        """It knows no fire times before the first one it was asked for in this life."""

        since: datetime | None = None

        def next_fire_time(self, after: datetime) -> datetime | None:
            self.since = self.since or after
            if after < self.since:
                raise LookupError("that is long ago")
            return after.replace(second=0, microsecond=0) + timedelta(minutes=1)

    trigger = Forgetful()
    for name, schedule in (("a", trigger), ("b", None)):
        job = scheduler.add_job(name, quick).on_one_server().catch_up(3600)
        job.schedule(schedule) if schedule else job.per_seconds(60)
    await run_once(scheduler, clock, away_for=300)
    trigger.since = None
    async with running(scheduler, clock):
        await clock.advance(60)
        assert scheduler.snapshot().state == "running"
    assert "job=a does not catch up: its trigger failed" in caplog.text
    ended = [(event.job, event.fire_time.minute) for event in book.of(events.RunEnded)]
    assert sorted(ended) == [("a", 1), ("a", 7), ("b", 1), ("b", 6), ("b", 7)]


async def test_a_survey_answered_during_the_stop_claims_nothing(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler.add_job("a", quick).per_seconds(60).on_one_server().catch_up(3600).rerun_on_crash()
    await run_once(scheduler, clock, away_for=300)
    gate = Gate(decided_first=True)
    store.on("claim", gate)
    before = counted(scheduler)
    async with running(scheduler, clock):
        await clock.settle()
        assert gate.entered
        leaving = scheduler._engine
        assert leaving is not None
        leaving.request_stop()
        gate.open()
        await clock.settle()
    assert kinds(store)[-1] is ClaimKind.SURVEY
    assert counted(scheduler) == before


async def test_a_fault_of_the_store_in_a_survey_stops_the_engine(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler.add_job("a", quick).per_seconds(60).on_one_server().catch_up(3600)
    store.on("claim", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        async with running(scheduler, clock):
            await clock.advance(1)


async def test_a_removed_job_is_forgotten(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    scheduler.add_job("a", work := Work()).per_seconds(60).on_one_server().rerun_on_crash().lock_ttl(30)
    async with running(scheduler, clock):
        await clock.advance(61)
        store.lose("a", LockType.SERVER)
        store.memory._job("a").locks.clear()
        await clock.advance(10)
        assert len(work.contexts) == 1
        scheduler.remove_job("a")
        await clock.advance(100)
        assert len(work.contexts) == 1
        assert ClaimKind.RERUN not in kinds(store)


async def test_a_job_that_comes_back_without_the_policy_is_not_run_again(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler.add_job("a", Work()).per_seconds(60).on_one_server().rerun_on_crash().lock_ttl(30)
    async with running(scheduler, clock):
        await clock.advance(61)
        store.memory._job("a").locks.clear()
        await clock.advance(10)
        scheduler.remove_job("a")
        scheduler.add_job("a", quick).per_seconds(600).on_one_server()
        await clock.advance(200)
        assert ClaimKind.RERUN not in kinds(store)


async def test_an_exhausted_tick_is_told_by_the_engine(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    scheduler.add_job("a", quick).per_seconds(60).on_one_server().rerun_on_crash(5)
    tick_us = round(clock.time() * 1e6)
    store.on("claim", answering(ClaimAnswer(Verdict.ELSEWHERE, attempt=0, open_us=(tick_us,))))
    store.on("claim", answering(ClaimAnswer(Verdict.EXHAUSTED, attempt=5)))
    async with running(scheduler, clock):
        await clock.advance(1)
    (told,) = book.of(events.RerunsExhausted)
    assert (told.job, told.node, told.attempts, told.fire_time.timestamp() * 1e6) == ("a", "here", 5, tick_us)
    assert counted(scheduler) == {}


async def test_an_outage_at_the_start_is_said_once(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    scheduler.add_job("a", quick).per_seconds(60).on_one_server().catch_up(60)
    store.on("claim", *[down] * 5)
    async with running(scheduler, clock):
        await clock.advance(10)
    assert len(book.of(events.StoreLost)) == len(book.of(events.StoreRecovered)) == 1


# The watch over the loop


@pytest.mark.parametrize(
    ("describe", "threads"),
    [
        (lambda job: job, 0),
        (lambda job: job.on_one_server(), 1),
        (lambda job: job.without_overlapping(), 1),
    ],
)
async def test_a_loop_is_watched_only_for_the_sake_of_leases(
    scheduler: Scheduler, clock: FakeClock, describe: Callable[[Job], Job], threads: int
) -> None:
    before = len(watches())
    describe(scheduler.add_job("a", quick).per_seconds(10))
    async with running(scheduler, clock):
        assert len(watches()) == before
        await clock.advance(25)
        assert len(watches()) == before + threads
    assert len(watches()) == before


async def test_a_restarted_scheduler_watches_again(scheduler: Scheduler, clock: FakeClock) -> None:
    before = len(watches())
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    for _ in range(2):
        async with running(scheduler, clock):
            await clock.advance(15)
            assert len(watches()) == before + 1
        assert len(watches()) == before


# Corners of the engine


async def test_an_immediate_job_that_is_removed_at_once_does_not_run(scheduler: Scheduler, clock: FakeClock) -> None:
    async with running(scheduler, clock):
        await clock.settle()
        scheduler.add_job("a", quick).immediate()
        asyncio.get_running_loop().call_soon(scheduler.remove_job, "a")  # adopted, and not yet its engine's turn
        await clock.advance(1)
    assert counted(scheduler) == {}


@pytest.mark.parametrize("knows_time", [True, False])
async def test_ticks_that_were_missed_by_an_unknown_clock_are_not_sealed(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, knows_time: bool
) -> None:
    store.knows_time = knows_time
    start_us = round(clock.time() * 1e6)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server().misfire_grace(2)
    async with running(scheduler, clock):
        await clock.advance(1)
        clock.shift(35)
        await clock.advance(0)
        assert scheduler._engine is not None
        assert scheduler._engine.states["a"].decided_us == (start_us + 30_000_000 if knows_time else 0)
    assert counted(scheduler) == {"missed": 3}


async def test_a_coroutine_that_is_cancelled_as_the_stop_begins_is_no_fault(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    async with running(scheduler, clock):
        await clock.settle()
        engine = scheduler._engine
        assert engine is not None
        (task,) = (task for task in asyncio.all_tasks() if "surveying" in repr(task.get_coro()))
        task.add_done_callback(lambda _: engine.request_stop())
        task.cancel()
        await clock.advance(1)
        assert scheduler.snapshot().state == "idle"
