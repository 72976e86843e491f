"""Service that the tests of the dashboard open in a browser. ``STORE_URL`` (or none) and ``PORT`` set it up.

Under ``/svc/jobs`` is the dashboard of its own scheduler, under ``/sample`` that of a cluster made of records.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime

import uvicorn
from _sample_cluster import SampleConsole, sample_scheduler
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from asyncsched import RunContext, Scheduler, StoreUnavailableError
from asyncsched.dashboard import dashboard

scheduler = Scheduler(os.environ.get("STORE_URL") or None, node="web-1")
app = FastAPI(lifespan=scheduler.lifespan)
service = FastAPI()
sample = SampleConsole(datetime.now(UTC))


@scheduler.job("beat").per_seconds(1).on_one_server()
async def beat() -> None: ...


@scheduler.job("long/job#1%").daily_at("23:30").timezone("Europe/Berlin").without_overlapping()
async def long(ctx: RunContext) -> None:
    ctx.progress(done=1, total=3)
    await asyncio.sleep(600)


@app.get("/trouble")
async def trouble(on: bool) -> None:
    sample.trouble = StoreUnavailableError("redis://db:6379/0 did not answer within 1 s") if on else None


@app.get("/elsewhere")
async def elsewhere(to: str) -> HTMLResponse:
    """Another site, which would like to pause a job."""
    form = f'<form method="post" action="{to}"><input name="job" value="beat"><button>win a prize</button></form>'
    return HTMLResponse(form)


service.mount("/jobs", dashboard(scheduler, actions=lambda _: "dana@ops"))
app.mount("/svc", service)
app.mount("/sample", dashboard(sample_scheduler(sample), actions=lambda _: "dana@ops"))

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="info")
