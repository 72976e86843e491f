"""A constant 100 fires a second from ever more registered jobs: CPU time of the process per fire."""

from __future__ import annotations

import asyncio
import gc
import math
import time

from benchmarks.measures._local import Order, make_contest, register, run_loop

RATE = 100


def measure(order: Order) -> dict[str, float]:
    return run_loop(_grow(order), order)


async def _grow(order: Order) -> dict[str, float]:
    jobs, window = order["params"]["jobs"], order["params"]["window"]
    fires = 0

    async def handler() -> None:
        nonlocal fires
        fires += 1

    contest = make_contest(order)
    begin = float(math.floor(time.time()))
    await register(contest, (handler for _ in range(jobs)), lambda number: begin + number / RATE, jobs / RATE)
    await contest.start()
    gc.collect()
    await asyncio.sleep(1.5)
    fires_before, cpu_before = fires, time.process_time()
    await asyncio.sleep(window)
    fired, cpu = fires - fires_before, time.process_time() - cpu_before
    if not fired:
        raise RuntimeError("nothing was started")
    return {"cpu_us": cpu / fired * 1e6, "delivered": 100.0 * fired / (RATE * window)}
