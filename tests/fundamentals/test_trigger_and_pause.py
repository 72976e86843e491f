"""Steering a running scheduler: a run now, and no runs for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncsched import Outcome, Scheduler, SkipReason

if TYPE_CHECKING:
    from asyncsched.testing import FakeClock


async def work() -> None:
    """A handler that has nothing to do."""


async def test_a_run_now(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("report", work).daily_at("09:00").on_one_server()
    async with scheduler:
        run = await scheduler.trigger("report")
        assert await run.wait() is Outcome.SUCCEEDED
        await clock.advance(9 * 3600)
    assert scheduler.snapshot().counters == {"succeeded": 2}, "the tick at nine ran as well"


async def test_a_run_now_respects_the_overlap_guard(scheduler: Scheduler, clock: FakeClock) -> None:
    over = asyncio.Event()

    async def slow() -> None:
        await over.wait()

    scheduler.add_job("slow", slow).immediate().without_overlapping()
    async with scheduler:
        await clock.settle()
        run = await scheduler.trigger("slow")
        assert run.outcome is Outcome.SKIPPED
        assert run.skip_reason is SkipReason.OVERLAP
        over.set()


async def test_a_paused_job_does_not_run_until_it_is_resumed(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("poll", work).per_seconds(1)
    async with scheduler:
        await clock.advance(2)
        await scheduler.pause("poll")
        await clock.advance(3)
        assert (await scheduler.trigger("poll")).skip_reason is SkipReason.PAUSED
        await scheduler.resume("poll")
        await clock.advance(2)
    assert scheduler.snapshot().counters == {"succeeded": 4, "paused": 4}


async def test_a_pause_survives_a_restart(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("poll", work).per_seconds(1)
    await scheduler.pause("poll")
    for _ in range(2):
        async with scheduler:
            await clock.advance(1)
    assert scheduler.snapshot().counters == {"paused": 2}
