"""A FastAPI service with jobs inside. Its own lifespan and the scheduler's are joined.

uvicorn examples.fastapi_app:app
JOBS_STORE=sqlite:///var/lib/app/jobs.db uvicorn examples.fastapi_app:app --workers 4
JOBS_STORE=redis://localhost:6379/0 uvicorn examples.fastapi_app:app --workers 4

Without ``JOBS_STORE`` each process is for itself; with a file, or a Redis, four workers still collect each figure once.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from asyncsched import RunContext, Scheduler, UnknownJobError

scheduler = Scheduler(os.environ.get("JOBS_STORE") or None)


class Figures:
    """What the app owns and its jobs need: stands for a database pool or an HTTP client."""

    def __init__(self) -> None:
        self._newest: deque[dict[str, Any]] | None = None

    async def open(self) -> None:
        self._newest = deque(maxlen=100)

    async def close(self) -> None:
        self._newest = None

    def add(self, figure: dict[str, Any]) -> None:
        assert self._newest is not None, "a job ran before the app had opened, or after it had closed, what it needs"
        self._newest.append(figure)

    def newest(self) -> list[dict[str, Any]]:
        return list(self._newest or ())


figures = Figures()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # The order matters: what jobs use opens before the scheduler starts, and closes after it has drained.
    await figures.open()
    try:
        async with scheduler.lifespan(app) as state:
            yield {**state, "figures": figures}
    finally:
        await figures.close()


app = FastAPI(lifespan=lifespan)  # with nothing of your own to open: FastAPI(lifespan=scheduler.lifespan)


@scheduler.job("collect").per_seconds(1).on_one_server()
async def collect(ctx: RunContext) -> None:
    figures.add({"tick": ctx.fire_time.isoformat(), "node": ctx.node, "fence": ctx.fence})
    ctx.logger.info("collected")


@scheduler.job("compact").per_minutes(15).without_overlapping()
async def compact() -> None:
    await asyncio.sleep(0.5)


@app.get("/figures")
async def show_figures(request: Request) -> list[dict[str, Any]]:
    """What this worker has collected."""
    newest: list[dict[str, Any]] = request.state.figures.newest()
    return newest


@app.get("/jobs")
async def show_jobs(request: Request) -> list[dict[str, Any]]:
    """The jobs as this worker sees them."""
    snapshot = request.state.scheduler.snapshot()
    return [
        {"name": job.name, "next": job.next_fire_time, "paused": job.paused, "counters": dict(job.counters)}
        for job in snapshot.jobs
    ]


@app.post("/jobs/{name}/run")
async def run_job(name: str, request: Request) -> dict[str, str]:
    """Run a job now; its guards hold for this run too."""
    try:
        run = await request.state.scheduler.trigger(name)
    except UnknownJobError as error:
        raise HTTPException(404, str(error)) from None
    return {"run_id": run.run_id, "outcome": await run.wait()}
