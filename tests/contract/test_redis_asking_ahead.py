"""Two schedulers and a real Redis: ticks are granted before they are due, and run when they are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from asyncsched import RunContext, Scheduler

JOBS = 20


@pytest.mark.redis
async def test_ticks_are_granted_ahead_and_never_start_ahead(redis_url: str) -> None:
    runs: list[tuple[str, int, int, int]] = []

    async def work(ctx: RunContext) -> None:
        runs.append((ctx.job, ctx.fire_us, time.time_ns() // 1_000, ctx.fence))

    schedulers = [Scheduler(redis_url), Scheduler(redis_url)]
    for scheduler in schedulers:
        for number in range(JOBS):
            scheduler.add_job(f"job-{number}", work).per_seconds(1).on_one_server()
    await asyncio.sleep((1.5 - time.time() % 1) % 1)
    async with schedulers[0], schedulers[1]:
        await asyncio.sleep(5)
    ticks: Counter[Any] = Counter((job, fire_us) for job, fire_us, _, _ in runs)
    assert set(ticks.values()) == {1}
    assert len(ticks) == JOBS * 5
    assert all(fire_us <= started_us for _, fire_us, started_us, _ in runs)
    # a fence is the server's time at the grant, in microseconds, if that is not too early to be higher than the last
    assert any(fence < fire_us for _, fire_us, _, fence in runs)
