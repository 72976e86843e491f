"""How a Redis store lives with its server, its client and the way between them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from _contract import OVERLAP, SERVER, FakeRedisBackend, lease, tick, trigger, verdict, won
from redis.exceptions import NoScriptError

from asyncsched._grants import ClaimAnswer, Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _scripts
from asyncsched.stores._server_time import ServerTime
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from _contract import RedisBackend
    from _redis_server import RedisServer

SECRET = "s3cr3t"


def now_us() -> int:
    return round(time.time() * 1e6)


OPERATIONS: dict[str, Callable[[RedisStore], Awaitable[Any]]] = {
    "claim": lambda store: store.claim([tick(now_us())]),
    "renew": lambda store: store.renew([lease(tick(1), 1, SERVER)]),
    "release": lambda store: store.release([lease(tick(1), 1, SERVER)]),
    "refresh": lambda store: store.refresh(),
    "pause": lambda store: store.set_paused("report", True),
}


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> Callable[[RedisStore], Awaitable[Any]]:
    """Everything of a store that asks its server."""
    return OPERATIONS[request.param]


Connect = Callable[..., RedisStore]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make stores whose clients are closed when the test ends, however it ends."""
    stores: list[RedisStore] = []

    def make(url: str, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, **options))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
async def own(redis_url: str) -> AsyncIterator[RedisStore]:
    """A store that has made its own client, patient enough for a slow machine."""
    store = RedisStore(redis_url, operation_timeout=10.0)
    yield store
    await store.close()


@pytest.fixture
def hung_port() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def connections(url: str) -> int:
    client = redis.asyncio.Redis.from_url(url)
    try:
        return len(await client.client_list()) - 1
    finally:
        await client.connection_pool.disconnect()


async def test_a_hung_server_is_given_up_within_the_bound(connect: Connect, hung_port: int, operation: Any) -> None:
    store = connect(f"redis://127.0.0.1:{hung_port}/0", operation_timeout=0.1)
    started = time.monotonic()

    with pytest.raises(StoreUnavailableError, match=r"no answer within 0\.1 s"):
        await operation(store)
    assert time.monotonic() - started < 1.0


async def test_a_hung_server_is_given_up_whatever_the_services_client_says(hung_port: int) -> None:
    client = redis.asyncio.Redis(host="127.0.0.1", port=hung_port)  # its own timeouts and retries take 59 s
    started = time.monotonic()

    with pytest.raises(StoreUnavailableError):
        await RedisStore(client, operation_timeout=0.1).claim([tick(now_us())])
    assert time.monotonic() - started < 1.0
    await client.connection_pool.disconnect()


async def test_a_refused_connection_is_an_unavailable_store(connect: Connect, operation: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = connect(f"redis://user:{SECRET}@127.0.0.1:{port}/0")

    with pytest.raises(
        StoreUnavailableError, match=rf"redis://\*\*\*@127\.0\.0\.1:{port}/0 could not .*: ConnectionError"
    ) as caught:
        await operation(store)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)
    assert store.time() is None


async def test_a_missing_unix_socket_is_an_unavailable_store() -> None:
    with pytest.raises(StoreUnavailableError, match=r"unix:///nowhere/redis\.sock could not"):
        await RedisStore("unix:///nowhere/redis.sock").refresh()


@pytest.mark.redis
async def test_a_refused_password_is_an_unavailable_store_and_stays_secret(
    connect: Connect, redis_server: RedisServer
) -> None:
    store = connect(f"redis://nobody:{SECRET}@127.0.0.1:{redis_server.port}/0")

    with pytest.raises(StoreUnavailableError) as caught:
        await store.refresh()
    assert SECRET not in str(caught.value) + repr(store) + repr(caught.value.__cause__)


