"""Owns what the measurements in one process share: the loop, the contest and its registration, CPU and memory."""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from benchmarks.contestants import Handler, LocalContest

Order = dict[str, Any]


def run_loop(main: Coroutine[Any, Any, Any], order: Order) -> Any:
    """Run ``main`` on asyncio's loop, on uvloop's, or with eager tasks. Nothing is cancelled afterwards: the process is
    about to end, and how a contestant stops is not measured."""
    if order.get("loop") == "uvloop":
        import uvloop

        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    if order.get("loop") == "eager":
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(main)


def make_contest(order: Order) -> LocalContest:
    """Return the contestant; on the running loop."""
    module = importlib.import_module(f"benchmarks.contestants.{order['contestant']}")
    contest: LocalContest = module.Contest(**order.get("options", {}))
    return contest


async def register(
    contest: LocalContest, handlers: Iterable[Handler], grid: Callable[[int], float], every: float
) -> None:
    """Add a job for each handler; ``grid`` gives the first fire time of the one with that number."""
    for number, handler in enumerate(handlers):
        added = contest.add(handler, grid(number), every)
        if added is not None:
            await added


async def sleep_until(wall: float) -> None:
    """Sleep until the wall clock shows ``wall``."""
    while (left := wall - time.time()) > 0:
        await asyncio.sleep(left)


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def voluntary_switches() -> int:
    """Return how often this process has gone to sleep so far."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))
