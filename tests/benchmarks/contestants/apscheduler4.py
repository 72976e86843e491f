"""APScheduler 4 alpha: ``AsyncScheduler`` with its memory store. All jobs are one task, without its default of one
run of a task at a time."""

from __future__ import annotations

from datetime import UTC, datetime

from apscheduler import AsyncScheduler, TaskDefaults
from apscheduler.triggers.interval import IntervalTrigger

from benchmarks.contestants import Handler

DEFAULTS = TaskDefaults(max_running_jobs=None)

_handlers: list[Handler] = []


async def _call(index: int) -> None:
    """Stand for all jobs: a task is named after its function, which therefore must be a module's own."""
    await _handlers[index]()


class Contest:
    def __init__(self) -> None:
        self._scheduler: AsyncScheduler | None = None

    async def add(self, handler: Handler, first_at: float, interval: float) -> None:
        if self._scheduler is None:
            self._scheduler = await AsyncScheduler(task_defaults=DEFAULTS).__aenter__()
        start = datetime.fromtimestamp(first_at, UTC)
        whole, rest = divmod(interval, 1)
        trigger = IntervalTrigger(seconds=int(whole), microseconds=round(rest * 1e6), start_time=start)
        _handlers.append(handler)
        index = len(_handlers) - 1
        await self._scheduler.add_schedule(_call, trigger, id=f"job-{index}", args=[index])

    async def start(self) -> None:
        assert self._scheduler is not None
        await self._scheduler.start_in_background()
