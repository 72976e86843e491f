"""The smallest useful program: two jobs and no server at all. Ctrl-C ends it.

python examples/minimal.py
"""

import asyncio
import time

from asyncsched import RunContext, Scheduler

scheduler = Scheduler()  # Scheduler("redis://localhost:6379/0"), and ten of these share the work


@scheduler.job("heartbeat").per_seconds(1)
async def heartbeat(ctx: RunContext) -> None:
    # fire_time is the instant that was planned: it does not drift, however late the loop woke.
    print(f"heartbeat of {ctx.fire_time:%H:%M:%S}", flush=True)


def crunch() -> None:
    # A plain function runs in a worker thread, so its blocking holds up nobody else.
    time.sleep(0.3)
    print("crunched", flush=True)


scheduler.add_job("crunch", crunch).per_seconds(2).without_overlapping()

if __name__ == "__main__":
    asyncio.run(scheduler.run())
