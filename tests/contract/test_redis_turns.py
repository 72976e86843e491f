"""Nodes that meet in a Redis: what is refused, foreign or cut off costs questions, and nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from _contract import tick, verdict
from _ears import Ear, ears

from asyncsched._grants import Verdict
from asyncsched.stores import _hearing
from asyncsched.stores._nodes import FORGOTTEN_AFTER, SILENT_AFTER
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from _contract import RedisBackend
    from _redis_server import RedisServer

NODES, CHANNEL = "schedule:jobs:nodes", "schedule:jobs:decided:0"


def now_us() -> int:
    return round(time.time() * 1e6)


# Who is there


async def test_a_silent_node_is_left_out_and_later_forgotten(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.clock.time()
    entries = {"lively": now - SILENT_AFTER + 1, "silent": now - SILENT_AFTER - 1, "gone": now - FORGOTTEN_AFTER - 1}
    await redis_backend.raw.zadd(NODES, entries)
    place = store.attend(lambda: "a", lambda *_: None)
    await store.refresh()
    assert list(place.nodes) == ["a", "lively"]
    await store.refresh()

    assert set(await redis_backend.raw.zrange(NODES, 0, -1)) == {b"a", b"lively", b"silent"}
    assert 0 < await redis_backend.raw.ttl(NODES) <= FORGOTTEN_AFTER
    await place.leave()
    assert b"a" not in await redis_backend.raw.zrange(NODES, 0, -1)


async def test_a_foreign_set_of_nodes_is_nobody(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    await redis_backend.raw.set(NODES, "x")
    place = store.attend(lambda: "a", lambda *_: None)
    await store.refresh()
    await store.refresh()

    assert list(place.nodes) == []
    await place.leave()


async def test_leaving_a_server_that_is_away_is_no_error(connect: Any) -> None:
    place = connect("redis://127.0.0.1:1/0", operation_timeout=0.2).attend(lambda: "a", lambda *_: None)
    await place.leave()


async def test_nobody_is_asked_who_is_there_unless_somebody_is(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    await store.refresh()
    assert await redis_backend.raw.exists(NODES) == 0


# Hearing


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"  ",
        b"-",
        b"- x",
        b"- 1",
        b"1 schedule:job:report",
        b"- schedule:job:report",
        b"- -1 schedule:job:report",
        b"- 1 other:job:report",
        b"- 1 schedule:job:",
        b"- 1e3 schedule:job:report",
        b"- 1 x schedule:job:report",
        b"- 11111111111111111 schedule:job:report",
        "- \u0661 schedule:job:report".encode(),
        b"\xff\xfe \xff",
    ],
)
async def test_foreign_messages_are_passed_over(redis_backend: RedisBackend, message: bytes) -> None:
    async with ears(a=redis_backend.store(), b=redis_backend.store()) as (ear, _):
        await redis_backend.raw.publish(CHANNEL, message)
        await redis_backend.raw.publish(CHANNEL, b"- 17 schedule:job:report")
        await ear.until(lambda: ear.heard)
        assert ear.heard == [("report", 17)]


@pytest.mark.redis
@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 3}, {"max_connections": 1}])
async def test_clients_of_every_kind_hear(redis_url: str, options: dict[str, Any]) -> None:
    import redis.asyncio

    clients = [redis.asyncio.Redis.from_url(redis_url, **options) for _ in range(2)]
    try:
        async with ears(a=RedisStore(clients[0]), b=RedisStore(clients[1])) as (one, two):
            at = now_us()
            await one.store.claim([tick(at)])
            await two.until(lambda: two.heard)
            assert two.heard == [("report", at)]
    finally:
        for client in clients:
            await client.connection_pool.disconnect()


@pytest.mark.redis
async def test_databases_and_prefixes_are_apart(connect: Any, redis_url: str) -> None:
    elsewhere = redis_url.removesuffix("0") + "1"
    here = {"a": connect(redis_url), "b": connect(redis_url)}
    there = {"a": connect(elsewhere), "b": connect(elsewhere)}
    shop = {"a": connect(redis_url, prefix="shop:"), "b": connect(redis_url, prefix="shop:")}
    async with ears(**here) as (_, ear), ears(**there) as (other, _), ears(**shop) as (third, _):
        at = now_us()
        await other.store.claim([tick(at - 1)])
        await third.store.claim([tick(at - 2)])
        await here["a"].claim([tick(at)])
        await ear.until(lambda: ear.heard)
        assert ear.heard == [("report", at)]


@pytest.mark.redis
async def test_nobody_hears_of_what_its_own_store_has_decided_unless_it_shares_that(
    connect: Any, redis_url: str
) -> None:
    shared = connect(redis_url)
    async with ears(a=connect(redis_url), b=connect(redis_url)) as (one, two):
        at = now_us()
        await one.store.claim([tick(at - 1), tick(at - 2, job="late"), tick(at - 1, job="second")])
        await two.store.claim([tick(at, "n2:r2")])
        await one.until(lambda: one.heard and len(two.heard) == 3)
        assert one.heard == [("report", at)]
        assert two.heard == [("report", at - 1), ("late", at - 2), ("second", at - 1)]
    async with ears(a=shared, b=shared) as (one, two):
        at = now_us()
        await shared.claim([tick(at, "n3:r3")])
        await two.until(lambda: one.heard and two.heard)
        assert one.heard == two.heard == [("report", at)]


@pytest.mark.redis
async def test_a_connection_that_is_cut_is_made_again(connect: Any, redis_server: RedisServer, redis_url: str) -> None:
    async with ears(a=connect(redis_url), b=connect(redis_url)) as (one, two):
        redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
        await two.until(lambda: two.begun >= 2 and two.place.hears)
        at = now_us()
        await one.until(lambda: one.place.hears)
        await one.store.claim([tick(at)])
        await two.until(lambda: two.heard)
        assert two.heard == [("report", at)]


@pytest.mark.redis
async def test_a_server_without_a_sign_of_life_is_left(
    connect: Any, make_redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hearing, "QUIET", 0.05)
    server = make_redis_server()
    async with ears(a=connect(server.url), b=connect(server.url)) as (one, two):
        await asyncio.sleep(0.3)
        assert one.begun == 1, "it answers when it is asked"
        server.freeze()
        try:
            async with asyncio.timeout(10):
                while two.place.hears:
                    await asyncio.sleep(0.01)
        finally:
            server.thaw()
        await two.until(lambda: two.place.hears)


@pytest.mark.redis
@pytest.mark.parametrize("words", ["-subscribe", "-publish", "resetchannels", "-zadd", "-zrangebyscore"])
async def test_what_is_refused_costs_questions_only(
    connect: Any, redis_server: RedisServer, redis_url: str, words: str
) -> None:
    redis_server.command("ACL", "SETUSER", "limited", "reset", "on", ">x", "~*", "&*", "+@all", words)
    try:
        url = f"redis://limited:x@127.0.0.1:{redis_server.port}/0"
        both = [Ear(connect(url), name) for name in "ab"]
        for ear in both * 3:
            await ear.store.refresh()
        at = now_us()
        assert await verdict(both[0].store, tick(at)) is Verdict.WON
        assert await verdict(both[1].store, tick(at, "n2:r1")) is Verdict.ELSEWHERE
        for ear in both:
            assert ear.heard == []
            await ear.place.leave()
            await ear.close()
    finally:
        redis_server.command("ACL", "DELUSER", "limited")


@pytest.mark.redis
async def test_a_failover_is_followed(connect: Any, make_sentinel_service: Any) -> None:
    service = make_sentinel_service(replicas=1)
    async with ears(a=connect(service.url), b=connect(service.url)) as (one, two):
        service.primary.stop()
        service.wait_failed_over()
        async with asyncio.timeout(20):
            while not (one.place.hears and two.place.hears and one.begun > 1 and two.begun > 1):
                await asyncio.gather(*(ear.store.refresh() for ear in (one, two)), return_exceptions=True)
                await asyncio.sleep(0.05)
        at = now_us()
        await one.store.claim([tick(at)])
        await two.until(lambda: two.heard)
        assert two.heard == [("report", at)]
