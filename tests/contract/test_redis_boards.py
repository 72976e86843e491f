"""The board in Redis: what is foreign, refused, too large or away disturbs nobody, and nothing that was said once is
lost by it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from _contract import tick, verdict
from _reporter import Reporter, ending

from asyncsched._grants import Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _board_wire, _outbox
from asyncsched.stores._redis_posts import RETRY_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _contract import RedisBackend
    from _redis_cluster import RedisCluster
    from _redis_server import RedisServer

    from asyncsched.stores.redis import RedisStore

REPORTS, ORDERS = "schedule:jobs:reports", "schedule:jobs:orders"
HISTORY = "schedule:jobHistory:report"
OWN = (REPORTS, ORDERS, HISTORY, "schedule:jobs:fireTimes", "schedule:jobs:successes", "schedule:jobs:catalogue:d1")
SECOND = 1_000_000


async def texts(store: RedisStore, job: str = "report") -> list[str]:
    return list((await store.board.history([job], 1_000))[job])


def a_node(now: int, name: str = "a", **options: Any) -> Reporter:
    node = Reporter(name, **options)
    node.fire_times = {"report": now}
    node.successes = {"report": now}
    node.endings["report"].append(ending(now))
    return node


# What stands there


async def test_the_keys_and_how_long_they_live(redis_backend: RedisBackend) -> None:
    store, now, raw = redis_backend.store(), redis_backend.now_us(), redis_backend.raw
    leave = store.board.attach(a_node(now, history_for=600.0))
    await store.refresh()
    await store.board.place_order("o1", '{"id":"o1"}')
    await store.board.answer_order("o1", "{}")

    at, digest, text = (await raw.hget(REPORTS, "a")).decode().split(" ", 2)
    assert (digest, text) == ("d1", '{"node":"is well"}')
    assert float(at) == pytest.approx(now / 1e6, abs=60)
    assert await raw.lrange(HISTORY, 0, -1) == [ending(now).encode()]
    assert await raw.zscore("schedule:jobs:fireTimes", "report") == now
    ttls = {key: await raw.pttl(key) / 1_000 for key in (*OWN, "schedule:jobs:answer:o1")}
    assert ttls == {
        REPORTS: pytest.approx(86_400, abs=60),
        ORDERS: pytest.approx(120, abs=60),
        HISTORY: pytest.approx(600, abs=60),
        "schedule:jobs:fireTimes": pytest.approx(400 * 86_400, abs=60),
        "schedule:jobs:successes": pytest.approx(400 * 86_400, abs=60),
        "schedule:jobs:catalogue:d1": pytest.approx(86_400, abs=60),
        "schedule:jobs:answer:o1": pytest.approx(60, abs=60),
    }
    await leave()
    assert not await raw.exists(REPORTS)


async def test_a_history_is_looked_after_once_in_a_while(redis_backend: RedisBackend) -> None:
    store, now, raw = redis_backend.store(), redis_backend.now_us(), redis_backend.raw
    node = a_node(now, history_for=600.0)
    store.board.attach(node)
    await store.refresh()
    old = ending(now - 601 * SECOND)
    await raw.rpush(HISTORY, old)
    await raw.pexpire(HISTORY, 300_000)

    node.endings["report"].append(ending(now + 1))
    node.endings["another"].append(
        ending(now)
    )  # of those that one call writes, it is looked after, and that one is not
    await store.refresh()
    assert (await texts(store), await raw.pttl(HISTORY) <= 300_000) == ([ending(now + 1), ending(now), old], True)
    assert await raw.lrange(HISTORY[:-6] + "another", 0, -1) == [ending(now).encode()]
    assert await raw.pttl(HISTORY[:-6] + "another") > 600_000, "in between, it does not expire too early"

    store.board._posts._tended_since -= _board_wire.TENDED_FOR
    node.endings["report"].append(ending(now + 2))
    await store.refresh()
    assert await texts(store) == [ending(now + nth) for nth in (2, 1, 0)]
    assert await raw.pttl(HISTORY) > 600_000


async def test_a_history_that_was_deleted_expires_again(redis_backend: RedisBackend) -> None:
    store, now, raw = redis_backend.store(), redis_backend.now_us(), redis_backend.raw
    node = a_node(now)
    store.board.attach(node)
    await store.refresh()
    await raw.delete(HISTORY)
    await store.refresh()
    node.endings["other"].append(ending(now + 1))
    node.endings["report"].append(ending(now + 1))
    await store.refresh()
    assert await raw.pttl(HISTORY) > 0


async def test_what_is_long_gone_is_deleted_by_who_posts_definitions(redis_backend: RedisBackend) -> None:
    store, now, raw = redis_backend.store(), redis_backend.now_us(), redis_backend.raw
    day = 86_400
    reports = {name: f"{now / 1e6 - age:.3f} d1 {{}}" for name, age in (("old", day + 60), ("young", day - 60))}
    await raw.hset(REPORTS, mapping={**reports, "foreign": "x"})
    await raw.zadd("schedule:jobs:fireTimes", {"old": now - (day + 60) * SECOND, "young": now - (day - 60) * SECOND})
    await raw.zadd("schedule:jobs:successes", {"old": now - 401 * day * SECOND, "young": now - 399 * day * SECOND})
    node = Reporter()
    store.board.attach(node)
    for _ in range(3):
        await store.refresh()

    assert set(await raw.hkeys(REPORTS)) == {b"a", b"young"}
    assert await raw.zrange("schedule:jobs:fireTimes", 0, -1) == [b"young"]
    assert await raw.zrange("schedule:jobs:successes", 0, -1) == [b"young"]


async def test_too_many_orders_push_out_the_oldest(redis_backend: RedisBackend, monkeypatch: Any) -> None:
    monkeypatch.setattr("asyncsched.stores._board_text.MOST_ORDERS", 3)
    store = redis_backend.store()
    for nth in range(5):
        await redis_backend.pass_time(0.002)
        await store.board.place_order(f"o{nth}", "{}")

    assert set(await redis_backend.raw.hkeys(ORDERS)) == {b"o2", b"o3", b"o4"}


# What is foreign


@pytest.mark.parametrize("key", OWN[:-1])  # the last one is overwritten, whatever it is
async def test_a_foreign_type_is_said_once_and_harms_nothing(redis_backend: RedisBackend, key: str) -> None:
    store, other, now = redis_backend.store(), redis_backend.store(), redis_backend.now_us()
    await redis_backend.raw.set(key, "foreign")
    node = a_node(now)
    node.endings["other"].append(ending(now))
    store.board.attach(node)
    await store.set_paused("paused", True)
    said = [*await store.refresh(), *await store.refresh(), *await store.refresh()]

    assert [text for text in said if key in text] == said
    assert len(said) == 1
    assert store.is_paused("paused")
    assert await verdict(store, tick(now)) is Verdict.WON
    assert await texts(other, "other") == [ending(now)]
    assert not any(node.endings.values()), "what cannot be written does not pile up"
    found = await other.board.read()
    assert bool(found.reports) is (key != REPORTS)
    assert bool(found.successes) is (not key.endswith("successes"))
    assert await redis_backend.raw.get(key) == b"foreign"


async def test_foreign_entries_are_left_out(redis_backend: RedisBackend) -> None:
    store, now, raw = redis_backend.store(), redis_backend.now_us(), redis_backend.raw
    at = f"{now / 1e6:.3f}"
    good = f"{at} d1 {{}}"
    reports = {"a": good, "b c": good, "d{": good, "e": "x", "f": f"{at} d1", "g": f"-{at} d1 {{}}", "h": "nan d1 {}"}
    await raw.hset(REPORTS, mapping={**reports, "i": f"{at} ../d1 {{}}", "j": good + "x" * 300_000, "k": b"\xff\xfe"})
    await raw.zadd("schedule:jobs:fireTimes", {"a": now, "b c": now, "c": 1e30, "d": -5, "e": float("inf")})
    await raw.hset("schedule:jobs:notes", mapping={"a": "{}", "*": "{}", "b c": "{}", "c": "x" * 300_000})
    await raw.rpush(HISTORY, "x", ending(now), '{"at":1e9,', '{"at":-5,', "\n", ending(now, "x" * 3_000), b"\xff")
    await raw.hset(ORDERS, mapping={"a": f"{now / 1e6 + 30:.3f} fine", "b": "x", "c": f"{now / 1e6 + 3_600} late"})
    node = Reporter()
    store.board.attach(node)
    await store.refresh()

    found = await store.board.read()
    assert set(found.reports) == {"a", "i"}
    assert found.fire_times == {"a": now}
    assert set(found.notes) == {"a", "*"}
    assert await texts(store) == [ending(now)]
    assert list(node.orders) == ["fine"]


async def test_what_is_no_lock_is_not_shown(redis_backend: RedisBackend) -> None:
    store, now, raw = redis_backend.store(), redis_backend.now_us(), redis_backend.raw
    lock = "schedule:jobLock:report:"
    await raw.set(lock + "server", "no fence")
    await raw.hset(lock + "overlap", "not", "a string")
    await raw.set(lock + "start", "n1:r1|12")
    await raw.set(lock + "tick", "no hash")
    await raw.hset(lock + "open", mapping={"x": "1|n1:r1", str(now): "1|n1:r1", str(now + 1): "no owner"})
    found = await store.board.locks(["report"])

    assert [(each.lock_type, each.node, each.run_id, each.ends_in) for each in found] == [
        ("start", "n1", "r1", None),
        ("open", "n1", "r1", None),
    ]


async def test_what_is_foreign_to_a_note_or_an_order_is_an_error(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    for key in ("schedule:jobs:notes", ORDERS):
        await redis_backend.raw.set(key, "foreign")
    for ask in (
        store.board.set_note("report", "{}"),
        store.board.place_order("o1", "{}"),
        store.board.take_order("o1"),
    ):
        with pytest.raises(StoreUnavailableError, match="wrong kind"):
            await ask


# What is refused


@contextmanager
def restricted(server: RedisServer, *words: str) -> Iterator[str]:
    """Make a user who may do everything but that; yield the URL of its login."""
    made = server.command("ACL", "SETUSER", "limited", "reset", "on", ">secret", "~*", "&*", "+@all", *words)
    assert made == "+OK"
    try:
        yield f"redis://limited:secret@127.0.0.1:{server.port}/0"
    finally:
        server.command("ACL", "DELUSER", "limited")


@pytest.mark.redis
async def test_a_user_of_before_schedules_on_and_its_endings_wait(
    connect: Any, redis_server: RedisServer, redis_url: str
) -> None:
    with restricted(redis_server, "-lpush", "-ltrim", "-lrange") as url:
        store, now = connect(url), _now_us()
        node = a_node(now)
        store.board.attach(node)
        said = [*await store.refresh(), *await store.refresh(), *await store.refresh()]
        assert len(said) == 1
        assert said[0].startswith("the cluster's state cannot be kept: ")
        assert await verdict(store, tick(now)) is Verdict.WON
        assert set((await store.board.read()).reports) == {"a"}, "what may be written is"
        with pytest.raises(StoreUnavailableError, match=r"(?i)perm"):
            await store.board.history(["report"], 1)

        redis_server.command("ACL", "SETUSER", "limited", "+@all")
        await store.refresh()
        assert await texts(store) == [], "it is not tried each second"
        store.board._posts._not_before -= RETRY_AFTER
        node.endings["report"].append(ending(now + 1))
        await store.refresh()
        assert await texts(store) == [ending(now + 1), ending(now)]


@pytest.mark.redis
async def test_all_of_it_refused(connect: Any, redis_server: RedisServer, redis_url: str) -> None:
    words = ("resetkeys", "~schedule:jobLock:*", "~schedule:job:*", "~schedule:jobs:paused", "~schedule:jobs:nodes")
    with restricted(redis_server, *words) as url:
        store, now = connect(url), _now_us()
        node = a_node(now)
        leave = store.board.attach(node)
        for _ in range(3):
            await store.refresh()
        assert await verdict(store, tick(now)) is Verdict.WON
        assert (node.posted_times, len(node.endings["report"])) == (0, 1), "the node keeps it"
        await leave()


@pytest.mark.redis
@pytest.mark.parametrize("command", ["lpush", "ltrim", "lrange", "pexpire"])
async def test_endings_are_written_with_all_rights_only(
    connect: Any, redis_server: RedisServer, redis_url: str, command: str
) -> None:
    with restricted(redis_server, f"-{command}") as url:
        store, now = connect(url), _now_us()
        node = a_node(now, history=2)
        node.endings["report"] += [ending(now + nth) for nth in range(1, 9)]
        store.board.attach(node)
        await store.refresh()
        async with redis.asyncio.Redis.from_url(redis_url) as raw:
            assert not await raw.exists(HISTORY), "what cannot be trimmed would grow"


@pytest.mark.redis
async def test_locks_that_may_not_be_read(connect: Any, redis_server: RedisServer, redis_url: str) -> None:
    with (
        restricted(redis_server, "-hmget") as url,
        pytest.raises(StoreUnavailableError, match=r"(?i)permission|can't run"),
    ):
        await connect(url).board.locks([f"job{nth}" for nth in range(25)])


@pytest.mark.redis
async def test_memory_that_is_full(connect: Any, redis_server: RedisServer, redis_url: str) -> None:
    store, now = connect(redis_url), _now_us()
    node = a_node(now)
    store.board.attach(node)
    await store.set_paused("paused", True)
    redis_server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        said = [*await store.refresh(), *await store.refresh()]
    finally:
        redis_server.command("CONFIG", "SET", "maxmemory", "0")
    assert [text for text in said if "OOM" in text or "maxmemory" in text] == said
    assert said
    assert store.is_paused("paused")
    store.board._posts._not_before -= RETRY_AFTER
    await store.refresh()
    assert await texts(store) == [ending(now)]


# What is lost, or away


async def test_a_server_that_comes_back_empty_is_told_all_of_it_again(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    node = a_node(now)
    store.board.attach(node)
    for _ in range(3):
        await store.refresh()
    assert node.forgotten_times == 0, "the first report is no loss"
    await redis_backend.raw.flushall()
    for _ in range(3):
        await store.refresh()
    assert node.forgotten_times == 1


async def test_a_server_that_has_forgotten_the_script(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    node = a_node(now)
    leave = store.board.attach(node)
    await store.refresh()
    await redis_backend.raw.script_flush()
    node.endings["report"].append(ending(now + 1))
    await store.refresh()
    node.endings["report"].append(ending(now + 2))
    await store.refresh()
    assert await texts(store) == [ending(now + nth) for nth in (2, 1, 0)]

    await redis_backend.raw.script_flush()
    node.endings["report"].append(ending(now + 3))
    await leave()
    assert await texts(store) == [ending(now + nth) for nth in (3, 2, 1, 0)]


@pytest.mark.redis
async def test_an_outage_loses_nothing(connect: Any, make_redis_server: Any) -> None:
    server = make_redis_server()
    store, now = connect(server.url, operation_timeout=0.3), _now_us()
    node = a_node(now)
    store.board.attach(node)
    await store.refresh()
    server.command("CLIENT", "PAUSE", "600", "ALL")
    node.endings["report"].append(ending(now + 1))
    with pytest.raises(StoreUnavailableError):
        await store.refresh()
    assert node.endings["report"] == [ending(now + 1)]
    while True:
        try:
            await store.refresh()
        except StoreUnavailableError:
            continue
        break

    assert set(await texts(store)) == {ending(now), ending(now + 1)}
    assert not node.endings["report"]


async def test_leaving_a_server_that_is_away_is_no_error(connect: Any) -> None:
    store = connect("redis://127.0.0.1:1/0", operation_timeout=0.2)
    leave = store.board.attach(Reporter())
    with pytest.raises(StoreUnavailableError):
        await store.refresh()
    await leave()
    for ask in (
        store.board.read(),
        store.board.history(["a"], 1),
        store.board.set_note("a", None),
        store.board.place_order("o1", "{}"),
        store.board.take_order("o1"),
        store.board.answer_order("o1", "{}"),
        store.board.answer_to("o1"),
        store.board.locks(["a"]),
        store.board.check(),
    ):
        with pytest.raises(StoreUnavailableError, match="could not"):
            await ask


@pytest.mark.redis
async def test_a_primary_that_is_away_keeps_only_what_belongs_on_it(connect: Any, redis_cluster: RedisCluster) -> None:
    redis_cluster.flush()
    store, now = connect(redis_cluster.url, operation_timeout=0.5), _now_us()
    away = redis_cluster.owner_of("report")
    here = next(job for nth in range(100) if redis_cluster.owner_of(job := f"job{nth}") is not away)
    node = Reporter()
    store.board.attach(node)
    await store.refresh()
    node.endings["report"].append(ending(now))
    node.endings[here].append(ending(now))
    away.command("CLIENT", "PAUSE", "700", "ALL")
    with pytest.raises(StoreUnavailableError):
        await store.refresh()
    while True:
        try:
            await store.refresh()
        except StoreUnavailableError:
            continue
        break
    await store.refresh()

    assert await texts(store, here) == [ending(now)], "it was written once"
    assert await texts(store) == [ending(now)]


# How much goes at once


async def test_what_is_too_much_for_one_refresh_follows(redis_backend: RedisBackend, monkeypatch: Any) -> None:
    monkeypatch.setattr(_board_wire, "MOST_POSTED", 1_000)
    monkeypatch.setattr(_board_wire, "MOST_CHARACTERS", 500)
    store, now = redis_backend.store(), redis_backend.now_us()
    node = Reporter()
    node.endings["report"] += [ending(now + nth, "x" * 100) for nth in range(40)]
    store.board.attach(node)
    await store.refresh()
    assert 0 < len(await texts(store)) < 40
    for _ in range(20):
        await store.refresh()
    assert await texts(store) == [ending(now + nth, "x" * 100) for nth in reversed(range(40))]


async def test_what_waits_too_long_is_dropped_and_said(redis_backend: RedisBackend, monkeypatch: Any) -> None:
    monkeypatch.setattr(_board_wire, "MOST_POSTED", 0)
    monkeypatch.setattr(_outbox, "MOST_WAITING", 10)
    store, now = redis_backend.store(), redis_backend.now_us()
    node = Reporter()
    node.endings["report"] += [ending(now + nth) for nth in range(15)]
    store.board.attach(node)
    said = [*await store.refresh(), *await store.refresh()]
    assert said == ["endings of ticks could not be written down for too long, and the oldest were dropped"]

    monkeypatch.setattr(_board_wire, "MOST_POSTED", 1_000_000)
    await store.refresh()
    assert await texts(store) == [ending(now + nth) for nth in reversed(range(5, 15))]


async def test_definitions_that_are_too_long_are_not_posted(redis_backend: RedisBackend, monkeypatch: Any) -> None:
    monkeypatch.setattr("asyncsched.stores._board_text.LONGEST_CATALOGUE", 5)
    store = redis_backend.store()
    store.board.attach(Reporter())
    await store.refresh()
    found = await store.board.read()
    assert (set(found.reports), found.catalogues) == ({"a"}, {})


async def test_a_node_that_keeps_no_history(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    store.board.attach(a_node(now, history=0))
    await store.refresh()
    assert await texts(store) == []
    assert dict(await store.board.history(["report"], 0)) == {"report": ()}


async def test_one_round_trip(redis_backend: RedisBackend, monkeypatch: Any) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    node = a_node(now)
    store.board.attach(node)
    await store.refresh()
    server = store._link.servers[0]
    trips: list[list[str]] = []
    send = server.send

    async def counted(commands: Any, **options: Any) -> Any:
        trips.append([command[0] for command in commands])
        return await send(commands, **options)

    monkeypatch.setattr(server, "send", counted)
    node.endings["report"].append(ending(now + 1))
    node.fire_times = {"report": now + 2}
    await store.refresh()
    assert [sorted(trip) for trip in trips] == [
        sorted(["SMEMBERS", "TIME", "HSET", "HGETALL", "ZADD", "EVALSHA"]),
    ]
    trips.clear()
    await store.refresh()
    assert [sorted(trip) for trip in trips] == [sorted(["SMEMBERS", "TIME", "HSET", "HGETALL"])]
    trips.clear()
    node.catalogue = ("d2", "{}")  # what nobody posts any more is deleted once an hour only
    await store.refresh()
    assert [sorted(trip) for trip in trips] == [sorted(["SMEMBERS", "TIME", "HSET", "HGETALL", "SET"])]


async def test_what_is_left_after_some_tries_is_given_up_by_who_leaves(
    redis_backend: RedisBackend, monkeypatch: Any
) -> None:
    monkeypatch.setattr(_board_wire, "MOST_POSTED", 0)
    store, now = redis_backend.store(), redis_backend.now_us()
    await store.refresh()
    leave = store.board.attach(a_node(now))
    await leave()
    assert await texts(store) == []
    assert (await store.board.read()).reports == {}


# The set-up


@pytest.mark.redis
async def test_a_check_says_what_is_wrong(connect: Any, make_redis_server: Any) -> None:
    server = make_redis_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    found = {each.what: each for each in await connect(server.url, replica_ack=1).board.check()}
    bad = {what.partition(":")[0].partition(" is ")[0] for what, each in found.items() if each.level != "ok"}
    assert bad == {"maxmemory-policy", "persistence", "replicas"}
    assert found["replicas: 0 connected, replica_ack=1"].level == "error"


@pytest.mark.redis
async def test_a_check_finds_missing_rights(connect: Any, redis_server: RedisServer, redis_url: str) -> None:
    with restricted(redis_server, "-lpush", "-hdel", "-info", "-config") as url:
        found = await connect(url).board.check()
        texts = [each.what for each in found if each.level == "error"]
        assert texts == ["rights: the user may not run HDEL, LPUSH"]
        assert any("does not tell of itself" in each.what for each in found)
        async with redis.asyncio.Redis.from_url(redis_url) as raw:
            assert not await raw.exists("schedule:jobs:check"), "nothing of it is left"


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 3}, {"protocol": 2}], ids=str)
async def test_clients_that_give_replies_in_other_forms(redis_backend: RedisBackend, options: Any) -> None:
    from asyncsched.stores.redis import RedisStore

    store = RedisStore(redis_backend.client(**options))
    now = redis_backend.now_us()
    node = a_node(now)
    store.board.attach(node)
    await store.board.place_order("o1", '{"id":"o1"}')
    await store.refresh()
    found = await store.board.read()
    assert (set(found.reports), found.fire_times, found.successes) == ({"a"}, {"report": now}, {"report": now})
    assert await texts(store) == [ending(now)]
    assert list(node.orders) == ['{"id":"o1"}']
    assert await store.board.take_order("o1")
    assert [each.lock_type for each in await store.board.locks(["report"])] == []
    assert all(each.what for each in await store.board.check())


def _now_us() -> int:
    return round(time.time() * 1e6)
