"""How the servers that decide are found: what Sentinels and members say, who is asked, and what is believed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import AskError, MovedError, ResponseError

from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _topology
from asyncsched.stores._failures import Redirect, UndecidedError, redirect_in, says_cluster, says_read_only
from asyncsched.stores._link import SingleLink
from asyncsched.stores._poll import Poll
from asyncsched.stores._sentinel import Sighting, sighting
from asyncsched.stores._server_time import ServerTime, most_behind
from asyncsched.stores._topology import SLOTS, Topology, ranges
from asyncsched.stores._wire import UnexpectedReplyError

DESCRIPTION = ["name", "main", "ip", "10.0.0.1", "port", "6379", "flags", "master", "config-epoch", "7"]


class FakeServer:
    """Answers as it is told: a value, a failure, or (``None``) never."""

    def __init__(self, address: Any, answers: list[Any]) -> None:
        self.where = self.address = address
        self.answers = answers
        self.is_slow = False
        self.asked = self.closed = 0
        self.asked_after_closing = False

    async def ask(self, _commands: Any) -> list[Any]:
        self.asked += 1
        self.asked_after_closing |= self.closed > 0
        answer = self.answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return [answer]

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


# What they say


@pytest.mark.parametrize("encode", [str, str.encode])
def test_a_sentinels_description_is_read(encode: Any) -> None:
    assert sighting(list(map(encode, DESCRIPTION))) == Sighting(7, ("10.0.0.1", 6379), is_down=False)


def test_a_primary_that_all_miss_is_down() -> None:
    for flags, is_down in (("s_down,o_down,master", True), ("s_down,master", False)):
        described = [flags if word == "master" else word for word in DESCRIPTION]
        assert sighting(described).is_down is is_down


@pytest.mark.parametrize(
    "reply", [None, "OK", DESCRIPTION[:-1], DESCRIPTION[:-2], DESCRIPTION[2:4], [*DESCRIPTION[:-1], "x"], [None, None]]
)
def test_another_description_is_none(reply: Any) -> None:
    with pytest.raises(UnexpectedReplyError):
        sighting(reply)


def test_slots_are_read() -> None:
    reply = [
        [0, 99, [b"10.0.0.1", 7000, b"id", []], [b"10.0.0.2", 7001, b"id"]],
        [100, SLOTS - 1, ["", 7002, "id"]],
        [5, 5, [None, 7003]],
        [6, 6, ["?", 7004]],
    ]

    assert ranges(reply, "h") == [
        (0, 99, ("10.0.0.1", 7000)),
        (100, SLOTS - 1, ("h", 7002)),
        (5, 5, ("h", 7003)),
        (6, 6, ("h", 7004)),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        "OK",
        ["OK"],
        [[0, 1]],
        [[0, 1, "h"]],
        [[0, 1, ["h"]]],
        [["0", 1, ["h", 1]]],
        [[0, 1, ["h", "1"]]],
        [[2, 1, ["h", 1]]],
        [[-1, 1, ["h", 1]]],
        [[0, SLOTS, ["h", 1]]],
    ],
)
def test_other_slots_are_none(reply: Any) -> None:
    with pytest.raises(UnexpectedReplyError):
        ranges(reply, "h")


@pytest.mark.parametrize(
    ("error", "redirect"),
    [
        (MovedError("7 h:1"), Redirect(7, "h", 1, is_ask=False)),
        (AskError("7 ::1:1"), Redirect(7, "::1", 1, is_ask=True)),
        (ResponseError("MOVED 7 h:1"), Redirect(7, "h", 1, is_ask=False)),  # as older clients have it
        (ResponseError("ASK 7 :1"), Redirect(7, "", 1, is_ask=True)),
        (ResponseError("TRYAGAIN Multiple keys"), None),
        (ValueError("MOVED 7 h:1"), None),
        ("MOVED 7 h:1", None),
    ],
)
def test_redirections_are_read(error: Any, redirect: Redirect | None) -> None:
    assert redirect_in(error) == redirect


def test_what_only_members_say() -> None:
    assert says_cluster(ResponseError("CROSSSLOT Keys in request don't hash to the same slot"))
    assert says_cluster(MovedError("7 h:1"))
    assert not says_cluster(ResponseError("ERR CROSS"))
    assert not says_cluster(OSError("CROSSSLOT"))


def test_what_only_replicas_say() -> None:
    assert says_read_only(ResponseError("ERR Error running script: -READONLY You can't write"))
    assert not says_read_only(b"READONLY")


def test_the_time_most_behind_of_those_known() -> None:
    clocks = [ServerTime() for _ in range(3)]
    assert most_behind(clocks, 5.0) is None
    clocks[0].sample(100_000_000, sent_at=0.0, received_at=0.0)
    clocks[2].sample(90_000_000, sent_at=0.0, received_at=0.0)

    assert most_behind(clocks, 5.0) == 95.0


def test_the_clock_of_the_one_before_is_an_estimate_and_no_sample() -> None:
    before = ServerTime()
    before.sample(100_000_000, sent_at=0.0, received_at=0.0)
    clock = ServerTime(before)
    assert (clock.at(5.0), clock.is_sampled) == (105.0, False)
    clock.sample(50_000_000, sent_at=0.0, received_at=0.0)

    assert (clock.at(5.0), clock.is_sampled, before.at(5.0)) == (55.0, True, 105.0)


# Who is asked


def poll(*answers: Any) -> tuple[Poll[Any], list[FakeServer]]:
    servers = [FakeServer(f"server{number}", [answer]) for number, answer in enumerate(answers)]

    async def ask(server: Any) -> Any:
        (answer,) = await server.ask([])
        return answer

    return Poll(servers, ask), servers  # type: ignore[arg-type]


async def test_no_more_are_asked_than_are_needed() -> None:
    polled, servers = poll("a", "b", "c")

    assert await polled.answers(enough=1, within=10.0) == ["a"]
    assert [server.asked for server in servers] == [1, 0, 0]


async def test_one_that_fails_is_stood_in_for_at_once() -> None:
    polled, servers = poll(OSError("refused"), OSError("refused"), "c", "d")

    assert await polled.answers(enough=1, within=1_000.0) == ["c"]
    assert [server.asked for server in servers] == [1, 1, 1, 0]


async def test_one_that_lets_us_wait_is_stood_in_for_and_asked_last_from_then_on() -> None:
    polled, servers = poll(None, "b", "c")

    assert await polled.answers(enough=2, within=0.5) == ["b", "c"]
    assert [server.is_slow for server in servers] == [True, False, False]
    assert list(Poll(servers, polled._ask)._waiting) == [servers[1], servers[2], servers[0]]  # type: ignore[arg-type]


async def test_fewer_than_enough_will_do_when_no_more_come() -> None:
    for last in (OSError("refused"), None):
        polled, _ = poll("a", last)
        assert await polled.answers(enough=2, within=0.1) == ["a"]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([OSError("refused"), OSError("reset")], "server0: OSError: refused; server1: OSError: reset"),
        ([None, OSError("refused")], r"server1: OSError: refused; no answer within 0\.1 s"),
        ([], "there is nobody to ask"),
    ],
)
async def test_no_answer_at_all(answers: list[Any], why: str) -> None:
    with pytest.raises(UndecidedError, match=f"^{why}$"):
        await poll(*answers)[0].answers(enough=1, within=0.1)


async def test_a_fault_of_our_own_is_raised_and_nobody_is_left_behind() -> None:
    polled, servers = poll(None, ZeroDivisionError("ours"), OSError("unseen"))

    with pytest.raises(ZeroDivisionError):
        await polled.answers(enough=3, within=10.0)
    assert servers[0].is_slow


# What is believed


class World:
    """A Cluster as its members describe it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.described: Any = [[0, SLOTS - 1, ["a", 1]]]
        self.made: list[FakeServer] = []
        monkeypatch.setattr(_topology, "boottime", lambda: self.now)
        self.topology = Topology(lambda: [("seed", 1)], self.make, lambda address: address)  # type: ignore[arg-type]

    def make(self, address: Any) -> Any:
        world = self

        class Member(FakeServer):
            async def ask(self, _commands: Any) -> list[Any]:
                self.answers = [world.described]
                return await super().ask(_commands)

        self.made.append(Member(address, []))
        return self.made[-1]

    async def look(self) -> list[Any]:
        await self.topology.look(0.2)
        return [server.address for server in self.topology.primaries]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_what_is_known_is_not_asked_for_until_it_is_doubted(world: World) -> None:
    assert await world.look() == [("a", 1)]
    world.described = [[0, SLOTS - 1, ["b", 1]]]
    world.now += 100
    assert await world.look() == [("a", 1)]
    world.topology.doubt()
    assert await world.look() == [("b", 1)]
    assert [server.address for server in world.made] == [("seed", 1), ("a", 1), ("b", 1)]
    await world.topology.close_former()

    assert [server.closed for server in world.made] == [1, 1, 0]


