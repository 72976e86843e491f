"""What is asked of the store, together and one claim of a job at a time, and what its decisions lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _scripted import AWAY, WON, Work, no_overlap, one_server

from asyncsched import _ready, events
from asyncsched._grants import ClaimAnswer, ClaimKind, Verdict
from asyncsched._run import Outcome, SkipReason
from asyncsched._terms import WEEK

if TYPE_CHECKING:
    from _scripted import Parts


async def test_all_that_is_due_together_is_asked_in_one_call(parts: Parts) -> None:
    work = Work()
    states = [parts.state(work, one_server, name=name) for name in "abc"]
    runs = [parts.submit(state)[0] for state in states]
    await parts.clock.settle()

    assert [[request.job for request in call] for call in parts.store.claimed] == [["a", "b", "c"]]
    assert work.runs == runs
    assert {run.outcome for run in runs} == {Outcome.SUCCEEDED}


async def test_the_next_batch_forms_while_one_is_on_its_way(parts: Parts) -> None:
    on_its_way = parts.call_on_its_way(parts.store.claims)
    states = [parts.state(Work(), one_server, name=name) for name in "abc"]
    parts.submit(states[0])
    await parts.clock.settle()
    parts.submit(states[1])
    await parts.clock.advance(1)
    parts.submit(states[2])
    await parts.clock.settle()
    assert len(parts.store.claimed) == 1

    on_its_way.set_result(WON)
    await parts.clock.settle()
    assert [[request.job for request in call] for call in parts.store.claimed] == [["a"], ["b", "c"]]


async def test_answers_belong_to_the_requests_in_their_order(parts: Parts) -> None:
    parts.store.claims = [[ClaimAnswer(Verdict.WON, fence=7), ClaimAnswer(Verdict.ELSEWHERE)]]
    won, elsewhere = (parts.submit(parts.state(Work(), one_server, name=name))[0] for name in "ab")
    await parts.clock.settle()

    assert (won.outcome, won.fence) == (Outcome.SUCCEEDED, 7)
    assert elsewhere.skip_reason is SkipReason.ELSEWHERE


@pytest.mark.parametrize("kind", list(ClaimKind))
@pytest.mark.parametrize("policies", [(one_server,), (no_overlap,), (one_server, no_overlap)])
async def test_a_request_says_what_is_asked_for(parts: Parts, kind: ClaimKind, policies: tuple) -> None:  # type: ignore[type-arg]
    state = parts.state(Work(), *policies, lock_ttl=33.0)
    run, _ = parts.submit(state, kind)
    await parts.clock.settle()
    (request,) = parts.store.claimed[0]

    assert (request.job, request.kind, request.lock_ttl) == ("j", kind, 33.0)
    assert request.owner == f"n1:{run.run_id}"
    assert request.one_server is (one_server in policies)
    assert request.no_overlap is (no_overlap in policies)
    assert request.tick_us == (run.fire_us if kind is ClaimKind.TICK else 0)
    assert (request.retain_for > 0) is (kind is ClaimKind.TICK)


async def test_a_call_asks_for_no_more_than_can_be_answered_in_time(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ready, "MOST_AT_ONCE", 3)
    works = [Work() for _ in range(7)]
    for number, work in enumerate(works):
        parts.submit(parts.state(work, one_server, name=f"j{number}"))
    await parts.clock.settle()

    assert [[request.job for request in call] for call in parts.store.claimed] == [
        ["j0", "j1", "j2"],
        ["j3", "j4", "j5"],
        ["j6"],
    ]
    assert all(len(work.runs) == 1 for work in works)


@pytest.mark.parametrize(
    ("next_in", "grace", "retained"),
    [
        (10.0, 3600.0, WEEK + 20.0),
        (None, 3600.0, WEEK),
        (30 * 86_400.0, 3600.0, WEEK + 60 * 86_400.0),
        (10.0, 2 * WEEK, 2 * WEEK + 60.0),
        (10.0, None, WEEK + 20.0),
    ],
)
async def test_records_are_kept_beyond_the_next_tick_and_the_last_late_node(
    parts: Parts, next_in: float | None, grace: float | None, retained: float
) -> None:
    parts.submit(parts.state(Work(), one_server, grace=grace), next_in=next_in)
    await parts.clock.settle()

    assert parts.store.claimed[0][0].retain_for == pytest.approx(retained)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (Verdict.ELSEWHERE, SkipReason.ELSEWHERE),
        (Verdict.OVERLAP, SkipReason.OVERLAP),
        (Verdict.PAUSED, SkipReason.PAUSED),
        (Verdict.LOST_RECORD, SkipReason.STORE_UNAVAILABLE),
    ],
)
async def test_a_decision_against_the_run_is_a_skip(parts: Parts, verdict: Verdict, reason: SkipReason) -> None:
    parts.store.claims = [ClaimAnswer(verdict)]
    work = Work()
    state = parts.state(work, one_server, no_overlap)
    run, _ = parts.submit(state)
    await parts.clock.settle()

    assert (run.outcome, run.skip_reason) == (Outcome.SKIPPED, reason)
    assert work.runs == []
    assert parts.tally == {str(reason): 1}
    assert [event.reason for event in parts.of_type(events.TickSkipped)] == [reason]
    assert state.overlap_lock is not None
    assert not state.overlap_lock.locked()
    assert parts.store.released == []


async def test_a_lost_record_is_said(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.store.claims = [ClaimAnswer(Verdict.LOST_RECORD)]
    parts.submit(parts.state(Work(), one_server))
    await parts.clock.settle()

    assert [record.getMessage() for record in caplog.records if "did not know the job" in record.getMessage()]


async def test_a_job_in_progress_here_is_skipped_without_asking(parts: Parts) -> None:
    work = Work(holds=True)
    state = parts.state(work, no_overlap)
    first, _ = parts.submit(state)
    await parts.clock.settle()
    second, _ = parts.submit(state)
    await parts.clock.settle()
    assert (second.outcome, second.skip_reason) == (Outcome.SKIPPED, SkipReason.OVERLAP)
    assert len(parts.store.claimed) == 1

    work.let_go()
    assert await first.wait() is Outcome.SUCCEEDED
    third, _ = parts.submit(state)
    await parts.clock.settle()
    assert third.outcome is Outcome.SUCCEEDED


async def test_without_that_guard_runs_may_overlap(parts: Parts) -> None:
    work = Work(holds=True)
    state = parts.state(work, one_server)
    for _ in range(2):
        parts.submit(state)
        await parts.clock.advance(10)

    assert len(work.runs) == 2


class TestOneClaimOfAJobAtATime:
    async def test_the_newest_tick_that_waits_wins(self, parts: Parts) -> None:
        on_its_way = parts.call_on_its_way(parts.store.claims)
        state = parts.state(Work(), one_server)
        runs = []
        for _ in range(4):
            runs.append(parts.submit(state)[0])
            await parts.clock.advance(10)
        assert [run.skip_reason for run in runs[1:3]] == [SkipReason.STORE_UNAVAILABLE] * 2
        assert len(parts.store.claimed) == 1

        on_its_way.set_result(WON)
        await parts.clock.settle()
        assert [runs[0].outcome, runs[3].outcome] == [Outcome.SUCCEEDED] * 2
        assert [call[0].tick_us for call in parts.store.claimed] == [runs[0].fire_us, runs[3].fire_us]

    async def test_a_newer_tick_takes_the_place_of_one_that_waits_to_ask_again(self, parts: Parts) -> None:
        parts.store.claims = [AWAY]
        state = parts.state(Work(), one_server)
        older, _ = parts.submit(state)
        await parts.clock.settle()
        newer, _ = parts.submit(state)
        await parts.clock.settle()

        assert older.skip_reason is SkipReason.STORE_UNAVAILABLE
        assert newer.outcome is Outcome.SUCCEEDED
        await parts.clock.advance(5)
        assert len(parts.store.claimed) == 2

    async def test_a_tick_that_is_not_decided_makes_way_for_the_one_that_waits(self, parts: Parts) -> None:
        on_its_way = parts.call_on_its_way(parts.store.claims)
        state = parts.state(Work(), one_server)
        older, _ = parts.submit(state)
        await parts.clock.settle()
        newer, _ = parts.submit(state)
        on_its_way.set_result(AWAY)
        await parts.clock.settle()

        assert older.skip_reason is SkipReason.STORE_UNAVAILABLE
        assert newer.outcome is Outcome.SUCCEEDED

    async def test_a_triggered_run_waits_and_takes_nobodys_place(self, parts: Parts) -> None:
        parts.store.claims = [AWAY, AWAY]
        state = parts.state(Work(), one_server)
        tick, _ = parts.submit(state)
        await parts.clock.settle()
        triggered, _ = parts.submit(state, ClaimKind.TRIGGER)
        await parts.clock.advance(1)

        assert [tick.outcome, triggered.outcome] == [Outcome.SUCCEEDED] * 2
        assert [call[0].kind for call in parts.store.claimed] == [ClaimKind.TICK] * 3 + [ClaimKind.TRIGGER]

    async def test_a_tick_waits_behind_a_triggered_run(self, parts: Parts) -> None:
        parts.store.claims = [AWAY, AWAY]
        state = parts.state(Work(), one_server)
        triggered, _ = parts.submit(state, ClaimKind.TRIGGER)
        await parts.clock.settle()
        tick, _ = parts.submit(state)
        await parts.clock.advance(1)

        assert [tick.outcome, triggered.outcome] == [Outcome.SUCCEEDED] * 2
        assert len(parts.store.claimed) == 4


class TestRememberedTicks:
    async def test_the_newest_decided_tick_is_sent_with_later_ones(self, parts: Parts) -> None:
        state = parts.state(Work(), one_server)
        parts.store.claims = [
            ClaimAnswer(Verdict.WON, 1, newest_us=500),
            ClaimAnswer(Verdict.ELSEWHERE, newest_us=400),
            ClaimAnswer(Verdict.ELSEWHERE, newest_us=900),
        ]
        for _ in range(4):
            parts.submit(state)
            await parts.clock.advance(10)

        assert [call[0].remembered_us for call in parts.store.claimed] == [0, 500, 500, 900]

    @pytest.mark.parametrize("kind", [ClaimKind.START, ClaimKind.TRIGGER])
    async def test_what_is_no_tick_sends_none(self, parts: Parts, kind: ClaimKind) -> None:
        state = parts.state(Work(), one_server)
        parts.store.claims = [ClaimAnswer(Verdict.WON, 1, newest_us=500)]
        parts.submit(state)
        await parts.clock.settle()
        parts.submit(state, kind)
        await parts.clock.settle()

        assert parts.store.claimed[1][0].remembered_us == 0

    @pytest.mark.parametrize(("later", "remembered"), [(WEEK + 20.0, 500), (WEEK + 20.5, 0)])
    async def test_a_record_that_may_have_expired_is_remembered_no_longer(
        self, parts: Parts, later: float, remembered: int
    ) -> None:
        state = parts.state(Work(), one_server)
        parts.store.claims = [ClaimAnswer(Verdict.WON, 1, newest_us=500)]
        parts.submit(state)
        await parts.clock.settle()
        await parts.clock.advance(later)
        parts.submit(state)
        await parts.clock.settle()

        assert parts.store.claimed[1][0].remembered_us == remembered


async def test_waiting_for_a_decision(parts: Parts) -> None:
    on_its_way = parts.call_on_its_way(parts.store.claims)
    run, claim = parts.submit(parts.state(Work(holds=True), one_server), ClaimKind.TRIGGER)
    on_its_way.get_loop().call_soon(on_its_way.set_result, WON)
    await parts.claimer.wait_decided(claim)
    assert run.task is not None

    await parts.claimer.wait_decided(claim)


async def test_a_failure_of_the_store_itself_ends_claiming(parts: Parts) -> None:
    parts.store.claims = [ZeroDivisionError()]
    parts.submit(parts.state(Work(), one_server))
    await parts.clock.settle()

    assert isinstance(parts.tasks[0].exception(), ZeroDivisionError)
