"""The user that the page describes may do all that is needed, and nothing else; and what a missing right looks like."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from _access import COMMANDS, OPTIONAL, PATTERN, PREFIX, RUN, USER, now_us, refused, tour, user
from _contract import OVERLAP, SERVER, lease, tick, won
from redis.exceptions import NoPermissionError, ResponseError

import asyncsched
from asyncsched import Scheduler
from asyncsched._grants import Renewal
from asyncsched.events import StoreLost
from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from _redis_server import RedisServer

STORES = Path(asyncsched.__file__).parent / "stores"
pytestmark = pytest.mark.redis


async def test_the_documented_user_may_do_all_that_a_store_asks(
    connect: Any, redis_server: RedisServer, redis_url: str
) -> None:
    with user(redis_server) as url:
        assert await tour(connect, url) == []
        assert await refused(redis_server) == set()


@pytest.mark.parametrize("command", COMMANDS)
async def test_without_any_one_command_something_is_refused(
    connect: Any, redis_server: RedisServer, redis_url: str, command: str
) -> None:
    with user(redis_server, without=command) as url:
        failed = await tour(connect, url)
        assert command in await refused(redis_server), f"no step of the tour uses {command}: add one, or drop it"
        assert failed, f"{command} was refused, and nothing told so"


def test_the_list_is_that_of_the_code() -> None:
    scripts = "\n".join(path.read_text() for path in (STORES / "lua").glob("*.lua"))
    in_scripts = set(re.findall(r"\b(?:p?call|try)\('([A-Z]+)'", scripts))
    modules = "\n".join(text for path in STORES.glob("*.py") if "sqlite3" not in (text := path.read_text()))
    outside = set(re.findall(r'\("([A-Z]{3,})"[,)]', modules)) | {"EVALSHA", "EVAL"}

    of_several_servers = {"ASKING", "CLUSTER", "SENTINEL"}  # the page has them beside the line
    assert {command.upper() for command in [*COMMANDS, *OPTIONAL]} == (in_scripts | outside) - of_several_servers


async def test_a_whole_scheduler_as_the_documented_user(redis_server: RedisServer, redis_url: str) -> None:
    ran: list[str] = []

    async def work(ctx: asyncsched.RunContext) -> None:
        ran.append(ctx.job)
        await asyncio.sleep(0.15)

    with user(redis_server) as url:
        nodes = [Scheduler(url, prefix=PREFIX, lock_ttl=1, node=name) for name in ("a", "b")]
        for node in nodes:
            node.add_job("now", work).immediate().on_one_server().without_overlapping()
            node.add_job("tick", work).per_seconds(0.1).on_one_server()
            node.add_job("again", work).per_seconds(0.3).on_one_server().rerun_on_crash()
            node.add_job("both", work).per_seconds(0.1).on_one_server().without_overlapping()
        async with nodes[0], nodes[1]:
            async with asyncio.timeout(30):
                while ran.count("tick") < 20 or ran.count("both") < 5:
                    await asyncio.sleep(0.02)
                assert (await nodes[0].trigger("tick")).outcome in {None, "succeeded"}
                await nodes[0].pause("tick")
                while "paused" not in nodes[1].snapshot().counters:
                    await asyncio.sleep(0.02)
                await nodes[0].resume("tick")
            assert all(node.snapshot().store_available for node in nodes)
        assert await refused(redis_server) == set()
    assert ran.count("now") == 1


# What the user may not do


async def test_keys_outside_the_pattern_are_refused(connect: Any, redis_server: RedisServer, redis_url: str) -> None:
    with user(redis_server) as url:
        for prefix in ("", "x:", f"x{PREFIX}", f"{PREFIX}x:"):
            stranger = connect(url, prefix=prefix)
            for ask in (
                stranger.refresh(),
                stranger.claim([tick(1)]),
                stranger.renew([lease(tick(1), 1, SERVER)]),
                stranger.release([lease(tick(1), 1, SERVER)]),
                stranger.set_paused("report", True),
            ):
                with pytest.raises(StoreUnavailableError, match=r"(?i)permission|can't access"):
                    await ask
    assert not await keys(redis_url)


async def keys(url: str) -> list[bytes]:
    async with redis.asyncio.Redis.from_url(url) as admin:
        found: list[bytes] = await admin.keys("*")
        return found


@pytest.mark.parametrize(
    "words",
    [
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SCAN", "0"),
        ("SELECT", "1"),
        ("GET", "other"),
        ("GET", f"{PREFIX}schedule:other"),
        ("SCRIPT", "FLUSH"),
        ("EVAL", "return redis.call('GET', 'other')", "0"),
        ("EVAL", "return redis.call('KEYS', '*')", "0"),
        ("PUBLISH", PATTERN, "x"),
    ],
)
async def test_anything_else_is_refused(redis_server: RedisServer, redis_url: str, words: tuple[str, ...]) -> None:
    with user(redis_server) as url:
        async with redis.asyncio.Redis.from_url(url) as client:
            with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)permission|can't|NOPERM"):
                await client.execute_command(*words)


# What a missing right looks like


async def test_a_missing_right_is_neither_a_lost_lease_nor_a_corrupt_key(
    connect: Any, redis_server: RedisServer, redis_url: str
) -> None:
    with user(redis_server) as url:
        store, now = connect(url, prefix=PREFIX), now_us()
        held = await won(store, tick(now - 1, no_overlap=True), SERVER, OVERLAP)
        other = await won(store, tick(now - 1, job="other"), SERVER)
        await won(store, tick(now, "n2:r1", job="other"))
        redis_server.command("ACL", "SETUSER", USER, "-get", "-mget", "-hget")
        for ask in (store.renew([held]), store.release([held]), store.claim([tick(now, "n2:r1", no_overlap=True)])):
            with pytest.raises(StoreUnavailableError, match=r"(?i)permission|can't run"):
                await ask
        redis_server.command("ACL", "SETUSER", USER, "+get", "+mget")
        ended = replace(lease(tick(now), 1, RUN), tick_us=now, finished=True)
        for ask in (store.renew([other]), store.release([ended])):
            with pytest.raises(StoreUnavailableError, match=r"(?i)permission|can't run"):
                await ask
        redis_server.command("ACL", "SETUSER", USER, "+hget")
        assert list(await store.renew([held, other])) == [Renewal.HELD, Renewal.SUPERSEDED]
        assert list(await store.release([held])) == [True]


@pytest.mark.parametrize("command", ["evalsha", "hmget", "smembers", "time"])
async def test_a_missing_right_is_said_once_and_stops_only_what_needs_it(
    redis_server: RedisServer, redis_url: str, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    ran: list[str] = []
    lost: list[StoreLost] = []
    with user(redis_server, without=command) as url:
        scheduler = Scheduler(url, prefix=PREFIX)
        scheduler.add_job("plain", lambda: ran.append("plain")).per_seconds(0.1)
        scheduler.add_job("guarded", lambda: ran.append("guarded")).per_seconds(0.1).on_one_server()
        scheduler.subscribe(lost.append, StoreLost)
        async with scheduler, asyncio.timeout(30):
            while ran.count("plain") < 10 or not lost:
                await asyncio.sleep(0.02)
    assert "guarded" not in ran or command == "smembers"
    assert len(lost) == 1
    assert re.search("(?i)permission|can't run", lost[0].error)
    assert sum("does not answer" in record.getMessage() for record in caplog.records) == 1
