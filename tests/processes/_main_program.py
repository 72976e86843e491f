"""A program whose main thing is its scheduler: ``python _main_program.py REDIS_URL SECONDS``; what ends it is a signal.

A job of one run that lasts SECONDS, and one an hour away.
"""

from __future__ import annotations

import asyncio
import sys

from asyncsched import RunContext, Scheduler
from asyncsched.events import RunEnded, SchedulerStarted

scheduler = Scheduler(sys.argv[1])


async def work(_ctx: RunContext) -> None:
    print("begun")
    await asyncio.sleep(float(sys.argv[2]))


scheduler.add_job("work", work).immediate().without_overlapping()
scheduler.add_job("later", work).per_hours(24).on_one_server()
scheduler.subscribe(lambda event: print(f"started {event.node}"), SchedulerStarted)
scheduler.subscribe(lambda event: print(f"ended {event.job} {event.outcome}"), RunEnded)
asyncio.run(scheduler.run())
