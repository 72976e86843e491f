"""Owns one node of a measured cluster, a process: ``python -m benchmarks.node '{"contestant": …}'``.

It notes which job started when, for which tick if it knows that, and its own CPU time over the window that all nodes
share; at the end it writes that to files in the folder that its order names, and ends at once.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measures._local import sleep_until

if TYPE_CHECKING:
    from asyncsched import RunContext

POLL = 0.05
"""Seconds between two looks for the window."""
UNKNOWN = -1
"""Noted in place of a tick that the contestant does not tell its handlers."""


class Node:
    """What a contestant's ``serve`` is given.

    Attributes:
        url: of the Redis.
        index, nodes: which node of how many.
        role: ``"node"``, or the name of an extra process that the contestant needs.
        phases: for each job, the part of the second at which it is due.
        folder: what all nodes share.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self.url: str = order["url"]
        self.index: int = order["index"]
        self.nodes: int = order["nodes"]
        self.role: str = order["role"]
        jobs, groups = order["jobs"], order["groups"]
        self.phases = [number % groups / groups for number in range(jobs)]
        self.starts, self.jobs = array("q"), array("l")
        self.ticks: list[int | None] = []
        self._note = self._noting()
        self.folder = Path(order["folder"])

    def ready(self) -> None:
        """Say that all jobs are registered. A contestant calls this just before it begins to serve."""
        (self.folder / f"{self.index}.ready").touch()

    async def window(self) -> tuple[float, float]:
        """Return when the window begins and ends (wall seconds), once all nodes are ready."""
        file = self.folder / "window"
        while not file.exists():
            await asyncio.sleep(POLL)
        begin, end = map(float, file.read_text().split())
        return begin, end

    def _noting(self) -> Callable[[int, int | None], None]:
        """Return what notes the start of a job, and its tick."""
        note_start, note_job, note_tick, time_ns = self.starts.append, self.jobs.append, self.ticks.append, time.time_ns

        def note(job: int, tick: int | None) -> None:
            note_start(time_ns())
            note_job(job)
            note_tick(tick)

        return note

    def handler(self, job: int) -> Callable[[], Awaitable[None]]:
        """Return the handler of one job: it notes the start."""
        note = self._note  # what a handler refers to, each garbage collection looks at

        async def handler() -> None:
            note(job, None)

        handler.__name__ = handler.__qualname__ = f"job_{job}"
        return handler

    def handler_with_context(self, job: int) -> Callable[[RunContext], Awaitable[None]]:
        """Return the same for asyncsched, whose runs know their tick: one that starts more than a second late is then
        not taken for a later one's."""
        note = self._note

        async def handler(ctx: RunContext) -> None:
            note(job, ctx.fire_us)

        return handler


async def _live(order: dict[str, Any]) -> None:
    node = Node(order)
    contestant = importlib.import_module(f"benchmarks.contestants.{order['contestant']}")
    serving = asyncio.ensure_future(contestant.serve(node))
    serving.add_done_callback(_ended)
    begin, end = await node.window()
    gc.collect()
    await sleep_until(begin)
    cpu = time.process_time()
    await sleep_until(end)
    cpu = time.process_time() - cpu
    await sleep_until(end + order["patience"])
    folder = Path(order["folder"])
    name = f"{order['index']}-{order['role']}"
    (folder / f"{name}.starts").write_bytes(node.starts.tobytes())
    (folder / f"{name}.jobs").write_bytes(node.jobs.tobytes())
    (folder / f"{name}.ticks").write_bytes(array("q", map(_nanoseconds, node.ticks)).tobytes())
    (folder / f"{name}.json").write_text(json.dumps({"cpu": cpu}))


def _nanoseconds(tick: int | None) -> int:
    return UNKNOWN if tick is None else tick * 1_000


def _ended(serving: asyncio.Future[None]) -> None:
    if not serving.cancelled() and (error := serving.exception()) is not None:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)


def main() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(_live(json.loads(sys.argv[1])))
    os._exit(0)


if __name__ == "__main__":
    main()
