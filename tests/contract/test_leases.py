"""How leases are extended, superseded, lost and released."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from _contract import OVERLAP, SERVER, SHORT_TTL, START, TICK, lease, start, tick, trigger, verdict, won

from asyncsched._grants import Renewal, Verdict

if TYPE_CHECKING:
    from _contract import Backend

    from asyncsched._grants import Lease
    from asyncsched.protocols import Store


async def renewed(store: Store, held: Lease) -> Renewal:
    (renewal,) = await store.renew([held])
    return renewal


async def test_a_renewed_lease_outlives_its_first_ttl(backend: Backend, store: Store) -> None:
    held = await won(store, tick(backend.now_us(), no_overlap=True, lock_ttl=0.4), SERVER, OVERLAP)
    await backend.pass_time(0.25)
    assert await renewed(store, held) is Renewal.HELD
    await backend.pass_time(0.25)

    assert await renewed(store, held) is Renewal.HELD


async def test_another_node_may_renew_what_it_knows_the_owner_and_fence_of(
    store: Store, other: Store, now: int
) -> None:
    held = await won(store, tick(now), SERVER)

    assert await renewed(other, held) is Renewal.HELD


async def test_an_ended_lease_is_lost_and_never_made_again(backend: Backend, store: Store, now: int) -> None:
    held = await won(store, tick(now, no_overlap=True, lock_ttl=SHORT_TTL), SERVER, OVERLAP)
    await backend.pass_time(SHORT_TTL * 1.5)
    assert await renewed(store, held) is Renewal.LOST

    assert await renewed(store, held) is Renewal.LOST
    assert await verdict(store, trigger("n2:r1")) is Verdict.WON


async def test_a_lease_with_another_owner_or_fence_is_lost(store: Store, now: int) -> None:
    held = await won(store, tick(now, no_overlap=True), SERVER, OVERLAP)

    assert await renewed(store, replace(held, owner="n2:r1")) is Renewal.LOST
    assert await renewed(store, replace(held, fence=held.fence - 1)) is Renewal.LOST
    assert await renewed(store, replace(held, fence=held.fence + 1)) is Renewal.LOST
    assert await renewed(store, held) is Renewal.HELD


@pytest.mark.parametrize("gone", [SERVER, OVERLAP])
async def test_one_lost_lock_loses_the_whole_lease(backend: Backend, store: Store, now: int, gone: object) -> None:
    held = await won(store, tick(now, no_overlap=True), SERVER, OVERLAP)
    await backend.lose("report", gone)

    assert await renewed(store, held) is Renewal.LOST


@pytest.mark.parametrize("gone", [SERVER, OVERLAP])
async def test_a_lost_lease_extends_none_of_its_locks(backend: Backend, store: Store, gone: object) -> None:
    held = await won(store, tick(backend.now_us(), no_overlap=True, lock_ttl=0.4), SERVER, OVERLAP)
    await backend.lose("report", gone)
    await backend.pass_time(0.25)
    assert await renewed(store, held) is Renewal.LOST
    await backend.pass_time(0.25)

    assert list(await store.release([held])) == [False]


async def test_a_newer_run_supersedes_a_lease_that_excludes_nobody(store: Store, other: Store, now: int) -> None:
    older = await won(store, tick(now - 1), SERVER)
    newer = await won(other, tick(now, "n2:r1"), SERVER)
    assert await renewed(store, older) is Renewal.SUPERSEDED
    assert await renewed(other, newer) is Renewal.HELD
    await other.release([newer])

    assert await renewed(store, older) is Renewal.SUPERSEDED


async def test_a_missing_server_lease_is_lost_as_long_as_no_newer_run_explains_it(
    backend: Backend, store: Store, now: int
) -> None:
    held = await won(store, tick(now), SERVER)
    await backend.lose("report", SERVER)

    assert await renewed(store, held) is Renewal.LOST


async def test_a_lease_that_excludes_is_never_superseded(backend: Backend, store: Store, now: int) -> None:
    older = await won(store, tick(now - 1, no_overlap=True), SERVER, OVERLAP)
    await backend.lose("report", OVERLAP)
    newer = await won(store, tick(now, "n2:r1", no_overlap=True), SERVER, OVERLAP)

    assert await renewed(store, older) is Renewal.LOST
    assert await renewed(store, newer) is Renewal.HELD


async def test_a_newer_run_under_another_policy_does_not_supersede_one_that_excludes(
    store: Store, other: Store, now: int
) -> None:
    # During a deployment, nodes of two releases may disagree on whether the job may overlap.
    older = await won(store, tick(now - 1, no_overlap=True), SERVER, OVERLAP)
    await won(other, tick(now, "n2:r1"), SERVER)

    assert await renewed(store, older) is Renewal.LOST


async def test_a_lease_without_locks_is_always_held(store: Store) -> None:
    held = await won(store, trigger(no_overlap=False))

    assert await renewed(store, held) is Renewal.HELD
    assert list(await store.release([held])) == [False]


async def test_a_start_needs_no_renewal_and_gets_none(backend: Backend, store: Store) -> None:
    held = await won(store, start(lock_ttl=0.4), START)
    await backend.pass_time(0.25)
    assert await renewed(store, held) is Renewal.HELD
    await backend.pass_time(0.25)

    assert await verdict(store, start("n2:r1")) is Verdict.WON


async def test_a_released_lease_is_free_at_once(store: Store, other: Store) -> None:
    held = await won(store, trigger("n1:r1"), OVERLAP)
    assert list(await store.release([held])) == [True]

    assert list(await store.release([held])) == [False]
    assert await renewed(store, held) is Renewal.LOST
    assert await verdict(other, trigger("n2:r1")) is Verdict.WON


async def test_a_release_frees_only_what_its_owner_holds(store: Store, other: Store, now: int) -> None:
    request = tick(now, no_overlap=True)
    held = await won(store, request, SERVER, OVERLAP)

    assert list(await other.release([replace(held, owner="n2:r1")])) == [False]
    assert list(await other.release([replace(held, owner="n1:r")])) == [False]
    assert await renewed(store, held) is Renewal.HELD


async def test_a_release_does_not_need_the_fence(store: Store, now: int) -> None:
    # The grant's answer never arrived, so its fence is unknown; the owner is unique to the claim.
    held = await won(store, tick(now, no_overlap=True), SERVER, OVERLAP)

    assert list(await store.release([replace(held, fence=0)])) == [True]
    assert await renewed(store, held) is Renewal.LOST


async def test_a_late_release_never_frees_a_newer_grant(backend: Backend, store: Store, other: Store) -> None:
    now = backend.now_us()
    request = tick(now - 1, no_overlap=True, lock_ttl=SHORT_TTL)
    older = await won(store, request, SERVER, OVERLAP)
    await backend.pass_time(SHORT_TTL * 1.5)
    newer = await won(other, tick(now, "n2:r1", no_overlap=True), SERVER, OVERLAP)

    assert list(await store.release([older])) == [False]
    assert await renewed(other, newer) is Renewal.HELD


async def test_a_release_never_reopens_a_tick(store: Store, other: Store, now: int) -> None:
    request = tick(now)
    answer = await won(store, request)
    assert list(await store.release([lease(request, answer.fence, SERVER, TICK)])) == [True]
    assert list(await store.release([lease(request, answer.fence, TICK)])) == [False]

    assert await verdict(other, tick(now, "n2:r1")) is Verdict.ELSEWHERE


async def test_releasing_one_lock_leaves_the_other(store: Store, now: int) -> None:
    request = tick(now, no_overlap=True)
    held = await won(store, request, SERVER, OVERLAP)
    assert list(await store.release([replace(held, locks=(SERVER,))])) == [True]

    assert await renewed(store, replace(held, locks=(OVERLAP,))) is Renewal.HELD


async def test_releasing_what_never_was_answers_no(store: Store, now: int) -> None:
    assert list(await store.release([lease(tick(now), 0, SERVER, OVERLAP, START)])) == [False]
    assert list(await store.renew([lease(tick(now), 1, SERVER, OVERLAP)])) == [Renewal.LOST]


@pytest.mark.parametrize("count", [0, 1, 200, 201, 450])
async def test_any_number_of_leases_is_answered_in_order(store: Store, now: int, count: int) -> None:
    requests = [tick(now, job=f"job{index}", no_overlap=index % 3 == 0) for index in range(count)]
    answers = await store.claim(requests)
    leases = [
        lease(request, answer.fence, SERVER, *([OVERLAP] if request.no_overlap else []))
        for request, answer in zip(requests, answers, strict=True)
    ]
    gone = leases[::2]
    assert list(await store.release(gone)) == [True] * len(gone)

    expected = [index % 2 == 1 for index in range(count)]
    assert list(await store.renew(leases)) == [Renewal.HELD if held else Renewal.LOST for held in expected]
    assert list(await store.release(leases)) == expected
