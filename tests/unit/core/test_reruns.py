"""Claims of interrupted ticks beside those of new ones, and which runs count as finished."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from _scripted import AWAY, WON, Parts, Work, no_overlap, one_server, turns

from asyncsched import events
from asyncsched._grants import ClaimAnswer, ClaimKind, Lease, LockType, Renewal, Verdict
from asyncsched._recovery import LONGEST_BLIND_WAIT, SLACK
from asyncsched._run import Outcome, Run, SkipReason
from asyncsched._terms import WEEK

if TYPE_CHECKING:
    from asyncsched._job_state import JobState

SECOND = 1_000_000
TICK = 1_767_225_000 * SECOND
"""Ten minutes before the clock's start."""
LEASE = Lease("j", "n1:x", 3, (LockType.SERVER, LockType.RUN), 60.0, TICK)
WRONG = ValueError("wrong")


def again(parts: Parts, state: JobState, tick_us: int = TICK) -> Run:
    """Ask for an interrupted tick, as the recovery does."""
    run = parts.executor.new_run(state, ClaimKind.TICK, tick_us)
    state.watched[tick_us] = None
    parts.claimer.submit(state, run, next_us=tick_us + 10 * SECOND, rerun=True)
    return run


def asked(parts: Parts) -> list[ClaimKind]:
    return [request.kind for call in parts.store.claimed for request in call]


def answer(verdict: Verdict, **more: Any) -> ClaimAnswer:
    """An answer by which the tick stays open."""
    return ClaimAnswer(verdict, open_us=(TICK,), **more)


class TestRequest:
    async def test_it_says_what_is_asked_for(self, parts: Parts) -> None:
        state = parts.state_again(Work(), no_overlap, lock_ttl=33.0)
        state.remembered_us, state.remembered_until = 5, float("inf")
        run = again(parts, state)
        await parts.clock.settle()
        (request,) = parts.store.claimed[0]

        assert (request.job, request.kind, request.tick_us) == ("j", ClaimKind.RERUN, TICK)
        assert request.owner == f"n1:{run.run_id}"
        assert (request.one_server, request.no_overlap, request.lock_ttl) == (True, True, 33.0)
        assert (request.remembered_us, request.max_attempts) == (0, 2)
        assert request.retain_for == WEEK + 20.0

    @pytest.mark.parametrize("kind", [ClaimKind.START, ClaimKind.TRIGGER])
    async def test_what_is_no_tick_is_not_run_again(self, parts: Parts, kind: ClaimKind) -> None:
        run, _ = parts.submit(parts.state_again(Work()), kind)
        await parts.clock.settle()

        assert parts.store.claimed[0][0].max_attempts == 0
        assert run.outcome is Outcome.SUCCEEDED
        assert [lease for call in parts.store.released for lease in call] == []

    @pytest.mark.parametrize(
        ("rerun", "policies", "locks"),
        [
            (False, (), (LockType.SERVER, LockType.RUN)),
            (False, (no_overlap,), (LockType.SERVER, LockType.RUN, LockType.OVERLAP)),
            (True, (), (LockType.RUN,)),
            (True, (no_overlap,), (LockType.RUN, LockType.OVERLAP)),
        ],
    )
    async def test_what_its_grant_holds(self, parts: Parts, rerun: bool, policies: Any, locks: Any) -> None:
        state = parts.state_again(Work(), *policies)
        parts.store.claims = [ClaimAnswer(Verdict.WON, fence=8)]
        run = again(parts, state) if rerun else parts.submit(state)[0]
        await parts.clock.settle()

        owner = f"n1:{run.run_id}"
        assert parts.store.released == [[Lease("j", owner, 8, locks, 60.0, run.fire_us, finished=True)]]


