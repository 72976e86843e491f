"""Commands that can wait a moment: they go along with what is sent next, and each party gets its own replies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from asyncsched._tasks import cancel_until_ended
from asyncsched.stores._passengers import Passengers

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG, SHORT = 60.0, 0.001
"""Seconds to wait: longer than any test, and hardly at all."""


class Way:
    """Notes what is sent, and answers each command with its first word."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []
        self.failure: BaseException | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def send(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        self.sent.append(list(commands))
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return [command[0] for command in commands]


async def waiting(passengers: Passengers, *names: str, within: float = LONG) -> asyncio.Task[list[Any]]:
    """Let commands wait."""
    task = asyncio.ensure_future(passengers.ride([(name,) for name in names], within))
    await asyncio.sleep(0)
    assert passengers.are_waiting
    return task


async def test_they_go_before_what_is_sent_next_and_each_has_its_replies() -> None:
    way = Way()
    passengers = Passengers(way.send)
    one, two = await waiting(passengers, "a", "b"), await waiting(passengers, "c")
    assert await passengers.take_along([("d",), ("e",)]) == ["d", "e"]
    assert way.sent == [[("a",), ("b",), ("c",), ("d",), ("e",)]]
    assert [await one, await two] == [["a", "b"], ["c"]]
    assert not passengers.are_waiting
    assert await passengers.take_along([("f",)]) == ["f"]


async def test_they_go_alone_together_when_the_first_can_wait_no_longer() -> None:
    way = Way()
    passengers = Passengers(way.send)
    one, two = await waiting(passengers, "a", within=SHORT), await waiting(passengers, "b")
    assert [await one, await two] == [["a"], ["b"]]
    assert way.sent == [[("a",), ("b",)]]
    again = await waiting(passengers, "c", within=SHORT)
    assert await again == ["c"]


async def test_who_has_given_up_waiting_sends_nothing() -> None:
    way = Way()
    passengers = Passengers(way.send)
    one, two = await waiting(passengers, "a", within=SHORT), await waiting(passengers, "b")
    await cancel_until_ended(one)
    assert await passengers.take_along([("c",)]) == ["c"]
    assert [await two, way.sent] == [["b"], [[("b",), ("c",)]]]

    gone = await waiting(passengers, "d", within=SHORT)
    await cancel_until_ended(gone)
    while passengers.are_waiting:
        await asyncio.sleep(SHORT)
    assert len(way.sent) == 1


async def test_who_gives_up_on_the_way_disturbs_nobody() -> None:
    way = Way()
    passengers = Passengers(way.send)
    one, two = await waiting(passengers, "a"), await waiting(passengers, "b")
    way.may_answer.clear()
    sending = asyncio.ensure_future(passengers.take_along([("c",)]))
    await asyncio.sleep(0)
    await cancel_until_ended(one)
    way.may_answer.set()
    assert [await two, await sending] == [["b"], ["c"]]


@pytest.mark.parametrize("failure", [RedisConnectionError("gone"), asyncio.CancelledError(), OSError("no way")])
async def test_what_they_went_along_with_failed(failure: BaseException) -> None:
    way = Way()
    way.failure = failure
    passengers = Passengers(way.send)
    one = await waiting(passengers, "a")
    with pytest.raises(type(failure)):
        await passengers.take_along([("b",)])
    with pytest.raises(RedisConnectionError, match=f"went along with: {type(failure).__name__}"):
        await one


async def test_a_failure_on_the_way_alone_is_theirs() -> None:
    way = Way()
    way.failure = OSError("no way")
    one = await waiting(Passengers(way.send), "a", within=SHORT)
    with pytest.raises(RedisConnectionError, match="went along with: OSError"):
        await one


def test_those_of_a_loop_that_has_ended_are_forgotten() -> None:
    way = Way()
    passengers = Passengers(way.send)

    async def leave_some_behind() -> None:
        await waiting(passengers, "a")

    async def ride_again() -> list[Any]:
        again = await waiting(passengers, "b", within=SHORT)
        return await again

    asyncio.run(leave_some_behind())
    assert asyncio.run(ride_again()) == ["b"]
    assert way.sent == [[("b",)]]
