"""Owns the store on a Redis or Valkey server: what is asked, when, and what is kept of the answers.

The decisions themselves are made in ``lua/``, each by one script call; ``_wire`` turns values into arguments
and back, ``_link`` holds the connection and the time bound.

Commands used, all that a restricted user (ACL) needs, on keys matching ``<prefix>schedule:job*``:

    EVALSHA EVAL TIME SMEMBERS, and WAIT with ``replica_ack``;
    in the scripts GET SET DEL PEXPIRE HMGET HGET HSET HDEL SADD SREM TIME;
    with ``rerun_on_crash`` also SADD PEXPIRE, and in the scripts HGETALL PTTL.

INFO is asked once, and may be refused: then nobody warns of an unsafe eviction policy.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from asyncsched._clock import boottime
from asyncsched._durations import seconds
from asyncsched._grants import Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _handover, _safety, _scripts, _wire
from asyncsched.stores._keys import Keys
from asyncsched.stores._link import Command, Link, UndecidedError
from asyncsched.stores._server_time import ServerTime
from asyncsched.stores._settings import checked_prefix, checked_replica_ack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio

    from asyncsched._grants import ClaimAnswer, ClaimRequest, Lease, Renewal

_Answer = TypeVar("_Answer")

REFRESH_INTERVAL = 1.0
"""Seconds: a pause reaches every node within 2 s, and a step of the server's clock is noticed within one."""

DEADLINE_SLACK = 0.05
"""Seconds by which a claim's deadline lies behind the instant at which its sender gives up: it absorbs the
error of the estimated server time, which is half a round trip."""


