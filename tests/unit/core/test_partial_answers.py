"""A store of several parts, one of which is away: what it decides counts, the rest is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _scripted import WON, Work, no_overlap, one_server

from asyncsched._grants import ClaimAnswer, Lease, LockType, Renewal, Verdict
from asyncsched._lease import PendingRelease
from asyncsched._outage import QUIET
from asyncsched._run import Outcome, SkipReason

if TYPE_CHECKING:
    from _scripted import Parts

UNDECIDED = ClaimAnswer(Verdict.UNDECIDED, detail="one of three is away")


def lease(job: str, ttl: float = 60.0) -> Lease:
    return Lease(job, f"n1:{job}", 1, (LockType.OVERLAP,), ttl)


async def test_what_is_decided_runs_at_once_and_the_rest_is_asked_again(parts: Parts) -> None:
    parts.store.claims = [[UNDECIDED, WON], [UNDECIDED]]
    waiting, _ = parts.submit(parts.state(Work(), one_server, name="waiting"))
    running, _ = parts.submit(parts.state(Work(), one_server, name="running"))
    await parts.clock.settle()

    assert running.outcome is Outcome.SUCCEEDED
    assert waiting.outcome is None
    await parts.clock.advance(1)
    assert waiting.outcome is Outcome.SUCCEEDED
    assert [[request.job for request in call] for call in parts.store.claimed] == [
        ["waiting", "running"],
        ["waiting"],
        ["waiting"],
    ]


async def test_what_stays_undecided_is_given_up_and_given_back(parts: Parts) -> None:
    parts.store.claims = [UNDECIDED] * 1_000
    run, _ = parts.submit(parts.state(Work(), one_server, no_overlap, lambda job: job.misfire_grace(10)))
    await parts.clock.advance(20)

    assert (run.outcome, run.skip_reason) == (Outcome.SKIPPED, SkipReason.STORE_UNAVAILABLE)
    (given_back,) = parts.store.released[0]
    assert given_back.locks == (LockType.SERVER, LockType.OVERLAP)


async def test_an_outage_in_part_is_said_once_at_either_end(parts: Parts) -> None:
    parts.store.claims = [UNDECIDED, WON, UNDECIDED, WON, WON]
    for _ in range(3):
        parts.submit(parts.state(Work(), one_server))
        await parts.clock.advance(2)

    assert parts.outages == ["lost"]
    assert parts.outage.is_on
    await parts.clock.advance(2 * QUIET)
    assert parts.outages == ["lost", "recovered"]


async def test_the_reason_is_told(parts: Parts) -> None:
    told: list[object] = []
    parts.outage._on_lost = told.append
    parts.store.claims = [UNDECIDED]
    parts.submit(parts.state(Work(), one_server))
    await parts.clock.settle()

    assert [str(error) for error in told] == ["one of three is away"]


async def test_a_renewal_without_an_answer_is_repeated_soon(parts: Parts) -> None:
    lost: list[str] = []
    away = parts.keeper.hold(lease("away"), 0.0, lost.append)
    there = parts.keeper.hold(lease("there"), 0.0, lost.append)
    answers = {"away": Renewal.UNDECIDED, "there": Renewal.HELD}
    parts.store.renewals = AnswersByJob(parts, answers)
    await parts.clock.advance(22.5)

    assert [[each.job for each in call] for call in parts.store.renewed[1:]] == [["away"], ["away"]]
    assert (away.valid_until, there.valid_until) == (58.0, 78.0)
    answers["away"] = Renewal.HELD
    await parts.clock.advance(1)
    assert away.valid_until == pytest.approx(23 + 58)
    assert lost == []


async def test_a_lease_that_is_never_answered_for_is_lost_in_time(parts: Parts) -> None:
    lost: list[str] = []
    parts.keeper.hold(lease("away"), 0.0, lost.append)
    parts.keeper.hold(lease("there"), 0.0, lost.append)
    parts.store.renewals = AnswersByJob(parts, {"away": Renewal.UNDECIDED, "there": Renewal.HELD})
    await parts.clock.advance(100)

    assert lost == ["it could not be renewed in time"]
    assert parts.outages == ["lost"] or parts.outages == ["lost", "recovered"]


class AnswersByJob(list):  # type: ignore[type-arg]
    """A script of renewals that never ends."""

    def __init__(self, parts: Parts, answers: dict[str, Renewal]) -> None:
        super().__init__([None])
        self._parts = parts
        self._answers = answers

    def pop(self, _index: object = None) -> list[Renewal]:
        return [self._answers[each.job] for each in self._parts.store.renewed[-1]]


async def test_a_release_without_an_answer_is_repeated_alone(parts: Parts) -> None:
    freed: list[str] = []
    parts.store.releases = [[None, True]]
    for job in ("away", "there"):
        parts.keeper.give_back(lease(job), lambda job=job: freed.append(job))
    await parts.clock.settle()

    assert freed == ["there"]
    assert parts.keeper.pending_releases == 1
    await parts.clock.advance(1)
    assert freed == ["there", "away"]
    assert [[each.job for each in call] for call in parts.store.released] == [["away", "there"], ["away"]]


async def test_a_stop_asks_until_all_is_released(parts: Parts) -> None:
    parts.store.releases = [[None]]
    parts.keeper._releases.append(PendingRelease(lease("away"), 60.0, None))

    assert not await parts.keeper.release_pending()
    assert await parts.keeper.release_pending()


async def test_a_release_that_comes_meanwhile_does_not_wait(parts: Parts) -> None:
    parts.store.releases = [[None]] * 5
    parts.keeper.give_back(lease("away"))
    await parts.clock.advance(1)  # the next try is 0.5 s away
    assert len(parts.store.released) == 4
    parts.store.releases = [[None, True]]
    parts.keeper.give_back(lease("there"))
    await parts.clock.settle()

    assert parts.keeper.pending_releases == 1
    parts.keeper.close()
    await parts.clock.advance(10)
    assert len(parts.store.released) == 5
