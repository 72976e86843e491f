"""Which store a value means, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import redis
import redis.asyncio

from asyncsched.exceptions import ConfigurationError
from asyncsched.stores import make_store
from asyncsched.stores.memory import MemoryStore
from asyncsched.stores.redis import RedisStore
from asyncsched.testing import FakeClock

SECRET = "s3cr3t"


def make(store: object, *, prefix: Any = "", replica_ack: Any = 0) -> Any:
    return make_store(store, prefix=prefix, replica_ack=replica_ack, clock=FakeClock())


def test_nothing_means_a_store_in_memory_on_the_given_clock() -> None:
    clock = FakeClock()
    store = make_store(None, prefix="any:", replica_ack=0, clock=clock)

    assert isinstance(store, MemoryStore)
    assert store.time() == clock.time()
    assert repr(store) == "<MemoryStore jobs=0 paused=0>"


def test_a_memory_store_without_a_clock_follows_the_systems() -> None:
    assert MemoryStore().time() == pytest.approx(MemoryStore().time(), abs=5)


def test_a_sqlite_url_means_a_store_in_that_file() -> None:
    store = make("sqlite:///nowhere/jobs.db", prefix="app:")  # it is opened when it is used

    assert repr(store) == "<SqliteStore sqlite:///nowhere/jobs.db>"


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:1/2",
        "rediss://h",
        "unix:///run/redis.sock",
        "redis+sentinel://h1,h2/main/0",
        "redis+cluster://h1:7000,h2:7001",
    ],
)
def test_a_url_means_a_redis_store(url: str) -> None:
    store = make(url, prefix="app:", replica_ack=1)

    assert isinstance(store, RedisStore)
    assert repr(store) == f"<RedisStore {url}>"


def test_a_client_means_a_redis_store_on_it() -> None:
    assert repr(make(redis.asyncio.Redis(host="h", port=1))) == "<RedisStore redis://h:1/0>"


async def test_a_clusters_client_means_a_redis_store_beside_it() -> None:
    client = redis.asyncio.RedisCluster(host="h", port=1, password=SECRET)

    assert repr(make(client, replica_ack=1)) == "<RedisStore redis+cluster://h:1>"


def test_a_sentinels_client_means_a_redis_store_on_it() -> None:
    sentinel = redis.asyncio.Sentinel([("h1", 1), ("h2", 2)], sentinel_kwargs={"password": SECRET}, password=SECRET)

    assert repr(make(sentinel.master_for("main"))) == "<RedisStore redis+sentinel://h1:1,h2:2/main>"
    with pytest.raises(ConfigurationError, match=r"use Sentinel\.master_for"):
        make(sentinel.slave_for("main"))


def test_a_store_is_itself() -> None:
    store = MemoryStore()

    assert make(store) is store


@pytest.mark.parametrize("settings", [{"prefix": "app:"}, {"replica_ack": 1}])
def test_a_store_has_its_own_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="give them to the store"):
        make(MemoryStore(), **settings)


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (f"http://u:{SECRET}@h", "not a supported URL"),
        ("localhost:6379", "'localhost:6379' is not a supported URL"),
        (f"u:{SECRET}@h", "not a supported URL"),
        ("", "not a supported URL"),
        (redis.Redis(password=SECRET), "use redis\\.asyncio\\.Redis\\."),
        (object.__new__(redis.RedisCluster), "use redis\\.asyncio\\.RedisCluster"),
        (7, "7 is none of these"),
        (True, "True is none of these"),
        (MemoryStore, "MemoryStore'> is none of these"),
        (object(), "a object is none of these"),
        ({"url": SECRET}, "a dict is none of these"),
    ],
)
def test_anything_else_is_refused_with_the_rule(store: object, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s)^store: .*{reason}.*redis\\.asyncio\\.Redis") as caught:
        make(store)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("replica_ack", [-1, True, 1.0, "1", None])
def test_replica_ack_is_a_number_of_replicas(replica_ack: Any) -> None:
    with pytest.raises(ConfigurationError, match="replica_ack"):
        make("redis://h", replica_ack=replica_ack)


@pytest.mark.parametrize("store", [None, "sqlite:///nowhere/jobs.db"])
def test_only_redis_has_replicas(store: object) -> None:
    with pytest.raises(ConfigurationError, match="replica_ack: 1 needs a Redis store"):
        make(store, replica_ack=1)


@pytest.mark.parametrize("prefix", ["", "app:", "a/b-c.d:", "ü", "x" * 200])
def test_a_prefix_is_printable(prefix: str) -> None:
    assert isinstance(make("redis://h", prefix=prefix), RedisStore)


@pytest.mark.parametrize("prefix", [" ", "a b", "a\n", "{a}", "a*", "a?", "[a]", "\x00", "\u00a0", "x" * 201, None, 7])
@pytest.mark.parametrize("store", [None, "redis://h", "sqlite:///nowhere/jobs.db"])
def test_a_prefix_that_could_harm_is_refused(store: object, prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^prefix: "):
        make(store, prefix=prefix)


def test_redis_is_imported_only_for_a_redis_store() -> None:
    program = (
        "import asyncio, sys\n"
        "from asyncsched.stores import make_store\n"
        "from asyncsched.testing import FakeClock\n"
        "store = make_store(None, prefix='', replica_ack=0, clock=FakeClock())\n"
        "make_store(store, prefix='', replica_ack=0, clock=FakeClock())\n"
        "try:\n    make_store(object(), prefix='', replica_ack=0, clock=FakeClock())\n"
        "except ValueError:\n    pass\n"
        "asyncio.run(store.claim([]))\n"
        "assert 'redis' not in sys.modules, 'imported too early'\n"
        "make_store('redis://h', prefix='', replica_ack=0, clock=FakeClock())\n"
        "assert 'redis' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
