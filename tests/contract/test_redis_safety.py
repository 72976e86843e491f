"""A real server whose set-up is unsafe, or that does not tell, and a user with no more rights than it needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, RUN, SERVER, decide, rerun, survey, tick, verdict, won

from asyncsched import Scheduler
from asyncsched._grants import Renewal, Verdict
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from _redis_server import RedisServer

pytestmark = pytest.mark.redis

EVICTS = ("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
SAFE = [("--maxmemory", "50mb", "--maxmemory-policy", "noeviction"), ("--maxmemory-policy", "allkeys-lru"), ()]
USER = "scheduler"


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., RedisStore]]:
    stores: list[RedisStore] = []

    def make(url: str, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, **options))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


def let_in(server: RedisServer, *words: str) -> str:
    """Make the user anew, and return the URL with which it comes in."""
    server.command("ACL", "SETUSER", USER, "reset", "on", ">secret", "resetkeys", "~schedule:job*", *words)
    return f"redis://{USER}:secret@127.0.0.1:{server.port}/0"


@pytest.fixture
def leave(redis_server: RedisServer) -> Any:
    yield
    redis_server.command("ACL", "DELUSER", USER)


async def test_a_server_that_evicts_is_told_of_once(
    make_redis_server: Callable[..., RedisServer], connect: Callable[..., RedisStore]
) -> None:
    store = connect(make_redis_server(*EVICTS).url)
    (said,) = await store.refresh()

    assert said.startswith("maxmemory-policy is allkeys-lru:")
    assert await store.refresh() == ()


@pytest.mark.parametrize("options", SAFE, ids=["noeviction", "no limit", "as it comes"])
async def test_a_safe_server_is_not(
    make_redis_server: Callable[..., RedisServer], connect: Callable[..., RedisStore], options: tuple[str, ...]
) -> None:
    assert await connect(make_redis_server(*options).url).refresh() == ()


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 3}])
async def test_it_is_read_through_any_client(
    make_redis_server: Callable[..., RedisServer], options: dict[str, Any]
) -> None:
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(make_redis_server(*EVICTS).url, **options)
    async with client:
        assert len(await RedisStore(client).refresh()) == 1


async def test_a_scheduler_says_so_when_it_starts(
    make_redis_server: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="asyncsched")
    scheduler = Scheduler(make_redis_server(*EVICTS).url)
    async with scheduler, asyncio.timeout(10):
        while scheduler.snapshot().clock_skew is None or not caplog.records:
            await asyncio.sleep(0.01)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("the store is not safe: maxmemory-policy is allkeys-lru:")


@pytest.mark.usefixtures("leave")
async def test_a_user_that_may_not_ask_is_not_told_and_works(
    connect: Callable[..., RedisStore], redis_server: RedisServer, redis_url: str
) -> None:
    store = connect(let_in(redis_server, "+@all", "-info"))
    assert await store.refresh() == ()
    assert await store.refresh() == ()

    assert store.time() is not None
    now = round((store.time() or 0) * 1e6) - 1_000_000  # due, however exact that estimate is
    assert await verdict(store, tick(now)) is Verdict.WON


NEEDED = ["evalsha", "eval", "time", "smembers", "get", "mget", "set", "del", "pexpire", "hmget", "hget", "hset"]
NEEDED += ["hdel", "sadd", "srem"]
NEEDED_FOR_RERUNS = ["hgetall", "pttl"]


async def live_through_a_rerun(store: RedisStore) -> None:
    """Do all that a job with every policy ever asks for."""
    store.listen(lambda *_: None)
    await store.refresh()
    now = round((store.time() or 0) * 1e6) - 1_000_000  # due, however exact that estimate is
    held = await won(store, tick(now, no_overlap=True, max_attempts=2), SERVER, RUN, OVERLAP)
    assert list(await store.renew([held])) == [Renewal.HELD]
    assert (await decide(store, rerun(now, no_overlap=True))).verdict is Verdict.ELSEWHERE
    assert list(await store.release([held])) == [True]
    again = await won(store, rerun(now, no_overlap=True), RUN, OVERLAP)
    assert list(await store.release([replace(again, finished=True)])) == [True]
    assert (await decide(store, survey())).open_us == ()
    await store.refresh()


@pytest.mark.usefixtures("leave", "redis_url")
async def test_the_listed_commands_suffice_for_reruns(
    connect: Callable[..., RedisStore], redis_server: RedisServer
) -> None:
    url = let_in(redis_server, "-@all", *(f"+{name}" for name in NEEDED + NEEDED_FOR_RERUNS))
    await live_through_a_rerun(connect(url))
    assert redis_server.command("EXISTS", "schedule:jobs:handed") == ":1"


@pytest.mark.usefixtures("leave", "redis_url")
@pytest.mark.parametrize("missing", [*NEEDED_FOR_RERUNS, "hset", "pexpire"])
async def test_each_of_them_is_needed(
    connect: Callable[..., RedisStore], redis_server: RedisServer, missing: str
) -> None:
    from asyncsched import StoreUnavailableError

    words = [f"+{name}" for name in NEEDED + NEEDED_FOR_RERUNS if name != missing]
    with pytest.raises(StoreUnavailableError, match=r"(?i)permission|can't run|ACL"):
        await live_through_a_rerun(connect(let_in(redis_server, "-@all", *words)))
