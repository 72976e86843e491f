"""What stands under our keys is not trusted: whatever it is, it concerns one job, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fakeredis
import pytest
import redis.asyncio
from _contract import OVERLAP, SERVER, START, lease, start, tick, trigger
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asyncsched import RunContext, Scheduler
from asyncsched._grants import ClaimKind, ClaimRequest, LockType, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOCKS, STATE = "schedule:jobLock:{}:", "schedule:job:{}"
INDEXES = ["schedule:jobs:paused", "schedule:jobs:handed"]
RUN = LockType.RUN
PARTS = ["state", "tick", "server", "start", "open", "run", "overlap"]
DAY_US = 86_400 * 1_000_000

# Numbers that are none of ours, or only just

ODD_NUMBERS = ["-1", "0", "1", "1.5", "1e3", "1.7e+15", "nan", "-nan", "inf", "0x10", " 5", "5 ", "+5", "٣", ""]
HUGE = [str(2**53 - 1), str(2**53), str(2**63), str(2**64), "9" * 400]
texts = st.one_of(st.sampled_from(ODD_NUMBERS + HUGE), st.integers().map(str), st.text(max_size=12))
raw = st.one_of(texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=24))
lock_like = st.tuples(raw, st.sampled_from([b"|", b"", b"||"]), raw).map(b"".join)
names = st.one_of(st.sampled_from([b"tick", b"run", b"fence", b"granted", b"paused", b"x", b"NOW"]), raw)
"""Of fields; ``NOW`` stands for the tick that is claimed."""
fields = st.dictionaries(names, st.one_of(raw, lock_like), min_size=1)
values = st.one_of(
    st.tuples(st.just("string"), st.one_of(raw, lock_like)),
    st.tuples(st.just("hash"), fields),
    st.tuples(st.sampled_from(["list", "set", "sorted set"]), raw),
)
Value = tuple[str, Any]


def key(part: str, job: str, tick_us: int = 0) -> str:
    if part == "state":
        return STATE.format(job)
    return LOCKS.format(job) + (f"run:{tick_us}" if part == "run" else part)


async def put(client: Any, name: str, value: Value, tick_us: int = 0) -> None:
    """Let ``value`` stand under the key ``name``, as somebody else might."""
    kind, content = value
    if kind == "hash":
        content = {(str(tick_us).encode() if field == b"NOW" else field): item for field, item in content.items()}
    await client.delete(name)
    if kind == "string":
        await client.set(name, content)
    elif kind == "hash":
        await client.hset(name, mapping=content)
    elif kind == "list":
        await client.rpush(name, content)
    elif kind == "set":
        await client.sadd(name, content)
    else:
        await client.zadd(name, {content: 1.0})


Connecting = Callable[[], Any]


@asynccontextmanager
async def cluster(connecting: Connecting, *, decode: bool = False) -> AsyncIterator[tuple[Any, RedisStore, RedisStore]]:
    """An empty server: a client on it, and the stores of two nodes."""
    clients = [connecting()(), *(connecting()(decode_responses=decode) for _ in range(2))]
    await clients[0].flushall()
    try:
        yield clients[0], RedisStore(clients[1], operation_timeout=10.0), RedisStore(clients[2], operation_timeout=10.0)
    finally:
        for client in clients:
            await client.connection_pool.disconnect()


@pytest.fixture(params=["fakeredis", pytest.param("redis", marks=pytest.mark.redis)])
def connecting(request: pytest.FixtureRequest) -> Connecting:
    """Makes clients of one server."""
    if request.param == "fakeredis":
        server = fakeredis.FakeServer()
        return lambda: lambda **options: fakeredis.FakeAsyncRedis(server=server, **options)
    url = request.getfixturevalue("redis_url")
    return lambda: lambda **options: redis.asyncio.Redis.from_url(url, **options)


often = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def request_of(kind: ClaimKind, owner: str, now: int) -> ClaimRequest:
    if kind is ClaimKind.START:
        return start(owner, no_overlap=True)
    if kind is ClaimKind.TRIGGER:
        return trigger(owner)
    return replace(tick(now, owner, no_overlap=True), kind=kind, max_attempts=2)


SAFE = set(Verdict) - {Verdict.LATE}


@often
@given(st.sampled_from(PARTS), values, st.sampled_from(list(ClaimKind)), st.booleans())
@example(
    "tick",
    ("hash", {b"tick": str(2**53 - 1).encode(), b"run": b"x", b"fence": b"1", b"granted": b"1"}),
    ClaimKind.TICK,
    False,
)
@example("state", ("hash", {b"fence": str(2**53 - 1).encode()}), ClaimKind.TICK, False)
@example("server", ("string", b"\xff\xfe|5"), ClaimKind.TICK, True)
@example("open", ("hash", {b"NOW": b"9007199254740991|n1:r0"}), ClaimKind.TICK, False)
@example("open", ("hash", {b"NOW": b"1000000000000000|n1:r0"}), ClaimKind.SURVEY, False)
@example("open", ("hash", {b"NOW": b"1|n1:r0", b"0005": b"1|n1:r0"}), ClaimKind.RERUN, False)
@example("overlap", ("string", b"n1:r1|5"), ClaimKind.TRIGGER, True)
def test_a_foreign_value_concerns_its_job_alone(
    connecting: Connecting, part: str, value: Value, kind: ClaimKind, decode: bool
) -> None:
    async def live() -> None:
        async with cluster(connecting, decode=decode) as (client, one, other):
            now = round(time.time() * 1e6) - 1_000_000
            await put(client, key(part, "report", now), value, now)
            before, after = tick(now, job="before"), tick(now, job="after", no_overlap=True)
            ours, theirs = request_of(kind, "n1:r1", now), request_of(kind, "n2:r1", now)

            answers = await one.claim([before, ours, after])
            assert [answers[0].verdict, answers[2].verdict] == [Verdict.WON] * 2
            assert answers[1].verdict in SAFE
            assert answers[1].newest_us <= now + DAY_US + 10_000_000
            again = (await one.claim([ours]))[0].verdict
            assert again is answers[1].verdict or Verdict.WON not in {again, answers[1].verdict}
            second = (await other.claim([theirs]))[0].verdict
            assert {answers[1].verdict, second} != {Verdict.WON}, "granted twice"

            locks = (OVERLAP, SERVER, RUN) if kind is ClaimKind.TICK else (OVERLAP,)
            held = [
                lease(before, answers[0].fence, SERVER),
                replace(lease(ours, answers[1].fence, *locks), tick_us=now),
                lease(after, answers[2].fence, SERVER, OVERLAP),
            ]
            renewals = await one.renew(held)
            assert [renewals[0], renewals[2]] == ["held"] * 2
            await one.set_paused("before", True)
            await one.refresh()
            assert one.is_paused("before")
            freed = await one.release(
                [held[0], replace(lease(ours, 0, *locks, START), tick_us=now, finished=True), held[2]]
            )
            assert [freed[0], freed[2]] == [True, True]

    asyncio.run(live())


@often
@given(st.sampled_from(["tick", "server", "overlap", "state"]), values)
def test_a_value_that_changes_under_a_run_harms_that_run_alone(connecting: Connecting, part: str, value: Value) -> None:
    async def live() -> None:
        async with cluster(connecting) as (client, one, other):
            now = round(time.time() * 1e6) - 1_000_000
            requests = [tick(now, job=job, no_overlap=True) for job in ("report", "beside")]
            answers = await one.claim(requests)
            held = [
                lease(request, answer.fence, SERVER, OVERLAP) for request, answer in zip(requests, answers, strict=True)
            ]
            await put(client, key(part, "report"), value)

            # A node that has seen the tick decided never wins it again, whatever stands there now.
            late = tick(now, "n2:r1", no_overlap=True, remembered_us=now)
            assert (await other.claim([late]))[0].verdict is not Verdict.WON
            renewals = await one.renew(held)
            assert renewals[1] == "held"
            if part in {"server", "overlap"}:
                assert renewals[0] == "lost"
            assert (await one.release(held))[1] is True

    asyncio.run(live())


@often
@given(st.sampled_from(INDEXES), values, st.booleans())
@example(INDEXES[0], ("set", b"\xff\xfe"), True)
@example(INDEXES[1], ("set", b"99999999999999999 a b"), False)
def test_a_foreign_index_decides_no_claim(connecting: Connecting, index: str, value: Value, decode: bool) -> None:
    async def live() -> None:
        async with cluster(connecting, decode=decode) as (client, one, other):
            one.listen(lambda job, tick_us: None)
            await put(client, index, value)
            for ask in (one.refresh(), one.set_paused("report", True)):
                with suppress(StoreUnavailableError):
                    await ask
            now = round(time.time() * 1e6) - 1_000_000
            assert (await other.claim([tick(now, job="beside")]))[0].verdict is Verdict.WON

    asyncio.run(live())


SAMPLES: list[Value] = [
    *(("string", text.encode()) for text in ["", "foreign", "n|1|2", "n|-1", f"n|{2**53}", "other:run|1"]),
    ("string", b"\xff\xfe|5"),
    *(("hash", {b"fence": text.encode(), b"tick": text.encode()}) for text in ["nan", "-1", str(2**53 - 1), "9" * 99]),
    ("hash", {b"tick": str(2**53 - 1).encode(), b"run": b"x", b"fence": b"1", b"granted": b"1"}),
    ("hash", {b"x": b"y"}),
    ("list", b"foreign"),
    ("sorted set", b"foreign"),
]


@pytest.mark.redis
async def test_a_whole_cluster_lives_with_foreign_values(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    starts: Counter[tuple[str, Any]] = Counter()

    async def work(ctx: RunContext) -> None:
        starts[ctx.job, ctx.fire_time] += 1

    foreign = {f"{part}-{number}": (part, value) for part in PARTS for number, value in enumerate(SAMPLES)}
    nodes = [Scheduler(redis_url, node=name, shutdown_timeout=5) for name in ("a", "b")]
    for node in nodes:
        for name in [*foreign, "beside"]:
            job = node.add_job(name, work).per_seconds(0.5).on_one_server().without_overlapping().lock_ttl(5)
            if name.startswith("open"):
                job.rerun_on_crash()
        node.add_job("plain", work).per_seconds(0.5)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        for name, (part, value) in foreign.items():
            await put(client, key(part, name), value)
        async with nodes[0], nodes[1], asyncio.timeout(60):
            while sum(job == "beside" for job, _ in starts) < 4:
                await asyncio.sleep(0.05)
            for number, name in enumerate(foreign):  # and again, while they run
                await put(client, key("overlap", name), SAMPLES[number % len(SAMPLES)])
            seen = sum(job == "beside" for job, _ in starts)
            while sum(job == "beside" for job, _ in starts) < seen + 4:
                await asyncio.sleep(0.05)
            assert all(node.snapshot().state == "running" for node in nodes)
            assert all(node.snapshot().store_available for node in nodes)
    twice = {tick_ for tick_, times in starts.items() if times > 1 and tick_[0] != "plain"}
    assert twice == set()
    assert not any(record.exc_info for record in caplog.records)
    complaints = [record.getMessage() for record in caplog.records if "cannot be claimed" in record.getMessage()]
    assert complaints
