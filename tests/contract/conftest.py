"""Owns the contract suite's fixtures: each test runs against every backend."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from _contract import (
    Backend,
    ClusterBackend,
    FakeRedisBackend,
    MemoryBackend,
    RealRedisBackend,
    RedisBackend,
    SqliteBackend,
)

from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncsched.protocols import Store

REAL = pytest.param("redis", marks=pytest.mark.redis)
CLUSTER = pytest.param("cluster", marks=pytest.mark.redis)


def _backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    if request.param == "memory":
        return MemoryBackend()
    if request.param == "sqlite":
        return SqliteBackend(request.getfixturevalue("tmp_path"))
    if request.param == "fakeredis":
        return FakeRedisBackend(monkeypatch)
    if request.param == "cluster":
        cluster = request.getfixturevalue("redis_cluster")
        cluster.flush()
        return ClusterBackend(cluster)
    return RealRedisBackend(request.getfixturevalue("redis_url"))


@pytest.fixture(params=["memory", "sqlite", "fakeredis", REAL, CLUSTER])
async def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    """Where the stores of one cluster decide."""
    made = _backend(request, monkeypatch)
    yield made
    await made.close()


@pytest.fixture(params=["fakeredis", REAL])
async def redis_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisBackend]:
    """The same, only those that keep their data under the keys of the protocol."""
    made = _backend(request, monkeypatch)
    assert isinstance(made, RedisBackend)
    yield made
    await made.close()


@pytest.fixture
def store(backend: Backend) -> Store:
    """One node's store."""
    return backend.store()


@pytest.fixture
def other(backend: Backend, store: Store) -> Store:
    """Another node's store in the same cluster."""
    return backend.store()


@pytest.fixture
def now(backend: Backend) -> int:
    """A fire time that is due: the present, in microseconds since the epoch."""
    return backend.now_us()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., RedisStore]]:
    """Make stores whose clients are closed when the test ends, however it ends."""
    stores: list[RedisStore] = []

    def make(source: Any, **options: Any) -> RedisStore:
        stores.append(RedisStore(source, **options))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()
