"""Owns the backends that the contract suite runs against, and short ways to write its requests."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from asyncsched._grants import ClaimAnswer, ClaimKind, ClaimRequest, Lease, LockType, Verdict
from asyncsched.stores.memory import MemoryStore
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from _redis_cluster import RedisCluster

    from asyncsched.protocols import Store

SERVER, OVERLAP, START, TICK = LockType.SERVER, LockType.OVERLAP, LockType.START, LockType.TICK
OPEN, RUN = LockType.OPEN, LockType.RUN

LOCK_TTL = 60.0
"""Seconds: longer than any test."""

SHORT_TTL = 0.15
"""Seconds: short enough to wait for its end on a real server."""


class MemoryBackend:
    """One ``MemoryStore``: its nodes share the object."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.shared = MemoryStore(clock=self.clock)

    def store(self) -> Store:
        return self.shared

    def now_us(self) -> int:
        return round(self.clock.time() * 1e6)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    async def lose_everything(self) -> None:
        self.shared._jobs.clear()

    async def lose(self, job: str, lock_type: LockType, tick_us: int = 0) -> None:
        state = self.shared._jobs[job]
        if lock_type is TICK:
            state.record = None
        elif lock_type is OPEN:
            state.open.clear()
        else:
            del state.locks[tick_us if lock_type is RUN else lock_type]

    async def close(self) -> None:
        await self.shared.close()


class SqliteBackend:
    """Stores on one file, each with a connection of its own, by one fake clock of the host."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.path = folder / "jobs.db"
        self.stores: list[Any] = []

    def store(self, **options: Any) -> Any:
        from asyncsched.stores.sqlite import SqliteStore

        # The bound is generous: a busy machine must not decide what these tests find.
        options = {"operation_timeout": 10.0, "clock": self.clock} | options
        self.stores.append(SqliteStore(f"sqlite://{self.path}", **options))
        return self.stores[-1]

    def now_us(self) -> int:
        return round(self.clock.time() * 1e6)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Carry out SQL as somebody else might; return the rows of the last statement."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return [connection.execute(statement).fetchall() for statement in statements][-1]

    async def lose_everything(self) -> None:
        if self.path.exists():
            self.execute(*(f"DELETE FROM {table}" for table in ("jobs", "ticks", "locks", "open", "handed")))

    async def lose(self, job: str, lock_type: LockType, tick_us: int = 0) -> None:
        what = {
            TICK: f"ticks WHERE job = '{job}'",
            OPEN: f"open WHERE job = '{job}'",
            RUN: f"locks WHERE job = '{job}' AND lock = 'run:{tick_us}'",
        }.get(lock_type, f"locks WHERE job = '{job}' AND lock = '{lock_type}'")
        assert self.execute(f"DELETE FROM {what} RETURNING 1"), "there was nothing to lose"

    async def close(self) -> None:
        for store in self.stores:
            await store.close()


class RedisBackend:
    """Stores on one server, each with a client of its own."""

    def __init__(self, clock: Any = time) -> None:
        self.clock = clock
        self.clients: list[Any] = []
        self.raw = self.client()

    def client(self, **options: Any) -> Any:
        client = self.new_client(**options)
        self.clients.append(client)
        return client

    def new_client(self, **options: Any) -> Any:
        raise NotImplementedError

    def store(self, **options: Any) -> Any:
        from asyncsched.stores.redis import RedisStore

        return RedisStore(self.client(), **options)

    def now_us(self) -> int:
        return round(self.clock.time() * 1e6)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def lose_everything(self) -> None:
        await self.raw.flushall()

    async def lose(self, job: str, lock_type: LockType, tick_us: int = 0) -> None:
        ending = f":{tick_us}" if lock_type is RUN else ""
        assert await self.raw.delete(f"schedule:jobLock:{job}:{lock_type}{ending}") == 1

    async def close(self) -> None:
        for client in self.clients:
            await client.connection_pool.disconnect()


class FakeRedisBackend(RedisBackend):
    """``fakeredis`` on a fake clock: expiry and TIME follow it, and so do the stores' monotonic readings."""

    def __init__(self, monkeypatch: Any) -> None:
        import fakeredis

        clock = FakeClock()
        stopped = SimpleNamespace(time=clock.time)
        # Private names of fakeredis, kept in this one place.
        monkeypatch.setattr("fakeredis._socket._base.time", stopped)
        monkeypatch.setattr("fakeredis.commands_mixins.server_mixin.time", stopped)
        for module in ("redis", "_questions"):
            monkeypatch.setattr(f"asyncsched.stores.{module}.boottime", clock.monotonic)
        self.server = fakeredis.FakeServer()
        super().__init__(clock)

    def new_client(self, **options: Any) -> Any:
        import fakeredis

        return fakeredis.FakeAsyncRedis(server=self.server, **options)

    def store(self, **options: Any) -> Any:
        return super().store(**{"operation_timeout": 10.0, **options})  # it is slow: the scripts run in Python

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)


