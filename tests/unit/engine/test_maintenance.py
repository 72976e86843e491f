"""Maintenance: for the whole cluster, nothing starts by itself, but what must run all the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from _engine_doubles import Book, Gate, ScriptedStore, Work, counted, down, plain, quick, running

from asyncsched import ConfigurationError, Job, MemoryStore, Scheduler, StoreUnavailableError, events
from asyncsched._grants import EVERY_JOB

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

GUARDS: list[Callable[[Job], Job]] = [
    lambda job: job,
    lambda job: job.on_one_server(),
    lambda job: job.without_overlapping(),
    lambda job: job.on_one_server().without_overlapping(),
]
NAMES = ["plain", "one", "alone", "both"]


@pytest.fixture(params=GUARDS, ids=NAMES)
def guard(request: pytest.FixtureRequest) -> Callable[[Job], Job]:
    return request.param  # type: ignore[no-any-return]


async def test_ticks_are_skipped_while_it_lasts(
    scheduler: Scheduler, clock: FakeClock, guard: Callable[[Job], Job]
) -> None:
    plain(scheduler, quick)
    guard(scheduler.get_job("a"))
    async with running(scheduler, clock):
        await clock.advance(20)
        await scheduler.maintenance(True)
        await clock.advance(30)
        assert scheduler.snapshot().maintenance
        await scheduler.maintenance(False)
        await clock.advance(10)
    assert counted(scheduler) == {"succeeded": 3, "maintenance": 3}


async def test_immediate_runs_are_skipped_and_triggered_ones_are_not(
    scheduler: Scheduler, clock: FakeClock, guard: Callable[[Job], Job]
) -> None:
    await scheduler.maintenance(True)
    guard(scheduler.add_job("now", quick).immediate())
    async with running(scheduler, clock):
        await clock.settle()
        assert counted(scheduler) == {"maintenance": 1}
        assert await (await scheduler.trigger("now")).wait() == "succeeded"


async def test_some_jobs_run_all_the_same(scheduler: Scheduler, clock: FakeClock, guard: Callable[[Job], Job]) -> None:
    await scheduler.maintenance(True)
    guard(scheduler.add_job("always", quick).per_seconds(10).immediate().even_in_maintenance())
    async with running(scheduler, clock):
        await clock.advance(20)
    assert counted(scheduler) == {"succeeded": 3}


async def test_a_paused_job_stays_paused(scheduler: Scheduler, clock: FakeClock) -> None:
    plain(scheduler, quick)
    async with running(scheduler, clock):
        await scheduler.pause("a")
        await scheduler.maintenance(True)
        await clock.advance(10)
        await scheduler.maintenance(False)
        await clock.advance(10)
        assert scheduler.snapshot().jobs[0].paused
    assert counted(scheduler) == {"paused": 2}


async def test_a_run_in_progress_goes_on(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    scheduler.add_job("long", work).per_seconds(10).on_one_server().without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(10)
        await scheduler.maintenance(True)
        await clock.advance(15)
        work.finish()
        await clock.settle()
        assert work.ended == 1
    assert counted(scheduler) == {"maintenance": 1, "succeeded": 1}


async def test_a_claim_that_may_have_won_is_given_back(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler.add_job("a", quick).per_seconds(10).on_one_server().without_overlapping()
    gate = Gate(decided_first=True)

    async def lost_late(method: object, items: object) -> object:
        await gate(method, items)  # type: ignore[arg-type]
        raise StoreUnavailableError("the answer was lost")

    store.on("claim", lost_late)  # type: ignore[arg-type]
    async with running(scheduler, clock):
        await clock.advance(10)
        await scheduler.maintenance(True)
        gate.open()
        await clock.advance(2)
        assert store.locks("a") == set()
    assert counted(scheduler) == {"maintenance": 1}


async def test_a_node_that_starts_amid_it_looks_first(clock: FakeClock) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    scheduler = Scheduler(store, clock=clock)
    gate = Gate()
    store.on("refresh", gate)
    scheduler.add_job("plain", quick).immediate()
    scheduler.add_job("guarded", quick).immediate().on_one_server()
    scheduler.add_job("tick", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10)
        assert counted(scheduler) == {}
        await store.set_paused(EVERY_JOB, True)  # as the refresh finds it
        gate.open()
        await clock.settle()
        assert counted(scheduler) == {"maintenance": 3}


async def test_a_store_that_is_away_keeps_nobody_waiting(clock: FakeClock) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    scheduler = Scheduler(store, clock=clock)
    store.on("refresh", down, down, down)
    scheduler.add_job("plain", quick).immediate()
    async with running(scheduler, clock):
        await clock.settle()
        assert counted(scheduler) == {"succeeded": 1}


async def test_a_stop_does_not_wait_for_the_first_look(clock: FakeClock) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    scheduler = Scheduler(store, clock=clock)
    store.on("refresh", Gate())
    scheduler.add_job("tick", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10)
    assert counted(scheduler) == {"shutting_down": 1}


async def test_it_reaches_the_other_nodes_and_outlives_them(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    first, second = (Scheduler(store, clock=clock) for _ in "ab")
    for scheduler in (first, second):
        scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(first, clock):
        await first.maintenance(True)
    async with running(second, clock):
        await clock.advance(10)
        assert second.snapshot().maintenance
    assert counted(second) == {"maintenance": 1}


async def test_it_is_told(scheduler: Scheduler, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running(scheduler, clock):
        await scheduler.maintenance(True)
        await scheduler.maintenance(False)
    assert len(book.of(events.MaintenanceBegan)) == len(book.of(events.MaintenanceEnded)) == 1
    lines = [record.message for record in caplog.records]
    assert lines.count("the maintenance of the cluster has begun") == 1
    assert lines.count("the maintenance of the cluster has ended") == 1


@pytest.mark.parametrize("value", [1, None, "yes"])
async def test_bad_values_are_refused(scheduler: Scheduler, value: object) -> None:
    with pytest.raises(ConfigurationError, match="True or False"):
        await scheduler.maintenance(value)  # type: ignore[arg-type]


async def test_it_is_known_while_nothing_runs(scheduler: Scheduler) -> None:
    assert not scheduler.snapshot().maintenance
    await asyncio.wait_for(scheduler.maintenance(True), 1)
    assert scheduler.snapshot().maintenance
