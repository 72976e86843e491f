"""How a Redis store finds a primary by its Sentinels, and how it follows a failover."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from _contract import OVERLAP, SERVER, tick, verdict, won
from _redis_sentinel import SERVICE, SentinelService

from asyncsched._grants import ClaimAnswer, Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores._sentinel import SentinelLink, Sighting
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.redis


def now_us() -> int:
    return round(time.time() * 1e6)


@pytest.fixture
async def master_for() -> AsyncIterator[Callable[[SentinelService], redis.asyncio.Redis]]:
    """Make clients as a service does, and close them."""
    clients: list[Any] = []

    def make(service: SentinelService) -> redis.asyncio.Redis:
        sentinel = redis.asyncio.Sentinel(service.addresses, socket_timeout=0.3)
        clients.extend([sentinel.master_for(SERVICE), *sentinel.sentinels])
        return clients[-1 - len(sentinel.sentinels)]

    yield make
    for client in clients:
        await client.connection_pool.disconnect()


async def eventually(store: RedisStore, request: Any) -> ClaimAnswer:
    """Ask as the engine does: again and again, until it is decided."""
    async with asyncio.timeout(20):
        while True:
            try:
                (answer,) = await store.claim([request])
            except StoreUnavailableError:
                await asyncio.sleep(0.05)
            else:
                return answer


@pytest.fixture(scope="module")
def service() -> Iterator[SentinelService]:
    """A service of this module's own: not to be broken."""
    made = SentinelService()
    try:
        made.start()
        yield made
    finally:
        made.stop()


class TestFinding:
    async def test_everything_is_asked_of_the_primary(self, service: SentinelService, connect: Any) -> None:
        store = connect(service.url, replica_ack=1, operation_timeout=10.0)
        held = await won(store, tick(now_us(), job="all", no_overlap=True), SERVER, OVERLAP)
        assert list(await store.renew([held])) == [Renewal.HELD]
        assert list(await store.release([held])) == [True]
        await store.set_paused("all", True)
        await store.refresh()

        assert store.is_paused("all")
        assert store.time() == pytest.approx(time.time(), abs=1)
        assert service.primary.command("EXISTS", "schedule:jobLock:all:tick") == ":1"
        assert [server.where for server in store._link.servers] == [f"127.0.0.1:{service.primary.port}"]

    async def test_a_database_of_it(self, service: SentinelService, connect: Any) -> None:
        await won(connect(service.url.replace("/0", "/3"), operation_timeout=10.0), tick(now_us(), job="third"))

        assert service.primary.command("EXISTS", "schedule:jobLock:third:tick") == ":0"

    async def test_a_client_that_follows_the_sentinels(
        self, service: SentinelService, connect: Any, master_for: Any
    ) -> None:
        client = master_for(service)
        store = connect(client, operation_timeout=10.0)
        await won(store, tick(now_us(), job="client"))
        await store.refresh()
        await store.close()

        assert repr(store) == f"<RedisStore redis+sentinel://{service.hosts}/{SERVICE}>"
        assert await client.ping()

    async def test_one_sentinel_that_answers_is_enough(
        self, service: SentinelService, connect: Any, free_ports: list[int]
    ) -> None:
        hosts = ",".join(f"127.0.0.1:{port}" for port in (*free_ports, service.sentinels[1].port))
        store = connect(f"redis+sentinel://{hosts}/{SERVICE}", operation_timeout=10.0)

        assert await verdict(store, tick(now_us(), job="one")) is Verdict.WON

    async def test_no_sentinel_that_answers(self, connect: Any, free_ports: list[int]) -> None:
        hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports)
        store = connect(f"redis+sentinel://{hosts}/{SERVICE}")

        with pytest.raises(StoreUnavailableError, match=r"no Sentinel knows the primary of 'main': .*ConnectionError"):
            await store.claim([tick(now_us())])
        assert store.time() is None

    async def test_a_service_that_they_do_not_know(self, service: SentinelService, connect: Any) -> None:
        store = connect(f"redis+sentinel://{service.hosts}/other")

        with pytest.raises(StoreUnavailableError, match=r"no Sentinel knows the primary of 'other': .*No such master"):
            await store.refresh()

    async def test_a_data_server_is_no_sentinel(self, service: SentinelService, connect: Any) -> None:
        store = connect(f"redis+sentinel://127.0.0.1:{service.primary.port}/{SERVICE}")

        with pytest.raises(StoreUnavailableError, match=r"no Sentinel knows .*unknown command"):
            await store.refresh()

    async def test_users_with_just_the_listed_commands_suffice(self, service: SentinelService, connect: Any) -> None:
        outside = ["evalsha", "eval", "time", "smembers", "wait"]
        inside = ["get", "mget", "set", "del", "pexpire", "hmget", "hget", "hset", "hdel", "sadd", "srem"]
        words = ["on", ">s3cr3t", "resetkeys", "~schedule:job*", "-@all", *(f"+{name}" for name in outside + inside)]
        assert service.primary.command("ACL", "SETUSER", "scheduler", "reset", *words) == "+OK"
        for sentinel in service.sentinels:
            allowed = ("on", ">w4tch", "-@all", "+sentinel|master")
            assert sentinel.command("ACL", "SETUSER", "watcher", "reset", *allowed) == "+OK"
        url = service.url.replace("://", "://scheduler:s3cr3t@")
        store = connect(f"{url}?sentinel_username=watcher&sentinel_password=w4tch", operation_timeout=10.0)
        try:
            held = await won(store, tick(now_us(), job="acl", no_overlap=True), SERVER, OVERLAP)
            assert list(await store.renew([held])) == [Renewal.HELD]
            assert list(await store.release([held])) == [True]
            await store.set_paused("acl", True)
            await store.refresh()
            wrong = connect(f"{url}?sentinel_username=watcher&sentinel_password=wrong")
            with pytest.raises(StoreUnavailableError, match=r"(?i)invalid username-password") as caught:
                await wrong.refresh()
            assert "s3cr3t" not in str(caught.value)
        finally:
            service.primary.command("ACL", "DELUSER", "scheduler")

    async def test_it_is_closed_and_may_be_used_again(self, service: SentinelService, connect: Any) -> None:
        store = connect(service.url, operation_timeout=10.0)
        await store.refresh()
        await store.close()
        await store.close()

        await store.refresh()


