"""Service that the process tests run under uvicorn; ``REDIS_URL`` (or none) and ``RUN_LOG`` (a folder) set it up."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request

from asyncsched import RunContext, Scheduler

scheduler = Scheduler(os.environ.get("REDIS_URL") or None)
app = FastAPI(lifespan=scheduler.lifespan)


def write(**fields: Any) -> None:
    # One file for each process and one write for each line: a kill can cut off the last line, never mix two.
    with Path(os.environ["RUN_LOG"], f"{os.getpid()}.jsonl").open("a") as log:
        log.write(json.dumps(fields) + "\n")


async def work(ctx: RunContext, seconds: float) -> None:
    write(
        run=ctx.run_id,
        job=ctx.job,
        tick=ctx.fire_time.timestamp(),
        fence=ctx.fence,
        node=ctx.node,
        pid=os.getpid(),
        start=time.time(),
    )
    await asyncio.sleep(seconds)
    write(run=ctx.run_id, end=time.time())


@scheduler.job("each_second").per_seconds(1).on_one_server()
async def each_second(ctx: RunContext) -> None:
    await work(ctx, 0.05)


@scheduler.job("three_seconds").per_seconds(1).without_overlapping().lock_ttl(5)
async def three_seconds(ctx: RunContext) -> None:
    await work(ctx, 3.0)


@app.get("/")
async def about(request: Request) -> dict[str, Any]:
    snapshot = request.state.scheduler.snapshot()
    return {"pid": os.getpid(), "state": snapshot.state, "has_redis": "redis" in sys.modules}
