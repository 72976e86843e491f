"""Ticks of a job that is run again: open while they run, granted anew after their lease's end, closed when finished."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from _contract import (
    OVERLAP,
    RUN,
    SERVER,
    SHORT_TTL,
    TICK,
    decide,
    lease,
    rerun,
    start,
    survey,
    tick,
    trigger,
    verdict,
    won,
)

from asyncsched._grants import ClaimAnswer, Renewal, Verdict
from asyncsched.stores._decide import MOST_OPEN

if TYPE_CHECKING:
    from _contract import Backend

    from asyncsched._grants import ClaimRequest, Lease
    from asyncsched.protocols import Store

SECOND = 1_000_000


def first(tick_us: int, *, no_overlap: bool = False, lock_ttl: float = 60.0, job: str = "report") -> ClaimRequest:
    """The claim that opens a tick."""
    return tick(tick_us, "n1:r1", job, no_overlap=no_overlap, lock_ttl=lock_ttl, max_attempts=3)


async def interrupted(backend: Backend, store: Store, request: ClaimRequest) -> Lease:
    """Let a claim be granted and its run's lease be gone, as after its end."""
    locks = (SERVER, RUN) if request.kind == "tick" else (RUN,)
    held = await won(store, request, *locks, *([OVERLAP] if request.no_overlap else []))
    for lock in held.locks:
        await backend.lose(request.job, lock, request.tick_us)
    return held


async def renewed(store: Store, held: Lease) -> Renewal:
    (renewal,) = await store.renew([held])
    return renewal


async def finish(store: Store, held: Lease) -> bool:
    (freed,) = await store.release([replace(held, finished=True)])
    return freed


async def open_ticks(store: Store) -> tuple[int, ...]:
    return (await decide(store, survey())).open_us


# Open while it runs


async def test_a_granted_tick_is_open_while_it_runs(store: Store, now: int) -> None:
    answer = await decide(store, first(now))

    assert answer.verdict is Verdict.WON
    assert (answer.attempt, answer.open_us, answer.newest_us) == (1, (now,), now)


@pytest.mark.parametrize("ask", [tick, rerun])
async def test_another_node_is_told_how_long_the_lease_lasts(
    store: Store, other: Store, now: int, ask: type[ClaimRequest]
) -> None:
    await won(store, first(now))
    answer = await decide(other, ask(now, "n2:r1", max_attempts=3))

    assert answer.verdict is Verdict.ELSEWHERE
    assert answer.wait == pytest.approx(60, abs=5)
    assert (answer.attempt, answer.open_us) == (1, (now,))


async def test_without_a_lease_in_the_way_there_is_no_wait(backend: Backend, store: Store, now: int) -> None:
    await interrupted(backend, store, first(now))

    answer = await decide(store, tick(now, "n2:r1", max_attempts=3))
    assert (answer.verdict, answer.wait, answer.open_us) == (Verdict.ELSEWHERE, 0.0, (now,))


async def test_a_tick_that_was_never_granted_cannot_be_run_again(store: Store, now: int) -> None:
    answer = await decide(store, rerun(now))
    assert (answer.verdict, answer.wait, answer.attempt, answer.open_us) == (Verdict.ELSEWHERE, 0.0, 0, ())

    assert await verdict(store, first(now)) is Verdict.WON


async def test_a_consumed_tick_is_not_open(store: Store, now: int) -> None:
    await won(store, trigger("n9:r1"))
    assert await verdict(store, first(now, no_overlap=True)) is Verdict.OVERLAP

    assert await verdict(store, rerun(now, no_overlap=True)) is Verdict.ELSEWHERE
    assert await open_ticks(store) == ()


# Run again


async def test_after_the_end_of_its_lease_it_is_granted_again(backend: Backend, store: Store, other: Store) -> None:
    now = backend.now_us()
    held = await won(store, first(now, lock_ttl=SHORT_TTL), SERVER, RUN)
    await backend.pass_time(SHORT_TTL * 1.5)
    answer = await decide(other, rerun(now))

    assert (answer.verdict, answer.attempt, answer.open_us) == (Verdict.WON, 2, (now,))
    assert answer.fence > held.fence
    assert await renewed(store, held) is Renewal.LOST


async def test_a_rerun_leaves_the_record_and_the_server_lease_alone(backend: Backend, store: Store, now: int) -> None:
    await interrupted(backend, store, first(now - 1))
    newer = await won(store, replace(first(now), owner="n3:r1"), SERVER, RUN)
    again = await won(store, rerun(now - 1), RUN)

    assert await renewed(store, newer) is Renewal.HELD
    assert await renewed(store, again) is Renewal.HELD
    answer = await decide(store, survey())
    assert (answer.newest_us, answer.open_us) == (now, (now - 1, now))