async def test_ways_that_become_former_while_others_are_closed_are_closed_too(world: World) -> None:
    """Two operations at once: each looks, and one cleans up while the other's members are being asked."""

    async def clean_up() -> None:
        for _ in range(5):
            await world.topology.close_former()
            await asyncio.sleep(0)

    looks = [world.topology._ranges(0.2) for _ in range(3)]  # none waits for the other's answer at the first contact
    await asyncio.gather(clean_up(), *looks, clean_up())
    await world.topology.close_former()

    assert [server.address for server in world.made] == [("seed", 1)] * 3
    assert all(server.closed == 1 and not server.asked_after_closing for server in world.made)


async def test_a_cluster_in_doubt_is_not_looked_at_all_the_time(world: World) -> None:
    await world.look()
    world.described = [[0, SLOTS - 1, ["b", 1]]]
    world.topology.doubt()
    assert await world.look() == [("a", 1)]
    world.now += _topology.LOOK_INTERVAL

    assert await world.look() == [("b", 1)]


async def test_where_nobody_answers_what_is_known_is_kept(world: World) -> None:
    await world.look()
    world.described = OSError("refused")
    world.topology.doubt()
    world.now += 1

    assert await world.look() == [("a", 1)]
    assert [server.address for server in world.made] == [("seed", 1), ("a", 1), ("seed", 1)]


async def test_where_nobody_ever_answered_nothing_is_known(world: World) -> None:
    world.described = []
    with pytest.raises(UndecidedError, match=r"no member of the Cluster answers: .*belongs to no Cluster yet"):
        await world.look()


async def test_a_redirection_to_a_stranger_is_believed(world: World) -> None:
    await world.look()
    moved = world.topology.redirected(Redirect(7, "new", 2, is_ask=False), world.topology.serving(7))

    assert moved.address == ("new", 2)
    assert world.topology.serving(7) is moved
    assert world.topology.serving(8) is not moved
    asked = world.topology.redirected(Redirect(8, "", 2, is_ask=True), moved)
    assert asked is moved
    assert world.topology.serving(8) is not moved


# Failures of the client


async def test_a_client_that_cancels_by_itself_is_an_unavailable_store() -> None:
    link = SingleLink("redis://h", operation_timeout=1.0)

    with pytest.raises(StoreUnavailableError, match="could not try: the client cancelled it"):
        async with link.deciding("try"):
            raise asyncio.CancelledError
