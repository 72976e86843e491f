"""Owns tasks that go on beside the runs, and whose end a stop waits for. Knows nothing of what they do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from asyncsched._clock import wait_until_set

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncsched.protocols import Clock

T = TypeVar("T")


class SideTasks:
    """Keeps tasks until they end. They deal with their own errors."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, life: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Carry ``life`` out in a task of its own."""
        task = asyncio.get_running_loop().create_task(life)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def __contains__(self, task: asyncio.Task[object] | None) -> bool:
        return task in self._tasks

    async def drain(self, clock: Clock, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the tasks that are still at work, then cancel them and wait as long again.

        One that heeds no cancellation, as a thread does not, must not keep a stop from ending.
        """
        if self._tasks:
            ended = asyncio.Event()
            waiting = asyncio.ensure_future(asyncio.wait(self._tasks))
            waiting.add_done_callback(lambda _: ended.set())
            for _ in range(2):
                await wait_until_set(clock, ended, timeout)
                for task in tuple(self._tasks):
                    task.cancel()
            waiting.cancel()
