"""The connections of a client of our own: one round trip at a time on each, and none used again that is out of step."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from asyncsched.stores import _connections
from asyncsched.stores._connections import MOST, Connections


class Wire:
    """A connection that answers each command with its words, or with what the test has put into ``answers``."""

    made: list[Wire]

    def __init__(self, **_: Any) -> None:
        self.made.append(self)
        self.is_connected = False
        self.has_ended: bool | Exception = False
        self.sent: list[bytes] = []
        self.answers: list[Any] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def pack_command(self, *words: str) -> list[bytes]:
        return [" ".join(words).encode(), b"\n"]

    async def send_packed_command(self, packed: bytes) -> None:
        self.sent.append(packed)
        self.answers += packed.split()

    async def read_response(self) -> Any:
        await self.may_answer.wait()
        answer = self.answers.pop(0)
        if answer == b"FAIL":
            raise ResponseError("no")
        if answer == b"END":
            raise RedisConnectionError("ended")
        return answer

    async def can_read(self) -> bool:
        if isinstance(self.has_ended, Exception):
            raise self.has_ended
        return self.has_ended

    can_read_destructive = can_read

    async def disconnect(self, nowait: bool = False) -> None:
        self.is_connected = False


class Pool:
    """What makes connections."""

    connection_class = Wire

    def __init__(self) -> None:
        self.connection_kwargs: dict[str, Any] = {}
        self.ensured = 0

    async def ensure_connection(self, wire: Wire) -> None:
        self.ensured += 1
        wire.is_connected, wire.has_ended = True, False


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(Wire, "made", [], raising=False)
    return Pool()


@pytest.fixture
def connections(pool: Pool) -> Connections:
    return Connections(pool)  # type: ignore[arg-type]


async def test_a_round_trip_is_one_write_and_its_connection_is_used_again(pool: Pool, connections: Connections) -> None:
    assert await connections.send([("A",), ("B",)]) == [b"A", b"B"]
    assert await connections.send([("C",)]) == [b"C"]
    (wire,) = Wire.made
    assert wire.sent == [b"A\nB\n", b"C\n"]
    assert pool.ensured == 1


async def test_an_error_stands_among_the_replies(connections: Connections) -> None:
    first, error, last = await connections.send([("A",), ("FAIL",), ("B",)])
    assert (first, str(error), last) == (b"A", "no", b"B")
    assert isinstance(error, ResponseError)
    assert await connections.send([("C",)]) == [b"C"]
    assert len(Wire.made) == 1


async def test_one_that_fails_is_not_used_again(connections: Connections) -> None:
    with pytest.raises(RedisConnectionError):
        await connections.send([("END",), ("A",)])
    assert await connections.send([("B",)]) == [b"B"]
    assert [wire.is_connected for wire in Wire.made] == [False, True]


async def test_nor_one_whose_answer_nobody_waits_for(connections: Connections) -> None:
    await connections.send([("A",)])
    Wire.made[0].may_answer.clear()
    asking = asyncio.ensure_future(connections.send([("B",)]))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await connections.send([("C",)]) == [b"C"]
    assert [wire.is_connected for wire in Wire.made] == [False, True]


@pytest.mark.parametrize("end", [True, RedisConnectionError("closed"), OSError("closed")])
async def test_one_that_the_server_has_ended_is_connected_anew(
    pool: Pool, connections: Connections, end: bool | Exception
) -> None:
    await connections.send([("A",)])
    Wire.made[0].has_ended = end
    assert await connections.send([("B",)]) == [b"B"]
    assert pool.ensured == 2
    assert len(Wire.made) == 1


async def test_there_are_few(connections: Connections) -> None:
    replies = await asyncio.gather(*(connections.send([(f"A{number}",)]) for number in range(10 * MOST)))
    assert replies == [[b"A%d" % number] for number in range(10 * MOST)]
    assert len(Wire.made) <= MOST


async def test_those_that_are_idle_can_be_closed(pool: Pool, connections: Connections) -> None:
    await connections.send([("A",)])
    await connections.close_idle()
    assert not Wire.made[0].is_connected
    assert await connections.send([("B",)]) == [b"B"]
    assert Wire.made[1].is_connected


async def test_one_in_use_is_closed_after_its_answer(connections: Connections) -> None:
    await connections.send([("A",)])
    Wire.made[0].may_answer.clear()
    asking = asyncio.ensure_future(connections.send([("B",)]))
    await asyncio.sleep(0)
    await connections.close()
    assert Wire.made[0].is_connected
    Wire.made[0].may_answer.set()
    assert await asking == [b"B"]
    assert not Wire.made[0].is_connected


def test_the_client_says_whether_something_can_be_read() -> None:
    assert hasattr(_connections.AbstractConnection, _connections._CAN_READ)
