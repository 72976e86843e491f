"""APScheduler 3.11: ``AsyncIOScheduler`` with its memory store; no tick is dropped for being late."""

from __future__ import annotations

from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from benchmarks.contestants import Handler


class Contest:
    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})

    def add(self, handler: Handler, first_at: float, interval: float) -> None:
        start = datetime.fromtimestamp(first_at, UTC)
        self._scheduler.add_job(handler, IntervalTrigger(seconds=interval, start_date=start, timezone=UTC))

    async def start(self) -> None:
        self._scheduler.start()
