"""Who looks after interrupted ticks: what is surveyed, watched, asked for again and forgotten, by the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from _scripted import AWAY, Work, no_overlap, one_server, turns

from asyncsched._grants import ClaimAnswer, ClaimKind, Verdict
from asyncsched._recovery import LONGEST_BLIND_WAIT, SLACK, SURVEY_BACKOFF
from asyncsched._run import Outcome
from asyncsched._terms import WEEK

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._job import Job
    from asyncsched._job_state import JobState

SECOND = 1_000_000


def surveyed(*open_us: int, newest: int = 0) -> ClaimAnswer:
    return ClaimAnswer(Verdict.ELSEWHERE, newest_us=newest, attempt=0, open_us=open_us)


def running(tick_us: int, wait: float) -> ClaimAnswer:
    """The answer to a claim of a tick whose lease another node holds."""
    return ClaimAnswer(Verdict.ELSEWHERE, wait=wait, newest_us=tick_us, open_us=(tick_us,))


def catching_up(within: float) -> Callable[[Job], object]:
    return lambda job: job.catch_up(within)


def reruns(parts: Parts) -> list[int]:
    """The ticks that were claimed again, in order."""
    return [request.tick_us for call in parts.store.claimed for request in call if request.kind is ClaimKind.RERUN]


def watched(state: JobState) -> set[int]:
    """The ticks for which a timer is set."""
    return {tick_us for tick_us, timer in state.watched.items() if timer is not None}


class TestSurvey:
    async def test_it_asks_once_for_all_jobs_that_want_it(self, parts: Parts) -> None:
        parts.store.claims = [surveyed()]
        for name in "ab":
            parts.adopted(name=name)
        parts.recovery.adopt(parts.state(Work(), one_server, catching_up(60), name="c"), parts.now_us)
        parts.recovery.adopt(parts.state(Work(), one_server, name="d"), parts.now_us)
        await parts.clock.advance(100)
        ((a, b, c),) = parts.store.claimed

        assert [request.job for request in (a, b, c)] == ["a", "b", "c"]
        assert {request.kind for request in (a, b, c)} == {ClaimKind.SURVEY}
        assert [request.max_attempts for request in (a, b, c)] == [2, 2, 0]
        assert (a.one_server, a.no_overlap, a.tick_us, a.retain_for) == (True, False, 0, WEEK)

    async def test_without_such_a_job_nobody_asks_or_listens(self, parts: Parts) -> None:
        parts.recovery.adopt(parts.state(Work(), one_server), parts.now_us)
        await parts.clock.advance(100)

        assert parts.store.claimed == []
        assert parts.store.listeners == []

    async def test_a_job_that_only_catches_up_does_not_listen(self, parts: Parts) -> None:
        parts.store.claims = [surveyed()]
        parts.recovery.adopt(parts.state(Work(), one_server, catching_up(60)), parts.now_us)
        await parts.clock.settle()

        assert len(parts.store.claimed) == 1
        assert parts.store.listeners == []

    async def test_it_is_asked_again_until_the_store_answers(self, parts: Parts) -> None:
        tick = parts.now_us - SECOND
        parts.store.claims = [AWAY, AWAY, surveyed(tick)]
        state = parts.adopted()
        await parts.clock.advance(SURVEY_BACKOFF * 2 - 0.1)
        assert state.watched == {}
        assert parts.outages == ["lost"]
        await parts.clock.advance(0.1)

        assert watched(state) == {tick}
        assert parts.outages == ["lost", "recovered"]
        assert parts.store.called_at[:3] == [0.0, SURVEY_BACKOFF, 2 * SURVEY_BACKOFF]

    @pytest.mark.parametrize("verdict", [Verdict.CORRUPT, Verdict.LATE, Verdict.UNDECIDED])
    async def test_only_those_that_were_not_answered_are_asked_for_again(self, parts: Parts, verdict: Verdict) -> None:
        tick = parts.now_us - SECOND
        parts.store.claims = [[surveyed(), ClaimAnswer(verdict)], [surveyed(tick)]]
        a, b = parts.adopted(name="a"), parts.adopted(name="b")
        await parts.clock.advance(SURVEY_BACKOFF)

        assert [[request.job for request in call] for call in parts.store.claimed] == [["a", "b"], ["b"]]
        assert (watched(a), watched(b)) == (set(), {tick})

    async def test_a_job_that_comes_later_is_asked_for_alone(self, parts: Parts) -> None:
        parts.store.claims = [surveyed(), surveyed()]
        parts.adopted(name="a")
        await parts.clock.settle()
        parts.adopted(name="b")
        await parts.clock.settle()

        assert [[request.job for request in call] for call in parts.store.claimed] == [["a"], ["b"]]
        assert len(parts.store.listeners) == 1

    async def test_a_job_that_comes_during_the_pause_is_asked_for_with_the_others(self, parts: Parts) -> None:
        parts.store.claims = [AWAY, surveyed()]
        parts.adopted(name="a")
        await parts.clock.advance(SURVEY_BACKOFF / 2)
        parts.adopted(name="b")
        await parts.clock.advance(SURVEY_BACKOFF)

        assert [sorted(request.job for request in call) for call in parts.store.claimed] == [["a"], ["a", "b"]]

    @pytest.mark.parametrize("how", ["retired", "closed"])
    async def test_an_answer_that_nobody_wants_any_more(self, parts: Parts, how: str) -> None:
        on_its_way = parts.call_on_its_way(parts.store.claims)
        state = parts.adopted(catching_up(60))
        await turns()
        state.retired = how == "retired"
        if how == "closed":
            parts.recovery.close()
        on_its_way.set_result(surveyed(parts.now_us - SECOND, newest=parts.now_us - 30 * SECOND))
        await parts.clock.advance(100)

        assert state.watched == {}
        assert parts.caught_up == []
        assert len(parts.store.claimed) == 1

    async def test_a_fault_of_the_store_itself_is_no_outage(self, parts: Parts) -> None:
        parts.store.claims = [ZeroDivisionError()]
        parts.adopted()
        await parts.clock.settle()

        assert isinstance(parts.tasks[3].exception(), ZeroDivisionError)


class TestCatchingUp:
    @pytest.mark.parametrize(
        ("newest_ago", "within", "caught_up"),
        [
            (25.0, 60.0, [-4.0]),  # the ticks stand at 34, 24, 14 and 4 s before the start
            (5.0, 60.0, [-4.0]),
            (4.0, 60.0, []),
            (0.0, 60.0, []),
            (25.0, 4.0, [-4.0]),
            (25.0, 3.9, []),
            (None, 60.0, []),
        ],
    )
    async def test_the_newest_missed_tick(
        self, parts: Parts, newest_ago: float | None, within: float, caught_up: list[float]
    ) -> None:
        await parts.clock.advance(4)
        now = parts.now_us
        parts.store.claims = [surveyed(newest=0 if newest_ago is None else now - round(newest_ago * 1e6))]
        parts.recovery.adopt(parts.state(Work(), one_server, catching_up(within)), now)
        await parts.clock.settle()

        assert parts.caught_up == [("j", now + round(seconds * 1e6)) for seconds in caught_up]

    async def test_what_comes_due_after_the_start_is_the_loops(self, parts: Parts) -> None:
        parts.store.claims = [AWAY] * 20 + [surveyed(newest=parts.now_us - 5 * SECOND)]
        parts.recovery.adopt(parts.state(Work(), one_server, catching_up(60)), parts.now_us - SECOND)
        await parts.clock.advance(30)

        assert len(parts.store.claimed) == 21
        assert parts.caught_up == []

    async def test_a_job_without_that_policy_does_not(self, parts: Parts) -> None:
        parts.store.claims = [surveyed(newest=parts.now_us - 3600 * SECOND)]
        parts.adopted()
        await parts.clock.settle()

        assert parts.caught_up == []

    async def test_a_job_without_a_schedule_has_nothing_to_catch_up_with(self, parts: Parts) -> None:
        state = parts.state(Work(), one_server, catching_up(60))
        state.grid = None
        assert state.step is None
        parts.store.claims = [surveyed(newest=1)]
        parts.recovery.adopt(state, parts.now_us)
        await parts.clock.settle()

        assert parts.caught_up == []
        assert not parts.tasks[3].done()

    async def test_a_trigger_that_fails_costs_its_own_job_only(
        self, parts: Parts, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(_: int) -> int:
            raise ZeroDivisionError

        now = parts.now_us
        parts.store.claims = [surveyed(newest=now - 25 * SECOND)]
        states = [parts.state(Work(), one_server, catching_up(60), name=name) for name in "ab"]
        states[0].grid, states[0]._step = None, broken
        for state in states:
            parts.recovery.adopt(state, now)
        await parts.clock.settle()

        assert parts.caught_up == [("b", now)]
        assert "job=a does not catch up: its trigger failed" in caplog.text
        assert not parts.tasks[3].done()


class TestWatching:
    async def test_open_ticks_of_a_survey_are_asked_for_at_once(self, parts: Parts) -> None:
        ticks = (parts.now_us - 2 * SECOND, parts.now_us - SECOND)
        parts.store.claims = [surveyed(*ticks)]
        state = parts.adopted()
        await parts.clock.settle()
        assert watched(state) == set(ticks)
        await parts.clock.advance(SLACK)

        assert reruns(parts) == list(ticks)

    async def test_a_tick_that_runs_elsewhere_is_asked_for_after_its_leases_end(self, parts: Parts) -> None:
        state = parts.state_again(Work())
        run, _ = parts.submit(state)
        parts.store.claims = [running(run.fire_us, 42.0)]
        await parts.clock.advance(42.0 + SLACK - 0.001)
        assert reruns(parts) == []
        await parts.clock.advance(0.001)

        assert reruns(parts) == [run.fire_us]

    async def test_as_long_as_the_lease_is_renewed_it_is_watched_on(self, parts: Parts) -> None:
        state = parts.state_again(Work())
        run, _ = parts.submit(state)
        parts.store.claims = [running(run.fire_us, 30.0)] * 4
        await parts.clock.advance(3 * (30 + SLACK))
        assert reruns(parts) == [run.fire_us] * 3
        assert watched(state) == {run.fire_us}
        assert parts.tally == {"elsewhere": 1}

    async def test_a_newer_answer_moves_no_timer(self, parts: Parts) -> None:
        state = parts.state_again(Work())
        older, _ = parts.submit(state)
        parts.store.claims = [running(older.fire_us, 42.0)]
        await parts.clock.advance(10)
        newer, _ = parts.submit(state)
        parts.store.claims = [
            ClaimAnswer(Verdict.ELSEWHERE, wait=50.0, newest_us=newer.fire_us, open_us=(older.fire_us, newer.fire_us))
        ]
        await parts.clock.advance(32)
        assert reruns(parts) == []
        await parts.clock.advance(SLACK)

        assert reruns(parts) == [older.fire_us]

    async def test_what_is_open_no_more_is_forgotten(self, parts: Parts) -> None:
        tick = parts.now_us - SECOND
        state = parts.state_again(Work())
        run, _ = parts.submit(state)
        parts.store.claims = [running(run.fire_us, 42.0), surveyed(tick)]
        await parts.clock.advance(10)
        parts.submit(state)
        await parts.clock.settle()

        assert watched(state) == {tick}

    @pytest.mark.parametrize("kind", [ClaimKind.START, ClaimKind.TRIGGER])
    async def test_the_answer_to_what_is_no_tick_says_nothing_of_open_ones(self, parts: Parts, kind: ClaimKind) -> None:
        state = parts.state_again(Work())
        run, _ = parts.submit(state)
        parts.store.claims = [running(run.fire_us, 42.0)]
        await parts.clock.settle()
        parts.submit(state, kind)
        await parts.clock.settle()

        assert watched(state) == {run.fire_us}

    @pytest.mark.parametrize("verdict", [Verdict.LATE, Verdict.CORRUPT, Verdict.UNDECIDED])
    async def test_neither_does_an_answer_that_decides_nothing(self, parts: Parts, verdict: Verdict) -> None:
        state = parts.state_again(Work())
        run, _ = parts.submit(state)
        parts.store.claims = [running(run.fire_us, 42.0), *[ClaimAnswer(verdict)] * 3, running(run.fire_us, 42.0)]
        await parts.clock.settle()
        timer = state.watched[run.fire_us]
        parts.submit(state, at=run.fire_us)
        await parts.clock.advance(5)

        assert state.watched == {run.fire_us: timer}

    async def test_our_own_run_is_known_and_not_asked_for(self, parts: Parts) -> None:
        state = parts.state_again(work := Work(holds=True))
        run, _ = parts.submit(state)
        parts.store.claims = [ClaimAnswer(Verdict.WON, 7, run.fire_us, attempt=1, open_us=(run.fire_us,))]
        await parts.clock.advance(100)

        assert state.watched == {run.fire_us: None}
        assert reruns(parts) == []
        work.let_go()

    @pytest.mark.parametrize(("late", "asked"), [(-1, True), (1, False)])
    async def test_a_tick_may_be_too_old(self, parts: Parts, late: int, asked: bool) -> None:
        tick = parts.now_us - round((100 + 2 * 60) * 1e6) - late  # the grace, and two leases
        parts.store.claims = [surveyed(tick)]
        state = parts.adopted(grace=100.0)
        await parts.clock.settle()

        assert watched(state) == ({tick} if asked else set())

    async def test_without_a_grace_no_tick_is_too_old(self, parts: Parts) -> None:
        tick = parts.now_us - 10**9 * SECOND
        parts.store.claims = [surveyed(tick)]
        state = parts.adopted(grace=None)
        await parts.clock.settle()

        assert watched(state) == {tick}

    async def test_a_tick_grows_too_old_while_it_is_watched(self, parts: Parts) -> None:
        state = parts.state_again(Work(), grace=10.0)
        run, _ = parts.submit(state)
        parts.store.claims = [running(run.fire_us, 60.0)] * 10
        await parts.clock.advance(1000)

        assert reruns(parts) == [run.fire_us] * 3  # at 60, 120 and 180 s; then more than 10 s and two leases old
        assert state.watched == {}

    async def test_a_retired_job_is_not_asked_for(self, parts: Parts) -> None:
        parts.store.claims = [surveyed(parts.now_us - SECOND)]
        state = parts.adopted()
        await parts.clock.settle()
        state.retired = True
        await parts.clock.advance(1)
        parts.recovery.left_open(state, parts.now_us - SECOND)
        parts.recovery.handed_over("j", parts.now_us - SECOND)

        assert reruns(parts) == []
        assert state.watched == {}


class TestLeftOpen:
    @pytest.mark.parametrize(("lock_ttl", "wait"), [(12.0, 12.0), (600.0, LONGEST_BLIND_WAIT)])
    async def test_nobody_says_how_long_it_must_wait(self, parts: Parts, lock_ttl: float, wait: float) -> None:
        state = parts.state_again(Work(), lock_ttl=lock_ttl)
        tick = parts.now_us
        state.watched[tick] = None
        parts.recovery.left_open(state, tick)
        await parts.clock.advance(wait + SLACK - 0.001)
        assert reruns(parts) == []
        await parts.clock.advance(0.001)

        assert reruns(parts) == [tick]

    async def test_what_is_not_open_is_none_of_ours(self, parts: Parts) -> None:
        state = parts.state_again(Work())
        parts.recovery.left_open(state, parts.now_us)

        assert state.watched == {}


class TestHandOvers:
    async def test_a_tick_that_is_handed_over_is_asked_for_at_once(self, parts: Parts) -> None:
        parts.store.claims = [surveyed()]
        parts.adopted()
        await parts.clock.settle()
        tick = parts.now_us - SECOND
        parts.store.listeners[0]("j", tick)
        await parts.clock.advance(SLACK)

        assert reruns(parts) == [tick]

    async def test_even_if_a_timer_was_set_for_its_leases_end(self, parts: Parts) -> None:
        parts.store.claims = [surveyed()]
        state = parts.adopted()
        await parts.clock.settle()
        run, _ = parts.submit(state)
        parts.store.claims = [running(run.fire_us, 42.0)]
        await parts.clock.advance(5)
        parts.store.listeners[0]("j", run.fire_us)
        await parts.clock.advance(100)

        assert reruns(parts) == [run.fire_us]

    async def test_not_what_is_being_asked_for_or_runs_here(self, parts: Parts) -> None:
        parts.store.claims = [surveyed()]
        state = parts.adopted()
        await parts.clock.settle()
        state.watched[parts.now_us] = None
        parts.store.listeners[0]("j", parts.now_us)

        assert state.watched == {parts.now_us: None}

    async def test_not_of_a_job_that_this_node_does_not_have(self, parts: Parts) -> None:
        parts.store.claims = [surveyed()]
        parts.adopted()
        await parts.clock.settle()
        parts.store.listeners[0]("other", parts.now_us)
        await parts.clock.advance(1)

        assert reruns(parts) == []


class TestClosing:
    async def test_no_timer_is_left(self, parts: Parts) -> None:
        tick = parts.now_us - SECOND
        parts.store.claims = [surveyed(tick)]
        state = parts.adopted(no_overlap)
        await parts.clock.settle()
        state.watched[tick + 1] = None
        parts.recovery.close()
        await parts.clock.advance(100)

        assert state.watched == {}
        assert reruns(parts) == []
        assert parts.store.listeners == []

    async def test_nothing_is_watched_afterwards(self, parts: Parts) -> None:
        parts.store.claims = [surveyed()]
        state = parts.adopted()
        await parts.clock.settle()
        parts.recovery.close()
        parts.recovery.handed_over("j", parts.now_us)
        parts.recovery.answered(state, 0, surveyed(parts.now_us))

        assert state.watched == {}

    async def test_without_a_listener(self, parts: Parts) -> None:
        parts.recovery.close()
        parts.recovery.close()

        assert parts.store.listeners == []


async def test_a_tick_that_was_won_again_runs(parts: Parts) -> None:
    tick = parts.now_us - SECOND
    parts.store.claims = [surveyed(tick), ClaimAnswer(Verdict.WON, 9, attempt=2, open_us=(tick,))]
    state = parts.state_again(work := Work())
    parts.recovery.adopt(state, parts.now_us)
    await parts.clock.advance(SLACK)
    (run,) = work.runs

    assert (run.fire_us, run.attempt, run.fence, run.outcome) == (tick, 2, 9, Outcome.SUCCEEDED)
    assert parts.tally == {"succeeded": 1}
