"""Leases on their way back: asked for until the store answers, or until they have ended by themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from _scripted import AWAY, turns

from asyncsched._grants import Lease, LockType
from asyncsched._lease import LONGEST_LINGER

if TYPE_CHECKING:
    from _scripted import Parts


def lease(job: str = "j", ttl: float = 60.0) -> Lease:
    return Lease(job, f"n1:{job}", 1, (LockType.OVERLAP,), ttl)


async def test_what_is_given_back_together_is_released_in_one_call(parts: Parts) -> None:
    for job in "abc":
        parts.keeper.give_back(lease(job))
    assert parts.keeper.pending_releases == 3
    await parts.clock.settle()

    assert parts.store.released == [[lease("a"), lease("b"), lease("c")]]
    assert parts.keeper.pending_releases == 0


async def test_a_store_that_is_away_is_asked_again_after_longer_and_longer_pauses(parts: Parts) -> None:
    parts.store.releases = [AWAY] * 7
    parts.keeper.give_back(lease())
    await parts.clock.advance(30)

    pauses = [later - at for at, later in zip(parts.store.called_at, parts.store.called_at[1:], strict=False)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
    assert parts.store.released == [[lease()]] * 8
    assert parts.outages == ["lost", "recovered"]


@pytest.mark.parametrize(
    ("locks", "claims_in", "goes_along"),
    [
        ((LockType.SERVER,), LONGEST_LINGER, True),
        ((LockType.SERVER,), -1.0, True),
        ((LockType.SERVER,), LONGEST_LINGER + 0.001, False),
        ((LockType.SERVER,), float("inf"), False),
        ((LockType.SERVER, LockType.OVERLAP), 0.0, False),
        ((LockType.SERVER, LockType.RUN), 0.0, False),
    ],
)
async def test_what_nobody_waits_for_goes_along_with_claims_that_are_near(
    parts: Parts, locks: tuple[LockType, ...], claims_in: float, goes_along: bool
) -> None:
    along: list[tuple[list[Lease], float]] = []

    async def release_along(leases: list[Lease], within: float) -> list[bool]:
        along.append((leases, within))
        return [True] * len(leases)

    parts.store.release_along = release_along  # type: ignore[attr-defined]
    parts.keeper.claims_in = lambda: claims_in
    leases = [Lease(job, f"n1:{job}", 1, locks if job == "b" else (LockType.SERVER,), 60.0) for job in "ab"]
    for each in leases:
        parts.keeper.give_back(each)
    await parts.clock.settle()

    assert along == ([(leases, LONGEST_LINGER)] if goes_along else [])
    assert parts.store.released == ([] if goes_along else [leases])
    assert parts.keeper.pending_releases == 0


async def test_nothing_lingers_once_a_lease_was_held_that_others_wait_for(parts: Parts) -> None:
    """That one could end while another lingers, and its release would come behind that."""
    lingered: list[Lease] = []

    async def release_along(leases: list[Lease], within: float) -> list[bool]:
        lingered.extend(leases)
        return [True] * len(leases)

    parts.store.release_along = release_along  # type: ignore[attr-defined]
    parts.keeper.claims_in = lambda: 0.0
    server, overlap = (Lease("j", f"n1:{lock}", 1, (lock,), 60.0) for lock in (LockType.SERVER, LockType.OVERLAP))
    for each, has_lingered in ((server, True), (overlap, False), (server, False)):
        lingered.clear()
        parts.keeper.drop(parts.keeper.hold(each, 0.0, lambda _: None))
        await parts.clock.settle()
        assert bool(lingered) == has_lingered
    assert parts.store.released == [[overlap], [server]]


async def test_after_an_answer_the_pauses_begin_anew(parts: Parts) -> None:
    parts.store.releases = [AWAY, AWAY, True, AWAY]
    parts.keeper.give_back(lease("a"))
    await parts.clock.advance(10)
    parts.keeper.give_back(lease("b"))
    await parts.clock.advance(10)

    assert parts.store.called_at == pytest.approx([0.0, 0.1, 0.3, 10.0, 10.1])


async def test_what_comes_during_an_outage_does_not_wait_for_the_rest(parts: Parts) -> None:
    parts.store.releases = [AWAY]
    parts.keeper.give_back(lease("a"))
    await parts.clock.settle()
    parts.keeper.give_back(lease("b"))
    await parts.clock.settle()
    assert parts.store.released == [[lease("a")], [lease("b")]]
    await parts.clock.advance(0.1)

    assert parts.store.released == [[lease("a")], [lease("b")], [lease("a")]]


async def test_what_comes_while_a_call_is_on_its_way_has_a_call_of_its_own(parts: Parts) -> None:
    on_its_way = asyncio.get_running_loop().create_future()
    parts.store.releases = [on_its_way]
    parts.keeper.give_back(lease("a"))
    await parts.clock.settle()
    parts.keeper.give_back(lease("b"))
    on_its_way.set_result(True)
    await parts.clock.settle()

    assert parts.store.released == [[lease("a")], [lease("b")]]


async def test_a_key_that_has_ended_by_itself_is_asked_for_no_longer(parts: Parts) -> None:
    parts.store.releases = [AWAY] * 1000
    parts.keeper.give_back(lease("short", ttl=5.0))
    parts.keeper.give_back(lease("long", ttl=60.0))
    await parts.clock.advance(10)
    assert parts.store.released[-1] == [lease("long", ttl=60.0)]
    await parts.clock.advance(100)

    assert parts.keeper.pending_releases == 0
    assert parts.store.called_at[-1] < 60.0


async def test_who_gave_it_back_is_told_only_of_what_was_held(parts: Parts) -> None:
    told: list[str] = []
    parts.store.releases = [AWAY, [True, False]]
    parts.keeper.give_back(lease("a"), lambda: told.append("a"))
    parts.keeper.give_back(lease("b"), lambda: told.append("b"))
    parts.store.releases[1].append(True)
    parts.keeper.give_back(lease("c"))
    await parts.clock.advance(1)

    assert told == ["a"]


async def test_a_call_that_is_cancelled_keeps_what_it_was_to_release(parts: Parts) -> None:
    parts.store.releases = [asyncio.get_running_loop().create_future()]
    parts.keeper.give_back(lease())
    await turns()
    releasing = parts.tasks[2]
    releasing.cancel()
    await turns()
    assert releasing.cancelled()
    assert parts.keeper.pending_releases == 1

    assert await parts.keeper.release_pending()
    assert parts.store.released == [[lease()], [lease()]]
    assert parts.keeper.pending_releases == 0


async def test_a_failure_of_the_store_itself_is_raised_and_keeps_what_is_pending(parts: Parts) -> None:
    parts.store.releases = [ZeroDivisionError()]
    parts.keeper.give_back(lease())
    with pytest.raises(ZeroDivisionError):
        await parts.keeper.release_pending()

    assert parts.keeper.pending_releases == 1
    assert parts.outages == []


async def test_asking_once_tells_whether_the_store_answered(parts: Parts) -> None:
    parts.tasks[2].cancel()
    parts.store.releases = [AWAY]
    parts.keeper.give_back(lease())

    assert await parts.keeper.release_pending() is False
    assert await parts.keeper.release_pending() is True
    assert await parts.keeper.release_pending() is True
    assert len(parts.store.released) == 2
