"""The proxy is a good way until it is told to be a bad one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from _proxy import Proxy


class Echo:
    """A server that answers each chunk with itself, and the way to it."""

    def __init__(self) -> None:
        self.heard = b""
        self.proxy = Proxy(0)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.proxy = Proxy(self._server.sockets[0].getsockname()[1])
        await self.proxy.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            self.heard += chunk
            writer.write(chunk)
        writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.proxy.port)

    async def close(self) -> None:
        await self.proxy.close()
        self._server.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    await server.start()
    async with asyncio.timeout(10):
        yield server
    await server.close()


async def answer(echo: Echo, size: int = 100) -> bytes:
    """Return what comes back on a new connection until it ends, or ``size`` bytes have."""
    reader, writer = await echo.connect()
    writer.write(b"hello!")
    heard = b""
    try:
        while len(heard) < size and (chunk := await reader.read(size)):
            heard += chunk
    except ConnectionError:
        pass
    finally:
        writer.close()
    return heard


async def test_a_good_way(echo: Echo) -> None:
    assert await answer(echo, 6) == b"hello!"


async def test_cut_and_lost_replies_were_carried_out(echo: Echo) -> None:
    echo.proxy.replies_to_cut = 1
    assert await answer(echo) == b"hel"
    echo.proxy.replies_to_lose = 1
    assert await answer(echo) == b""
    assert echo.heard == b"hello!" * 2
    assert await answer(echo, 6) == b"hello!"


async def test_refusing_and_dropping(echo: Echo) -> None:
    reader, writer = await echo.connect()
    writer.write(b"a")
    assert await reader.read(1) == b"a"
    echo.proxy.refusing = True
    await echo.proxy.drop()
    with suppress(ConnectionError):
        assert await reader.read(1) == b""
    assert await answer(echo) == b""
    writer.close()
    echo.proxy.heal()
    assert await answer(echo, 6) == b"hello!"


async def test_what_was_stalled_comes_late(echo: Echo) -> None:
    echo.proxy.stall()
    coming = asyncio.ensure_future(answer(echo, 6))
    await asyncio.sleep(0.05)
    assert (echo.heard, coming.done()) == (b"", False)
    echo.proxy.heal()
    assert await coming == b"hello!"


async def test_a_delay_counts_in_both_directions(echo: Echo) -> None:
    echo.proxy.delay = 0.05
    began_at = asyncio.get_running_loop().time()
    assert await answer(echo, 6) == b"hello!"
    assert asyncio.get_running_loop().time() - began_at >= 0.099


async def test_half_closed_the_server_still_hears(echo: Echo) -> None:
    reader, writer = await echo.connect()
    writer.write(b"a")
    assert await reader.read(1) == b"a"
    echo.proxy.half_close()
    assert await reader.read(1) == b""
    writer.write(b"b")
    while echo.heard != b"ab":
        await asyncio.sleep(0.005)
    writer.close()


async def test_without_a_server_connections_end(echo: Echo) -> None:
    echo._server.close()
    assert await answer(echo) == b""
