"""The limit: a heap, one sleep, and a task for each start. It supervises nothing and counts nothing."""

from __future__ import annotations

import asyncio
import time
from heapq import heapify, heapreplace
from itertools import count
from math import ceil

from benchmarks.contestants import Handler


class Contest:
    def __init__(self) -> None:
        self._heap: list[tuple[float, int, float, Handler]] = []
        self._order = count()

    def add(self, handler: Handler, first_at: float, interval: float) -> None:
        now = time.time()
        if first_at < now:
            first_at += ceil((now - first_at) / interval) * interval
        self._heap.append((first_at, next(self._order), interval, handler))

    async def start(self) -> None:
        heapify(self._heap)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        heap = self._heap
        create_task = asyncio.get_running_loop().create_task
        while True:
            now = time.time()
            while heap[0][0] <= now:
                at, order, interval, handler = heap[0]
                create_task(handler())
                heapreplace(heap, (at + interval, order, interval, handler))
            await asyncio.sleep(heap[0][0] - now)
