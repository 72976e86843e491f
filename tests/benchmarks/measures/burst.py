"""Many jobs due at one instant: how fast they start, from that instant to the last start."""

from __future__ import annotations

import asyncio
import gc
import math
import time

from benchmarks.measures._local import Order, make_contest, register, run_loop, sleep_until

INTERVAL = 3600.0
LEAD = 0.7
"""Seconds between the last registration and the instant, at least."""
LONGEST = 90.0
"""Seconds for all jobs to start."""


def measure(order: Order) -> dict[str, float]:
    return run_loop(_burst(order), order)


async def _burst(order: Order) -> dict[str, float]:
    left = jobs = order["params"]["jobs"]
    all_started = asyncio.Event()
    last_start = cpu = 0.0

    async def handler() -> None:
        nonlocal left, last_start, cpu
        left -= 1
        if not left:
            last_start, cpu = time.time(), time.process_time() - cpu
            all_started.set()

    setup = 0.5 + jobs * order["options_of_measure"].get("setup_us", 30) / 1e6
    instant = float(math.ceil(time.time() + setup + LEAD))
    contest = make_contest(order)
    await register(contest, (handler for _ in range(jobs)), lambda _: instant, INTERVAL)
    await contest.start()
    gc.collect()
    if time.time() > instant - 0.1:
        raise RuntimeError(f"registering {jobs} jobs took longer than the {setup:g} s that were allowed")
    await sleep_until(instant - 0.05)
    cpu = time.process_time()
    await asyncio.wait_for(all_started.wait(), LONGEST)
    return {"starts_per_s": jobs / (last_start - instant), "cpu_us": cpu / jobs * 1e6}
