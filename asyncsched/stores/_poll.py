"""Owns how one of several servers, or some of them, are asked the same. Knows neither the question nor what an answer
means.

As many as must answer are asked at once; another one only when one of them fails or lets us wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncsched._tasks import cancel_until_ended
from asyncsched.stores._failures import FAILURES, UndecidedError, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from asyncsched.stores._server import Server

_Answer = TypeVar("_Answer")

PATIENCE = 0.2
"""Share of the time after which another server is asked as well."""


class Poll(Generic[_Answer]):
    """One question.

    Args:
        servers: who can be asked; those that let somebody wait before come last.
        ask: asks one.
    """

    def __init__(self, servers: Sequence[Server], ask: Callable[[Server], Coroutine[None, None, _Answer]]) -> None:
        self._ask = ask
        self._waiting = deque(sorted(servers, key=lambda server: server.is_slow))
        self._pending: dict[asyncio.Task[_Answer], Server] = {}
        self._answers: list[_Answer] = []
        self._failures: list[str] = []

    async def answers(self, *, enough: int, within: float) -> list[_Answer]:
        """Return ``enough`` answers, or as many as there are when all have answered, or so many seconds are over.

        Raises:
            UndecidedError: there is none.
        """
        try:
            async with asyncio.timeout(within):
                await self._collect(enough, within * PATIENCE)
        except TimeoutError:
            self._failures.append(f"no answer within {within:g} s")
        finally:
            await self._leave()
        if not self._answers:
            raise UndecidedError("; ".join(dict.fromkeys(self._failures)) or "there is nobody to ask")
        return self._answers

    async def _collect(self, enough: int, patience: float) -> None:
        for _ in range(min(enough, len(self._waiting))):
            self._ask_next()
        while self._pending and len(self._answers) < enough:
            limit = patience if self._waiting else None
            done, _ = await asyncio.wait(self._pending, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            failed = sum(not self._take(task) for task in done)
            for _ in range(failed if done else 1):
                self._ask_next()

    def _ask_next(self) -> None:
        if self._waiting:
            server = self._waiting.popleft()
            self._pending[asyncio.ensure_future(self._ask(server))] = server

    def _take(self, task: asyncio.Task[_Answer]) -> bool:
        """Take in what became of a question, and tell whether that is an answer."""
        server = self._pending.pop(task)
        error = task.exception()
        if error is None:
            server.is_slow = False
            self._answers.append(task.result())
        elif isinstance(error, FAILURES):
            self._failures.append(f"{server.where}: {reason(error)}")
        else:
            raise error
        return error is None

    async def _leave(self) -> None:
        """Wait no more for those that have not answered."""
        # redis-py loses a cancellation that comes just when it looks whether a connection is still good
        await cancel_until_ended(*self._pending, again_after=0.02)
        for task, server in self._pending.items():
            if task.cancelled():
                server.is_slow = True
            else:
                task.exception()  # looked at, so that asyncio does not complain of an error that nobody has seen
