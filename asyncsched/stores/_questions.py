"""Owns what one server is asked in one round trip, and how its answers are read. Knows no other server.

Each question has the form of ``_link.Ask``: batches in, and for each of them the answers or a failure out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from asyncsched._clock import boottime
from asyncsched._grants import Verdict
from asyncsched.stores import _safety, _scripts, _wire
from asyncsched.stores._failures import UndecidedError
from asyncsched.stores._server import Command, Server

if TYPE_CHECKING:
    from asyncsched._grants import ClaimAnswer, ClaimRequest, Lease, Renewal
    from asyncsched.stores._keys import Keys
    from asyncsched.stores._link import Outcome

_Asked = TypeVar("_Asked")
_Read = TypeVar("_Read")

DEADLINE_SLACK = 0.05
"""Seconds by which a claim's deadline lies behind the instant at which its sender gives up: it absorbs the
error of the estimated server time, which is half a round trip."""

TIME: Command = ("TIME",)

Order = tuple[str | Server, Command]
"""One command, and its place: a key, or a server."""


class Questions:
    """What is asked of claims and leases.

    Args:
        keys: the keys.
        replica_ack: number of replicas that must have acknowledged a grant before it counts.
        ack_timeout: seconds for which a server waits for them.
    """

    def __init__(self, keys: Keys, *, replica_ack: int, ack_timeout: float) -> None:
        self._keys = keys
        self._replica_ack = replica_ack
        self.channel = ""
        """Where it is told what claims decide; empty: nowhere."""
        self.sender = _wire.NOBODY
        """By whom."""
        self._wait: list[Command] = []
        if replica_ack:
            self._wait.append(("WAIT", replica_ack, _wire.milliseconds(ack_timeout)))

    async def claim(
        self, give_up_at: float, server: Server, batches: Sequence[Sequence[ClaimRequest]], asking: bool
    ) -> Sequence[Outcome[ClaimAnswer]]:
        """Decide claims; their sender gives up at a local instant."""
        outcomes = await self._claim_once(give_up_at, server, batches, asking)
        # The server's clock has been set forward since the last sample; the answer has brought a new one.
        late = [index for index, outcome in enumerate(outcomes) if _is_late(outcome)]
        if late:
            again = await self._claim_once(give_up_at, server, [batches[index] for index in late], asking)
            for index, outcome in zip(late, again, strict=True):
                outcomes[index] = outcome
        return outcomes

    async def _claim_once(
        self, give_up_at: float, server: Server, batches: Sequence[Sequence[ClaimRequest]], asking: bool
    ) -> list[Outcome[ClaimAnswer]]:
        if not server.time.is_sampled:
            sent_at = boottime()
            (clock,) = await server.ask([TIME])
            _sample(server, _wire.server_time_us(clock), sent_at)
        deadline_us = _deadline_us(server, give_up_at)
        calls = [_wire.claim_call(self._keys, batch, deadline_us, self.channel, self.sender) for batch in batches]
        sent_at = boottime()
        replies, acks = await server.run(_scripts.CLAIM, calls, then=self._wait, asking=asking)
        read = _read(_wire.claim_answers, replies, batches)
        clocks = [now_us for now_us, _ in _without_failures(read)]
        if clocks:  # the middle of the round trip lies between the first call's reading of the clock and the last one's
            _sample(server, (clocks[0] + clocks[-1]) // 2, sent_at)
        lack = self._lack_of_acks(acks)
        return [each if isinstance(each, Exception) else _acknowledged(each[1], lack) for each in read]

    def _lack_of_acks(self, acks: list[Any]) -> UndecidedError | None:
        """Return why grants do not count, if too few replicas have them: a failover could forget them."""
        lowest = min(map(_wire.integer, acks), default=self._replica_ack)
        if lowest >= self._replica_ack:
            return None
        return UndecidedError(f"{lowest} of {self._replica_ack} replicas acknowledged the grants")

    async def renew(
        self, server: Server, batches: Sequence[Sequence[Lease]], asking: bool
    ) -> Sequence[Outcome[Renewal]]:
        """Extend leases."""
        calls = [_wire.renew_call(self._keys, batch) for batch in batches]
        replies, _ = await server.run(_scripts.RENEW, calls, asking=asking)
        return _read(_wire.renewals, replies, batches)

    async def release(
        self, within: float, server: Server, batches: Sequence[Sequence[Lease]], asking: bool
    ) -> Sequence[Outcome[bool]]:
        """Free locks; that can wait for so many seconds, to go along with another question."""
        calls = [_wire.release_call(self._keys, batch) for batch in batches]
        replies, _ = await server.run(_scripts.RELEASE, calls, asking=asking, within=within)
        return _read(_wire.releases, replies, batches)


async def pause(server: Server, batches: Sequence[Sequence[_wire.Call]], asking: bool) -> Sequence[Outcome[object]]:
    """Pause or resume jobs, in state and index together."""
    (calls,) = batches
    replies, _ = await server.run(_scripts.PAUSE, calls, asking=asking)
    return [replies]


async def command(server: Server, batches: Sequence[Sequence[Order]], asking: bool) -> Sequence[Outcome[object]]:
    """Carry out plain commands; of ``TIME``, the server's clock is kept."""
    orders = [order for batch in batches for order in batch]
    sent_at = boottime()
    replies = await server.send([words for _, words in orders], asking=asking)
    for (_, words), reply in zip(orders, replies, strict=True):
        if words == TIME and not isinstance(reply, Exception):
            _sample(server, _wire.server_time_us(reply), sent_at)
    rest = iter(replies)
    return [_whole([next(rest) for _ in batch]) for batch in batches]