async def test_two_nodes_ask_and_one_wins(backend: Backend, store: Store, other: Store, now: int) -> None:
    await interrupted(backend, store, first(now))
    answers = [await decide(store, rerun(now, "n2:r1")), await decide(other, rerun(now, "n3:r1"))]

    assert [answer.verdict for answer in answers] == [Verdict.WON, Verdict.ELSEWHERE]
    assert [answer.attempt for answer in answers] == [2, 2]


async def test_the_attempts_used_up_are_told_once(backend: Backend, store: Store, other: Store, now: int) -> None:
    await interrupted(backend, store, first(now))
    for attempt in (2, 3):
        request = rerun(now, f"n{attempt}:r1")
        assert (await decide(store, request)).attempt == attempt
        await backend.lose("report", RUN, now)
    answer = await decide(store, rerun(now, "n4:r1"))

    assert answer == ClaimAnswer(Verdict.EXHAUSTED, attempt=3)
    assert (await decide(other, rerun(now, "n5:r1"))).verdict is Verdict.ELSEWHERE
    assert await open_ticks(store) == ()


async def test_exhausted_leaves_the_other_open_ticks(backend: Backend, store: Store, now: int) -> None:
    for tick_us in (now - 1, now):
        await interrupted(backend, store, first(tick_us))

    answer = await decide(store, rerun(now - 1, max_attempts=1))
    assert (answer.verdict, answer.attempt, answer.open_us) == (Verdict.EXHAUSTED, 1, (now,))


async def test_a_tick_is_not_exhausted_while_its_last_attempt_runs(backend: Backend, store: Store, now: int) -> None:
    await interrupted(backend, store, first(now))
    await won(store, rerun(now, max_attempts=2))

    assert (await decide(store, rerun(now, "n3:r1", max_attempts=2))).verdict is Verdict.ELSEWHERE
    assert await open_ticks(store) == (now,)


async def test_a_retry_of_the_same_rerun_is_the_same_grant(
    backend: Backend, store: Store, other: Store, now: int
) -> None:
    await interrupted(backend, store, first(now, no_overlap=True))
    request = rerun(now, no_overlap=True)
    answer = await decide(store, request)
    assert (answer.verdict, answer.attempt) == (Verdict.WON, 2)

    assert await decide(other, request) == answer
    assert await decide(store, request) == answer


async def test_a_repeated_rerun_makes_its_lease_last_from_now_on(backend: Backend, store: Store) -> None:
    now = backend.now_us()
    await interrupted(backend, store, first(now))
    request = rerun(now, lock_ttl=0.4)
    held = await won(store, request, RUN)
    await backend.pass_time(0.25)
    assert await verdict(store, request) is Verdict.WON
    await backend.pass_time(0.25)

    assert await renewed(store, held) is Renewal.HELD


@pytest.mark.parametrize("lost", [RUN, OVERLAP])
async def test_a_lease_of_a_rerun_that_was_lost_is_never_made_again(
    backend: Backend, store: Store, now: int, lost: object
) -> None:
    await interrupted(backend, store, first(now, no_overlap=True))
    request = rerun(now, no_overlap=True)
    held = await won(store, request, RUN, OVERLAP)
    await backend.lose("report", lost, now)  # type: ignore[arg-type]

    assert await verdict(store, request) is Verdict.LOST_RECORD
    assert await renewed(store, held) is Renewal.LOST
    assert await verdict(store, rerun(now, "n3:r1", no_overlap=True)) is Verdict.WON, "what was left blocks"


@pytest.mark.parametrize("lost", [SERVER, RUN, OVERLAP])
async def test_a_first_grant_that_was_lost_in_part_is_never_made_again(
    backend: Backend, store: Store, now: int, lost: object
) -> None:
    request = first(now, no_overlap=True)
    await won(store, request)
    await backend.lose("report", lost, now)  # type: ignore[arg-type]

    assert await verdict(store, request) is Verdict.LOST_RECORD
    answer = await decide(store, rerun(now, no_overlap=True))
    assert (answer.verdict, answer.attempt) == (Verdict.WON, 2)


async def test_a_first_claim_repeated_after_a_rerun_takes_nothing(backend: Backend, store: Store, now: int) -> None:
    await interrupted(backend, store, first(now))
    again = await won(store, rerun(now), RUN)

    assert await verdict(store, first(now)) is Verdict.LOST_RECORD
    assert await renewed(store, again) is Renewal.HELD


