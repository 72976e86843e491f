"""Jobs at staggered phases of a second: how late each start is, and whether any is early."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable

from benchmarks._ratios import percentile
from benchmarks.measures._local import Order, make_contest, register, run_loop, sleep_until

SECOND_NS = 1_000_000_000
EARLY_NS = 100_000_000
"""A start that is this close to the next tick was early for that one."""


def measure(order: Order) -> dict[str, float]:
    return run_loop(_watch(order), order)


def _handler(phase_ns: int, late_by: list[int]) -> Callable[[], Awaitable[None]]:
    time_ns, note = time.time_ns, late_by.append

    async def handler() -> None:
        note((time_ns() - phase_ns) % SECOND_NS)

    return handler


async def _watch(order: Order) -> dict[str, float]:
    jobs, window = order["params"]["jobs"], order["params"]["window"]
    late_by: list[int] = []
    contest = make_contest(order)
    first = math.ceil(time.time()) + 1
    handlers = (_handler(number * SECOND_NS // jobs, late_by) for number in range(jobs))
    await register(contest, handlers, lambda number: first + number / jobs, 1.0)
    await contest.start()
    await sleep_until(first + 1.5)
    late_by.clear()
    await sleep_until(first + 1.5 + window)
    if not late_by:
        raise RuntimeError("nothing was started")
    late = [each for each in late_by if each < SECOND_NS - EARLY_NS]
    shown = {"p50_us": percentile(late, 0.5), "p99_us": percentile(late, 0.99), "max_us": max(late)}
    return {
        **{key: value / 1000 for key, value in shown.items()},
        "early": len(late_by) - len(late),
        "delivered": 100.0 * len(late_by) / (jobs * window),
    }
