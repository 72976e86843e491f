"""The limit of punctuality: one ``loop.call_at`` for each job, whose callback makes a task."""

from __future__ import annotations

import asyncio
import time
from math import ceil

from benchmarks.contestants import Handler


class Contest:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: list[tuple[Handler, float, float]] = []

    def add(self, handler: Handler, first_at: float, interval: float) -> None:
        self._jobs.append((handler, first_at, interval))

    async def start(self) -> None:
        now, offset = time.time(), self._loop.time() - time.time()
        for handler, first_at, interval in self._jobs:
            ahead = ceil(max(0.0, now - first_at) / interval) * interval
            self._arm(first_at + ahead + offset, interval, handler)

    def _arm(self, at: float, interval: float, handler: Handler) -> None:
        create_task, call_at = self._loop.create_task, self._loop.call_at

        def fire() -> None:
            nonlocal at
            create_task(handler())
            at += interval
            call_at(at, fire)

        call_at(at, fire)
