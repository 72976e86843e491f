"""Policies say what else must hold before, and while, a tick runs."""

from __future__ import annotations

import asyncio

from asyncsched import RunContext, Scheduler, SkipReason, events
from asyncsched.testing import FakeClock


async def quick() -> None: ...


async def test_without_overlapping_a_tick_is_skipped_while_a_run_is_in_progress(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    finish = asyncio.Event()
    skipped: list[events.TickSkipped] = []
    scheduler.subscribe(skipped.append, events.TickSkipped)
    scheduler.add_job("slow", finish.wait).per_seconds(10).without_overlapping()
    async with scheduler:
        await clock.advance(30)
        assert [event.reason for event in skipped] == [SkipReason.OVERLAP, SkipReason.OVERLAP]
        finish.set()
        await clock.advance(10)
    assert scheduler.snapshot().counters == {"overlap": 2, "succeeded": 2}


async def test_without_that_policy_runs_may_overlap(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    finish = asyncio.Event()
    scheduler.add_job("slow", finish.wait).per_seconds(10)
    async with scheduler:
        await clock.advance(30)
        assert len(scheduler.snapshot().active) == 3
        finish.set()


async def test_a_random_delay_is_slept_before_the_run(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    delays: list[float] = []

    async def handler(ctx: RunContext) -> None:
        delays.append((clock.now() - ctx.fire_time).total_seconds())

    scheduler.add_job("spread", handler).per_minutes(1).random_delay(10, 30)
    async with scheduler:
        await clock.advance(631)
    assert all(10 <= delay <= 30.001 for delay in delays)
    assert len(set(delays)) > 1


async def test_a_tick_that_is_noticed_late_runs_within_its_grace(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock, misfire_grace=60)
    scheduler.add_job("patient", quick).per_hours(1)
    scheduler.add_job("strict", quick).per_hours(1).misfire_grace(5)
    async with scheduler:
        clock.shift(3600 + 30)  # the wall clock jumps: as after a suspend
        await clock.advance(1)
    jobs = {job.name: dict(job.counters) for job in scheduler.snapshot().jobs}
    assert scheduler.snapshot().counters == {"succeeded": 1, "missed": 1}
    assert set(jobs) == {"patient", "strict"}


async def test_of_several_missed_ticks_the_newest_runs(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    scheduler.add_job("beat", quick).per_seconds(10)
    async with scheduler:
        clock.shift(45)
        await clock.advance(1)
    assert scheduler.snapshot().counters == {"missed": 3, "succeeded": 1}
