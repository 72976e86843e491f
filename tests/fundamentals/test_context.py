"""A handler may know which run it carries out: by its parameter, or from anywhere below."""

from __future__ import annotations

import asyncio

from asyncsched import RunContext, Scheduler, current_run
from asyncsched.testing import FakeClock


async def test_what_the_context_tells(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock, node="web-1")
    seen: list[RunContext] = []

    async def handler(ctx: RunContext) -> None:
        seen.append(ctx)

    scheduler.add_job("report", handler).per_minutes(1).on_one_server()
    async with scheduler:
        await clock.advance(60)
    (ctx,) = seen
    assert (ctx.job, ctx.node, ctx.attempt) == ("report", "web-1", 1)
    assert ctx.fire_time.isoformat() == "2026-01-01T00:01:00+00:00"
    assert ctx.started_at is not None
    assert ctx.started_at >= ctx.fire_time
    assert len(ctx.run_id) == len(ctx.trace_id) == 32


async def test_fences_rise_from_grant_to_grant(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    fences: list[int] = []

    async def handler(ctx: RunContext) -> None:
        fences.append(ctx.fence)

    scheduler.add_job("write", handler).per_seconds(1).on_one_server()
    async with scheduler:
        await clock.advance(5)
    assert fences == sorted(set(fences))
    assert len(fences) == 5


async def test_a_job_without_guards_has_no_fence(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    fences: list[int] = []

    async def handler(ctx: RunContext) -> None:
        fences.append(ctx.fence)

    scheduler.add_job("plain", handler).per_seconds(1)
    async with scheduler:
        await clock.advance(1)
    assert fences == [0]


async def test_the_current_run_is_known_below_the_handler(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    jobs: list[str] = []

    async def deep_inside() -> None:
        run = current_run()
        assert run is not None
        jobs.append(run.job)

    async def handler() -> None:
        await asyncio.create_task(deep_inside())

    scheduler.add_job("outer", handler).per_seconds(1)
    async with scheduler:
        await clock.advance(1)
    assert jobs == ["outer"]
    assert current_run() is None
