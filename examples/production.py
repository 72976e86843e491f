"""A FastAPI service as it runs in production: jobs once in the cluster, and all that an on-call engineer needs.

JOBS_STORE=redis://localhost:6379/0 JOBS_OPERATORS=secret:ada uvicorn examples.production:app --port 8001
JOBS_STORE=redis://localhost:6379/0 JOBS_OPERATORS=secret:ada uvicorn examples.production:app --port 8002
JOBS_STORE=redis://localhost:6379/0 JOBS_OPERATORS=secret:ada uvicorn examples.production:app --port 8003

Each replica has ``/jobs`` (the dashboard of the whole cluster; after ``/sign-in`` with its buttons), ``/metrics``,
``/healthz`` and ``/readyz``. From outside: ``asyncsched list --url redis://localhost:6379/0``.
"""

import asyncio
import hmac
import os
import random
from base64 import b64decode

from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse
from prometheus_client import CollectorRegistry, generate_latest
from starlette.requests import Request

from asyncsched import RunContext, Scheduler
from asyncsched.contrib.prometheus import instrument
from asyncsched.dashboard import dashboard

scheduler = Scheduler(os.environ.get("JOBS_STORE") or None, environment=os.environ.get("JOBS_ENVIRONMENT") or None)
registry = CollectorRegistry()
instrument(scheduler, registry)


@scheduler.job("collect").per_seconds(1).on_one_server()
async def collect(ctx: RunContext) -> None:
    """The tick that must happen once."""
    await asyncio.sleep(0.02)


@scheduler.job("report").per_seconds(20).on_one_server().without_overlapping().lock_ttl(10)
async def report(ctx: RunContext) -> None:
    """A long one, which says how far it is."""
    for page in range(1, 25):
        await asyncio.sleep(0.5)
        ctx.progress(page, 24, "pages")


@scheduler.job("import_prices").per_seconds(2).on_one_server()
async def import_prices() -> None:
    """Fails now and then, as such things do."""
    if random.random() < 0.3:
        raise ConnectionError("the exchange closed the connection")


@scheduler.job("refresh_cache").per_seconds(10)
async def refresh_cache() -> None:
    """On every replica."""


@scheduler.job("send_invoices").daily_at("02:30").timezone("Europe/Berlin").on_one_server().without_overlapping()
async def send_invoices() -> None:
    """Once a night; can be tried by hand."""
    await asyncio.sleep(0.1)


def operator(request: Request) -> str | None:
    """Return who asks, by HTTP basic authentication: ``JOBS_OPERATORS`` is ``password:name``. A real service asks its
    own sessions."""
    password, _, name = os.environ.get("JOBS_OPERATORS", "").partition(":")
    kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if not name or kind != "Basic":
        return None
    given = b64decode(credentials).decode().partition(":")[2]
    return name if hmac.compare_digest(given, password) else None


app = FastAPI(lifespan=scheduler.lifespan)
app.mount("/jobs", dashboard(scheduler, actions=operator))


@app.get("/sign-in")
def sign_in(request: Request) -> Response:
    """Has a browser ask for the password, which it then sends to the dashboard, too."""
    if operator(request) is None:
        return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="jobs"'})
    return RedirectResponse("/jobs/")


@app.get("/metrics")
def metrics() -> Response:
    """What Prometheus scrapes, from each replica."""
    return Response(generate_latest(registry), media_type="text/plain")


@app.get("/healthz")
def healthz(response: Response) -> dict[str, object]:
    """Liveness: 503 once a restart would help."""
    health = scheduler.health()
    response.status_code = 200 if health.live else 503
    return {"live": health.live, "reasons": health.reasons}


@app.get("/readyz")
def readyz(response: Response) -> dict[str, object]:
    """Readiness: 503 while the scheduler cannot do all its work."""
    health = scheduler.health()
    response.status_code = 200 if health.ready else 503
    return {"ready": health.ready, "reasons": health.reasons}
