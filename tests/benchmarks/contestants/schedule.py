"""schedule: its loop of ``run_pending`` and a sleep, which its documentation shows, with a task for each start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from schedule import Scheduler

from benchmarks.contestants import Handler, UnsupportedError


class Contest:
    def __init__(self) -> None:
        self._scheduler = Scheduler()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, handler: Handler, first_at: float, interval: float) -> None:
        if interval == 1.0 and not first_at % 1:
            self._scheduler.every(1).seconds.do(self._starter(handler))
        elif interval == 3600.0:
            at = datetime.fromtimestamp(first_at)
            self._scheduler.every().day.at(at.strftime("%H:%M:%S")).do(self._starter(handler))
        elif interval > 86_400:
            self._scheduler.every(round(interval / 86_400)).days.do(self._starter(handler))
        else:
            raise UnsupportedError("its intervals begin when they are registered, so they have no phase")

    def _starter(self, handler: Handler) -> Callable[[], None]:
        def start() -> None:
            task = asyncio.ensure_future(handler())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return start

    async def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self._scheduler.run_pending()
            await asyncio.sleep(1)
