"""How runs are ended before their time: a stop waits, then cancels, then gives up; outsiders may cancel at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest
from _scripted import Work, no_overlap, turns

from asyncsched._clock import sleep
from asyncsched._grants import Lease, LockType
from asyncsched._run import Outcome, SkipReason

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._job import Job
    from asyncsched._run import Run

LEASE = Lease("j", "n1:x", 3, (LockType.OVERLAP,), 60.0)


def delayed(seconds: float) -> Callable[[Job], Job]:
    return lambda job: job.random_delay(seconds, seconds)


def lasting(parts: Parts, seconds: float) -> Callable[[], Coroutine[Any, Any, None]]:
    async def handler() -> None:
        await sleep(parts.clock, seconds)

    return handler


def deaf_for(parts: Parts, seconds: float) -> Callable[[], Coroutine[Any, Any, None]]:
    async def handler() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await sleep(parts.clock, seconds)

    return handler


async def drained_at(parts: Parts, timeout: float, cancel_timeout: float = 5.0, *, look: float = 100.0) -> float:
    """Drain, and return at which monotonic time that was over."""
    ended: list[float] = []
    draining = asyncio.ensure_future(parts.executor.drain(timeout, cancel_timeout))
    draining.add_done_callback(lambda _: ended.append(parts.clock.monotonic()))
    await parts.clock.advance(look)
    await draining
    return ended[0]


async def test_nothing_to_wait_for(parts: Parts) -> None:
    assert await drained_at(parts, 30) == 0.0


async def test_runs_that_end_in_time_are_not_cancelled(parts: Parts) -> None:
    runs = [parts.start(parts.state(lasting(parts, seconds))) for seconds in (3, 1, 2)]

    assert await drained_at(parts, 30) == 3.0
    assert {run.outcome for run in runs} == {Outcome.SUCCEEDED}


async def test_runs_that_do_not_are_cancelled(parts: Parts) -> None:
    quick, slow = (parts.start(parts.state(lasting(parts, seconds))) for seconds in (3, 31))

    assert await drained_at(parts, 30) == 30.0
    assert (quick.outcome, slow.outcome) == (Outcome.SUCCEEDED, Outcome.CANCELLED)
    assert slow.duration == 30.0


@pytest.mark.parametrize(
    ("deaf", "until", "outcome"), [(4.0, 34.0, Outcome.SUCCEEDED), (6.0, 35.0, None), (1000.0, 35.0, None)]
)
async def test_runs_that_will_not_end_are_given_up(
    parts: Parts, deaf: float, until: float, outcome: Outcome | None
) -> None:
    state = parts.state(deaf_for(parts, deaf), no_overlap)
    run = await parts.start_granted(state, LEASE)

    assert await drained_at(parts, 30, look=35.5) == until
    assert run.outcome is outcome
    assert parts.store.released == ([] if outcome is None else [[LEASE]])
    await parts.clock.advance(1000)
    assert run.outcome is Outcome.SUCCEEDED
    assert parts.store.released == [[LEASE]]


async def test_each_end_of_a_leftover_is_told(parts: Parts) -> None:
    for seconds in (10, 20):
        parts.start(parts.state(deaf_for(parts, seconds)))
    await drained_at(parts, 0, 1, look=2)
    left: list[int] = []

    async def wait() -> None:
        while parts.executor.active:
            await parts.executor.wait_next_end()
            left.append(len(parts.executor.active))

    waiter = asyncio.ensure_future(wait())
    await parts.clock.advance(15)
    assert left == [1]
    await parts.clock.advance(15)
    await waiter
    assert left == [1, 0]


async def test_hurry_ends_the_waiting(parts: Parts) -> None:
    run = parts.start(parts.state(lasting(parts, 20)))
    draining = asyncio.ensure_future(parts.executor.drain(30, 5))
    await parts.clock.advance(2)
    assert run.outcome is None
    parts.executor.hurry()
    await parts.clock.advance(0)

    assert draining.done()
    assert (run.outcome, run.duration) == (Outcome.CANCELLED, 2.0)


async def test_hurried_before_it_began_a_drain_still_waits_for_what_it_cancels(parts: Parts) -> None:
    run = parts.start(parts.state(deaf_for(parts, 2)))
    await turns()
    parts.executor.hurry()

    assert await drained_at(parts, 30) == 2.0
    assert run.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_delay_that_ends_in_time_is_waited_for(parts: Parts, guarded: bool) -> None:
    state = parts.state(lasting(parts, 4), delayed(5), *([no_overlap] if guarded else []))
    run = await parts.start_granted(state, LEASE) if guarded else parts.start(state)
    await turns()

    assert await drained_at(parts, 30) == 9.0
    assert run.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_delay_that_ends_too_late_is_skipped_at_once(parts: Parts, guarded: bool) -> None:
    work = Work()
    state = parts.state(work, delayed(31), *([no_overlap] if guarded else []))
    run = await parts.start_granted(state, LEASE) if guarded else parts.start(state)
    await turns()

    assert await drained_at(parts, 30) == 0.0
    assert (run.outcome, run.skip_reason) == (Outcome.SKIPPED, SkipReason.SHUTTING_DOWN)
    assert work.runs == []
    assert parts.tally == {"shutting_down": 1}
    assert parts.store.released == ([[LEASE]] if guarded else [])
    assert state.overlap_lock is None or not state.overlap_lock.locked()


async def test_a_run_whose_delay_begins_during_the_drain(parts: Parts) -> None:
    work = Work()
    draining = asyncio.ensure_future(parts.executor.drain(30, 5))
    late = parts.start(parts.state(work, delayed(31)))
    in_time = parts.start(parts.state(work, delayed(29)))
    await parts.clock.advance(29)
    await draining

    assert late.skip_reason is SkipReason.SHUTTING_DOWN
    assert in_time.outcome is Outcome.SUCCEEDED


async def test_a_run_that_comes_after_the_cancelling_does_not_start(parts: Parts) -> None:
    work = Work()
    parts.start(parts.state(deaf_for(parts, 3)))
    await turns()
    draining = asyncio.ensure_future(parts.executor.drain(30, 5))
    await parts.clock.advance(30)
    late = parts.start(parts.state(work, delayed(0)))
    await parts.clock.advance(3)
    await draining

    assert late.skip_reason is SkipReason.SHUTTING_DOWN
    assert work.runs == []


@pytest.mark.parametrize("delay", [0.0, 7.0])
@pytest.mark.parametrize("guarded", [False, True])
async def test_asked_to_end_before_its_first_step(parts: Parts, guarded: bool, delay: float) -> None:
    work = Work()
    state = parts.state(work, *([delayed(delay)] if delay else []), *([no_overlap] if guarded else []))
    run = await parts.start_granted(state, LEASE) if guarded else parts.start(state)

    await parts.executor.drain(0, 5)  # in this very turn, so the run's task has not begun
    await turns()
    assert parts.clock.monotonic() == 0.0
    assert run.skip_reason is SkipReason.SHUTTING_DOWN
    assert work.runs == []
    assert state.active == 0
    assert parts.store.released == ([[LEASE]] if guarded else [])


class TestOutsiders:
    """Whoever has the task may cancel it, such as the end of ``asyncio.run``."""

    async def _ended(self, parts: Parts, run: Run) -> None:
        await turns()
        if run.outcome is None:
            await drained_at(parts, 30)

    @pytest.mark.parametrize("guarded", [False, True])
    async def test_before_the_first_step(self, parts: Parts, guarded: bool) -> None:
        state = parts.state(Work(), *([no_overlap] if guarded else []))
        run = await parts.start_granted(state, LEASE) if guarded else parts.start(state)
        assert run.task is not None
        run.task.cancel()
        await self._ended(parts, run)

        assert parts.tally == {"shutting_down": 1}
        assert dict(parts.executor.active) == {}
        assert parts.store.released == ([[LEASE]] if guarded else [])
        assert state.overlap_lock is None or not state.overlap_lock.locked()

    @pytest.mark.parametrize("guarded", [False, True])
    @pytest.mark.parametrize("drain_first", [False, True])
    async def test_before_the_first_step_just_as_a_drain_begins(
        self, parts: Parts, guarded: bool, drain_first: bool
    ) -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        state = parts.state(Work(), *([no_overlap] if guarded else []))
        if drain_first:
            draining = asyncio.ensure_future(parts.executor.drain(30, 5))
        run = await parts.start_granted(state, LEASE) if guarded else parts.start(state)
        if not drain_first:
            draining = asyncio.ensure_future(parts.executor.drain(30, 5))
        assert run.task is not None
        run.task.cancel()
        await parts.clock.advance(40)
        await draining

        assert told == []
        assert parts.tally == {"shutting_down": 1}
        assert dict(parts.executor.active) == {}
        assert state.active == 0
        assert parts.store.released == ([[LEASE]] if guarded else [])
        assert state.overlap_lock is None or not state.overlap_lock.locked()

    async def test_the_last_leftover_may_be_one_that_never_began(self, parts: Parts) -> None:
        await parts.executor.drain(0, 0)
        run = parts.start(parts.state(Work()))
        assert run.task is not None
        run.task.cancel()
        await turns()
        await asyncio.wait_for(parts.executor.wait_next_end(), 1)

        assert run.skip_reason is SkipReason.SHUTTING_DOWN

    async def test_in_the_delay(self, parts: Parts) -> None:
        run = await parts.start_granted(parts.state(Work(), no_overlap, delayed(5)), LEASE)
        await turns()
        assert run.task is not None
        run.task.cancel()
        await self._ended(parts, run)

        assert run.skip_reason is SkipReason.SHUTTING_DOWN
        assert parts.store.released == [[LEASE]]

    async def test_in_the_work(self, parts: Parts) -> None:
        run = await parts.start_granted(parts.state(Work(holds=True), no_overlap), LEASE)
        await turns()
        assert run.task is not None
        run.task.cancel()
        await self._ended(parts, run)

        assert run.outcome is Outcome.CANCELLED
        assert parts.store.released == [[LEASE]]
