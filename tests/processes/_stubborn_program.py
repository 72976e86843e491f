"""Stops a scheduler whose handlers will not end: ``python _stubborn_program.py REDIS_URL HOW``.

HOW is ``wait`` (leave ``async with``, wait for the handlers, say when what happened) or ``signal`` (``run()`` until one
comes).
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import suppress

from asyncsched import Scheduler
from asyncsched.events import RunEnded, SchedulerStopped

STUBBORN_FOR = 8.0

logging.basicConfig(format="%(levelname)s %(message)s")
scheduler = Scheduler(sys.argv[1], shutdown_timeout=0.5)


@scheduler.job("deaf").immediate().without_overlapping()
async def deaf() -> None:
    until = time.monotonic() + STUBBORN_FOR
    while time.monotonic() < until:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(until - time.monotonic())


@scheduler.job("threaded").immediate().without_overlapping()
def threaded() -> None:
    time.sleep(STUBBORN_FOR)


async def main() -> None:
    ended: list[str] = []
    scheduler.subscribe(lambda event: ended.append(event.job), RunEnded)
    scheduler.subscribe(lambda event: print(f"unfinished {','.join(event.unfinished)}"), SchedulerStopped)
    async with scheduler:
        await asyncio.sleep(0.5)
        began_at = time.monotonic()
    print(f"stopped after {time.monotonic() - began_at:.2f}")
    while len(ended) < 2:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # for the release that follows the end
    print("both ended")


if sys.argv[2] == "wait":
    asyncio.run(main())
else:
    asyncio.run(scheduler.run())
