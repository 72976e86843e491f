"""Many jobs due at one instant: how fast they start, from that instant to the last start. Of several bursts, the
fastest counts: what else the machine does makes one slower, never faster."""

from __future__ import annotations

import asyncio
import gc
import math
import time

from benchmarks.measures._local import Order, make_contest, register, run_loop, sleep_until

INTERVAL = 3600
LEAD = 0.7
"""Seconds between the last registration and the instant, at least."""
LONGEST = 90.0
"""Seconds for all jobs to start."""


def measure(order: Order) -> dict[str, float]:
    return run_loop(_bursts(order), order)


async def _bursts(order: Order) -> dict[str, float]:
    params, jobs = order["params"], order["params"]["jobs"]
    interval: int = params.get("interval", INTERVAL)
    started = 0
    last_start = cpu_by_then = 0.0
    all_started = asyncio.Event()

    async def handler() -> None:
        nonlocal started, last_start, cpu_by_then
        started += 1
        if started == jobs:
            last_start, cpu_by_then = time.time(), time.process_time()
            all_started.set()

    setup = 0.5 + jobs * order["options_of_measure"].get("setup_us", 30) / 1e6
    first = math.ceil(time.time() + setup + LEAD)
    contest = make_contest(order)
    await register(contest, (handler for _ in range(jobs)), lambda _: float(first), float(interval))
    await contest.start()
    gc.collect()
    if time.time() > first - 0.1:
        raise RuntimeError(f"registering {jobs} jobs took longer than the {setup:g} s that were allowed")
    took: list[float] = []
    cpu: list[float] = []
    for instant in range(first, first + interval * params.get("bursts", 1), interval):
        await sleep_until(instant - 0.05)
        all_started.clear()
        started = 0  # there may have been instants before the first that counts
        cpu_before = time.process_time()
        await asyncio.wait_for(all_started.wait(), LONGEST)
        if last_start > instant + interval - 0.05:
            raise RuntimeError(f"a burst of {jobs} jobs took longer than the {interval} s to the next one")
        took.append(last_start - instant)
        cpu.append(cpu_by_then - cpu_before)
    return {"starts_per_s": jobs / min(took), "cpu_us": min(cpu) / jobs * 1e6}
