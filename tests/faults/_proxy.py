"""Owns a way from one node to Redis that can be made bad: slow, stalled, refused, half closed, with replies cut off.

It copies bytes and knows nothing of what they mean.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

CHUNK = 65536


class Proxy:
    """Listens on a loopback port of its own and leads to the server's.

    Attributes:
        delay: seconds by which each chunk is late, in both directions.
        refusing: whether connections are closed at once.
        replies_to_cut: so many replies are cut in half, and their connections closed.
        replies_to_lose: so many replies are not delivered at all, and their connections closed.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._server: asyncio.Server | None = None
        self._lives: set[asyncio.Task[None]] = set()
        self._to_clients: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = 0
        self.delay = 0.0
        self.refusing = False
        self.replies_to_cut = 0
        self.replies_to_lose = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.drop()

    def stall(self) -> None:
        """Hold back everything, in both directions, until ``heal``."""
        self._flowing.clear()

    async def drop(self) -> None:
        """End all connections."""
        lives = tuple(self._lives)
        for life in lives:
            life.cancel()
        if lives:
            await asyncio.wait(lives)

    def half_close(self) -> None:
        """Tell the node that nothing more comes, on all its connections, and go on taking what it sends."""
        for writer in self._to_clients:
            with suppress(OSError, RuntimeError):
                writer.write_eof()

    def heal(self) -> None:
        """Be a good way again. What was held back is delivered, late."""
        self.delay, self.refusing = 0.0, False
        self.replies_to_cut = self.replies_to_lose = 0
        self._flowing.set()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        life = asyncio.current_task()
        assert life is not None
        self._lives.add(life)
        self._to_clients.add(writer)
        try:
            if not self.refusing:
                await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # by `drop`: the connection ends, and with it this task
        finally:
            self._lives.discard(life)
            self._to_clients.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            return
        try:
            if to_server.get_extra_info("sockname") == to_server.get_extra_info("peername"):
                return  # a loopback port on which nobody listens can be connected with itself
            ways = [
                asyncio.ensure_future(self._carry(reader, to_server)),
                asyncio.ensure_future(self._carry_back(from_server, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        finally:
            to_server.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self._hold()
                writer.write(chunk)
                await writer.drain()

    async def _carry_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self._hold()
                if self.replies_to_lose > 0:
                    self.replies_to_lose -= 1
                    return
                cut = self.replies_to_cut > 0
                if cut:
                    self.replies_to_cut -= 1
                    chunk = chunk[: len(chunk) // 2]
                with suppress(RuntimeError):  # after `half_close` nothing can be written
                    writer.write(chunk)
                await writer.drain()
                if cut:
                    return

    async def _hold(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._flowing.wait()