class TestAnswers:
    async def test_a_win_tells_which_attempt_it_is(self, parts: Parts) -> None:
        parts.store.claims = [answer(Verdict.WON, fence=8, attempt=2)]
        run = again(parts, parts.state_again(Work()))
        await parts.clock.settle()

        assert (run.attempt, run.fence, run.outcome) == (2, 8, Outcome.SUCCEEDED)
        assert [(event.attempt, event.fence) for event in parts.of_type(events.RunEnded)] == [(2, 8)]

    @pytest.mark.parametrize(
        ("verdict", "wait", "asked_after"),
        [
            (Verdict.ELSEWHERE, 30.0, 30.0),
            (Verdict.OVERLAP, 45.0, 45.0),
            (Verdict.ELSEWHERE, 0.0, LONGEST_BLIND_WAIT),
            (Verdict.PAUSED, 0.0, LONGEST_BLIND_WAIT),
            (Verdict.LOST_RECORD, 0.0, LONGEST_BLIND_WAIT),
        ],
    )
    async def test_a_decision_against_it_is_no_skip_of_the_tick(
        self, parts: Parts, verdict: Verdict, wait: float, asked_after: float
    ) -> None:
        parts.store.claims = [answer(verdict, wait=wait)]
        run = again(parts, parts.state_again(Work()))
        await parts.clock.advance(asked_after + SLACK - 0.001)
        assert run.outcome is Outcome.SKIPPED
        assert (parts.tally, parts.of_type(events.TickSkipped)) == ({}, [])
        assert asked(parts) == [ClaimKind.RERUN]
        await parts.clock.advance(0.001)

        assert asked(parts) == [ClaimKind.RERUN] * 2

    async def test_a_tick_that_is_open_no_more_is_not_asked_for_again(self, parts: Parts) -> None:
        parts.store.claims = [ClaimAnswer(Verdict.ELSEWHERE, attempt=0)]
        state = parts.state_again(Work())
        again(parts, state)
        await parts.clock.advance(1000)

        assert asked(parts) == [ClaimKind.RERUN]
        assert state.watched == {}

    async def test_exhausted_is_said_once(self, parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
        parts.store.claims = [ClaimAnswer(Verdict.EXHAUSTED, attempt=2)]
        state = parts.state_again(Work())
        run = again(parts, state)
        await parts.clock.advance(1000)

        assert [(event.job, event.attempts) for event in parts.of_type(events.RerunsExhausted)] == [("j", 2)]
        assert parts.of_type(events.RerunsExhausted)[0].fire_time == run.fire_time
        (said,) = [record for record in caplog.records if "is given up" in record.getMessage()]
        assert said.levelname == "ERROR"
        assert f"job=j tick={run.fire_time.isoformat()}" in said.getMessage()
        assert "interrupted 2 times" in said.getMessage()
        assert (parts.tally, state.watched) == ({}, {})

    async def test_without_a_subscriber_it_is_logged_all_the_same(
        self, parts: Parts, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts.bus.wants = lambda _: False  # type: ignore[method-assign]
        parts.store.claims = [ClaimAnswer(Verdict.EXHAUSTED, attempt=2)]
        again(parts, parts.state_again(Work()))
        await parts.clock.settle()

        assert "is given up" in caplog.text
        assert parts.events == []

    async def test_it_does_not_seal_the_timeline(self, parts: Parts) -> None:
        parts.store.wall = parts.clock.time()
        parts.store.claims = [answer(Verdict.WON, fence=8, attempt=2), answer(Verdict.ELSEWHERE)]
        state = parts.state_again(Work())
        for tick_us in (TICK, TICK + 1):
            again(parts, state, tick_us)
        await parts.clock.settle()

        assert state.decided_us == 0

    async def test_a_job_in_progress_here_is_not_asked_for(self, parts: Parts) -> None:
        state = parts.state_again(work := Work(holds=True), no_overlap)
        parts.submit(state)
        await parts.clock.settle()
        run = again(parts, state)
        await parts.clock.settle()
        assert run.skip_reason is SkipReason.OVERLAP
        assert asked(parts) == [ClaimKind.TICK]

        work.let_go()
        await parts.clock.advance(LONGEST_BLIND_WAIT + SLACK)
        assert asked(parts) == [ClaimKind.TICK, ClaimKind.RERUN]
        assert parts.tally == {"succeeded": 2}


class TestBesideOtherClaims:
    async def test_a_tick_waits_for_its_decision(self, parts: Parts) -> None:
        on_its_way = parts.call_on_its_way(parts.store.claims)
        state = parts.state_again(Work())
        again(parts, state)
        await turns()
        tick, _ = parts.submit(state)
        await turns()
        assert asked(parts) == [ClaimKind.RERUN]
        on_its_way.set_result(WON)
        await parts.clock.settle()

        assert tick.outcome is Outcome.SUCCEEDED
        assert asked(parts) == [ClaimKind.RERUN, ClaimKind.TICK]

    async def test_without_an_answer_it_makes_way_for_the_tick_and_is_asked_again(self, parts: Parts) -> None:
        on_its_way = parts.call_on_its_way(parts.store.claims)
        state = parts.state_again(Work())
        run = again(parts, state)
        await turns()
        tick, _ = parts.submit(state)
        parts.store.claims.append(answer(Verdict.WON, fence=8))
        on_its_way.set_result(AWAY)
        await parts.clock.settle()
        assert (run.skip_reason, tick.outcome) == (SkipReason.STORE_UNAVAILABLE, Outcome.SUCCEEDED)
        assert [lease.locks for lease in parts.store.released[0]] == [(LockType.RUN,)], "it may have won"
        await parts.clock.advance(LONGEST_BLIND_WAIT + SLACK)

        assert asked(parts) == [ClaimKind.RERUN, ClaimKind.TICK, ClaimKind.RERUN]
        assert parts.tally == {"succeeded": 2}

    async def test_a_newer_tick_gives_up_none_that_waits_before_it(self, parts: Parts) -> None:
        on_its_way = parts.call_on_its_way(parts.store.claims)
        state = parts.state_again(Work())
        first, _ = parts.submit(state)
        await turns()
        run = again(parts, state)
        second, _ = parts.submit(state)
        third, _ = parts.submit(state)
        on_its_way.set_result(WON)
        await parts.clock.settle()

        assert [each.outcome for each in (first, run, third)] == [Outcome.SUCCEEDED] * 3
        assert second.skip_reason is SkipReason.STORE_UNAVAILABLE
        assert asked(parts) == [ClaimKind.TICK, ClaimKind.RERUN, ClaimKind.TICK]

    async def test_one_that_waits_behind_an_undecided_tick_does_not_end_it(self, parts: Parts) -> None:
        parts.store.claims = [AWAY, AWAY, WON]
        state = parts.state_again(Work())
        tick, _ = parts.submit(state)
        await turns()
        run = again(parts, state)
        await parts.clock.advance(1)

        assert [tick.outcome, run.outcome] == [Outcome.SUCCEEDED] * 2
        assert asked(parts) == [ClaimKind.TICK] * 3 + [ClaimKind.RERUN]

    async def test_a_stop_gives_it_up_and_gives_back_what_it_may_have_won(self, parts: Parts) -> None:
        parts.store.claims = [AWAY]
        state = parts.state_again(Work())
        run = again(parts, state)
        await turns()
        parts.recovery.close()
        parts.claimer.close()
        await turns()

        assert run.skip_reason is SkipReason.SHUTTING_DOWN
        ((lease,),) = parts.store.released
        assert (lease.locks, lease.finished, lease.tick_us) == ((LockType.RUN,), False, TICK)
        assert (parts.tally, state.watched) == ({}, {})


# Which runs have finished


def raising(error: BaseException) -> Callable[[], object]:
    async def handler() -> None:
        raise error

    return handler


async def fine() -> None: ...


async def reports(ctx: Run) -> None:
    ctx.report(WRONG)


async def times_out() -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(10)


FINISHED = [
    pytest.param(fine, id="returns"),
    pytest.param(raising(WRONG), id="raises"),
    pytest.param(reports, id="reports"),
    pytest.param(raising(asyncio.CancelledError()), id="CancelledError by itself"),
    pytest.param(times_out, id="a timeout of its own"),
    pytest.param(raising(SystemExit(3)), id="SystemExit"),
]


class TestFinished:
    @pytest.mark.parametrize("handler", FINISHED)
    async def test_what_has_come_to_its_own_end(self, parts: Parts, handler: object) -> None:
        state = parts.state_again(handler)
        run = await parts.start_granted(state, LEASE)
        state.watched[run.fire_us] = None
        await run.wait()
        await turns()

        assert [[lease.finished for lease in call] for call in parts.store.released] == [[True]]
        assert state.watched == {run.fire_us: None}, "nobody asks for it again"

    async def test_what_a_stop_has_cancelled_has_not(self, parts: Parts) -> None:
        run = await parts.start_granted(parts.state_again(Work(holds=True)), LEASE)
        await turns()
        draining = asyncio.ensure_future(parts.executor.drain(0, 5))
        await parts.clock.advance(5)
        await draining

        assert run.outcome is Outcome.CANCELLED
        assert parts.store.released == [[LEASE]]

    async def test_what_ends_in_spite_of_a_stop_has(self, parts: Parts) -> None:
        async def stubborn() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

        run = await parts.start_granted(parts.state_again(stubborn), LEASE)
        await turns()
        draining = asyncio.ensure_future(parts.executor.drain(0, 5))
        await parts.clock.advance(5)
        await draining

        assert run.outcome is Outcome.SUCCEEDED
        assert [lease.finished for lease in parts.store.released[0]] == [True]

    async def test_a_thread_that_works_on_to_its_end_has(self, parts: Parts) -> None:
        began, go = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def handler() -> None:
            loop.call_soon_threadsafe(began.set)
            go.wait(5)

        run = await parts.start_granted(parts.state_again(handler), LEASE)
        await asyncio.wait_for(began.wait(), 5)
        draining = asyncio.ensure_future(parts.executor.drain(0, 5))
        await turns()
        assert parts.store.released == []
        go.set()
        await asyncio.wait_for(run.wait(), 5)
        await parts.clock.advance(5)
        await draining

        assert [lease.finished for lease in parts.store.released[0]] == [True]

    async def test_what_lost_its_lease_has_not(self, parts: Parts) -> None:
        parts.store.renewals = [Renewal.LOST]
        state = parts.state_again(Work(holds=True))
        run = await parts.start_granted(state, LEASE)
        state.watched[run.fire_us] = None
        await parts.clock.advance(20)

        assert run.outcome is Outcome.LOCK_LOST
        assert parts.store.released == [[LEASE]]
        assert state.watched[run.fire_us] is not None, "it will be asked for again"

    @pytest.mark.parametrize("how", ["lost", "stopped"])
    async def test_what_never_started_has_not(self, parts: Parts, how: str) -> None:
        work = Work()
        state = parts.state_again(work, lambda job: job.random_delay(30, 30))
        run = await parts.start_granted(state, LEASE)
        await parts.clock.settle()
        if how == "lost":
            parts.store.renewals = [Renewal.LOST]
            await parts.clock.advance(20)
        else:
            draining = asyncio.ensure_future(parts.executor.drain(0, 5))
            await parts.clock.advance(5)
            await draining

        assert run.outcome is (Outcome.LOCK_LOST if how == "lost" else Outcome.SKIPPED)
        assert work.runs == []
        assert parts.store.released == [[LEASE]]

    async def test_what_was_cancelled_before_its_first_step_has_not(self, parts: Parts) -> None:
        state = parts.state_again(Work())
        run = await parts.start_granted(state, LEASE)
        assert run.task is not None
        run.task.cancel()
        await turns()

        assert run.skip_reason is SkipReason.SHUTTING_DOWN
        assert parts.store.released == [[LEASE]]

    @pytest.mark.usefixtures("ended_program")
    @pytest.mark.parametrize("how", ["the end of asyncio.run", "KeyboardInterrupt"])
    def test_what_ends_with_the_program_has_not(self, how: str) -> None:
        kept: list[Parts] = []
        handler = Work(holds=True) if how == "the end of asyncio.run" else raising(KeyboardInterrupt())

        async def main() -> None:
            parts = Parts()
            kept.append(parts)
            await parts.start_granted(parts.state_again(handler), LEASE)
            await turns()

        if how == "KeyboardInterrupt":
            with pytest.raises(KeyboardInterrupt):
                asyncio.run(main())
        else:
            asyncio.run(main())
        released = [pending.lease for pending in kept[0].keeper._releases]
        assert [lease for call in kept[0].store.released for lease in call] + released == [LEASE]

    async def test_without_the_lock_of_the_run_there_is_nothing_to_tell(self, parts: Parts) -> None:
        lease = Lease("j", "n1:x", 3, (LockType.SERVER,), 60.0)
        run = await parts.start_granted(parts.state(Work(), one_server), lease)
        await run.wait()
        await turns()

        assert parts.store.released == [[lease]]


class TestTellingThatItHasFinished:
    async def test_it_is_told_however_long_the_store_is_away(self, parts: Parts) -> None:
        parts.store.releases = [AWAY] * 1000
        run = await parts.start_granted(parts.state_again(Work()), LEASE)
        await run.wait()
        await parts.clock.advance(600)  # ten times as long as the lease lasts
        parts.store.releases.clear()
        parts.store.released.clear()
        await parts.clock.advance(100)

        assert [[lease.finished for lease in call] for call in parts.store.released] == [[True]]

    async def test_a_lease_alone_is_given_back_no_longer_than_it_lasts(self, parts: Parts) -> None:
        parts.store.releases = [AWAY] * 1000
        parts.keeper.give_back(LEASE)
        await parts.clock.advance(70)
        count = len(parts.store.released)
        await parts.clock.advance(600)

        assert count > 10
        assert len(parts.store.released) == count
