"""Owns the way to one Redis server: its client, and running scripts there. Knows no keys, no grants and no other
server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from asyncsched.stores import _clients
from asyncsched.stores._connections import Connections
from asyncsched.stores._failures import FAILURES, ClientFaultError, says_read_only
from asyncsched.stores._passengers import Passengers
from asyncsched.stores._server_time import ServerTime
from asyncsched.stores._wire import UnexpectedReplyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio

    from asyncsched.stores._clients import ClientMaker
    from asyncsched.stores._scripts import Script
    from asyncsched.stores._urls import Address
    from asyncsched.stores._wire import Call

CLOSE_TIMEOUT = 1.0
"""Seconds in which a client of our own is closed, or left to itself."""

Command = tuple[str | int, ...]

ASKING: Command = ("ASKING",)


class Server:
    """One server, through a client of our own, made on first use, or through one that the service has and keeps.

    Args:
        where: its name in messages.
        client: what makes a client of our own, or the service's.
        address: its address, where that is known.
        before: the clock of the server whose place this one takes.
    """

    def __init__(
        self,
        where: str,
        client: ClientMaker | redis.asyncio.Redis,
        *,
        address: Address = ("", 0),
        before: ServerTime | None = None,
    ) -> None:
        self.where = where
        self.address = address
        self.time = ServerTime(before)
        self.was_checked = False
        """Whether what is unsafe about its set-up has been looked for."""
        self.is_failing = False
        """Whether nothing of what it was last asked was answered."""
        self.is_slow = False
        """Whether it has let somebody wait for the whole of a time limit, and has not answered since."""
        self._make = client if callable(client) else None
        self._client = None if callable(client) else client
        self._connections: Connections | None = None
        """Those of a client of our own."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._passengers = Passengers(self._send)

    async def send(self, commands: Sequence[Command], *, asking: bool = False, within: float = 0.0) -> list[Any]:
        """Send ``commands`` in one round trip, on one connection, outside of any transaction.

        An error of the server stands among the replies as an exception.

        Args:
            commands: what to send.
            asking: the server is to answer although the keys are still on their way to it.
            within: seconds for which they can wait, to go along with what is sent next; 0: they go now.
        """
        words = [each for command in commands for each in (ASKING, command)] if asking else commands
        if within:
            replies = await self._passengers.ride(words, within)
        elif self._passengers.are_waiting:
            replies = await self._passengers.take_along(words)
        else:
            replies = await self._send(words)
        return replies[1::2] if asking else replies

    async def _send(self, words: Sequence[Command]) -> list[Any]:
        client = self._connected()
        try:
            if self._connections is None:
                replies = await _send_through(client, words)
            else:
                replies = await self._connections.send(words)
        except FAILURES:
            raise
        except Exception as error:
            # A client that decodes may meet foreign bytes; a provider of credentials may raise anything. Its text may
            # be anything as well, so only its type is told.
            raise ClientFaultError(f"the client raised {type(error).__name__}") from error
        if any(map(says_read_only, replies)):
            # The primary of before. What leads to a primary by name, or by a Sentinel, is asked anew.
            if self._connections is None:
                await client.connection_pool.disconnect(inuse_connections=False)
            else:
                await self._connections.close_idle()
        if len(replies) != len(words):
            raise UnexpectedReplyError(f"{len(replies)} replies to {len(words)} commands")
        return replies

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send ``commands`` in one round trip.

        Raises:
            RedisError: the first error that the server answered.
        """
        return _without_errors(await self.send(commands))

    async def run(
        self,
        script: Script,
        calls: Sequence[Call],
        *,
        then: Sequence[Command] = (),
        asking: bool = False,
        within: float = 0.0,
    ) -> tuple[list[Any], list[Any]]:
        """Run ``script`` once for each of ``calls``, in order, and ``then`` behind them on the same connection.

        A server that does not remember the script has not run it: those calls alone are sent again, the first of
        them with its text.

        Args:
            script: what to run.
            calls: its keys and arguments.
            then: what follows.
            asking: the server is to answer although the keys are still on their way to it.
            within: seconds for which the calls can wait, to go along with what is sent next.

        Returns:
            The calls' replies, an error as an exception; and the replies of ``then``, once for each of the (at most
            two) round trips.

        Raises:
            RedisError: the server refused one of ``then``.
        """
        first = [*(_command("EVALSHA", script.sha, call) for call in calls), *then]
        sent = await self.send(first, asking=asking, within=within)
        replies, tail = sent[: len(calls)], _without_errors(sent[len(calls) :])
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = [_command("EVALSHA", script.sha, calls[index]) for index in unknown]
            again[0] = _command("EVAL", script.text, calls[unknown[0]])
            sent = await self.send([*again, *then], asking=asking)
            for index, reply in zip(unknown, sent, strict=False):
                replies[index] = reply
            tail += _without_errors(sent[len(unknown) :])
        return replies, tail

    def new_connection(self) -> Any:
        """Return a connection like those of the client, not opened, which is the caller's to close."""
        pool = self._connected().connection_pool
        return pool.connection_class(**_clients.without_notices(pool.connection_kwargs))

    async def close(self) -> None:
        """Close the client if it is our own. The next use makes a new one, on the loop that runs then."""
        connections, self._connections = self._connections, None
        if connections is not None:
            self._client = None
            with suppress(*FAILURES):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await connections.close()

    def _connected(self) -> redis.asyncio.Redis:
        if self._make is None:
            assert self._client is not None
            return self._client
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:  # connections are bound to the loop they were made on
            self._loop = loop
            self._client = self._make()
            self._connections = Connections(self._client.connection_pool)
        return self._client


async def _send_through(client: redis.asyncio.Redis, commands: Sequence[Command]) -> list[Any]:
    """Send through the service's client: its pool says how many connections there may be."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    replies: list[Any] = await pipeline.execute(raise_on_error=False)
    return replies


def _command(name: str, script: str, call: Call) -> Command:
    keys, argv = call
    return (name, script, len(keys), *keys, *argv)


def _without_errors(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
