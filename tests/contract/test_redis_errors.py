"""What servers answer when they cannot decide just now: nothing is decided, nothing is lost, and it is asked again."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from _contract import SERVER, decide, lease, tick, verdict

from asyncsched._grants import Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from _redis_server import RedisServer

LOAD_SLOWLY = (
    *("--enable-debug-command", "local", "--key-load-delay", "1000"),
    *("--loading-process-events-interval-bytes", "1024"),
)
REFUSALS = [
    "READONLY You can't write against a read only replica. script: f0, on @user_script:1.",
    "ERR Error running script (call to f_0): @user_script:1: -READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "NOREPLICAS Not enough good replicas to write.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "NOSCRIPT No matching script. Please use EVAL.",
    "UNKILLABLE something new",
]


class Refusing:
    """A server that answers every command of scripts with the same error, or is a member of a Cluster of its own."""

    def __init__(self) -> None:
        self.error = ""
        self.redirect = ""
        self.commands: list[bytes] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readline():
                words = [await self._word(reader) for _ in range(int(head[1:]))]
                self.commands.append(words[0].upper())
                writer.write(self._answer(words))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _word(self, reader: asyncio.StreamReader) -> bytes:
        size = int((await reader.readline())[1:])
        return (await reader.readexactly(size + 2))[:-2]

    def _answer(self, words: list[bytes]) -> bytes:
        match words[0].upper():
            case b"TIME":
                second, micro = str(time.time()).split(".")
                return f"*2\r\n${len(second)}\r\n{second}\r\n${len(micro)}\r\n{micro}\r\n".encode()
            case b"CLUSTER":
                return f"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:{self.port}\r\n".encode()
            case b"EVALSHA" | b"EVAL":
                return f"-{self.redirect or self.error}\r\n".encode()
            case _:
                return b"+OK\r\n"


@pytest.fixture
async def refusing() -> AsyncIterator[Refusing]:
    server = Refusing()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(params=["redis", "redis+cluster"])
async def refused(request: pytest.FixtureRequest, refusing: Refusing) -> AsyncIterator[RedisStore]:
    store = RedisStore(f"{request.param}://127.0.0.1:{refusing.port}", operation_timeout=5.0)
    yield store
    await store.close()


@pytest.mark.parametrize("error", REFUSALS)
async def test_a_refusal_decides_nothing(refusing: Refusing, refused: RedisStore, error: str) -> None:
    refusing.error = error
    for ask in (
        refused.claim([tick(1), tick(2)]),
        refused.renew([lease(tick(1), 1, SERVER)]),
        refused.release([lease(tick(1), 1, SERVER)]),
    ):
        with pytest.raises(StoreUnavailableError, match="could not") as caught:
            await ask
        assert error.partition(" ")[2][:20] in str(caught.value)


@pytest.mark.parametrize("code", ["MOVED", "ASK"])
async def test_members_that_send_us_round_in_circles_are_left(refusing: Refusing, code: str) -> None:
    store = RedisStore(f"redis+cluster://127.0.0.1:{refusing.port}", operation_timeout=5.0)
    refusing.redirect = f"{code} 3016 :{refusing.port}"  # without a host: its own
    answer = await decide(store, tick(1))
    await store.close()

    assert answer.verdict is Verdict.UNDECIDED
    assert "3016 " in answer.detail
    assert refusing.commands.count(b"EVALSHA") == 4
    assert refusing.commands.count(b"ASKING") == (3 if code == "ASK" else 0)


async def eventual_verdict(store: RedisStore, request: Any) -> Verdict:
    """Ask again and again, as the engine does."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await verdict(store, request)
            except StoreUnavailableError:
                await asyncio.sleep(0.05)


@pytest.mark.redis
async def test_a_server_that_is_busy_with_a_script(make_redis_server: Any) -> None:
    server: RedisServer = make_redis_server("--busy-reply-threshold", "1")
    store = RedisStore(server.url, operation_timeout=5.0)
    await store.refresh()
    with socket.create_connection(("127.0.0.1", server.port)) as other:
        other.sendall(b"EVAL 'while true do end' 0\r\n")
        async with asyncio.timeout(10):
            while not server.command("PING").startswith("-BUSY"):
                await asyncio.sleep(0.01)
        with pytest.raises(StoreUnavailableError, match="busy running a script"):
            await store.claim([tick(1)])
        assert server.command("SCRIPT", "KILL") == "+OK"
        assert await eventual_verdict(store, tick(1)) is Verdict.WON
    await store.close()


@pytest.mark.redis
async def test_a_server_that_is_loading(make_redis_server: Any) -> None:
    server: RedisServer = make_redis_server(*LOAD_SLOWLY)
    assert server.command("DEBUG", "POPULATE", "2000") == "+OK"
    store = RedisStore(server.url, operation_timeout=5.0)
    await store.refresh()
    with socket.create_connection(("127.0.0.1", server.port)) as other:
        other.sendall(b"DEBUG RELOAD\r\n")
        async with asyncio.timeout(10):
            loading = ""
            while "loading the dataset" not in loading:
                try:
                    await store.claim([tick(1)])
                except StoreUnavailableError as error:
                    loading = str(error)
        assert await eventual_verdict(store, tick(2)) is Verdict.WON
    await store.close()