# Finished


async def test_a_finished_tick_is_never_run_again(store: Store, other: Store, now: int) -> None:
    held = await won(store, first(now), SERVER, RUN)
    assert await finish(store, held)

    assert await open_ticks(other) == ()
    answer = await decide(other, rerun(now))
    assert (answer.verdict, answer.wait) == (Verdict.ELSEWHERE, 0.0)


async def test_a_finished_rerun_is_never_run_again(backend: Backend, store: Store, now: int) -> None:
    await interrupted(backend, store, first(now))
    again = await won(store, rerun(now), RUN)
    assert await finish(store, again)

    assert await verdict(store, rerun(now, "n3:r1")) is Verdict.ELSEWHERE
    assert await open_ticks(store) == ()


async def test_it_has_finished_even_if_its_lease_had_ended(backend: Backend, store: Store, now: int) -> None:
    held = await interrupted(backend, store, first(now))

    assert not await finish(store, held), "there was nothing left to free"
    assert await verdict(store, rerun(now)) is Verdict.ELSEWHERE


async def test_finishing_one_tick_leaves_the_others_open(store: Store, now: int) -> None:
    older = await won(store, first(now - 1), SERVER, RUN)
    await won(store, replace(first(now), owner="n1:r2"))
    await finish(store, older)

    assert await open_ticks(store) == (now,)


async def test_a_late_end_of_the_first_attempt_does_not_close_the_second(
    backend: Backend, store: Store, other: Store, now: int
) -> None:
    held = await interrupted(backend, store, first(now))
    again = await won(other, rerun(now), RUN)
    assert not await finish(store, held)

    assert await renewed(other, again) is Renewal.HELD
    assert await open_ticks(store) == (now,)


async def test_finished_means_nothing_without_the_lock_of_the_run(store: Store, now: int) -> None:
    held = await won(store, first(now), SERVER)
    assert await finish(store, held)

    assert await open_ticks(store) == (now,)


@pytest.mark.parametrize("fence", ["known", "unknown"])
async def test_a_run_that_was_given_back_unfinished_is_run_again_at_once(
    store: Store, other: Store, now: int, fence: str
) -> None:
    held = await won(store, first(now, no_overlap=True), SERVER, RUN, OVERLAP)
    assert list(await store.release([held if fence == "known" else replace(held, fence=0)])) == [True]

    answer = await decide(other, rerun(now, no_overlap=True))
    assert (answer.verdict, answer.attempt) == (Verdict.WON, 2)
    assert answer.fence > held.fence


# Renewed


async def test_the_lease_of_a_run_is_extended(backend: Backend, store: Store) -> None:
    now = backend.now_us()
    held = await won(store, first(now, lock_ttl=0.4), SERVER, RUN)
    await backend.pass_time(0.25)
    assert await renewed(store, held) is Renewal.HELD
    await backend.pass_time(0.25)

    assert await verdict(store, rerun(now)) is Verdict.ELSEWHERE
    assert await renewed(store, held) is Renewal.HELD


async def test_a_run_that_a_newer_tick_has_superseded_is_still_extended(backend: Backend, store: Store) -> None:
    now = backend.now_us()
    older = await won(store, first(now - 1, lock_ttl=0.4), SERVER, RUN)
    await won(store, replace(first(now), owner="n2:r1"))
    await backend.pass_time(0.25)
    assert await renewed(store, older) is Renewal.HELD
    await backend.pass_time(0.25)

    assert await renewed(store, older) is Renewal.HELD
    assert await verdict(store, rerun(now - 1, "n3:r1")) is Verdict.ELSEWHERE


async def test_a_superseded_run_does_not_extend_the_newer_ones_server_lease(backend: Backend, store: Store) -> None:
    now = backend.now_us()
    older = await won(store, first(now - 1), SERVER, RUN)
    newer = await won(store, replace(first(now, lock_ttl=0.4), owner="n2:r1"), SERVER, RUN)
    await backend.pass_time(0.25)
    assert await renewed(store, older) is Renewal.HELD
    await backend.pass_time(0.25)

    assert await renewed(store, newer) is Renewal.LOST


@pytest.mark.parametrize("gone", [SERVER, RUN, OVERLAP])
async def test_a_lost_lock_loses_the_whole_lease(backend: Backend, store: Store, now: int, gone: object) -> None:
    held = await won(store, first(now, no_overlap=True), SERVER, RUN, OVERLAP)
    await backend.lose("report", gone, now)  # type: ignore[arg-type]

    assert await renewed(store, held) is Renewal.LOST


