"""Service that the process tests run under uvicorn; ``STORE_URL`` (or none) and ``RUN_LOG`` (a folder) set it up."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from _run_log import RunLog
from fastapi import FastAPI, Request

from asyncsched import RunContext, Scheduler

scheduler = Scheduler(os.environ.get("STORE_URL") or None)
app = FastAPI(lifespan=scheduler.lifespan)


log = RunLog(Path(os.environ["RUN_LOG"]), str(os.getpid()))


async def work(ctx: RunContext, seconds: float) -> None:
    log.started(ctx)
    await asyncio.sleep(seconds)
    log.ended(ctx)


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
