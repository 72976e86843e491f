"""Owns the demo's jobs, and the facts that its processes tell each other about them. Knows nothing of terminals."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from asyncsched import RunContext, Scheduler, events


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened, small enough for one line; without a job it is a remark of the node."""

    at: str
    """ISO 8601, UTC."""
    node: str
    job: str = ""
    tick: str = ""
    """ISO 8601, UTC."""
    outcome: str = ""
    note: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def fact_from_json(line: str) -> Fact | None:
    """Return the fact in ``line``, or ``None`` if it holds something else, such as a traceback."""
    try:
        return Fact(**json.loads(line))
    except (ValueError, TypeError):
        return None


async def heartbeat() -> None:
    await asyncio.sleep(0.01)


def shrink_images() -> None:
    time.sleep(0.4)  # a plain function blocks its worker thread and nothing else


async def cron_report() -> None:
    await asyncio.sleep(0.05)


async def daily_report(ctx: RunContext) -> None:
    ctx.logger.info("the day's figures")  # carries job, run_id and trace_id
    await asyncio.sleep(0.2)


async def warm_up() -> None:
    await asyncio.sleep(0.3)


async def flaky_sync(ctx: RunContext) -> None:
    await asyncio.sleep(0.05)
    if int(ctx.fire_time.timestamp()) // 3 % 3 == 0:
        raise ConnectionError("the other side hung up")


async def long_import() -> None:
    await asyncio.sleep(3.2)  # longer than its interval


async def spread_out() -> None:
    await asyncio.sleep(0.02)


async def refresh_cache() -> None:
    await asyncio.sleep(0.01)


def add_jobs(scheduler: Scheduler, daily_at: str) -> None:
    """Register the demo's jobs. Alone or in a cluster, the code is the same."""
    scheduler.add_job("heartbeat", heartbeat).per_seconds(1).on_one_server()
    scheduler.add_job("shrink_images", shrink_images).per_seconds(2).on_one_server()
    scheduler.add_job("cron_report", cron_report).cron("*/5 * * * * *").on_one_server()
    scheduler.add_job("daily_report", daily_report).daily_at(daily_at).on_one_server()
    scheduler.add_job("warm_up", warm_up).immediate().on_one_server()
    scheduler.add_job("flaky_sync", flaky_sync).per_seconds(3).on_one_server()
    scheduler.add_job("long_import", long_import).per_seconds(2).on_one_server().without_overlapping().lock_ttl(10)
    scheduler.add_job("spread_out", spread_out).per_seconds(4).random_delay(0.2, 1.5).on_one_server()
    scheduler.add_job("refresh_cache", refresh_cache).per_seconds(5)  # no guard: each node for itself


def make_scheduler(
    tell: Callable[[Fact], None], *, daily_at: str, node: str, store: str | None = None, prefix: str = ""
) -> Scheduler:
    """Return the demo's scheduler, which tells every end of a tick.

    Raises:
        ConfigurationError: ``store`` is no URL of a Redis.
    """
    logger = logging.Logger("demo")  # the demo shows facts: log lines, with their tracebacks, would tear its table
    logger.addHandler(logging.NullHandler())
    scheduler = Scheduler(store, node=node, prefix=prefix, logger=logger, shutdown_timeout=2)
    add_jobs(scheduler, daily_at)

    def ended(event: events.RunEnded) -> None:
        note = f"{event.duration:.2f} s" + "".join(f", {error}" for error in event.errors)
        tell(Fact(_iso(event.at), event.node, event.job, _iso(event.fire_time), event.outcome, note))

    def skipped(event: events.TickSkipped) -> None:
        tell(Fact(_iso(event.at), event.node, event.job, _iso(event.fire_time), "skipped", event.reason))

    def missed(event: events.TicksMissed) -> None:
        note = f"{event.count} since {_iso(event.first)}"
        tell(Fact(_iso(event.at), event.node, event.job, _iso(event.last), "missed", note))

    def store_lost(event: events.StoreLost) -> None:
        note = f"Redis does not answer: {event.error}; guarded jobs are skipped until it does"
        tell(Fact(_iso(event.at), event.node, note=note))

    def store_recovered(event: events.StoreRecovered) -> None:
        tell(Fact(_iso(event.at), event.node, note=f"Redis answers again after {event.outage_for:.1f} s"))

    scheduler.subscribe(ended, events.RunEnded)
    scheduler.subscribe(skipped, events.TickSkipped)
    scheduler.subscribe(missed, events.TicksMissed)
    scheduler.subscribe(store_lost, events.StoreLost)
    scheduler.subscribe(store_recovered, events.StoreRecovered)
    return scheduler


def remark(node: str, note: str) -> Fact:
    """Return a fact without a job."""
    return Fact(_iso(datetime.now(UTC)), node, note=note)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")