async def safety(
    server: Server, batches: Sequence[Sequence[Server]], asking: bool
) -> Sequence[Outcome[tuple[str, ...]]]:
    """Look for what is unsafe about the server's set-up, once. It may refuse to tell."""
    (reply,) = await server.send([_safety.QUESTION], asking=asking)
    server.was_checked = True
    named = f"{server.where}: " if server.address[0] else ""
    return [[tuple(named + warning for warning in _safety.warnings(reply))] for _ in batches]


def _whole(replies: list[Any]) -> Outcome[object]:
    """Let a batch of one command fail as a whole: so a redirection is seen as one."""
    return replies[0] if len(replies) == 1 and isinstance(replies[0], Exception) else replies


def _deadline_us(server: Server, give_up_at: float) -> int:
    """Return when the sender gives up, by the server's clock.

    A claim that is delivered later takes no lease: nobody would renew or release it, and the job would
    stand still for its whole ``lock_ttl``.
    """
    deadline = server.time.at(give_up_at + DEADLINE_SLACK)
    assert deadline is not None
    return int(deadline * 1e6)


def _sample(server: Server, server_us: int, sent_at: float) -> None:
    server.time.sample(server_us, sent_at=sent_at, received_at=boottime())


def _read(
    parse: Callable[[object, Sequence[_Asked]], _Read], replies: Sequence[object], batches: Sequence[Sequence[_Asked]]
) -> list[_Read | Exception]:
    """Read each call's reply; one that no script gives is a failure of its call alone."""
    read: list[_Read | Exception] = []
    for reply, batch in zip(replies, batches, strict=True):
        if isinstance(reply, Exception):
            read.append(reply)
            continue
        try:
            read.append(parse(reply, batch))
        except _wire.UnexpectedReplyError as error:
            read.append(error)
    return read


def _without_failures(read: Sequence[_Read | Exception]) -> list[_Read]:
    return [each for each in read if not isinstance(each, Exception)]


def _is_late(outcome: Outcome[ClaimAnswer]) -> bool:
    """Return whether a call came after its deadline: then all of its claims did."""
    if isinstance(outcome, Exception):
        return False
    first = outcome[0]
    return not isinstance(first, Exception) and first.verdict is Verdict.LATE


def _acknowledged(answers: list[ClaimAnswer], lack: UndecidedError | None) -> Outcome[ClaimAnswer]:
    if lack is None:
        return answers
    return [lack if answer.verdict is Verdict.WON else answer for answer in answers]
