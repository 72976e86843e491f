"""Jobs that fire every second, all on the second: CPU time of the process per fire."""

from __future__ import annotations

import asyncio
import math
import time

from benchmarks.measures._local import Order, make_contest, register, run_loop, sleep_until


def measure(order: Order) -> dict[str, float]:
    return run_loop(_sustain(order), order)


async def _sustain(order: Order) -> dict[str, float]:
    jobs, window = order["params"]["jobs"], order["params"]["window"]
    fires = 0

    async def handler() -> None:
        nonlocal fires
        fires += 1

    contest = make_contest(order)
    first = float(math.ceil(time.time()))
    await register(contest, (handler for _ in range(jobs)), lambda _: first, 1.0)
    await contest.start()
    await asyncio.sleep(0)
    begin = math.ceil(time.time() + 1.0) + 0.9  # the window's ends lie before a burst, not in one
    await sleep_until(begin)
    fires_before, cpu_before = fires, time.process_time()
    await sleep_until(begin + window)
    fired, cpu = fires - fires_before, time.process_time() - cpu_before
    if not fired:
        raise RuntimeError("nothing was started")
    return {"cpu_us": cpu / fired * 1e6, "delivered": 100.0 * fired / (jobs * window)}
