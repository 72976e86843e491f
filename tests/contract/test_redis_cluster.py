"""How a Redis store lives with the primaries of a Cluster: keys, round trips, redirections, and one of them away."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from _contract import OVERLAP, SERVER, START, decide, lease, start, tick, verdict, won
from _redis_cluster import RedisCluster, slot_of

from asyncsched._grants import ClaimAnswer, Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores._server import Server
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _redis_server import RedisServer

pytestmark = pytest.mark.redis


def now_us() -> int:
    return round(time.time() * 1e6)


@pytest.fixture
def cluster(redis_cluster: RedisCluster) -> RedisCluster:
    """Three primaries, empty, shared: not to be broken."""
    redis_cluster.flush()
    return redis_cluster


@pytest.fixture
def store(cluster: RedisCluster, connect: Any) -> RedisStore:
    """A store on it, patient enough for a slow machine."""
    return connect(cluster.url, operation_timeout=10.0)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Each round trip: to whom, and the names of its commands."""
    trips: list[tuple[str, list[str]]] = []
    send = Server.send

    async def noted(self: Server, commands: Any, *, asking: bool = False, within: float = 0.0) -> list[Any]:
        trips.append((self.where, [command[0] for command in commands]))
        return await send(self, commands, asking=asking, within=within)

    monkeypatch.setattr(Server, "send", noted)
    return trips


def lines(server: RedisServer, *words: str) -> list[str]:
    """Ask for a list of strings, through a script that joins it."""
    call = ",".join(f"'{word}'" for word in words)
    return server.text("EVAL", f"return table.concat(redis.call({call}), '\\n')", "0").splitlines()


class TestKeys:
    async def test_all_keys_of_a_job_are_in_its_slot(self, cluster: RedisCluster, store: RedisStore) -> None:
        jobs = [cluster.job_of(primary) for primary in cluster.primaries]
        for job in jobs:
            await won(store, tick(now_us(), job=job, no_overlap=True), SERVER, OVERLAP)
            await won(store, start(job=job), START)
            await store.set_paused(job, True)

        for job, primary in zip(jobs, cluster.primaries, strict=True):
            keys = sorted(set(lines(primary, "KEYS", "*")) - {"schedule:jobs:paused"})
            locks = [f"schedule:jobLock:{{{job}}}:{name}" for name in ("overlap", "server", "start", "tick")]
            assert keys == sorted([f"schedule:job:{{{job}}}", *locks])
            assert {primary.command("CLUSTER", "KEYSLOT", key) for key in keys} == {f":{slot_of(job)}"}

    async def test_prefixes_separate_clusters(self, cluster: RedisCluster, connect: Any) -> None:
        job, now = cluster.job_of(cluster.primaries[1]), now_us()
        await won(connect(cluster.url, prefix="one:"), tick(now, job=job))

        assert await verdict(connect(cluster.url, prefix="two:"), tick(now, "n2:r1", job=job)) is Verdict.WON
        assert f"one:schedule:jobLock:{{{job}}}:tick" in lines(cluster.primaries[1], "KEYS", "*")

    async def test_a_pause_is_in_the_job_and_in_the_index(self, cluster: RedisCluster, store: RedisStore) -> None:
        job = cluster.job_of(cluster.primaries[0])
        await store.set_paused(job, True)
        index = [primary.command("EXISTS", "schedule:jobs:paused") for primary in cluster.primaries]
        assert index.count(":1") == 1
        assert cluster.primaries[0].command("HEXISTS", f"schedule:job:{{{job}}}", "paused") == ":1"

        await store.set_paused(job, False)
        assert {primary.command("DBSIZE") for primary in cluster.primaries} == {":0"}


