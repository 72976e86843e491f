"""A request sent again unchanged gets the answer it had, as far as that is still safe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from _contract import OVERLAP, SERVER, SHORT_TTL, START, TICK, decide, start, tick, trigger, verdict, won

from asyncsched._grants import Renewal, Verdict

if TYPE_CHECKING:
    from _contract import Backend

    from asyncsched._grants import ClaimRequest
    from asyncsched.protocols import Store

SECOND = 1_000_000


@pytest.fixture(
    params=[
        "tick+server",
        "tick+server+overlap",
        "tick+overlap",
        "start",
        "start+overlap",
        "trigger+overlap",
    ]
)
def grantable(request: pytest.FixtureRequest, now: int) -> ClaimRequest:
    """Every shape of claim whose grant leaves something behind."""
    made = {
        "tick+server": tick(now),
        "tick+server+overlap": tick(now, no_overlap=True),
        "tick+overlap": tick(now, one_server=False, no_overlap=True),
        "start": start(),
        "start+overlap": start(no_overlap=True),
        "trigger+overlap": trigger(),
    }
    return made[request.param]


async def test_a_repeated_grant_is_the_same_grant(store: Store, other: Store, grantable: ClaimRequest) -> None:
    first = await decide(store, grantable)
    assert first.verdict is Verdict.WON

    assert await decide(store, grantable) == first
    assert await decide(other, grantable) == first


async def test_a_grant_is_repeated_within_one_batch(store: Store, grantable: ClaimRequest) -> None:
    first, second = await store.claim([grantable, grantable])

    assert first.verdict is Verdict.WON
    assert second == first


async def test_a_pause_does_not_take_a_grant_back(store: Store, grantable: ClaimRequest) -> None:
    first = await decide(store, grantable)
    await store.set_paused(grantable.job, True)

    assert await decide(store, grantable) == first


async def test_a_repeated_grant_makes_its_leases_last_from_now_on(backend: Backend, store: Store) -> None:
    # The holder counts its trust from the sending that was answered: the first one's lease would end too early.
    request = tick(backend.now_us(), no_overlap=True, lock_ttl=0.4)
    held = await won(store, request, SERVER, OVERLAP)
    await backend.pass_time(0.25)
    assert await verdict(store, request) is Verdict.WON
    await backend.pass_time(0.25)

    assert list(await store.renew([held])) == [Renewal.HELD]


async def test_a_repeated_start_is_kept_from_now_on(backend: Backend, store: Store) -> None:
    request = start(lock_ttl=0.4)
    await won(store, request)
    await backend.pass_time(0.25)
    assert await verdict(store, request) is Verdict.WON
    await backend.pass_time(0.25)

    assert await verdict(store, start("n2:r1")) is Verdict.ELSEWHERE


async def test_a_repeated_grant_makes_its_record_last_from_now_on(backend: Backend, store: Store) -> None:
    request = tick(backend.now_us(), retain_for=0.4)
    await won(store, request)
    await backend.pass_time(0.25)
    assert await verdict(store, request) is Verdict.WON
    await backend.pass_time(0.25)

    assert await verdict(store, tick(request.tick_us, "n2:r1")) is Verdict.ELSEWHERE


async def test_a_consumed_tick_stays_consumed_for_the_one_who_asked(store: Store, other: Store, now: int) -> None:
    held = await won(store, tick(now - 1, no_overlap=True), SERVER, OVERLAP)
    asked = tick(now, "n2:r1", no_overlap=True)
    first = await decide(other, asked)
    assert first.verdict is Verdict.OVERLAP
    await store.release([held])
    await store.set_paused("report", True)

    assert await decide(other, asked) == first


async def test_a_lost_record_stays_lost_for_the_one_who_asked(store: Store, now: int) -> None:
    asked = tick(now, remembered_us=now - SECOND)
    first = await decide(store, asked)
    assert (first.verdict, first.newest_us) == (Verdict.LOST_RECORD, now)
    await store.set_paused("report", True)

    assert await decide(store, asked) == first


@pytest.mark.parametrize("lost", [SERVER, OVERLAP])
async def test_a_lost_lease_is_never_made_again(backend: Backend, store: Store, now: int, lost: object) -> None:
    request = tick(now, no_overlap=True)
    held = await won(store, request, SERVER, OVERLAP)
    await backend.lose("report", lost)

    assert await verdict(store, request) is Verdict.LOST_RECORD
    assert list(await store.renew([held])) == [Renewal.LOST]


@pytest.mark.parametrize("lost", [SERVER, OVERLAP])
async def test_what_is_left_of_a_lost_grant_blocks_nobody(
    backend: Backend, store: Store, now: int, lost: object
) -> None:
    request = tick(now - 1, no_overlap=True)
    await won(store, request)
    await backend.lose("report", lost)
    assert await verdict(store, request) is Verdict.LOST_RECORD
    assert await verdict(store, request) is Verdict.LOST_RECORD

    assert await verdict(store, tick(now, "n2:r1", no_overlap=True)) is Verdict.WON


async def test_a_grant_whose_leases_have_ended_does_not_win_again(
    backend: Backend, store: Store, grantable: ClaimRequest
) -> None:
    request = replace(grantable, lock_ttl=SHORT_TTL)
    await won(store, request)
    before = await decide(store, request)
    await backend.pass_time(SHORT_TTL * 1.5)
    after = await decide(store, request)

    if grantable.kind.value == "tick" and grantable.one_server:
        assert after.verdict is Verdict.LOST_RECORD
    else:  # no trace of the grant is left, so this is a first claim: a new grant, never the old one
        assert after.verdict is Verdict.WON
        assert after.fence > before.fence


async def test_a_released_grant_does_not_win_again(store: Store, now: int) -> None:
    # A copy of the request that is delivered after its sender gave up and released must take no lease.
    request = tick(now, no_overlap=True)
    held = await won(store, request, SERVER, OVERLAP)
    await store.release([held])

    assert await verdict(store, request) is Verdict.LOST_RECORD
    assert await verdict(store, trigger("n2:r1")) is Verdict.WON


async def test_a_released_start_does_not_win_again_while_it_is_kept(store: Store) -> None:
    request = start(no_overlap=True)
    held = await won(store, request, OVERLAP)
    await store.release([held])

    assert await verdict(store, request) is Verdict.LOST_RECORD
    assert await verdict(store, trigger("n2:r1")) is Verdict.WON


async def test_a_start_given_back_can_be_claimed_anew(store: Store) -> None:
    request = start()
    held = await won(store, request, START)
    await store.release([held])

    assert (await decide(store, request)).fence > held.fence


async def test_a_grant_survives_a_newer_tick_that_it_kept_from_running(store: Store, other: Store, now: int) -> None:
    request = tick(now - 1, no_overlap=True)
    first = await decide(store, request)
    assert await verdict(other, tick(now, "n2:r1", no_overlap=True)) is Verdict.OVERLAP

    again = await decide(store, request)
    assert (again.verdict, again.fence, again.newest_us) == (Verdict.WON, first.fence, now)


async def test_a_grant_does_not_survive_a_newer_run(store: Store, other: Store, now: int) -> None:
    request = tick(now - 1)
    await won(store, request)
    await won(other, tick(now, "n2:r1"))

    assert await verdict(store, request) is Verdict.ELSEWHERE


async def test_a_lease_without_its_record_does_not_win_again(backend: Backend, store: Store, now: int) -> None:
    request = tick(now)
    await won(store, request)
    await backend.lose("report", TICK)

    assert await verdict(store, request) is Verdict.LOST_RECORD
