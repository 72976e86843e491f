"""A FastAPI service that says how its scheduler does, for whoever restarts it or sends it requests.

uvicorn examples.healthz:app
curl -i localhost:8000/healthz        # 200 while a restart would not help
curl -i localhost:8000/readyz         # 200 while all jobs can do their work
"""

import os
from typing import Any

from fastapi import FastAPI, Request, Response

from asyncsched import Health, Scheduler

scheduler = Scheduler(os.environ.get("REDIS_URL") or None)


@scheduler.job("collect").per_seconds(1).on_one_server()
async def collect() -> None: ...


app = FastAPI(lifespan=scheduler.lifespan)


def told(health: Health) -> dict[str, Any]:
    return {
        "live": health.live,
        "ready": health.ready,
        "reasons": health.reasons,
        "state": health.state,
        "loop_lag": round(health.loop_lag, 3),
        "store_lost_at": health.store_lost_at,
    }


@app.get("/healthz")
async def healthz(request: Request, response: Response) -> dict[str, Any]:
    """Liveness: Kubernetes' ``livenessProbe``. A blocked event loop answers nothing, which is an answer too."""
    health: Health = request.state.scheduler.health()
    response.status_code = 200 if health.live else 503
    return told(health)


@app.get("/readyz")
async def readyz(request: Request, response: Response) -> dict[str, Any]:
    """Readiness, of the scheduler. A service whose requests need no store should not go away with it."""
    health: Health = request.state.scheduler.health()
    response.status_code = 200 if health.ready else 503
    return told(health)
