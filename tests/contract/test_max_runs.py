"""``max_runs``: so many ticks of a job are granted in the cluster, whoever asks, and each is counted once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from _contract import OVERLAP, RUN, SERVER, Verdict, decide, rerun, start, tick, trigger, verdict, won

from asyncsched._grants import ClaimAnswer

if TYPE_CHECKING:
    from _contract import Backend, RedisBackend

    from asyncsched._grants import ClaimRequest
    from asyncsched.protocols import Store

WON, FINISHED, ELSEWHERE = Verdict.WON, Verdict.FINISHED, Verdict.ELSEWHERE


def limited(tick_us: int, owner: str, runs: int = 2, **options: bool) -> ClaimRequest:
    return replace(tick(tick_us, owner, **options), max_runs=runs)


async def test_the_ticks_of_all_nodes_are_counted(store: Store, other: Store, now: int) -> None:
    asked = [await verdict(store, limited(now - 3, "n1:r1")), await verdict(other, limited(now - 2, "n2:r1"))]
    answers = [await decide(node, limited(now - 1, "n:late")) for node in (store, other)]

    assert asked == [WON, WON]
    assert answers == [ClaimAnswer(FINISHED, newest_us=now - 2)] * 2


async def test_the_one_at_a_time_of_many_nodes_are_counted(store: Store, other: Store, now: int) -> None:
    for node, owner in ((store, "n1:r1"), (other, "n2:r1")):
        held = await won(node, limited(now, owner, one_server=False, no_overlap=True), OVERLAP)
        await node.release([held])

    assert await verdict(store, limited(now, "n1:r2", one_server=False, no_overlap=True)) is FINISHED


async def test_a_repeated_claim_counts_once(store: Store, now: int) -> None:
    first = limited(now - 2, "n1:r1")
    answers = [await decide(store, first) for _ in range(3)]

    assert {answer.fence for answer in answers} == {answers[0].fence}
    assert await verdict(store, limited(now - 1, "n1:r2")) is WON
    assert await verdict(store, first) is ELSEWHERE  # overtaken, and no third one
    assert await verdict(store, limited(now, "n1:r3")) is FINISHED


async def test_what_is_not_granted_does_not_count(store: Store, other: Store, now: int) -> None:
    held = await won(store, limited(now - 5, "n1:r1", no_overlap=True), SERVER, OVERLAP)
    assert await verdict(other, limited(now - 4, "n2:r1", no_overlap=True)) is Verdict.OVERLAP
    await store.release([held])
    await store.set_paused("report", True)
    assert await verdict(store, limited(now - 3, "n1:r2", no_overlap=True)) is Verdict.PAUSED
    await store.set_paused("report", False)
    assert await verdict(store, limited(now + 60_000_000, "n1:r3", no_overlap=True)) is Verdict.EARLY

    assert await verdict(store, limited(now - 2, "n1:r4", no_overlap=True)) is WON


async def test_what_is_no_tick_neither_counts_nor_is_refused(store: Store, now: int) -> None:
    assert await verdict(store, limited(now - 1, "n1:r1", 1)) is WON
    assert await verdict(store, limited(now, "n1:r2", 1)) is FINISHED
    for request in (start("n1:r3"), trigger("n1:r4")):
        assert await verdict(store, replace(request, max_runs=1)) is WON


async def test_a_rerun_does_not_count(backend: Backend, store: Store, other: Store, now: int) -> None:
    first = replace(limited(now - 2, "n1:r1"), max_attempts=3)
    await won(store, first)
    await store.release([replace(await won(store, first, SERVER, RUN), tick_us=now - 2)])
    assert await verdict(other, replace(rerun(now - 2), max_runs=0)) is WON

    assert await verdict(other, limited(now - 1, "n2:r2")) is WON
    assert await verdict(other, limited(now, "n2:r3")) is FINISHED


async def test_each_node_goes_by_its_own_limit(store: Store, other: Store, now: int) -> None:
    for nth in range(3):
        assert await verdict(store, limited(now - 9 + nth, f"n1:r{nth}", 3)) is WON

    assert await verdict(store, limited(now - 5, "n1:r9", 3)) is FINISHED
    assert await verdict(other, limited(now - 5, "n2:r1", 4)) is WON
    assert await verdict(other, tick(now - 4, "n2:r2")) is WON
    assert await verdict(other, limited(now - 3, "n2:r3", 5)) is WON  # a tick without a limit was not counted
    assert await verdict(other, limited(now - 2, "n2:r4", 5)) is FINISHED


async def test_the_count_outlives_the_connection(store: Store, now: int) -> None:
    assert await verdict(store, limited(now - 1, "n1:r1", 1)) is WON
    await store.close()

    assert await verdict(store, limited(now, "n1:r2", 1)) is FINISHED


async def test_a_store_that_has_lost_everything_counts_anew(backend: Backend, store: Store, now: int) -> None:
    assert await verdict(store, limited(now - 1, "n1:r1", 1)) is WON
    await backend.lose_everything()

    assert await verdict(store, limited(now, "n2:r1", 1)) is WON


@pytest.mark.parametrize("foreign", ["many", "-1", "9007199254740993"])
async def test_a_foreign_count_in_redis_grants_nothing(redis_backend: RedisBackend, now: int, foreign: str) -> None:
    store = redis_backend.store()
    await redis_backend.raw.hset("schedule:job:report", "runs", foreign)

    answer = await decide(store, limited(redis_backend.now_us(), "n1:r1"))
    assert (answer.verdict, "state" in answer.detail) == (Verdict.CORRUPT, True)
    assert await verdict(store, tick(redis_backend.now_us(), "n1:r2")) is WON  # it does not look at that


@pytest.fixture
def now(request: pytest.FixtureRequest) -> int:
    name = "redis_backend" if "redis_backend" in request.fixturenames else "backend"
    return int(request.getfixturevalue(name).now_us())


async def test_the_count_stands_in_the_state(redis_backend: RedisBackend, now: int) -> None:
    store = redis_backend.store()
    for nth in range(2):
        await won(store, limited(now - 2 + nth, f"n1:r{nth}"))

    assert await redis_backend.raw.hget("schedule:job:report", "runs") in (b"2", "2")
    assert await redis_backend.raw.ttl("schedule:job:report") == -1