class TestRoundTrips:
    async def test_jobs_due_together_take_one_for_each_primary(self, store: RedisStore, sent: Any) -> None:
        requests = [tick(now_us(), job=f"job{index}") for index in range(450)]
        await store.refresh()  # the servers are found, and looked at
        await store.claim(requests)  # they learn the scripts
        await store.renew([lease(request, 1, SERVER) for request in requests])
        await store.release([lease(request, 1, SERVER) for request in requests])
        for ask in (
            lambda: store.claim([tick(now_us(), job=f"job{index}") for index in range(450)]),
            lambda: store.renew([lease(request, 1, SERVER) for request in requests]),
            lambda: store.release([lease(request, 1, SERVER) for request in requests]),
            store.refresh,
        ):
            sent.clear()
            await ask()
            assert len(sent) == 3
            assert len({where for where, _ in sent}) == 3

    async def test_a_server_that_forgot_the_scripts_is_sent_the_text_once(
        self, cluster: RedisCluster, store: RedisStore, sent: Any
    ) -> None:
        await store.claim([tick(now_us(), job=f"job{index}") for index in range(90)])
        for primary in cluster.primaries:
            primary.command("SCRIPT", "FLUSH")
        sent.clear()
        answers = await store.claim([tick(now_us(), "n1:r2", job=f"job{index}") for index in range(90)])

        assert {answer.verdict for answer in answers} == {Verdict.WON}
        assert [names.count("EVAL") for _, names in sent] == [0, 0, 0, 1, 1, 1]

    async def test_more_jobs_in_one_slot_than_one_call_takes(
        self, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("asyncsched.stores._wire.CHUNK", 2)
        requests = [tick(now_us(), f"n1:r{index}", job="one") for index in range(5)]
        answers = [answer.verdict for answer in await store.claim(requests)]

        assert answers.count(Verdict.WON) >= 1
        assert set(answers) <= {Verdict.WON, Verdict.ELSEWHERE}


class TestClocks:
    async def test_the_one_most_behind_counts(self, store: RedisStore) -> None:
        assert store.time() is None
        await store.refresh()
        assert store.time() == pytest.approx(time.time(), abs=1)
        store._link.servers[1].time._offset -= 3_600.0

        assert store.time() == pytest.approx(time.time() - 3_600, abs=1)

    async def test_a_deadline_is_by_the_clock_of_the_one_that_decides(
        self, cluster: RedisCluster, store: RedisStore, sent: Any
    ) -> None:
        await store.refresh()
        first = store._link.servers[0]
        first.time._offset -= 3_600.0  # what its clock showed before it was set forward
        jobs = [cluster.job_of(primary) for primary in cluster.primaries]
        await store.claim([start(job=job) for job in jobs])  # the servers learn the script
        first.time._offset -= 3_600.0
        sent.clear()
        answers = await store.claim([tick(now_us(), job=job) for job in jobs])

        assert [answer.verdict for answer in answers] == [Verdict.WON] * 3
        assert sorted(where for where, _ in sent) == sorted([*(s.where for s in store._link.servers), first.where])


class TestClients:
    async def test_a_client_of_the_service_is_read_and_not_used(self, cluster: RedisCluster, connect: Any) -> None:
        port = cluster.primaries[2].port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port, decode_responses=True) as client:
            store = connect(client)
            for primary in cluster.primaries:
                await won(store, tick(now_us(), job=cluster.job_of(primary)))
            await store.refresh()
            await store.close()
            assert await client.ping()

    async def test_its_remapped_addresses_are_used(self, cluster: RedisCluster, connect: Any) -> None:
        port = cluster.primaries[0].port
        client = redis.asyncio.RedisCluster(
            host="127.0.0.1", port=port, address_remap=lambda address: ("localhost", address[1])
        )
        store = connect(client)
        await store.refresh()

        assert {server.address[0] for server in store._link.servers} == {"localhost"}

    async def test_a_plain_url_of_a_member_says_what_is_needed(self, cluster: RedisCluster, connect: Any) -> None:
        store = connect(cluster.primaries[0].url)
        foreign = cluster.job_of(cluster.primaries[1])

        with pytest.raises(StoreUnavailableError, match=r"needs a redis\+cluster:// URL"):
            await store.claim([tick(now_us(), job=foreign)])
        with pytest.raises(StoreUnavailableError, match=r"needs a redis\+cluster:// URL"):
            await store.release([lease(tick(1, job=foreign), 1, SERVER)])

    async def test_a_server_that_is_no_member_says_so(self, redis_server: RedisServer, connect: Any) -> None:
        store = connect(f"redis+cluster://127.0.0.1:{redis_server.port}")

        with pytest.raises(
            StoreUnavailableError, match=r"no member of the Cluster answers: .*cluster support disabled"
        ):
            await store.claim([tick(now_us())])

    async def test_a_member_that_serves_nothing_says_so(self, connect: Any) -> None:
        alone = RedisCluster(primaries=1)
        alone.primaries[0].start()
        try:
            with pytest.raises(StoreUnavailableError, match="belongs to no Cluster yet"):
                await connect(alone.url).refresh()
        finally:
            alone.stop()

    async def test_grants_without_a_replica_do_not_count(self, cluster: RedisCluster, connect: Any) -> None:
        store = connect(cluster.url, replica_ack=1)
        job, other = (cluster.job_of(primary) for primary in cluster.primaries[:2])
        await won(connect(cluster.url), tick(now_us(), job=other))
        answers = await store.claim([tick(now_us(), job=job), tick(1, "n2:r1", job=other)])

        assert [answer.verdict for answer in answers] == [Verdict.UNDECIDED, Verdict.ELSEWHERE]
        assert "0 of 1 replicas acknowledged the grants" in answers[0].detail

    async def test_a_client_that_cancels_by_itself(
        self, cluster: RedisCluster, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.refresh()
        send = Server.send

        async def cancelled(self: Server, commands: Any, *, asking: bool = False, within: float = 0.0) -> Any:
            if self is store._link.servers[0]:
                raise asyncio.CancelledError
            return await send(self, commands, asking=asking, within=within)

        monkeypatch.setattr(Server, "send", cancelled)
        answers = await store.claim([tick(now_us(), job=cluster.job_of(primary)) for primary in cluster.primaries])

        assert sorted(answer.verdict for answer in answers) == [Verdict.UNDECIDED, Verdict.WON, Verdict.WON]
        assert "the client cancelled it" in next(answer.detail for answer in answers if answer.detail)

    async def test_the_documented_user_suffices(self, cluster: RedisCluster, connect: Any) -> None:
        page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
        (line,) = re.findall(r"^ACL SETUSER asyncsched (.*)$", page, re.MULTILINE)
        (more,) = re.findall(r"needs two commands more than the .* line\]\(.*\) has: `(.*)`", page)
        for primary in cluster.primaries:
            assert primary.command("ACL", "SETUSER", "scheduler", "reset", *line.split(), *more.split()) == "+OK"
        store = connect(cluster.url.replace("://", "://scheduler:secret@"), prefix="shop:")
        try:
            for primary in cluster.primaries:
                held = await won(store, tick(now_us(), job=cluster.job_of(primary), no_overlap=True), SERVER, OVERLAP)
                assert list(await store.renew([held])) == [Renewal.HELD]
                assert list(await store.release([held])) == [True]
                await store.set_paused(held.job, True)
                await store.set_paused(held.job, False)
            await store.refresh()
        finally:
            for primary in cluster.primaries:
                primary.command("ACL", "DELUSER", "scheduler")

    async def test_it_is_closed_and_may_be_used_again(self, cluster: RedisCluster, connect: Any) -> None:
        store = connect(cluster.url)
        await store.refresh()
        await store.close()
        await store.close()

        await store.refresh()


# One of the primaries away


@pytest.fixture(scope="module")
def breakable() -> Iterator[RedisCluster]:
    """Three primaries of this module's own; a test that stops one lets it go on before it ends."""
    cluster = RedisCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def three(breakable: RedisCluster) -> RedisCluster:
    """They, empty."""
    breakable.flush()
    return breakable


async def eventually(store: RedisStore, request: Any) -> ClaimAnswer:
    """Ask as the engine does: again and again, until it is decided."""
    async with asyncio.timeout(20):
        while True:
            try:
                (answer,) = await store.claim([request])
            except StoreUnavailableError:
                answer = ClaimAnswer(Verdict.UNDECIDED)
            if answer.verdict is not Verdict.UNDECIDED:
                return answer
            await asyncio.sleep(0.05)


class TestOneAway:
    async def test_it_costs_its_own_jobs_only(self, three: RedisCluster, connect: Any) -> None:
        away = three.primaries[1]
        jobs = [three.job_of(primary) for primary in three.primaries]
        store = connect(three.url, operation_timeout=0.5)
        held = [await won(store, tick(now_us(), job=job, no_overlap=True), SERVER, OVERLAP) for job in jobs]
        await store.refresh()
        away.freeze()
        try:
            others = [three.job_of(primary, 1) for primary in three.primaries]
            answers = await store.claim([tick(now_us(), job=job) for job in others])
            assert [answer.verdict for answer in answers] == [Verdict.WON, Verdict.UNDECIDED, Verdict.WON]
            assert f"could not decide: 127.0.0.1:{away.port}: no answer within" in answers[1].detail
            slow = [server.where for server in store._link.servers if server.is_slow]
            assert slow == [f"127.0.0.1:{away.port}"]  # so the others' jobs wait for it only a little from now on
            assert list(await store.renew(held)) == [Renewal.HELD, Renewal.UNDECIDED, Renewal.HELD]
            assert list(await store.release(held)) == [True, None, True]
            with pytest.raises(StoreUnavailableError, match=f"could not answer a refresh: 127.0.0.1:{away.port}"):
                await store.refresh()
            assert store.time() == pytest.approx(time.time(), abs=5)
            assert await verdict(store, tick(now_us(), "n1:r3", job=jobs[1])) is Verdict.UNDECIDED
        finally:
            away.thaw()

        assert (await eventually(store, tick(now_us(), "n1:r4", job=jobs[1]))).verdict is Verdict.WON
        assert not any(server.is_slow for server in store._link.servers)

    async def test_all_away(self, three: RedisCluster, connect: Any) -> None:
        store = connect(three.url)
        await store.refresh()
        for primary in three.primaries:
            primary.freeze()
        try:
            with pytest.raises(StoreUnavailableError, match="could not decide 50 claims"):
                await store.claim([tick(now_us(), job=f"job{index}") for index in range(50)])
            with pytest.raises(StoreUnavailableError, match=r"no member of the Cluster answers: no answer within"):
                await connect(three.url, operation_timeout=0.3).refresh()
        finally:
            for primary in three.primaries:
                primary.thaw()

    async def test_a_pause_by_half_is_reported_and_repeated(self, three: RedisCluster, connect: Any) -> None:
        store, other = connect(three.url, operation_timeout=0.5), connect(three.url)
        index = next(p for p in three.primaries if not p.command("EXISTS", "schedule:jobs:paused").startswith("-MOVED"))
        job = three.job_of(next(primary for primary in three.primaries if primary is not index))
        await store.refresh()
        index.freeze()
        try:
            with pytest.raises(StoreUnavailableError, match=f"could not pause job '{job}'"):
                await store.set_paused(job, True)
            assert not store.is_paused(job)
        finally:
            index.thaw()
        assert (await eventually(other, tick(now_us(), job=job))).verdict is Verdict.PAUSED
        async with asyncio.timeout(20):
            while not other.is_paused(job):
                try:
                    await store.set_paused(job, True)
                    await other.refresh()
                except StoreUnavailableError:
                    await asyncio.sleep(0.05)

    async def test_cancelling_is_not_mistaken_for_an_error(self, three: RedisCluster, connect: Any) -> None:
        store = connect(three.url, operation_timeout=5.0)
        await store.refresh()
        three.primaries[0].freeze()
        jobs = [three.job_of(primary) for primary in three.primaries]
        task = asyncio.ensure_future(store.claim([tick(now_us(), job=job) for job in jobs]))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        three.primaries[0].thaw()

        assert (await eventually(store, tick(now_us(), "n1:r2", job=jobs[0]))).verdict is Verdict.WON


class TestSlotsThatMove:
    """A slot with a job's keys on its way from one primary to another, and there."""

    async def test_claims_wait_while_it_moves_and_follow_it(self, three: RedisCluster, connect: Any, sent: Any) -> None:
        source, target = three.primaries[:2]
        job, slot = three.job_of(source), str(slot_of(three.job_of(source)))
        store, unaware = (connect(three.url, operation_timeout=10.0) for _ in range(2))
        held = await won(store, tick(now_us(), job=job, no_overlap=True), SERVER, OVERLAP)
        await unaware.refresh()
        try:
            assert target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", three.id_of(source)) == "+OK"
            assert source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", three.id_of(target)) == "+OK"
            lock = f"schedule:jobLock:{{{job}}}:overlap"
            assert source.command("MIGRATE", "127.0.0.1", str(target.port), lock, "0", "5000") == "+OK"
            waiting = await decide(store, tick(now_us(), "n1:r2", job=job, no_overlap=True))
            assert waiting.verdict is Verdict.UNDECIDED
            assert "keys request during rehashing of slot" in waiting.detail  # TRYAGAIN
            overlap_only = lease(tick(1, job=job), held.fence, OVERLAP)
            assert list(await store.renew([overlap_only])) == [Renewal.HELD]  # one key: it is asked where it is

            for key in lines(source, "CLUSTER", "GETKEYSINSLOT", slot, "10"):
                assert source.command("MIGRATE", "127.0.0.1", str(target.port), key, "0", "5000") == "+OK"
            for server in (target, source, three.primaries[2]):
                assert server.command("CLUSTER", "SETSLOT", slot, "NODE", three.id_of(target)) == "+OK"
            sent.clear()
            assert await verdict(unaware, tick(held.fence, "n1:r3", job=job, no_overlap=True)) is Verdict.OVERLAP
            asked = [where for where, names in sent if "EVALSHA" in names]
            assert asked == [f"127.0.0.1:{source.port}", f"127.0.0.1:{target.port}"]
            sent.clear()
            assert list(await unaware.release([held])) == [True]  # what it was told is kept
            assert f"127.0.0.1:{source.port}" not in [where for where, names in sent if "EVALSHA" in names]
        finally:
            self._give_back(three, slot)

    def _give_back(self, three: RedisCluster, slot: str) -> None:
        source, target = three.primaries[:2]
        three.flush()
        for server in (source, target):
            server.command("CLUSTER", "SETSLOT", slot, "STABLE")
        for server in (source, target, three.primaries[2]):
            server.command("CLUSTER", "SETSLOT", slot, "NODE", three.id_of(source))

    async def test_a_slot_that_nobody_serves_leaves_its_jobs_undecided(self, three: RedisCluster, connect: Any) -> None:
        source = three.primaries[0]
        job, slot = three.job_of(source), str(slot_of(three.job_of(source)))
        other = three.job_of(three.primaries[2])
        try:
            for server in three.primaries:
                assert server.command("CLUSTER", "DELSLOTS", slot) == "+OK"
            store = connect(three.url, operation_timeout=10.0)
            answers = await store.claim([tick(now_us(), job=job), tick(now_us(), job=other)])
            assert [answer.verdict for answer in answers] == [Verdict.UNDECIDED, Verdict.WON]
            assert f"slot {slot} is served by nobody" in answers[0].detail
        finally:
            for server in three.primaries:
                server.command("CLUSTER", "ADDSLOTS" if server is source else "SETSLOT", slot)
                if server is not source:
                    server.command("CLUSTER", "SETSLOT", slot, "NODE", three.id_of(source))


async def test_a_failover_is_followed_and_forgets_nothing_acknowledged(make_redis_cluster: Any, connect: Any) -> None:
    cluster = make_redis_cluster(replicas=1)
    old, new = cluster.primaries[0], cluster.replicas[0]
    job, other = cluster.job_of(old), cluster.job_of(cluster.primaries[1])
    request = tick(now_us(), job=job)
    first = await eventually(connect(cluster.url, replica_ack=1), request)
    store = connect(cluster.url)
    await store.refresh()
    old.kill()
    answers = await store.claim([tick(now_us(), job=job), tick(now_us(), job=other)])
    assert [answer.verdict for answer in answers] == [Verdict.UNDECIDED, Verdict.WON]

    repeated = await eventually(store, tick(request.tick_us, "n2:r1", job=job))
    assert repeated.verdict is Verdict.ELSEWHERE
    assert "role:master" in new.text("INFO", "replication")
    assert (await won(store, tick(now_us(), "n2:r2", job=job))).fence > first.fence
    await store.refresh()
