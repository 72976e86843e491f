"""Jobs that are an hour away: CPU time and wake-ups of a process that has nothing to do."""

from __future__ import annotations

import asyncio
import math
import time

from benchmarks.measures._local import Order, make_contest, register, run_loop, voluntary_switches


def measure(order: Order) -> dict[str, float]:
    return run_loop(_idle(order), order)


async def _handler() -> None: ...


async def _idle(order: Order) -> dict[str, float]:
    jobs, window = order["params"]["jobs"], order["params"]["window"]
    contest = make_contest(order)
    in_an_hour = float(math.floor(time.time()) + 3599)
    await register(contest, (_handler for _ in range(jobs)), lambda _: in_an_hour, 3600.0)
    await contest.start()
    await asyncio.sleep(1.0)
    switches, cpu = voluntary_switches(), time.process_time()
    await asyncio.sleep(window)
    return {
        "cpu_percent": 100.0 * (time.process_time() - cpu) / window,
        "wakeups": (voluntary_switches() - switches) / window,
    }
