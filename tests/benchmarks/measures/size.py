"""Ever more nodes, each with its own connections, in one process: script calls per tick, and lateness. Some more may be
there and never ask: what a node is that is frozen, or dead and not yet missed."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from _redis_server import RedisServer
from redis.asyncio import Redis

from asyncsched import Scheduler
from benchmarks._ratios import percentile
from benchmarks.measures._local import Order, run_loop, sleep_until
from benchmarks.measures._redis import count, usage

SECOND_NS = 1_000_000_000
NODES = "schedule:jobs:nodes"


def measure(order: Order) -> dict[str, float]:
    server = RedisServer()
    server.start()
    try:
        return run_loop(_live(order["params"], server), order)
    finally:
        server.stop()


async def _live(params: dict[str, int], server: RedisServer) -> dict[str, float]:
    nodes, jobs, window = params["nodes"], params["jobs"], params["window"]
    ticks: list[tuple[int, int]] = []
    async with AsyncExitStack() as stack:
        for index in range(nodes):
            await stack.enter_async_context(_node(index, jobs, server.url, ticks))
        ghosts = asyncio.ensure_future(_be_there(server.url, params.get("dead", 0)))
        begin = int(time.time()) + 4 - 0.5 / jobs  # between two ticks, when all nodes know each other
        await sleep_until(begin)
        ticks.clear()
        before, cpu = count(server), time.process_time()
        await sleep_until(begin + window)
        asked = usage(before, count(server))
        cpu = time.process_time() - cpu
        seen = ticks.copy()
        ghosts.cancel()
    if not seen:
        raise RuntimeError("nothing was started")
    late = [late_ns for _, late_ns in seen]
    return {
        **asked.each(len(seen)),
        "p50_ms": percentile(late, 0.5) / 1e6,
        "p99_ms": percentile(late, 0.99) / 1e6,
        "cpu_us": cpu / len(seen) * 1e6,
        "wrong": abs(jobs * window - len(seen)),
    }


def _node(index: int, jobs: int, url: str, ticks: list[tuple[int, int]]) -> Scheduler:
    scheduler = Scheduler(url, node=f"node-{index}", shutdown_timeout=1)

    def add(job: int) -> None:
        phase_ns = job * SECOND_NS // jobs

        async def handler() -> None:
            ticks.append((job, (time.time_ns() - phase_ns) % SECOND_NS))

        anchor = datetime.fromtimestamp(phase_ns / SECOND_NS, UTC)
        scheduler.add_job(f"job-{job}", handler).every(1, anchor=anchor).on_one_server()

    for job in range(jobs):
        add(job)
    return scheduler


async def _be_there(url: str, count: int) -> None:
    """Keep so many nodes among those that are there, as long as they would be."""
    async with Redis.from_url(url, decode_responses=True) as redis:
        while count:
            for name in await redis.zrange(NODES, 0, 0):
                group = name.partition("|")[0]
                at, _ = await redis.time()
                await redis.zadd(NODES, {f"{group}|ghost{number}|": at for number in range(count)})
            await asyncio.sleep(0.5)
