"""Owns the store on Redis or Valkey: what is asked when, and what is kept of the answers.

The decisions themselves are made in ``lua/``, each by one script call. ``_questions`` asks one server, a ``Link`` finds
the servers and bounds the time.

Commands used, all that a restricted user (ACL) needs, on keys matching ``<prefix>schedule:job*``:

    EVALSHA EVAL TIME SMEMBERS, and WAIT with ``replica_ack``;
    in the scripts GET MGET SET DEL PEXPIRE HMGET HGET HSET HDEL SADD SREM TIME;
    ZADD ZRANGEBYSCORE ZREMRANGEBYSCORE ZREM PEXPIRE SUBSCRIBE and in the scripts PUBLISH, so that nodes take turns;
    with ``rerun_on_crash`` also SADD PEXPIRE, and in the scripts HGETALL PTTL;
    for the board SET GET HSET HDEL HGETALL ZADD ZREM ZRANGEBYSCORE ZREMRANGEBYSCORE PEXPIRE LRANGE, and in the scripts
    LPUSH LRANGE LTRIM;
    on a Cluster CLUSTER SLOTS and ASKING; and on the Sentinels SENTINEL MASTER.

INFO is asked of each server once, and may be refused: then nobody warns of an unsafe eviction policy.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from redis.asyncio import RedisCluster

from asyncsched._clock import boottime
from asyncsched._durations import seconds
from asyncsched._grants import EVERY_JOB, ClaimAnswer, Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _handover, _questions, _urls, _wire
from asyncsched.stores._cluster import ClusterLink
from asyncsched.stores._hearing import Hearing
from asyncsched.stores._keys import Keys
from asyncsched.stores._link import Ask, Link, Place, SingleLink, check_all
from asyncsched.stores._nodes import Attendance, Roll
from asyncsched.stores._questions import Order, Questions
from asyncsched.stores._redis_board import RedisBoard
from asyncsched.stores._redis_posts import leniently
from asyncsched.stores._sentinel import SentinelLink
from asyncsched.stores._server_time import most_behind
from asyncsched.stores._settings import checked_prefix, checked_replica_ack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis.asyncio import Redis

    from asyncsched._grants import ClaimRequest, Lease
    from asyncsched.stores._server import Command, Server

REFRESH_INTERVAL = 1.0
"""Seconds: a pause reaches every node within 2 s, and a step of the server's clock is noticed within one."""


