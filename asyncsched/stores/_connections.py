"""Owns the connections of a client of our own to one server: few, each for one round trip at a time.

redis-py's connections do all that is to be done on one: connecting, encryption, credentials, parsing. Its pool and its
pipeline are made for more than one round trip after the other, and would cost twice as much as that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import ConnectionPool

MOST = 4
"""A claim, a renewal, a release and a refresh may be under way together."""
_CAN_READ = "can_read" if hasattr(AbstractConnection, "can_read") else "can_read_destructive"


class Connections:
    """Connections to one server, on one event loop.

    Args:
        pool: knows how they are made, and makes sure that one can be used.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: list[Any] = []
        self._free = asyncio.Semaphore(MOST)
        self._is_closed = False

    async def send(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Send ``commands`` in one round trip; an error of the server stands among the replies as an exception."""
        async with self._free:
            connection = self._idle.pop() if self._idle else self._new()
            try:
                if not await _is_ready(connection):
                    await self._pool.ensure_connection(connection)
                packed = b"".join(part for command in commands for part in connection.pack_command(*command))
                await connection.send_packed_command(packed)
                replies = [await _reply(connection) for _ in commands]
            except BaseException:  # what is on its way must not be taken for the answer to something else
                await connection.disconnect(nowait=True)
                raise
            self._idle.append(connection)
        if self._is_closed:
            await self.close_idle()
        return replies

    def _new(self) -> Any:
        return self._pool.connection_class(**self._pool.connection_kwargs)

    async def close_idle(self) -> None:
        """Close those that are not in use. The next round trip makes a new one."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect()

    async def close(self) -> None:
        """Close all of them, those in use at the end of their round trip."""
        self._is_closed = True
        await self.close_idle()


async def _is_ready(connection: Any) -> bool:
    """Return whether a connection is open, and nothing is to be read from it, its end neither."""
    try:
        return connection.is_connected and not await getattr(connection, _CAN_READ)()
    except (RedisError, OSError):
        return False


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
