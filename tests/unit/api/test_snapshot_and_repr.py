"""What a scheduler tells of itself: a frozen snapshot and one line of repr."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import Outcome, Run, Scheduler, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

START = datetime(2026, 1, 1, tzinfo=UTC)


async def work() -> None:
    """A handler that does nothing."""


def test_an_idle_scheduler(scheduler: Scheduler) -> None:
    scheduler.add_job("tick", work).per_seconds(30).on_one_server()
    snapshot = scheduler.snapshot()
    assert (snapshot.state, snapshot.node, snapshot.taken_at, snapshot.active) == ("idle", "", START, ())
    assert snapshot.store_available
    (job,) = snapshot.jobs
    assert (job.name, job.schedule, job.policies) == ("tick", "Every(30)", ("on_one_server",))
    assert (job.next_fire_time, job.active, job.last_outcome, dict(job.counters)) == (None, 0, None, {})
    assert repr(scheduler) == "<Scheduler idle jobs=1 store=<MemoryStore jobs=0 paused=0>>"


async def test_a_running_scheduler(make_scheduler: Callable[..., Scheduler], clock: FakeClock) -> None:
    scheduler = make_scheduler(timezone="Europe/Berlin")
    over = asyncio.Event()

    async def long() -> None:
        await over.wait()

    async def fail() -> None:
        raise ValueError

    scheduler.add_job("long", long).per_seconds(10).without_overlapping()
    scheduler.add_job("fails", fail).per_seconds(4)
    scheduler.add_job("daily", work).daily_at("09:00").on_one_server()
    scheduler.add_job("start", work).immediate().random_delay(100, 100)
    await scheduler.pause("daily")
    async with scheduler:
        await clock.advance(21)
        snapshot = scheduler.snapshot()
        assert repr(scheduler) == (
            "<Scheduler running jobs=4 active=2 next=2026-01-01T00:00:24+00:00 store=<MemoryStore jobs=1 paused=1>>"
        )
        over.set()
        await clock.advance(100)
    assert (snapshot.state, snapshot.node, snapshot.taken_at) == ("running", "here", START + timedelta(seconds=21))
    jobs = {job.name: job for job in snapshot.jobs}
    assert list(jobs) == ["long", "fails", "daily", "start"], "in the order in which they were added"
    assert {name: job.next_fire_time.isoformat() if job.next_fire_time else None for name, job in jobs.items()} == {
        "long": "2026-01-01T01:00:30+01:00",
        "fails": "2026-01-01T01:00:24+01:00",
        "daily": "2026-01-01T09:00:00+01:00",
        "start": None,
    }
    assert {name: dict(job.counters) for name, job in jobs.items()} == {
        "long": {"overlap": 1}, "fails": {"failed": 5}, "daily": {}, "start": {},
    }  # fmt: skip
    assert dict(snapshot.counters) == {"overlap": 1, "failed": 5}
    assert [job.paused for job in snapshot.jobs] == [False, False, True, False]
    assert [job.active for job in snapshot.jobs] == [1, 0, 0, 1]
    assert jobs["fails"].last_outcome is Outcome.FAILED
    assert jobs["daily"].schedule == "Daily('09:00:00', timezone='Europe/Berlin')"
    assert jobs["start"].policies == ("immediate", "random_delay(100, 100)")
    assert jobs["start"].schedule == ""
    active = {run.job: run for run in snapshot.active}
    assert set(active) == {"long", "start"}
    assert active["long"].fire_time == START + timedelta(seconds=10)
    assert active["long"].started_at == START + timedelta(seconds=10)
    assert active["long"].fence > 0
    assert (active["start"].started_at, active["start"].fence) == (None, 0), "it sleeps its random delay"
    assert len(active["long"].run_id) == len(active["long"].trace_id) == 32


async def test_a_draining_scheduler_and_its_next_life(scheduler: Scheduler, clock: FakeClock) -> None:
    over = asyncio.Event()

    async def long() -> None:
        await over.wait()

    scheduler.add_job("long", long).immediate()
    async with scheduler:
        await clock.settle()
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.settle()
        assert scheduler.snapshot().state == "draining"
        assert repr(scheduler).startswith("<Scheduler draining jobs=1 active=1 next=None ")
        over.set()
        await stopping
    assert scheduler.snapshot().state == "idle"
    assert scheduler.snapshot().counters == {"succeeded": 1}
    async with scheduler:
        await clock.settle()
        assert scheduler.snapshot().counters == {"succeeded": 2}, "the counters of all lives add up"


async def test_an_outage_shows(make_scheduler: Callable[..., Scheduler], clock: FakeClock, flaky_store: Any) -> None:
    scheduler = make_scheduler(flaky_store)
    scheduler.add_job("guarded", work).per_seconds(1).on_one_server()
    async with scheduler:
        flaky_store.down = True
        await clock.advance(2)
        assert not scheduler.snapshot().store_available
        flaky_store.down = False
        await clock.advance(5)
        assert scheduler.snapshot().store_available


async def test_a_snapshot_does_not_change(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("tick", work).per_seconds(1)
    async with scheduler:
        await clock.advance(2)
        snapshot = scheduler.snapshot()
        await clock.advance(2)
    assert snapshot.counters == snapshot.jobs[0].counters == {"succeeded": 2}
    for value in (snapshot, snapshot.jobs[0]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.counters = {}  # type: ignore[misc]
        with pytest.raises(TypeError):
            value.counters["failed"] = 1  # type: ignore[index]
    assert isinstance(snapshot, Snapshot)


def test_jobs_are_read_only(scheduler: Scheduler) -> None:
    job = scheduler.add_job("tick", work)
    assert dict(scheduler.jobs) == {"tick": job}
    with pytest.raises(TypeError):
        scheduler.jobs["other"] = job  # type: ignore[index]


def test_a_password_is_not_shown() -> None:
    scheduler = Scheduler("redis://user:hunter2@localhost:6379/0")
    assert "hunter2" not in repr(scheduler)
    assert "localhost" in repr(scheduler)


async def test_the_repr_of_a_run(scheduler: Scheduler, clock: FakeClock) -> None:
    over = asyncio.Event()

    async def long() -> None:
        await over.wait()

    scheduler.add_job("long", long).immediate().random_delay(5, 5)
    shown: list[str] = []
    async with scheduler:
        await clock.settle()
        (run,) = scheduler._engine.executor.active  # type: ignore[union-attr]
        assert isinstance(run, Run)
        shown.append(repr(run))
        await clock.advance(6)
        shown.append(repr(run))
        over.set()
        await clock.settle()
        shown.append(repr(run))
    tick = "<Run job='long' tick=2026-01-01T00:00:00+00:00"
    assert shown == [f"{tick} waiting>", f"{tick} started>", f"{tick} succeeded>"]


def test_default_nodes_differ(clock: FakeClock) -> None:
    from asyncsched._scheduler import _default_node

    names = {_default_node() for _ in range(50)}
    assert len(names) > 40
    assert all(name.count("-") >= 2 and len(name) < 200 for name in names)


async def test_without_its_runs_a_snapshot_makes_no_ids_and_may_be_asked_from_a_thread(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock
) -> None:
    made = []

    def make() -> str:
        made.append("id")
        return "id"

    scheduler = make_scheduler(trace_id=make)
    over = asyncio.Event()

    async def long() -> None:
        await over.wait()

    scheduler.add_job("long", long).per_seconds(10)
    async with scheduler:
        await clock.advance(10)
        snapshot = await asyncio.to_thread(scheduler.snapshot, runs=False)
        assert (snapshot.active, snapshot.jobs[0].active, made) == ((), 1, [])
        assert [run.trace_id for run in scheduler.snapshot().active] == made == ["id"]
        over.set()