@pytest.mark.redis
async def test_cancelling_is_not_mistaken_for_an_error(connect: Connect, make_redis_server: Any) -> None:
    server = make_redis_server()
    store = connect(server.url, operation_timeout=5.0)
    await store.refresh()
    server.freeze()
    task = asyncio.ensure_future(store.claim([tick(now_us())]))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.thaw()

    assert await verdict(store, tick(now_us(), "n1:r2", job="other")) is Verdict.WON


@pytest.mark.redis
async def test_a_claim_delivered_after_its_sender_gave_up_takes_no_lease(
    connect: Connect, make_redis_server: Any
) -> None:
    # Without the deadline the lease would stand for its whole ttl, with nobody to renew or release it.
    server = make_redis_server()
    store = connect(server.url, operation_timeout=0.2)
    await store.refresh()
    server.freeze()
    with pytest.raises(StoreUnavailableError):
        await store.claim([tick(now_us(), no_overlap=True)])
    await asyncio.sleep(0.2)
    server.thaw()

    assert await verdict(store, trigger("n2:r1")) is Verdict.WON
    assert await verdict(store, tick(now_us(), "n2:r2")) is Verdict.WON


async def test_a_step_of_the_servers_clock_costs_one_more_round_trip(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    await store.refresh()
    store._link.server.time._offset -= 3_600.0  # what the server's clock showed before it was set forward

    assert await verdict(store, tick(redis_backend.now_us())) is Verdict.WON
    assert store.time() == pytest.approx(redis_backend.now_us() / 1e6, abs=0.1)


async def test_only_late_jobs_are_asked_again(redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    store = redis_backend.store()
    claim_once = store._questions._claim_once
    asked: list[list[str]] = []

    async def claim(give_up_at: float, server: Any, batches: Any, asking: bool) -> Any:
        asked.append([request.job for batch in batches for request in batch])
        outcomes = await claim_once(give_up_at, server, batches, asking)
        if len(asked) == 1:
            outcomes[1] = [ClaimAnswer(Verdict.LATE)]
        return outcomes

    monkeypatch.setattr("asyncsched.stores._wire.CHUNK", 1)
    monkeypatch.setattr(store._questions, "_claim_once", claim)
    now = redis_backend.now_us()
    answers = await store.claim([tick(now, job=name) for name in "abc"])

    assert asked == [["a", "b", "c"], ["b"]]
    assert [answer.verdict for answer in answers] == [Verdict.WON] * 3


async def test_late_twice_is_passed_on(redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    store = redis_backend.store()
    await store.refresh()
    store._link.server.time._offset -= 3_600.0
    monkeypatch.setattr(ServerTime, "sample", lambda *_, **__: None)

    assert await verdict(store, tick(redis_backend.now_us())) is Verdict.LATE


@pytest.mark.parametrize(
    "options", [{"decode_responses": True}, {"protocol": 3}, {"protocol": 3, "decode_responses": True}]
)
async def test_any_form_of_answers_will_do(redis_backend: RedisBackend, options: dict[str, Any]) -> None:
    client = redis_backend.client(**options)
    store = RedisStore(client)
    now = redis_backend.now_us()
    held = await won(store, tick(now, no_overlap=True), SERVER, OVERLAP)
    await store.set_paused("other", True)
    await store.refresh()

    assert store.is_paused("other")
    assert store.time() == pytest.approx(now / 1e6, abs=1)
    assert list(await store.renew([held])) == [Renewal.HELD]
    assert list(await store.release([held])) == [True]
    await redis_backend.raw.rpush("schedule:jobLock:broken:tick", "foreign")
    assert await verdict(store, tick(now, job="broken")) is Verdict.CORRUPT


async def test_the_services_client_is_never_closed(redis_backend: RedisBackend) -> None:
    store = RedisStore(redis_backend.raw)
    await store.refresh()
    await store.close()

    assert await redis_backend.raw.ping()
    await store.refresh()


@pytest.mark.redis
async def test_the_stores_own_client_is_closed_and_may_be_used_again(connect: Connect, redis_url: str) -> None:
    store = connect(redis_url)
    assert await connections(redis_url) == 0
    await store.refresh()
    assert await connections(redis_url) == 1
    await store.close()
    assert await connections(redis_url) == 0
    await store.refresh()
    assert await connections(redis_url) == 1
    await store.close()


@pytest.mark.redis
def test_a_closed_store_may_be_used_on_another_loop(redis_url: str) -> None:
    store = RedisStore(redis_url)

    async def use(owner: str) -> Verdict:
        try:
            return await verdict(store, tick(1, owner))
        finally:
            await store.close()

    assert asyncio.run(use("n1:r1")) is Verdict.WON
    assert asyncio.run(use("n1:r2")) is Verdict.ELSEWHERE


@pytest.mark.redis
async def test_its_own_client_keeps_few_connections(redis_url: str, own: RedisStore) -> None:
    await asyncio.gather(*(own.claim([trigger(f"n1:r{index}", job=f"job{index}")]) for index in range(100)))

    assert await connections(redis_url) <= 4


@pytest.mark.redis
async def test_scripts_that_the_server_has_forgotten_are_sent_again(redis_server: RedisServer, own: RedisStore) -> None:
    now = now_us()
    requests = [tick(now, job=f"job{index}") for index in range(450)]
    await own.claim(requests[:1])
    redis_server.command("SCRIPT", "FLUSH")
    answers = await own.claim(requests)
    assert {answer.verdict for answer in answers} == {Verdict.WON}
    held = [lease(request, answer.fence, SERVER) for request, answer in zip(requests, answers, strict=True)]
    redis_server.command("SCRIPT", "FLUSH")
    assert set(await own.renew(held)) == {Renewal.HELD}
    redis_server.command("SCRIPT", "FLUSH")
    assert list(await own.release(held)) == [True] * 450
    redis_server.command("SCRIPT", "FLUSH")

    await own.set_paused("job1", True)
    assert await verdict(own, tick(now + 1, "n2:r1", job="job1")) is Verdict.PAUSED


async def test_only_calls_that_were_not_run_are_sent_again(
    redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = redis_backend.store()._link.server
    unknown = NoScriptError("no script")
    replies = iter([["one", unknown, "three", unknown, 1], ["two", "four", 2]])
    sent: list[list[Any]] = []

    async def send(commands: list[Any], *, asking: bool, within: float = 0.0) -> list[Any]:
        sent.append([command[0] for command in commands])
        return next(replies)

    monkeypatch.setattr(server, "send", send)
    calls = [([f"key{index}"], [index]) for index in range(4)]

    run = await server.run(_scripts.PAUSE, calls, then=[("WAIT", 1, 1)])
    assert run == (["one", "two", "three", "four"], [1, 2])
    assert sent == [["EVALSHA"] * 4 + ["WAIT"], ["EVAL", "EVALSHA", "WAIT"]]  # the first brings the script back


@pytest.mark.redis
async def test_a_restarted_server_is_found_again(connect: Connect, make_redis_server: Any) -> None:
    server = make_redis_server()
    store = connect(server.url)
    assert await verdict(store, tick(now_us())) is Verdict.WON
    server.stop()
    with pytest.raises(StoreUnavailableError):
        await store.claim([tick(now_us(), "n1:r2")])
    server.start()

    assert await verdict(store, tick(now_us(), "n1:r3")) is Verdict.WON


@pytest.mark.redis
async def test_running_jobs_keep_their_leases_while_the_server_is_out_of_memory(
    connect: Connect, make_redis_server: Any
) -> None:
    server = make_redis_server()
    store = connect(server.url)
    held = await won(store, tick(now_us(), no_overlap=True), SERVER, OVERLAP)
    server.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailableError, match=r"OOM|OutOfMemory"):
        await store.claim([tick(now_us(), "n1:r2", job="other")])

    await store.refresh()
    assert list(await store.renew([held])) == [Renewal.HELD]
    assert list(await store.release([held])) == [True]


@pytest.mark.redis
async def test_a_replica_addressed_by_mistake_decides_nothing(connect: Connect, make_redis_server: Any) -> None:
    primary = make_redis_server("--repl-diskless-sync-delay", "0")
    replica = make_redis_server("--replicaof", f"127.0.0.1 {primary.port}")
    store = connect(replica.url)

    with pytest.raises(StoreUnavailableError, match="read only replica"):
        await store.claim([tick(now_us())])


async def acknowledged(primary: RedisServer) -> None:
    """Wait until the replica follows the primary."""
    client = redis.asyncio.Redis.from_url(primary.url)
    for _ in range(100):
        await client.set("written", "now")
        if await client.wait(1, 100) == 1:
            break
    await client.connection_pool.disconnect()


@pytest.mark.redis
async def test_a_grant_counts_once_enough_replicas_have_it(connect: Connect, make_redis_server: Any) -> None:
    primary = make_redis_server("--repl-diskless-sync-delay", "0")
    replica = make_redis_server("--replicaof", f"127.0.0.1 {primary.port}")
    await acknowledged(primary)
    patient = connect(primary.url, replica_ack=1, operation_timeout=10)  # a busy machine's replica takes its time
    request = tick(now_us())
    first = await won(patient, request)
    assert await verdict(patient, tick(request.tick_us, "n2:r1")) is Verdict.ELSEWHERE
    replica.freeze()
    store = connect(primary.url, replica_ack=1, operation_timeout=0.4)
    with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
        await store.claim([request])  # a repeat counts no more than the grant did: it writes, and waits again
    assert await verdict(store, tick(request.tick_us, "n2:r1")) is Verdict.ELSEWHERE
    replica.thaw()
    await acknowledged(primary)

    assert (await won(patient, request)).fence == first.fence


@pytest.mark.redis
async def test_without_a_replica_no_grant_counts(connect: Connect, redis_url: str) -> None:
    store = connect(redis_url, replica_ack=1)
    with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
        await store.claim([tick(now_us())])


async def test_a_refresh_that_was_under_way_does_not_undo_a_pause(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    send = store._link.server.send
    sent: list[Any] = []

    async def overtaken(commands: Any, *, asking: bool = False, within: float = 0.0) -> Any:
        sent.append(commands)
        replies = await send(commands, asking=asking, within=within)
        if len(sent) == 1:
            await store.set_paused("report", True)
        return replies

    store._link.server.send = overtaken
    await store.refresh()

    assert store.is_paused("report")


@pytest.mark.parametrize("name", ["claim", "renew", "release", "refresh"])
async def test_an_answer_that_no_script_gives_decides_nothing(
    redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store = redis_backend.store()
    await store.refresh()

    async def strange(commands: Any, *, asking: bool = False, within: float = 0.0) -> Any:
        return ["strange"] * len(commands)

    monkeypatch.setattr(store._link.server, "send", strange)

    with pytest.raises(StoreUnavailableError, match="unexpected answer"):
        await OPERATIONS[name](store)


async def test_who_is_cancelled_while_waiting_for_an_answer_is_cancelled(
    redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = redis_backend.store()

    async def never(_: Any, *, asking: bool = False, within: float = 0.0) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(store._link.server, "send", never)
    refreshing = asyncio.ensure_future(store.refresh())
    await asyncio.sleep(0)
    refreshing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await refreshing


async def test_missing_replies_decide_nothing(redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    store = redis_backend.store()
    await store.refresh()

    async def execute(_self: Any, raise_on_error: bool = True) -> list[Any]:
        return []

    monkeypatch.setattr("redis.asyncio.client.Pipeline.execute", execute)

    with pytest.raises(StoreUnavailableError, match="0 replies to 1 commands"):
        await store.claim([tick(1)])


async def test_fakeredis_follows_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeRedisBackend(monkeypatch)
    await backend.raw.set("key", "value", px=1_000)
    await backend.pass_time(1.5)

    assert await backend.raw.get("key") is None