class RealRedisBackend(RedisBackend):
    """A real redis-server: the only judge of what the scripts do."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__()

    def new_client(self, **options: Any) -> Any:
        import redis.asyncio

        return redis.asyncio.Redis.from_url(self.url, **options)


class ClusterBackend:
    """Stores on a Redis Cluster of three primaries, each with clients of its own."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.cluster = cluster
        self.stores: list[Any] = []

    def store(self, **options: Any) -> Any:
        from asyncsched.stores.redis import RedisStore

        self.stores.append(RedisStore(self.cluster.url, **options))
        return self.stores[-1]

    def now_us(self) -> int:
        return round(time.time() * 1e6)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def lose_everything(self) -> None:
        self.cluster.flush()

    async def lose(self, job: str, lock_type: LockType, tick_us: int = 0) -> None:
        key = f"schedule:jobLock:{{{job}}}:{lock_type}" + (f":{tick_us}" if lock_type is RUN else "")
        assert self.cluster.owner_of(job).command("DEL", key) == ":1"

    async def close(self) -> None:
        for store in self.stores:
            await store.close()


Backend = MemoryBackend | SqliteBackend | RedisBackend | ClusterBackend


def tick(
    tick_us: int,
    owner: str = "n1:r1",
    job: str = "report",
    *,
    one_server: bool = True,
    no_overlap: bool = False,
    lock_ttl: float = LOCK_TTL,
    retain_for: float = 1_000.0,
    remembered_us: int = 0,
    max_attempts: int = 0,
) -> ClaimRequest:
    """A claim of a fire time."""
    return ClaimRequest(
        job, ClaimKind.TICK, owner, tick_us, one_server, no_overlap, lock_ttl, retain_for, remembered_us, max_attempts
    )


def rerun(
    tick_us: int,
    owner: str = "n2:r1",
    job: str = "report",
    *,
    no_overlap: bool = False,
    lock_ttl: float = LOCK_TTL,
    retain_for: float = 1_000.0,
    max_attempts: int = 3,
) -> ClaimRequest:
    """A claim of a tick that was granted before."""
    return ClaimRequest(
        job, ClaimKind.RERUN, owner, tick_us, True, no_overlap, lock_ttl, retain_for, max_attempts=max_attempts
    )


def survey(job: str = "report", *, max_attempts: int = 3) -> ClaimRequest:
    """A question what is known of a job."""
    return ClaimRequest(job, ClaimKind.SURVEY, "-", 0, True, False, LOCK_TTL, 1_000.0, max_attempts=max_attempts)


def start(
    owner: str = "n1:r1",
    job: str = "report",
    *,
    one_server: bool = True,
    no_overlap: bool = False,
    lock_ttl: float = LOCK_TTL,
) -> ClaimRequest:
    """A claim of the immediate run."""
    return ClaimRequest(job, ClaimKind.START, owner, 0, one_server, no_overlap, lock_ttl, 1_000.0)


def trigger(
    owner: str = "n1:r1", job: str = "report", *, one_server: bool = False, no_overlap: bool = True
) -> ClaimRequest:
    """A claim of a run that somebody asked for."""
    return ClaimRequest(job, ClaimKind.TRIGGER, owner, 0, one_server, no_overlap, LOCK_TTL, 1_000.0)


async def decide(store: Store, request: ClaimRequest) -> ClaimAnswer:
    """Claim one thing."""
    (answer,) = await store.claim([request])
    return answer


async def verdict(store: Store, request: ClaimRequest) -> Verdict:
    """Claim one thing, for its verdict only."""
    return (await decide(store, request)).verdict


def lease(request: ClaimRequest, fence: int, *locks: LockType, lock_ttl: float = LOCK_TTL) -> Lease:
    """What a grant of ``request`` holds."""
    return Lease(request.job, request.owner, fence, locks, lock_ttl, request.tick_us)


async def won(store: Store, request: ClaimRequest, *locks: LockType) -> Lease:
    """Claim one thing that must be granted, and return its lease."""
    answer = await decide(store, request)
    assert answer.verdict is Verdict.WON
    return lease(request, answer.fence, *locks, lock_ttl=request.lock_ttl)