class RedisStore:
    """A store on one Redis or Valkey server, or on the primary that a client leads to.

    Args:
        url_or_client: ``redis://``, ``rediss://`` or ``unix://``, for which the store makes a client of its
            own on first use; or a ``redis.asyncio.Redis``, which is used as it is and never closed.
        prefix: stands in front of every key; separates applications that share a server.
        replica_ack: number of replicas that must have acknowledged a grant before it counts.
        operation_timeout: longest time one operation may take, in seconds or as a ``timedelta``.

    Raises:
        ConfigurationError: a URL that cannot be read, or a setting out of its range.
    """

    def __init__(
        self,
        url_or_client: str | redis.asyncio.Redis,
        *,
        prefix: str = "",
        replica_ack: int = 0,
        operation_timeout: float = 1.0,
    ) -> None:
        timeout = seconds(operation_timeout, what="operation_timeout", at_least=0.001)
        self._link = Link(url_or_client, operation_timeout=timeout)
        self._keys = Keys(checked_prefix(prefix))
        self._replica_ack = checked_replica_ack(replica_ack)
        self._server_time = ServerTime()
        self._paused: frozenset[str] = frozenset()
        self._pauses = 0
        self._handovers = _handover.Handovers()
        self._was_checked = False

    def __repr__(self) -> str:
        return f"<RedisStore {self._link.where}>"

    @property
    def refresh_interval(self) -> float | None:
        """Seconds between two calls of ``refresh``."""
        return REFRESH_INTERVAL

    def time(self) -> float | None:
        """Return the server's wall clock as estimated from its last answer; ``None`` before the first one."""
        return self._server_time.at(boottime())

    def is_paused(self, job: str) -> bool:
        """Return whether the job is paused, as of the last ``refresh`` or ``set_paused``."""
        return job in self._paused

    async def refresh(self) -> Sequence[str]:
        """Fetch the server's time, the names of the paused jobs and, if somebody listens, the ticks that were handed
        over, in one round trip; the first time, look for what is unsafe."""
        pauses = self._pauses
        async with self._link.deciding("answer a refresh"):
            sent_at = boottime()
            commands: list[Command] = [("TIME",), ("SMEMBERS", self._keys.paused)]
            if self._handovers.are_wanted:
                commands.append(("SMEMBERS", self._keys.handed))
            clock, paused, *handed = await self._link.ask(commands)
            self._sample(_wire.server_time_us(clock), sent_at)
            names = _wire.names(paused)
            entries = [_wire.names(reply) for reply in handed]
            unsafe = await self._look_for_unsafe()
        if pauses == self._pauses:  # else the answer may be older than what set_paused has done meanwhile
            self._paused = names
        for found in entries:
            self._handovers.tell(found)
        return unsafe

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        """Call back, with job and tick, within a refresh after an interrupted run's lease was given back."""
        return self._handovers.listen(callback)

    async def set_paused(self, job: str, paused: bool) -> None:
        """Pause or resume a job for every node, until further notice."""
        call: _wire.Call = ([self._keys.state(job), self._keys.paused], [job, "1" if paused else "0"])
        async with self._link.deciding(f"{'pause' if paused else 'resume'} job {job!r}"):
            await self._link.run(_scripts.PAUSE, [call])
        self._pauses += 1
        self._paused = self._paused | {job} if paused else self._paused - {job}

    async def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        """Decide all ``requests``, each atomically; the answers stand in the same order.

        Raises:
            StoreUnavailableError: nothing is known of any of them, although some may have been granted. Sent
                again unchanged, they get the answers they had.
        """
        if not requests:
            return []
        async with self._link.deciding(f"decide {len(requests)} claims"):
            give_up_at = boottime() + self._link.operation_timeout
            answers = await self._claim(requests, give_up_at)
            # The server's clock has been set forward since the last sample; the answer has brought a new one.
            late = [index for index, answer in enumerate(answers) if answer.verdict is Verdict.LATE]
            if late:
                again = await self._claim([requests[index] for index in late], give_up_at)
                for index, answer in zip(late, again, strict=True):
                    answers[index] = answer
        return answers

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Renewal]:
        """Extend each lease by its ``lock_ttl`` if it is still its owner's. Never creates a missing key."""
        chunks = list(_wire.chunks(leases))
        if not chunks:
            return []
        async with self._link.deciding(f"renew {len(leases)} leases"):
            replies = await self._link.run(_scripts.RENEW, [_wire.renew_call(self._keys, chunk) for chunk in chunks])
            return _joined(_wire.renewals, replies, chunks)

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        """Free what is still the owner's; answer, for each lease, whether anything was."""
        chunks = list(_wire.chunks(leases))
        if not chunks:
            return []
        async with self._link.deciding(f"release {len(leases)} leases"):
            replies = await self._link.run(
                _scripts.RELEASE, [_wire.release_call(self._keys, chunk) for chunk in chunks]
            )
            freed = _joined(_wire.releases, replies, chunks)
        await self._hand_over(leases, freed)
        return freed

    async def close(self) -> None:
        """Close the store's own client. The store may be used again afterwards, also on another loop."""
        await self._link.close()

    async def _hand_over(self, leases: Sequence[Lease], freed: Sequence[bool]) -> None:
        """Tell the other nodes of ticks that they may take over at once. If that fails, they learn it when the lease
        would have ended."""
        entries = _handover.entries(lease for lease, was_held in zip(leases, freed, strict=True) if was_held)
        if entries:
            with suppress(StoreUnavailableError):
                async with self._link.deciding("hand over interrupted ticks"):
                    key = self._keys.handed
                    await self._link.ask([("SADD", key, *entries), ("PEXPIRE", key, _handover.KEPT_MS)])

    async def _look_for_unsafe(self) -> tuple[str, ...]:
        if self._was_checked:
            return ()
        (reply,) = await self._link.send([_safety.QUESTION])
        self._was_checked = True
        return _safety.warnings(reply)

    async def _claim(self, requests: Sequence[ClaimRequest], give_up_at: float) -> list[ClaimAnswer]:
        if self._server_time.at(give_up_at) is None:
            sent_at = boottime()
            (clock,) = await self._link.ask([("TIME",)])
            self._sample(_wire.server_time_us(clock), sent_at)
        chunks = list(_wire.chunks(requests))
        deadline_us = self._deadline_us(give_up_at)
        calls = [_wire.claim_call(self._keys, chunk, deadline_us) for chunk in chunks]
        sent_at = boottime()
        replies = await self._link.run(_scripts.CLAIM, calls, then=self._wait_for_replicas())
        decided = [_wire.claim_answers(reply, len(chunk)) for reply, chunk in zip(replies, chunks, strict=False)]
        # The middle of the round trip lies between the first chunk's reading of the clock and the last one's.
        self._sample((decided[0][0] + decided[-1][0]) // 2, sent_at)
        answers = [answer for _, chunk_answers in decided for answer in chunk_answers]
        self._check_acks(answers, replies[len(chunks) :])
        return answers

    def _deadline_us(self, give_up_at: float) -> int:
        """Return when the sender gives up, by the server's clock.

        A claim that is delivered later takes no lease: nobody would renew or release it, and the job would
        stand still for its whole ``lock_ttl``.
        """
        deadline = self._server_time.at(give_up_at + DEADLINE_SLACK)
        assert deadline is not None
        return int(deadline * 1e6)

    def _wait_for_replicas(self) -> list[tuple[str | int, ...]]:
        if not self._replica_ack:
            return []
        # A third, as there may be two round trips: the server may have forgotten the script.
        return [("WAIT", self._replica_ack, _wire.milliseconds(self._link.operation_timeout / 3))]

    def _check_acks(self, answers: list[ClaimAnswer], acks: list[Any]) -> None:
        """Treat grants as undecided that too few replicas have: a failover could forget them."""
        lowest = min(map(_wire.integer, acks), default=self._replica_ack)
        if lowest < self._replica_ack and any(answer.verdict is Verdict.WON for answer in answers):
            raise UndecidedError(f"{lowest} of {self._replica_ack} replicas acknowledged the grants")

    def _sample(self, server_us: int, sent_at: float) -> None:
        self._server_time.sample(server_us, sent_at=sent_at, received_at=boottime())


def _joined(parse: Callable[[object, int], list[_Answer]], replies: list[Any], chunks: list[Any]) -> list[_Answer]:
    return [answer for reply, chunk in zip(replies, chunks, strict=True) for answer in parse(reply, len(chunk))]
