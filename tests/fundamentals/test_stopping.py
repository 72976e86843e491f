"""A scheduler that stops starts nothing new, waits for its active runs, and may start again."""

from __future__ import annotations

import asyncio

from asyncsched import Outcome, Scheduler
from asyncsched.testing import FakeClock


async def quick() -> None: ...


async def test_leaving_the_block_waits_for_active_runs(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    finish = asyncio.Event()
    ended: list[bool] = []

    async def slow() -> None:
        await finish.wait()
        ended.append(True)

    scheduler.add_job("slow", slow).per_seconds(10)
    async with scheduler:
        await clock.advance(10)
        asyncio.get_running_loop().call_later(0.001, finish.set)
    assert ended == [True]


async def test_what_takes_too_long_is_cancelled(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock, shutdown_timeout=5)
    scheduler.add_job("endless", asyncio.Event().wait).per_seconds(10)
    async with scheduler:
        await clock.advance(10)
        stopping = asyncio.create_task(scheduler.stop())
        await clock.advance(5)
        await stopping
    assert scheduler.snapshot().counters == {Outcome.CANCELLED: 1}


async def test_run_goes_on_until_it_is_stopped(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    scheduler.add_job("beat", quick).per_seconds(10)
    running = asyncio.create_task(scheduler.run())
    await clock.advance(60)
    await scheduler.stop()
    await running
    assert scheduler.snapshot().counters == {"succeeded": 6}


async def test_a_handler_may_stop_the_scheduler(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    scheduler.add_job("last", scheduler.stop).per_seconds(10)
    running = asyncio.create_task(scheduler.run())
    await clock.advance(10)
    await running
    assert scheduler.snapshot().state == "idle"


async def test_it_may_start_again(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    scheduler.add_job("beat", quick).per_seconds(10)
    for _ in range(2):
        async with scheduler:
            await clock.advance(10)
    assert scheduler.snapshot().counters == {"succeeded": 2}
