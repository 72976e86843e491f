"""What a claim is answered the first time it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _contract import (
    OVERLAP,
    SERVER,
    SHORT_TTL,
    START,
    decide,
    lease,
    start,
    tick,
    trigger,
    verdict,
    won,
)

from asyncsched._grants import ClaimAnswer, Verdict

if TYPE_CHECKING:
    from _contract import Backend

    from asyncsched.protocols import Store

SECOND = 1_000_000


async def test_the_first_claim_of_a_tick_wins_with_a_fence(store: Store, now: int) -> None:
    answer = await decide(store, tick(now))

    assert answer == ClaimAnswer(Verdict.WON, fence=answer.fence, newest_us=now)
    assert now <= answer.fence < now + 60 * SECOND


async def test_nobody_else_gets_the_same_tick(store: Store, other: Store, now: int) -> None:
    await won(store, tick(now, "n1:r1"))

    assert await decide(other, tick(now, "n2:r1")) == ClaimAnswer(Verdict.ELSEWHERE, newest_us=now)
    assert await verdict(store, tick(now, "n1:r2")) is Verdict.ELSEWHERE


async def test_an_older_tick_is_gone_once_a_newer_one_was_claimed(store: Store, other: Store, now: int) -> None:
    await won(store, tick(now))

    assert await decide(other, tick(now - 1, "n2:r1")) == ClaimAnswer(Verdict.ELSEWHERE, newest_us=now)


async def test_a_newer_tick_is_won_while_the_older_ones_run_goes_on(store: Store, other: Store, now: int) -> None:
    await won(store, tick(now - 1))

    assert await verdict(other, tick(now, "n2:r1")) is Verdict.WON


async def test_a_tick_stays_taken_after_its_run(store: Store, other: Store, now: int) -> None:
    request = tick(now, no_overlap=True)
    held = await won(store, request, SERVER, OVERLAP)
    assert list(await store.release([held])) == [True]

    assert await verdict(other, tick(now, "n2:r1", no_overlap=True)) is Verdict.ELSEWHERE


async def test_a_tick_stays_taken_after_its_leases_ended(backend: Backend, store: Store, now: int) -> None:
    await won(store, tick(now, lock_ttl=SHORT_TTL))
    await backend.pass_time(SHORT_TTL * 1.5)

    assert await verdict(store, tick(now, "n2:r1")) is Verdict.ELSEWHERE


async def test_a_tick_record_is_forgotten_after_its_retention(backend: Backend, store: Store, now: int) -> None:
    await won(store, tick(now, retain_for=SHORT_TTL))
    await backend.pass_time(SHORT_TTL * 1.5)

    assert await verdict(store, tick(now, "n2:r1")) is Verdict.ELSEWHERE  # the grant is known for ever
    assert await verdict(store, tick(backend.now_us(), "n2:r2", remembered_us=now)) is Verdict.WON


async def test_jobs_do_not_touch_each_other(store: Store, now: int) -> None:
    await won(store, tick(now, job="a", no_overlap=True))

    assert await verdict(store, tick(now, job="a:server", no_overlap=True)) is Verdict.WON
    assert await verdict(store, tick(now, job="b", no_overlap=True)) is Verdict.WON


@pytest.mark.parametrize("ahead_us", [SECOND // 2, 86_400 * SECOND])
async def test_a_tick_ahead_of_the_stores_time_must_wait(backend: Backend, store: Store, ahead_us: int) -> None:
    asked_at = backend.now_us()
    answer = await decide(store, tick(asked_at + ahead_us))

    took = (backend.now_us() - asked_at) / 1e6
    assert answer.verdict is Verdict.EARLY
    assert ahead_us / 1e6 - took <= answer.wait <= ahead_us / 1e6
    assert answer.newest_us == 0


async def test_an_early_tick_is_not_used_up(backend: Backend, store: Store) -> None:
    ahead = tick(backend.now_us() + SECOND // 2)
    answer = await decide(store, ahead)
    assert answer.verdict is Verdict.EARLY
    await backend.pass_time(answer.wait)

    assert await verdict(store, ahead) is Verdict.WON


async def test_a_tick_a_little_ahead_is_within_the_tolerance(backend: Backend, store: Store) -> None:
    assert await verdict(store, tick(backend.now_us() + 4_000)) is Verdict.WON


async def test_early_holds_without_one_server_too(backend: Backend, store: Store) -> None:
    ahead = tick(backend.now_us() + SECOND, one_server=False, no_overlap=True)

    assert await verdict(store, ahead) is Verdict.EARLY


async def test_a_run_in_progress_consumes_the_next_tick(store: Store, other: Store, now: int) -> None:
    held = await won(store, tick(now - 1, no_overlap=True), SERVER, OVERLAP)
    assert await decide(other, tick(now, "n2:r1", no_overlap=True)) == ClaimAnswer(Verdict.OVERLAP, newest_us=now)
    await store.release([held])

    assert await verdict(store, tick(now, "n3:r1", no_overlap=True)) is Verdict.ELSEWHERE


async def test_without_one_server_an_overlap_consumes_nothing(store: Store, other: Store, now: int) -> None:
    held = await won(store, tick(now - 1, one_server=False, no_overlap=True), OVERLAP)
    late = tick(now, "n2:r1", one_server=False, no_overlap=True)
    assert await decide(other, late) == ClaimAnswer(Verdict.OVERLAP)
    await store.release([held])

    assert await verdict(other, late) is Verdict.WON


async def test_without_one_server_each_node_gets_the_tick_in_turn(store: Store, other: Store, now: int) -> None:
    first = tick(now, "n1:r1", one_server=False, no_overlap=True)
    held = await won(store, first, OVERLAP)
    await store.release([held])

    assert await verdict(other, tick(now, "n2:r1", one_server=False, no_overlap=True)) is Verdict.WON


async def test_an_overlap_lease_that_ended_frees_the_job(backend: Backend, store: Store, now: int) -> None:
    await won(store, tick(now - 1, no_overlap=True, lock_ttl=SHORT_TTL))
    await backend.pass_time(SHORT_TTL * 1.5)

    assert await verdict(store, tick(now, "n2:r1", no_overlap=True)) is Verdict.WON


async def test_a_start_is_won_once_and_leaves_the_ticks_alone(store: Store, other: Store, now: int) -> None:
    first = await decide(store, start("n1:r1"))
    assert first == ClaimAnswer(Verdict.WON, fence=first.fence)

    assert await decide(other, start("n2:r1")) == ClaimAnswer(Verdict.ELSEWHERE)
    assert await verdict(other, tick(now, "n2:r2")) is Verdict.WON
    assert await verdict(store, tick(1, "n1:r2")) is Verdict.ELSEWHERE


async def test_a_start_is_free_again_after_lock_ttl(backend: Backend, store: Store) -> None:
    await won(store, start("n1:r1", lock_ttl=SHORT_TTL))
    await backend.pass_time(SHORT_TTL * 1.5)

    assert await verdict(store, start("n2:r1")) is Verdict.WON


async def test_a_start_is_kept_when_its_run_releases_its_leases(store: Store, other: Store) -> None:
    held = await won(store, start("n1:r1", no_overlap=True), OVERLAP)
    assert list(await store.release([held])) == [True]

    assert await verdict(other, start("n2:r1", no_overlap=True)) is Verdict.ELSEWHERE


async def test_a_start_can_be_given_back(store: Store, other: Store) -> None:
    held = await won(store, start("n1:r1"), START)
    assert list(await store.release([held])) == [True]

    assert await verdict(other, start("n2:r1")) is Verdict.WON


async def test_a_start_without_one_server_is_won_by_every_node(store: Store, other: Store) -> None:
    assert await verdict(store, start("n1:r1", one_server=False)) is Verdict.WON
    assert await verdict(other, start("n2:r1", one_server=False)) is Verdict.WON


async def test_a_start_does_not_overlap_a_run_and_is_not_used_up(store: Store, other: Store, now: int) -> None:
    held = await won(store, tick(now, no_overlap=True), SERVER, OVERLAP)
    assert await verdict(other, start("n2:r1", no_overlap=True)) is Verdict.OVERLAP
    await store.release([held])

    assert await verdict(other, start("n2:r1", no_overlap=True)) is Verdict.WON


async def test_a_triggered_run_takes_neither_tick_nor_server(store: Store, other: Store, now: int) -> None:
    asked = trigger("n1:r1", one_server=True, no_overlap=False)
    answer = await decide(store, asked)
    assert answer == ClaimAnswer(Verdict.WON, fence=answer.fence)

    assert list(await store.release([lease(asked, answer.fence, SERVER, OVERLAP)])) == [False]
    assert await verdict(other, tick(now, "n2:r1")) is Verdict.WON


async def test_a_triggered_run_and_a_ticks_run_do_not_overlap(store: Store, other: Store, now: int) -> None:
    held = await won(store, trigger("n1:r1", one_server=True), OVERLAP)
    assert await verdict(other, trigger("n2:r1", one_server=True)) is Verdict.OVERLAP
    assert await verdict(other, tick(now, "n2:r2", no_overlap=True)) is Verdict.OVERLAP
    await store.release([held])

    assert await verdict(other, trigger("n2:r1", one_server=True)) is Verdict.WON


async def test_a_triggered_run_may_join_others_where_the_job_allows_it(store: Store, now: int) -> None:
    await won(store, tick(now))

    assert await verdict(store, trigger("n1:r2", no_overlap=False)) is Verdict.WON


async def test_a_node_that_remembers_a_tick_gets_no_older_one(store: Store, now: int) -> None:
    answer = await decide(store, tick(now - 1, remembered_us=now))

    assert answer == ClaimAnswer(Verdict.ELSEWHERE, newest_us=now)


async def test_what_is_remembered_counts_beside_an_older_record(store: Store, now: int) -> None:
    await won(store, tick(now - 2))

    assert await decide(store, tick(now - 1, "n2:r1", remembered_us=now)) == ClaimAnswer(
        Verdict.ELSEWHERE, newest_us=now
    )


async def test_answers_stand_in_the_order_of_the_requests(store: Store, now: int) -> None:
    await won(store, tick(now, job="taken"))
    await store.set_paused("paused", True)
    requests = [
        tick(now, "n2:r1", job="taken"),
        tick(now, "n2:r2", job="free"),
        tick(now, "n2:r3", job="paused"),
        tick(now + 60 * SECOND, "n2:r4", job="ahead"),
        start("n2:r5", job="free"),
        trigger("n2:r6", job="asked"),
    ]

    assert [answer.verdict for answer in await store.claim(requests)] == [
        Verdict.ELSEWHERE,
        Verdict.WON,
        Verdict.PAUSED,
        Verdict.EARLY,
        Verdict.WON,
        Verdict.WON,
    ]


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 450])
async def test_any_number_of_jobs_is_decided_at_once(store: Store, other: Store, now: int, count: int) -> None:
    names = [f"job{index}" for index in range(count)]
    first = await store.claim([tick(now, "n1:r1", job=name) for name in names[::2]])
    second = await other.claim([tick(now, "n2:r1", job=name) for name in names])

    assert [answer.verdict for answer in first] == [Verdict.WON] * len(names[::2])
    expected = [Verdict.WON if index % 2 else Verdict.ELSEWHERE for index in range(count)]
    assert [answer.verdict for answer in second] == expected
