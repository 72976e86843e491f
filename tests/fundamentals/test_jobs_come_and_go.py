"""Jobs come and go while a scheduler runs, and a snapshot tells what it is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched import Scheduler

if TYPE_CHECKING:
    from asyncsched.testing import FakeClock


async def quick() -> None: ...


async def test_jobs_come_and_go_while_it_runs(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    async with scheduler:
        scheduler.add_job("beat", quick).per_seconds(10)
        await clock.advance(20)
        scheduler.remove_job("beat")
        await clock.advance(20)
        assert dict(scheduler.jobs) == {}
    assert scheduler.snapshot().counters == {"succeeded": 2}


async def test_a_snapshot_tells_what_it_is_doing(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock, node="web-1")
    scheduler.add_job("beat", quick).per_seconds(10).on_one_server()
    async with scheduler:
        await clock.advance(10)
        snapshot = scheduler.snapshot()
    assert (snapshot.state, snapshot.node, snapshot.store_available) == ("running", "web-1", True)
    (job,) = snapshot.jobs
    assert (job.name, job.schedule, job.policies) == ("beat", "Every(10)", ("on_one_server",))
    assert (job.last_outcome, dict(job.counters), job.paused, job.active) == ("succeeded", {"succeeded": 1}, False, 0)
    assert job.next_fire_time is not None
    assert job.next_fire_time.second == 20
