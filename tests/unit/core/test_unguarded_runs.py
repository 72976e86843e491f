"""Jobs that run although the store is away: when, how often, and what becomes of their guards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _scripted import AWAY, WON, Work, no_overlap, one_server, turns

from asyncsched import events
from asyncsched._grants import ClaimAnswer, ClaimKind, LockType, Verdict
from asyncsched._patience import LONGEST_BACKOFF, RUN_ANYWAY_AFTER
from asyncsched._run import Outcome, SkipReason

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._job import Job
    from asyncsched._job_state import JobState


def anyway(job: Job) -> Job:
    return job.when_store_unavailable("run")


@pytest.fixture
def away(parts: Parts) -> None:
    """The store answers no claim."""
    parts.store.claims = [AWAY] * 1000


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "without its guards" in record.getMessage()]


@pytest.mark.parametrize("kind", [ClaimKind.TICK, ClaimKind.START, ClaimKind.TRIGGER])
@pytest.mark.parametrize("late_by", [0.0, 100.0])
@pytest.mark.parametrize("grace", [None, 0.5, 3600.0])
@pytest.mark.usefixtures("away")
async def test_it_runs_after_a_while(
    parts: Parts, kind: ClaimKind, late_by: float, grace: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    run, _ = parts.submit(parts.state(Work(), one_server, anyway, grace=grace), kind, late_by=late_by)
    await parts.clock.advance(RUN_ANYWAY_AFTER - 0.01)
    assert run.outcome is None
    await parts.clock.advance(LONGEST_BACKOFF + 0.02)

    assert (run.outcome, run.fence, run.attempt) == (Outcome.SUCCEEDED, 0, 1)
    assert parts.tally == {"succeeded": 1}
    assert warnings(caplog) == [
        f"job=j tick={run.fire_time.isoformat()} runs without its guards: the store does not answer"
    ]


@pytest.mark.usefixtures("away")
async def test_others_are_skipped(parts: Parts) -> None:
    run, _ = parts.submit(parts.state(Work(), one_server, lambda job: job.when_store_unavailable("skip"), grace=2.0))
    await parts.clock.advance(RUN_ANYWAY_AFTER + 2)

    assert run.skip_reason is SkipReason.STORE_UNAVAILABLE


async def test_if_the_store_answers_in_time_it_decides(parts: Parts) -> None:
    parts.store.claims = [AWAY, AWAY, ClaimAnswer(Verdict.ELSEWHERE)]
    run, _ = parts.submit(parts.state(Work(), one_server, anyway))
    await parts.clock.advance(10)

    assert run.skip_reason is SkipReason.ELSEWHERE
    assert parts.tally == {"elsewhere": 1}


@pytest.mark.usefixtures("away")
async def test_each_tick_of_a_short_interval_runs(parts: Parts) -> None:
    state = parts.state(work := Work(), one_server, anyway)
    runs = []
    for _ in range(10):
        runs.append(parts.submit(state)[0])
        await parts.clock.advance(1)
    await parts.clock.advance(RUN_ANYWAY_AFTER + LONGEST_BACKOFF)

    assert work.runs == runs
    assert {(run.outcome, run.fence) for run in runs} == {(Outcome.SUCCEEDED, 0)}


async def test_a_tick_that_was_never_asked_for_is_skipped(parts: Parts) -> None:
    on_its_way = parts.call_on_its_way(parts.store.claims)
    state = parts.state(work := Work(), one_server, anyway)
    first, second, third = (parts.submit(state)[0] for _ in range(3))
    assert second.skip_reason is SkipReason.STORE_UNAVAILABLE
    await turns()
    on_its_way.set_result(AWAY)
    await parts.clock.settle()

    assert work.runs == [first, third]
    assert (first.fence, third.fence) == (0, 1)


@pytest.mark.usefixtures("away")
async def test_runs_do_not_overlap_on_this_node(parts: Parts) -> None:
    work = Work(holds=True)
    state = parts.state(work, no_overlap, anyway)
    first, _ = parts.submit(state)
    await parts.clock.advance(5)
    second, _ = parts.submit(state)
    await parts.clock.advance(5)
    assert work.runs == [first]
    assert second.skip_reason is SkipReason.OVERLAP
    assert state.overlap_lock is not None
    assert state.overlap_lock.locked()

    work.let_go()
    await turns()
    assert not state.overlap_lock.locked()
    third, _ = parts.submit(state)
    await parts.clock.advance(5)
    assert work.runs == [first, third]


@pytest.mark.usefixtures("away")
async def test_a_newer_tick_does_not_overlap_the_older_one_that_it_lets_run(parts: Parts) -> None:
    work = Work(holds=True)
    state = parts.state(work, one_server, no_overlap, anyway)
    first, _ = parts.submit(state)
    await parts.clock.advance(1)
    second, _ = parts.submit(state)
    await parts.clock.advance(5)

    assert work.runs == [first]
    assert second.skip_reason is SkipReason.OVERLAP
    work.let_go()


async def test_what_cannot_be_read_is_no_outage(parts: Parts) -> None:
    parts.store.claims = [ClaimAnswer(Verdict.CORRUPT, detail="x")] * 100
    run, _ = parts.submit(parts.state(Work(), one_server, anyway))
    await parts.clock.advance(20)

    assert run.skip_reason is SkipReason.STORE_UNAVAILABLE
    assert parts.store.released == []


@pytest.mark.usefixtures("away")
async def test_a_stop_is_no_reason_to_run(parts: Parts) -> None:
    run, _ = parts.submit(parts.state(work := Work(), one_server, anyway))
    await parts.clock.advance(1)
    parts.claimer.close()
    await turns()

    assert run.skip_reason is SkipReason.SHUTTING_DOWN
    assert work.runs == []


@pytest.mark.usefixtures("away")
async def test_a_removed_job_does_not_run(parts: Parts) -> None:
    state = parts.state(Work(), one_server, anyway)
    run, _ = parts.submit(state)
    await parts.clock.advance(1)
    state.retired = True
    await parts.clock.advance(5)

    assert run.skip_reason is SkipReason.SHUTTING_DOWN


@pytest.mark.usefixtures("away")
async def test_what_it_may_have_won_is_given_back_in_silence(parts: Parts) -> None:
    parts.submit(parts.state(Work(holds=True), one_server, no_overlap, anyway))
    await parts.clock.advance(5)

    ((lease,),) = parts.store.released
    assert (lease.fence, lease.locks) == (0, (LockType.SERVER, LockType.OVERLAP))
    assert parts.of_type(events.LateGrantReleased) == []


@pytest.mark.usefixtures("away")
async def test_the_tick_that_runs_anyway_is_nobodys_to_run_again(parts: Parts) -> None:
    parts.submit(parts.state_again(Work(), anyway))
    await parts.clock.advance(5)

    ((lease,),) = parts.store.released
    assert (lease.locks, lease.finished) == ((LockType.SERVER, LockType.RUN), True)


def rerun(parts: Parts, state: JobState, tick_us: int) -> None:
    state.watched[tick_us] = None
    run = parts.executor.new_run(state, ClaimKind.TICK, tick_us)
    parts.claimer.submit(state, run, rerun=True)


@pytest.mark.usefixtures("away")
async def test_an_interrupted_tick_is_not_run_again_without_the_store(parts: Parts) -> None:
    state = parts.state_again(work := Work(), anyway)
    rerun(parts, state, parts.now_us - 1)
    await parts.clock.advance(60)

    assert work.runs == []
    assert parts.tally == {}


async def test_the_guards_are_back_with_the_store(parts: Parts) -> None:
    parts.store.claims = [AWAY] * 3
    state = parts.state(Work(), one_server, anyway)
    parts.submit(state)
    await parts.clock.advance(0.1)
    parts.submit(state)
    await parts.clock.advance(10)
    parts.store.claims = [WON]
    run, _ = parts.submit(state)
    await parts.clock.settle()

    assert run.fence == 1
    assert len(parts.of_type(events.RunEnded)) == 3