async def test_a_lost_server_lease_that_nothing_explains_is_lost(backend: Backend, store: Store, now: int) -> None:
    held = await won(store, first(now), SERVER, RUN)
    await backend.lose("report", SERVER)

    assert await renewed(store, held) is Renewal.LOST


async def test_a_lost_run_is_lost_though_a_newer_tick_runs(backend: Backend, store: Store, now: int) -> None:
    older = await won(store, first(now - 1), SERVER, RUN)
    await won(store, replace(first(now), owner="n2:r1"))
    await backend.lose("report", RUN, now - 1)

    assert await renewed(store, older) is Renewal.LOST


async def test_a_run_lease_belongs_to_its_owner_fence_and_tick(store: Store, now: int) -> None:
    held = await won(store, first(now), RUN)

    for other in (
        replace(held, owner="n2:r1"),
        replace(held, fence=held.fence + 1),
        replace(held, tick_us=now - 1),
    ):
        assert await renewed(store, other) is Renewal.LOST
    assert list(await store.release([replace(held, owner="n2:r1"), replace(held, tick_us=now - 1)])) == [False, False]
    assert await renewed(store, held) is Renewal.HELD


# Beside other guards


async def test_a_rerun_waits_for_a_run_in_progress(backend: Backend, store: Store, other: Store, now: int) -> None:
    await interrupted(backend, store, first(now, no_overlap=True))
    running = await won(other, trigger("n2:r9"), OVERLAP)
    answer = await decide(store, rerun(now, no_overlap=True))

    assert (answer.verdict, answer.attempt, answer.open_us) == (Verdict.OVERLAP, 1, (now,))
    assert answer.wait == pytest.approx(60, abs=5)
    await other.release([running])
    assert await verdict(store, rerun(now, no_overlap=True)) is Verdict.WON


async def test_a_rerun_keeps_later_ticks_from_running_and_uses_them_up(
    backend: Backend, store: Store, other: Store, now: int
) -> None:
    await interrupted(backend, store, first(now - 1, no_overlap=True))
    await won(store, rerun(now - 1, no_overlap=True))

    answer = await decide(other, replace(first(now, no_overlap=True), owner="n3:r1"))
    assert (answer.verdict, answer.newest_us, answer.open_us) == (Verdict.OVERLAP, now, (now - 1,))
    assert await verdict(other, rerun(now, "n3:r2", no_overlap=True)) is Verdict.ELSEWHERE


async def test_a_paused_job_is_not_run_again(backend: Backend, store: Store, now: int) -> None:
    await interrupted(backend, store, first(now))
    await store.set_paused("report", True)
    answer = await decide(store, rerun(now))
    assert (answer.verdict, answer.open_us) == (Verdict.PAUSED, (now,))

    await store.set_paused("report", False)
    assert (await decide(store, rerun(now))).attempt == 2


async def test_the_wall_of_the_store_is_no_hindrance(backend: Backend, store: Store, now: int) -> None:
    """A tick that ran has been due, even if the store's clock was set back since."""
    ahead = now + 4_000  # within the tolerance of a first claim
    await interrupted(backend, store, first(ahead))

    assert (await decide(store, rerun(ahead))).attempt == 2


async def test_attempts_are_told_of_the_tick_that_is_asked_for(backend: Backend, store: Store, now: int) -> None:
    ticks = [now - 30, now - 20, now - 10, now]
    for tick_us in ticks:
        await interrupted(backend, store, first(tick_us))
    assert (await decide(store, rerun(ticks[1]))).attempt == 2
    await finish(store, lease(rerun(ticks[1]), 0, RUN))
    assert await open_ticks(store) == (ticks[0], ticks[2], ticks[3])

    assert [(await decide(store, rerun(tick_us, f"n{tick_us}:r1"))).attempt for tick_us in ticks] == [2, 0, 2, 2]


async def test_only_the_newest_open_ticks_are_kept(backend: Backend, store: Store, now: int) -> None:
    ticks = [now - SECOND + number for number in range(MOST_OPEN + 2)]
    answers = [await decide(store, replace(first(tick_us), owner=f"n1:{tick_us}")) for tick_us in ticks]

    assert [len(answer.open_us) for answer in answers] == [*range(1, MOST_OPEN + 1), MOST_OPEN, MOST_OPEN]
    assert await open_ticks(store) == tuple(ticks[2:])
    assert await verdict(store, rerun(ticks[1])) is Verdict.ELSEWHERE