class RedisStore:
    """A store on one Redis or Valkey server, on the primary that Sentinels name, or on the primaries of a Cluster.

    Args:
        url_or_client: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://host,host/service/db`` or
            ``redis+cluster://host,host``, for which the store makes clients of its own on first use. Or a
            ``redis.asyncio.Redis``, also one of ``Sentinel.master_for``, which is used as it is and never closed. Or a
            ``redis.asyncio.RedisCluster``, of which the members' addresses, the credentials and the settings of
            encryption are taken for clients of the store's own.
        prefix: stands in front of every key; separates applications that share a server.
        replica_ack: number of replicas that must have acknowledged a grant before it counts.
        operation_timeout: longest time one operation may take, in seconds or as a ``timedelta``.

    Raises:
        ConfigurationError: a URL that cannot be read, or a setting out of its range.
    """

    def __init__(
        self,
        url_or_client: str | Redis | RedisCluster,
        *,
        prefix: str = "",
        replica_ack: int = 0,
        operation_timeout: float = 1.0,
    ) -> None:
        timeout = seconds(operation_timeout, what="operation_timeout", at_least=0.001)
        self._link = _link_to(url_or_client, timeout)
        self._keys = Keys(checked_prefix(prefix), in_braces=self._link.is_cluster)
        # A third of the time for replicas, as there may be two round trips: a server may have forgotten the script.
        self._questions = Questions(self._keys, replica_ack=checked_replica_ack(replica_ack), ack_timeout=timeout / 3)
        self._paused: frozenset[str] = frozenset()
        self._pauses = 0
        self._handovers = _handover.Handovers()
        self._roll = Roll(self._keys.nodes)
        self.board = RedisBoard(self._link, self._keys, self.time, replica_ack=replica_ack)
        """Where the cluster's state is kept for people."""

    def __repr__(self) -> str:
        return f"<RedisStore {self._link.where}>"

    @property
    def refresh_interval(self) -> float | None:
        """Seconds between two calls of ``refresh``."""
        return REFRESH_INTERVAL

    def time(self) -> float | None:
        """Return the servers' wall clock as estimated from their last answers; ``None`` before the first one.

        Of several primaries' clocks the one that is most behind counts: by it, none is asked too early.
        """
        return most_behind((server.time for server in self._link.servers), boottime())

    def is_paused(self, job: str) -> bool:
        """Return whether the job is paused, as of the last ``refresh`` or ``set_paused``."""
        return job in self._paused

    async def refresh(self) -> Sequence[str]:
        """Fetch the time of every server, the names of the paused jobs and, if somebody listens, the ticks that were
        handed over, in one round trip, in which the nodes' reports go along; of a server that is new, look for what is
        unsafe.

        Raises:
            StoreUnavailableError: a server did not answer. What the others said is kept.
        """
        pauses = self._pauses
        async with self._link.deciding("answer a refresh"):
            servers = await self._link.look()
            orders: list[Order] = [_members(self._keys.paused)]
            if self._handovers.are_wanted:
                orders.append(_members(self._keys.handed))
            times: list[Order] = [(server, _questions.TIME) for server in servers]
            answers = await self._settle_and_meet([*orders, *times])
            if pauses == self._pauses and not isinstance(answers[0], Exception):
                self._paused = _wire.names(answers[0])  # else it may be older than what set_paused has done meanwhile
            for found in answers[1 : len(orders)]:
                if not isinstance(found, Exception):
                    self._handovers.tell(_wire.names(found))
            check_all(answers)
            return (*await self._look_for_unsafe(servers), *self.board.news())

    async def _settle_and_meet(self, orders: Sequence[Order]) -> list[object | Exception]:
        """Carry out ``orders`` and, in the same round trip, look who is there and post what there is to say; the first
        time in a second one, as both take the server's time."""
        now = self.time()
        if now is not None:
            return await self._with_asides(orders, now)
        answers = await self._link.settle(orders, _place_of, leniently, patient=True)
        if (now := self.time()) is not None:
            await self._with_asides([], now)
        return answers

    async def _with_asides(self, orders: Sequence[Order], now: float) -> list[object | Exception]:
        meeting = self._roll.orders(now)
        with self.board.posting(now) as post:
            asked = [*orders, *meeting, *post.orders]
            answers = await self._link.settle(asked, _place_of, leniently, patient=True) if asked else []
            if meeting:
                self._roll.take(answers[len(orders) : len(orders) + len(meeting)])
            post.take(answers[len(orders) + len(meeting) :])
        return answers[: len(orders)]

    async def _look_for_unsafe(self, servers: Sequence[Server]) -> Sequence[str]:
        new = [server for server in servers if not server.was_checked]
        if not new:
            return ()
        warnings = await self._link.settle(new, lambda server: server, _questions.safety)
        check_all(warnings)
        return tuple(chain.from_iterable(each for each in warnings if not isinstance(each, Exception)))

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        """Call back, with job and tick, within a refresh after an interrupted run's lease was given back."""
        return self._handovers.listen(callback)

    def attend(self, name: Callable[[], str], heard: Callable[[Sequence[str], int], None]) -> Attendance | None:
        """Let a node be there, until it leaves; ``None`` on a Cluster, where every node asks for every tick: it would
        send each message from each of its members to each."""
        if self._link.is_cluster:
            return None
        attendance = Attendance(self._roll, name, Hearing(self._link, self._keys, heard), self._leave)
        self._roll.present.append(attendance)
        return attendance

    async def _leave(self, name: str) -> None:
        with suppress(StoreUnavailableError):
            async with self._link.deciding("take leave"):
                await self._link.settle(self._roll.farewell(name), _place_of, _questions.command)

    async def set_paused(self, job: str, paused: bool) -> None:
        """Pause or resume a job for every node, until further notice.

        Raises:
            StoreUnavailableError: it may or may not be done, on a Cluster perhaps by half; to repeat it is harmless.
        """
        async with self._link.deciding(f"{'pause' if paused else 'resume'} job {job!r}"):
            if job == EVERY_JOB or self._link.is_cluster:
                await self._pause_in_steps(job, paused)
            else:
                call: _wire.Call = ([self._keys.state(job), self._keys.paused], [job, "1" if paused else "0"])
                await self._all_of(call, lambda _: job, _questions.pause)
        self._pauses += 1
        self._paused = self._paused | {job} if paused else self._paused - {job}

    async def _pause_in_steps(self, job: str, paused: bool) -> None:
        """Do what ``pause.lua`` does where a job and the index are in different slots: the job, which claims look at,
        comes first. ``EVERY_JOB`` stands in the index only."""
        state, index = self._keys.state(job), self._keys.paused
        of_job: Command = ("HSET", state, "paused", "1") if paused else ("HDEL", state, "paused")
        of_index: Command = ("SADD" if paused else "SREM", index, job)
        if job != EVERY_JOB:
            await self._all_of((state, of_job), _place_of, _questions.command)
        await self._all_of((index, of_index), _place_of, _questions.command)

    async def _all_of(self, item: Any, place: Place[Any], ask: Ask[Any, object]) -> None:
        check_all(await self._link.settle([item], place, ask))

    async def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        """Decide all ``requests``, each atomically; the answers stand in the same order.

        ``UNDECIDED`` are those that one of several servers did not answer: nothing is known of them, although some may
        have been granted. Sent again unchanged, they get the answers they had.

        Raises:
            StoreUnavailableError: the same for all of them, and no server is known to answer.
        """
        if not requests:
            return []
        async with self._link.deciding(f"decide {len(requests)} claims"):
            self._questions.channel, self._questions.sender = self._roll.channel, self._roll.sender
            ask = partial(self._questions.claim, boottime() + self._link.operation_timeout)
            answers = await self._link.settle(requests, self._place, ask)
            self._link.check(answers)
        return [self._undecided(answer) if isinstance(answer, Exception) else answer for answer in answers]

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Renewal]:
        """Extend each lease by its ``lock_ttl`` if it is still its owner's. Never creates a missing key."""
        if not leases:
            return []
        async with self._link.deciding(f"renew {len(leases)} leases"):
            answers = await self._link.settle(leases, self._place, self._questions.renew)
            self._link.check(answers)
        return [Renewal.UNDECIDED if isinstance(answer, Exception) else answer for answer in answers]

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool | None]:
        """Free what is still the owner's; answer, for each lease, whether anything was; ``None``: nothing is known."""
        return await self.release_along(leases, 0.0)

    async def release_along(self, leases: Sequence[Lease], within: float) -> Sequence[bool | None]:
        """Do the same together with what is sent to the servers next, or after so many seconds, of the time that an
        operation may take at most a quarter."""
        if not leases:
            return []
        within = min(within, self._link.operation_timeout / 4)
        handed_over = _handover.interrupted(leases)
        self._handovers.begin(handed_over)
        async with self._link.deciding(f"release {len(leases)} leases"):
            answers = await self._link.settle(leases, self._place, partial(self._questions.release, within))
            self._link.check(answers)
        freed = [None if isinstance(answer, Exception) else answer for answer in answers]
        if handed_over:
            freed_of = dict(zip(leases, freed, strict=True))
            await self._hand_over({lease: freed_of[lease] for lease in handed_over})
        return freed

    async def _hand_over(self, freed: Mapping[Lease, bool | None]) -> None:
        """Tell the other nodes of ticks that they may take over at once. If that fails, they learn it when the lease
        would have ended."""
        answered = [lease for lease, was_held in freed.items() if was_held is not None]
        entries = self._handovers.entries(answered, {lease for lease, was_held in freed.items() if was_held})
        if entries:
            key = self._keys.handed
            orders: list[Order] = [(key, ("SADD", key, *entries)), (key, ("PEXPIRE", key, _handover.KEPT_MS))]
            with suppress(StoreUnavailableError):
                async with self._link.deciding("hand over interrupted ticks"):
                    check_all(await self._link.settle(orders, _place_of, _questions.command))
        self._handovers.told(answered)

    async def close(self) -> None:
        """Close the store's own clients. The store may be used again afterwards, also on another loop."""
        await self._link.close()

    def _place(self, item: ClaimRequest | Lease) -> str:
        return self._keys.state(item.job)

    def _undecided(self, failure: Exception) -> ClaimAnswer:
        return ClaimAnswer(Verdict.UNDECIDED, detail=f"{self._link.where} could not decide: {failure}")


def _members(index: str) -> Order:
    return index, ("SMEMBERS", index)


def _place_of(order: Order) -> str | Server:
    return order[0]


def _link_to(source: str | Redis | RedisCluster, operation_timeout: float) -> Link:
    if isinstance(source, RedisCluster):
        return ClusterLink(source, operation_timeout=operation_timeout)
    if isinstance(source, str) and source.startswith(_urls.CLUSTER):
        return ClusterLink(source, operation_timeout=operation_timeout)
    if isinstance(source, str) and source.startswith(_urls.SENTINEL):
        return SentinelLink(source, operation_timeout=operation_timeout)
    return SingleLink(source, operation_timeout=operation_timeout)
