"""Ticks that meet a run in progress and wait for its end, or ask it to end: nothing is used up, nothing overlaps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from _contract import OVERLAP, SERVER, SHORT_TTL, decide, start, tick, trigger, verdict, won

from asyncsched._grants import ClaimAnswer, Renewal, Verdict

if TYPE_CHECKING:
    from _contract import Backend, RedisBackend

    from asyncsched._grants import ClaimRequest, Lease
    from asyncsched.protocols import Store

MET = Verdict.OVERLAP


def waiting(tick_us: int, owner: str, *, cancels: bool = False, one_server: bool = True) -> ClaimRequest:
    return replace(tick(tick_us, owner, one_server=one_server, no_overlap=True), waits=True, cancels=cancels)


async def granted(store: Store, request: ClaimRequest) -> Lease:
    return replace(await won(store, request, SERVER, OVERLAP), cancellable=True)


async def test_a_tick_that_waits_is_not_used_up(store: Store, other: Store, now: int) -> None:
    held = await granted(store, waiting(now - 2, "n1:r1"))
    later = waiting(now - 1, "n2:r1")
    for _ in range(2):
        assert await decide(other, later) == ClaimAnswer(MET, newest_us=now - 2)
    assert await store.release([held]) == [True]

    answer = await decide(other, later)
    assert (answer.verdict, answer.newest_us, answer.fence > held.fence) == (Verdict.WON, now - 1, True)


async def test_one_of_those_that_wait_for_the_same_tick_gets_it(store: Store, other: Store, now: int) -> None:
    held = await granted(store, waiting(now - 2, "n1:r1"))
    for node, owner in ((store, "n1:r2"), (other, "n2:r2")):
        assert await verdict(node, waiting(now - 1, owner)) is MET
    await store.release([held])

    assert await verdict(other, waiting(now - 1, "n2:r2")) is Verdict.WON
    assert await verdict(store, waiting(now - 1, "n1:r2")) is Verdict.ELSEWHERE


async def test_a_tick_that_does_not_wait_is_used_up_for_those_that_do(store: Store, other: Store, now: int) -> None:
    await granted(store, waiting(now - 2, "n1:r1"))
    assert await verdict(other, tick(now - 1, "n2:r1", no_overlap=True)) is MET

    assert await verdict(store, waiting(now - 1, "n1:r2")) is Verdict.ELSEWHERE


async def test_without_a_record_it_waits_too(store: Store, other: Store, now: int) -> None:
    held = await won(store, waiting(now, "n1:r1", one_server=False), OVERLAP)
    assert await decide(other, waiting(now, "n2:r1", one_server=False)) == ClaimAnswer(MET)
    await store.release([held])

    assert await verdict(other, waiting(now, "n2:r1", one_server=False)) is Verdict.WON


async def test_it_waits_for_the_end_of_a_lease(backend: Backend, store: Store, other: Store, now: int) -> None:
    short = replace(waiting(now - 2, "n1:r1"), lock_ttl=SHORT_TTL)
    await granted(store, short)
    later = waiting(now - 1, "n2:r1", cancels=True)
    assert await verdict(other, later) is MET
    await backend.pass_time(2 * SHORT_TTL)

    assert await verdict(other, later) is Verdict.WON


async def test_the_holder_hears_that_it_is_to_end(store: Store, other: Store, now: int) -> None:
    held = await granted(store, waiting(now - 2, "n1:r1"))
    assert await store.renew([held]) == [Renewal.HELD]
    assert await verdict(other, waiting(now - 1, "n2:r1", cancels=True)) is MET

    for _ in range(2):
        assert await store.renew([held]) == [Renewal.UNWANTED]
        assert await verdict(other, waiting(now - 1, "n2:r1", cancels=True)) is MET
    assert await store.renew([replace(held, cancellable=False)]) == [Renewal.HELD]


async def test_a_request_to_end_concerns_one_run(store: Store, other: Store, now: int) -> None:
    held = await granted(store, waiting(now - 2, "n1:r1"))
    await decide(other, waiting(now - 1, "n2:r1", cancels=True))
    await store.release([held])
    second = await granted(other, waiting(now - 1, "n2:r1", cancels=True))

    assert await other.renew([second]) == [Renewal.HELD]
    assert await store.renew([held]) == [Renewal.LOST]


@pytest.mark.parametrize("first", [trigger("n1:r1"), start("n1:r1", no_overlap=True)], ids=["trigger", "start"])
async def test_other_runs_are_asked_to_end_too(store: Store, other: Store, now: int, first: ClaimRequest) -> None:
    held = replace(await won(store, first, OVERLAP), cancellable=True)
    await decide(other, waiting(now, "n2:r1", cancels=True))

    assert await store.renew([held]) == [Renewal.UNWANTED]


async def test_a_tick_that_only_waits_asks_nobody_to_end(store: Store, other: Store, now: int) -> None:
    held = await granted(store, waiting(now - 2, "n1:r1"))
    await decide(other, waiting(now - 1, "n2:r1"))

    assert await store.renew([held]) == [Renewal.HELD]


async def test_a_paused_job_asks_nobody_to_end(store: Store, other: Store, now: int) -> None:
    held = await granted(store, waiting(now - 2, "n1:r1"))
    await other.set_paused("report", True)
    assert await verdict(other, waiting(now - 1, "n2:r1", cancels=True)) is Verdict.PAUSED

    assert await store.renew([held]) == [Renewal.HELD]


@pytest.mark.parametrize("foreign", ["everybody", "", "-1", "1e300"])
async def test_a_foreign_request_to_end_is_none(redis_backend: RedisBackend, foreign: str) -> None:
    store = redis_backend.store()
    held = await granted(store, waiting(redis_backend.now_us(), "n1:r1"))
    await redis_backend.raw.hset("schedule:job:report", "cancel", foreign)

    assert await store.renew([held]) == [Renewal.HELD]


async def test_what_stands_in_redis(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    held = await granted(store, waiting(now - 2, "n1:r1"))
    before = await redis_backend.raw.hgetall("schedule:jobLock:report:tick")
    await decide(store, waiting(now - 1, "n2:r1", cancels=True))

    assert int(await redis_backend.raw.hget("schedule:job:report", "cancel")) == held.fence
    assert await redis_backend.raw.hgetall("schedule:jobLock:report:tick") == before
