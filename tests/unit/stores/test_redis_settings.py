"""What a Redis store is made from, and how it shows itself."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from asyncsched.exceptions import ConfigurationError
from asyncsched.stores import _wire
from asyncsched.stores.redis import RedisStore

SECRET = "s3cr3t"


def test_the_chunk_is_what_the_docs_say() -> None:
    assert (_wire.CHUNK, _wire.AHEAD_US) == (200, 10_000)


@pytest.mark.parametrize(
    "url", [f"redis://u:{SECRET}@host:6379/0", f"rediss://:{SECRET}@host", "unix:///run/redis.sock?db=1"]
)
def test_a_repr_shows_where_and_hides_who(url: str) -> None:
    shown = repr(RedisStore(url))

    assert shown.startswith("<RedisStore " + url.split(":", maxsplit=1)[0])
    assert SECRET not in shown


def test_a_clients_repr_shows_where_it_connects() -> None:
    tcp = redis.asyncio.Redis(host="h", port=7, db=3, password=SECRET)
    unix = redis.asyncio.Redis(unix_socket_path="/run/r.sock", password=SECRET)

    assert repr(RedisStore(tcp)) == "<RedisStore redis://h:7/3>"
    assert repr(RedisStore(unix)) == "<RedisStore unix:///run/r.sock>"
    assert repr(RedisStore(redis.asyncio.Redis(connection_pool=_bare_pool()))) == "<RedisStore Redis>"


def _bare_pool() -> Any:
    pool = redis.asyncio.ConnectionPool()
    pool.connection_kwargs = {}
    return pool


@pytest.mark.parametrize(
    "url",
    [
        f"redis://u:{SECRET}@host:port/0",
        f"redis://u:{SECRET}@host/zero",
        f"redis://u:{SECRET}@host/0?db=x",
        f"redis://u:{SECRET}@host/0?colour=blue",
        f"redis://u:{SECRET}@[::1",
        f"redis://u:{SECRET}/x@host/0",
        "unix://",
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisStore(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), True, "1"])
def test_a_bound_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="operation_timeout"):
        RedisStore("redis://host", operation_timeout=timeout)