@pytest.fixture
def free_ports() -> list[int]:
    """Two ports on which nobody listens."""
    from _redis_server import free_port

    return [free_port(), free_port()]


class TestBelieving:
    """Of what the Sentinels say, the newest configuration counts."""

    @pytest.fixture
    def told(self, service: SentinelService, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What each of three Sentinels answers."""
        answers: list[Any] = []

        async def sighting(_self: Any, _sentinel: Any) -> Sighting:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, Sighting)
            return answer

        monkeypatch.setattr(SentinelLink, "_sighting", sighting)
        return answers

    def at(self, service: SentinelService, epoch: int = 1, *, is_down: bool = False) -> Sighting:
        return Sighting(epoch, ("127.0.0.1", service.primary.port), is_down)

    async def test_the_newest(self, service: SentinelService, connect: Any, told: list[Any]) -> None:
        stale = Sighting(1, ("127.0.0.1", 1), False)
        told += [stale, self.at(service, 2)]

        assert await verdict(connect(service.url), tick(now_us(), job="newest")) is Verdict.WON

    async def test_one_that_is_down_is_not_tried(self, service: SentinelService, connect: Any, told: list[Any]) -> None:
        told += [self.at(service, is_down=True)] * 2

        with pytest.raises(StoreUnavailableError, match=rf"the primary of 'main', .*:{service.primary.port}, is down"):
            await connect(service.url).claim([tick(now_us())])

    async def test_one_that_answers_is_not_down(self, service: SentinelService, connect: Any, told: list[Any]) -> None:
        store = connect(service.url)
        told += [self.at(service)] * 2 + [self.at(service, is_down=True)] * 2
        await store.refresh()

        await store.refresh()
        assert await verdict(store, tick(now_us(), job="up")) is Verdict.WON

    async def test_without_them_the_known_one_is_kept(
        self, service: SentinelService, connect: Any, told: list[Any]
    ) -> None:
        store = connect(service.url)
        told += [self.at(service)] * 2 + [OSError("away")] * 6
        await store.refresh()
        await store.refresh()
        store._link._is_doubted = True

        assert await verdict(store, tick(now_us(), job="kept")) is Verdict.WON

    async def test_a_fault_of_our_own_is_not_hidden(
        self, service: SentinelService, connect: Any, told: list[Any]
    ) -> None:
        told += [ZeroDivisionError("ours")] * 2

        with pytest.raises(ZeroDivisionError):
            await connect(service.url).refresh()

    async def test_another_clock_is_carried_on_until_the_new_one_is_read(
        self, service: SentinelService, connect: Any, told: list[Any]
    ) -> None:
        store = connect(service.url)
        told += [self.at(service)] * 2 + [Sighting(2, ("localhost", service.primary.port), False)] * 2
        await store.refresh()
        before = store.time()
        await store._link.look()

        assert not store._link.servers[0].time.is_sampled
        assert store.time() == pytest.approx(before, abs=5)
        assert await verdict(store, tick(now_us(), job="clock")) is Verdict.WON
        assert store._link.servers[0].time.is_sampled


async def test_a_killed_primary_is_followed_to_its_replica(
    make_sentinel_service: Any, connect: Any, master_for: Any
) -> None:
    service = make_sentinel_service()
    stores = [connect(service.url), connect(master_for(service))]
    acknowledged = tick(now_us())
    first = await eventually(connect(service.url, replica_ack=1), acknowledged)
    for store in stores:
        await store.refresh()
    service.primary.kill()
    for store in stores:
        with pytest.raises(StoreUnavailableError):
            await store.claim([tick(now_us(), "n1:r2")])
    promoted = service.wait_failed_over()

    for number, store in enumerate(stores):
        assert (await eventually(store, tick(acknowledged.tick_us, f"n{number}:r3"))).verdict is Verdict.ELSEWHERE
        answer = await eventually(store, tick(now_us(), f"n{number}:r4"))
        assert answer.verdict is Verdict.WON
        assert answer.fence > first.fence
        await store.refresh()
    assert [server.where for server in stores[0]._link.servers] == [f"127.0.0.1:{promoted.port}"]


async def test_a_primary_that_was_frozen_is_not_asked_any_more(
    make_sentinel_service: Any, connect: Any, master_for: Any
) -> None:
    service = make_sentinel_service()
    stores = [connect(service.url), connect(master_for(service))]
    for store in stores:
        await store.refresh()
    service.primary.freeze()
    service.wait_failed_over()
    service.primary.thaw()  # it takes itself for the primary still, and has our connections open

    for store in stores:
        await store.refresh()
    for number, store in enumerate(stores):
        assert (await eventually(store, tick(now_us(), f"n{number}:r1", job=f"job{number}"))).verdict is Verdict.WON
        found = service.replicas[0].command("EXISTS", f"schedule:jobLock:job{number}:tick")
        assert found == ":1"


async def test_a_failover_by_hand_is_followed(make_sentinel_service: Any, connect: Any, master_for: Any) -> None:
    service = make_sentinel_service()
    stores = [connect(service.url), connect(master_for(service))]
    for number, store in enumerate(stores):
        await won(store, tick(now_us(), job=f"job{number}"))
    assert service.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE) == "+OK"
    service.wait_failed_over()

    for number, store in enumerate(stores):  # the old primary goes on, as a replica
        assert (await eventually(store, tick(now_us(), "n1:r2", job=f"job{number}"))).verdict is Verdict.WON


@pytest.mark.parametrize("of_the_service", [False, True])
async def test_a_primary_that_became_a_replica_is_doubted(
    make_redis_server: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, of_the_service: bool
) -> None:
    server = make_redis_server()

    async def sighting(_self: Any, _sentinel: Any) -> Sighting:
        return Sighting(1, ("127.0.0.1", server.port), False)

    monkeypatch.setattr(SentinelLink, "_sighting", sighting)
    client = redis.asyncio.Redis.from_url(server.url)
    store = connect(client if of_the_service else "redis+sentinel://nowhere.invalid/main")
    await store.refresh()
    server.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailableError, match=r"(?i)read.?only"):
        await store.claim([tick(now_us())])
    assert "connected_clients:1" in server.text("INFO", "clients").splitlines()  # the one that asks this
    assert of_the_service or store._link._is_doubted
    server.command("REPLICAOF", "NO", "ONE")

    assert await verdict(store, tick(now_us())) is Verdict.WON
    await client.connection_pool.disconnect()