async def test_open_ticks_are_kept_as_long_as_records(backend: Backend, store: Store) -> None:
    now = backend.now_us()
    request = tick(now, max_attempts=3, lock_ttl=0.1, retain_for=0.4)
    await won(store, request)
    await backend.pass_time(0.25)
    assert (await decide(store, rerun(now, lock_ttl=0.1, retain_for=0.4))).attempt == 2  # and from now on again
    await backend.pass_time(0.25)
    assert await open_ticks(store) == (now,)
    await backend.pass_time(0.25)

    assert await open_ticks(store) == ()


# A survey


async def test_a_survey_of_an_unknown_job(store: Store) -> None:
    assert await decide(store, survey()) == ClaimAnswer(Verdict.ELSEWHERE, attempt=0)
    assert await decide(store, survey(max_attempts=0)) == ClaimAnswer(Verdict.ELSEWHERE)


async def test_a_survey_tells_the_newest_tick_and_the_open_ones(store: Store, other: Store, now: int) -> None:
    await won(store, first(now - 1))
    await won(store, replace(first(now), owner="n1:r2"))

    assert await decide(other, survey()) == ClaimAnswer(
        Verdict.ELSEWHERE, newest_us=now, attempt=0, open_us=(now - 1, now)
    )
    assert await decide(other, survey(max_attempts=0)) == ClaimAnswer(Verdict.ELSEWHERE, newest_us=now)


@pytest.mark.parametrize("state", ["paused", "overlap", "without record"])
async def test_a_survey_is_answered_whatever_the_job_does(backend: Backend, store: Store, now: int, state: str) -> None:
    await won(store, first(now, no_overlap=True))
    if state == "paused":
        await store.set_paused("report", True)
    elif state == "without record":
        await backend.lose("report", TICK)

    answer = await decide(store, survey())
    assert (answer.verdict, answer.open_us) == (Verdict.ELSEWHERE, (now,))
    assert answer.newest_us == now  # without its record too: the job's state keeps the newest granted tick


async def test_a_survey_makes_a_job_known(backend: Backend, store: Store, other: Store) -> None:
    """What had come due by then may have run before data was lost; what comes due later has not."""
    now = backend.now_us()
    for _ in range(2):
        await decide(store, survey())

    assert await verdict(other, first(now - 1_000_000)) is Verdict.LOST_RECORD
    assert await verdict(other, replace(first(now), owner="n2:r2", remembered_us=1)) is Verdict.LOST_RECORD
    await backend.pass_time(0.3)
    later = backend.now_us()
    assert (await decide(other, replace(first(later), owner="n2:r3", remembered_us=1))).attempt == 1
    assert await verdict(store, replace(survey(), owner="n2:r1")) is Verdict.ELSEWHERE


async def test_a_survey_changes_nothing_of_a_known_job(store: Store, now: int) -> None:
    await won(store, first(now - 2))
    await decide(store, survey())

    assert await verdict(store, replace(first(now - 1), owner="n1:r2")) is Verdict.WON


async def test_a_job_is_not_known_by_its_pause(store: Store, other: Store, now: int) -> None:
    await store.set_paused("report", True)
    await decide(store, survey())
    await store.set_paused("report", False)

    assert await verdict(other, first(now - 1)) is Verdict.LOST_RECORD


# Jobs that are not run again


async def test_other_jobs_are_answered_as_ever(store: Store, other: Store, now: int) -> None:
    answer = await decide(store, tick(now))
    assert answer == ClaimAnswer(Verdict.WON, fence=answer.fence, newest_us=now)

    assert await decide(other, tick(now, "n2:r1")) == ClaimAnswer(Verdict.ELSEWHERE, newest_us=now)
    assert await open_ticks(store) == ()
    assert (await decide(store, start())).open_us == ()


async def test_batches_mix_all_kinds(backend: Backend, store: Store, now: int) -> None:
    await interrupted(backend, store, first(now, job="again"))
    requests = [
        tick(now, job="plain"),
        rerun(now, job="again"),
        survey("again"),
        first(now, job="open"),
        survey("plain"),
        rerun(now, job="unknown"),
    ]
    answers = await store.claim(requests)

    assert [(answer.verdict, answer.attempt, answer.open_us) for answer in answers] == [
        (Verdict.WON, 1, ()),
        (Verdict.WON, 2, (now,)),
        (Verdict.ELSEWHERE, 0, (now,)),
        (Verdict.WON, 1, (now,)),
        (Verdict.ELSEWHERE, 0, ()),
        (Verdict.ELSEWHERE, 0, ()),
    ]
