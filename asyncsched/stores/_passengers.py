"""Owns commands that can wait a moment: they go along with whatever is sent to their server next. Knows no
connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncsched.stores._server import Command

    Party = tuple[Sequence[Command], asyncio.Future[list[Any]]]


class Passengers:
    """Commands that wait to be sent to one server.

    Args:
        send: sends commands in one round trip.
    """

    def __init__(self, send: Callable[[Sequence[Command]], Awaitable[list[Any]]]) -> None:
        self._send = send
        self._waiting: list[Party] = []
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    @property
    def are_waiting(self) -> bool:
        """Whether there are any."""
        return bool(self._waiting)

    async def ride(self, commands: Sequence[Command], within: float) -> list[Any]:
        """Wait until ``commands`` have gone along, or ``within`` seconds are over, and return their replies.

        Raises:
            ConnectionError: redis-py's: what they went along with was not answered, so nothing is known of them.
        """
        loop = asyncio.get_running_loop()
        if not any(replies.get_loop() is loop for _, replies in self._waiting):
            self._waiting = []  # those of another loop, which has ended
            self._timer = loop.call_later(within, self._leave)
        replies: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((commands, replies))
        return await replies

    async def take_along(self, commands: Sequence[Command]) -> list[Any]:
        """Send those that wait, and ``commands`` behind them; return the replies to these. Who has given up waiting
        sends nothing."""
        loop = asyncio.get_running_loop()
        parties = [party for party in self._waiting if not party[1].done() and party[1].get_loop() is loop]
        self._waiting = []
        if self._timer is not None:
            self._timer.cancel()
        if not parties and not commands:
            return []
        try:
            replies = await self._send([*(command for words, _ in parties for command in words), *commands])
        except BaseException as error:
            for _, future in parties:
                if not future.done():
                    future.set_exception(NoAnswerError(f"no answer to what it went along with: {type(error).__name__}"))
            raise
        at = 0
        for words, future in parties:
            if not future.done():
                future.set_result(replies[at : at + len(words)])
            at += len(words)
        return replies[at:]

    def _leave(self) -> None:
        self._leaving = asyncio.get_running_loop().create_task(self._go_alone())

    async def _go_alone(self) -> None:
        with suppress(Exception):  # each of them is told
            await self.take_along(())
