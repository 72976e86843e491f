"""asyncsched with no store: ``Scheduler()`` as it comes, or without its eager tasks."""

from __future__ import annotations

from datetime import UTC, datetime

from asyncsched import Scheduler, _execution
from benchmarks.contestants import Handler


class Contest:
    def __init__(self, *, eager: bool = True) -> None:
        if not eager:
            _execution.EAGER = False
        self._scheduler = Scheduler(shutdown_timeout=0)
        self._number = 0

    def add(self, handler: Handler, first_at: float, interval: float) -> None:
        self._number += 1
        job = self._scheduler.add_job(f"job-{self._number}", handler)
        if first_at % interval:
            job.every(interval, anchor=datetime.fromtimestamp(first_at, UTC))
        else:
            job.per_seconds(interval)

    async def start(self) -> None:
        await self._scheduler.__aenter__()
