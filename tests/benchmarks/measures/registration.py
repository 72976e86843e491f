"""Registering many jobs: time to add one until it is scheduled, and the memory that each keeps."""

from __future__ import annotations

import asyncio
import gc
import time

from benchmarks.measures._local import Order, make_contest, register, resident_bytes, run_loop

A_YEAR = 365 * 86_400.0


def measure(order: Order) -> dict[str, float]:
    return run_loop(_register(order), order)


async def _handler() -> None: ...


async def _register(order: Order) -> dict[str, float]:
    jobs = order["params"]["jobs"]
    contest = make_contest(order)
    gc.collect()
    memory, began_at = resident_bytes(), time.perf_counter()
    first = A_YEAR * (time.time() // A_YEAR + 1)
    await register(contest, (_handler for _ in range(jobs)), lambda _: first, A_YEAR)
    added_at = time.perf_counter()
    await contest.start()
    await asyncio.sleep(0)
    started_at = time.perf_counter()
    gc.collect()
    return {
        "add_us": (started_at - began_at) / jobs * 1e6,
        "before_start_us": (added_at - began_at) / jobs * 1e6,
        "bytes": (resident_bytes() - memory) / jobs,
    }
