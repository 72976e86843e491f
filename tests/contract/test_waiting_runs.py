"""Real stores, real time: runs of a job that wait for each other, or end each other, are never in progress at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import RunContext, Scheduler

if TYPE_CHECKING:
    from pathlib import Path

    from _redis_cluster import RedisCluster

POLICIES = ["queue_one", "cancel_running"]


async def observe(urls: list[str], policy: str) -> tuple[int, list[Any], dict[str, int]]:
    """Run two schedulers for some seconds; return how many runs were in progress at once, the ticks, and counters."""
    most = now = 0
    ticks: list[Any] = []

    async def work(ctx: RunContext) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        ticks.append(ctx.fire_time)
        try:
            await asyncio.sleep(2.5)
        finally:
            now -= 1

    # A tick that comes due while the store gets to know the job is one that may have run: not here.
    await asyncio.sleep((1.5 - time.time() % 1) % 1)
    schedulers = [Scheduler(url) for url in urls]
    for scheduler in schedulers:
        scheduler.add_job("a", work).per_seconds(1).on_one_server().without_overlapping(policy)
    async with schedulers[0], schedulers[1]:
        await asyncio.sleep(9)
        for scheduler in schedulers:
            scheduler.remove_job("a")
    counters: dict[str, int] = {}
    for scheduler in schedulers:
        for what, number in scheduler.snapshot().counters.items():
            counters[what] = counters.get(what, 0) + number
    return most, ticks, counters


def check(policy: str, most: int, ticks: list[Any], counters: dict[str, int]) -> None:
    assert most == 1
    assert len(set(ticks)) == len(ticks)
    assert ticks == sorted(ticks)
    assert "store_unavailable" not in counters
    if policy == "queue_one":
        assert 2 <= len(ticks) <= 5
        assert "cancelled" not in counters
    else:
        assert 3 <= len(ticks) <= 10
        assert counters["cancelled"] >= 2


@pytest.mark.redis
@pytest.mark.parametrize("policy", POLICIES)
async def test_on_redis(redis_url: str, policy: str) -> None:
    check(policy, *await observe([redis_url] * 2, policy))


@pytest.mark.redis
async def test_on_a_cluster(redis_cluster: RedisCluster) -> None:
    redis_cluster.flush()
    check("cancel_running", *await observe([redis_cluster.url] * 2, "cancel_running"))


@pytest.mark.processes
async def test_on_a_file(tmp_path: Path) -> None:
    check("cancel_running", *await observe([f"sqlite://{tmp_path}/jobs.db"] * 2, "cancel_running"))
