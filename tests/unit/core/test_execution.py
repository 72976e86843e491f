"""A run's life: whatever the handler does, one outcome, one account, and the locks go back after its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from _scripted import Parts, Work, no_overlap, one_server, turns

from asyncsched import current_run, events
from asyncsched._clock import sleep
from asyncsched._grants import ClaimKind, Lease, LockType, Renewal
from asyncsched._run import Outcome

if TYPE_CHECKING:
    from asyncsched._job import Job
    from asyncsched._run import Run

LEASE = Lease("j", "n1:x", 3, (LockType.OVERLAP,), 60.0)
WRONG = ValueError("wrong")


def delayed(seconds: float) -> Callable[[Job], Job]:
    return lambda job: job.random_delay(seconds, seconds)


def raising(error: BaseException) -> Callable[[], object]:
    async def handler() -> None:
        raise error

    return handler


async def fine() -> str:
    return "its value is nobody's business"


async def reports_and_returns(ctx: Run) -> None:
    ctx.report(WRONG)


async def reports_and_raises(ctx: Run) -> None:
    ctx.report(WRONG)
    raise ZeroDivisionError


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


GROUP = BaseExceptionGroup("two", [SystemExit(3), WRONG])
ENDS = [
    pytest.param(fine, Outcome.SUCCEEDED, (), id="returns"),
    pytest.param(raising(WRONG), Outcome.FAILED, (WRONG,), id="raises"),
    pytest.param(raising(GROUP), Outcome.FAILED, (GROUP,), id="a group"),
    pytest.param(raising(asyncio.CancelledError()), Outcome.CANCELLED, (), id="CancelledError by itself"),
    pytest.param(cancels_itself, Outcome.CANCELLED, (), id="cancels itself"),
    pytest.param(raising(TimeoutError()), Outcome.FAILED, (TimeoutError,), id="TimeoutError"),
    pytest.param(raising(SystemExit(3)), Outcome.FAILED, (SystemExit,), id="SystemExit"),
    pytest.param(raising(GeneratorExit()), Outcome.FAILED, (GeneratorExit,), id="GeneratorExit"),
    pytest.param(reports_and_returns, Outcome.FAILED, (WRONG,), id="reports"),
    pytest.param(reports_and_raises, Outcome.FAILED, (WRONG, ZeroDivisionError), id="reports and raises"),
]


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize(("handler", "outcome", "errors"), ENDS)
async def test_each_end_has_its_outcome(
    parts: Parts, handler: object, outcome: Outcome, errors: tuple[object, ...], guarded: bool
) -> None:
    state = parts.state(handler, *([no_overlap] if guarded else []))
    run = await parts.start_granted(state, LEASE) if guarded else parts.start(state)
    assert await run.wait() is outcome
    await turns()

    assert len(run.errors) == len(errors)
    for found, expected in zip(run.errors, errors, strict=True):
        assert found is expected or (isinstance(expected, type) and isinstance(found, expected))
    assert parts.tally == {str(outcome): 1}
    assert [(event.outcome, event.errors) for event in parts.of_type(events.RunEnded)] == [(outcome, run.errors)]
    assert parts.store.released == ([[LEASE]] if guarded else [])
    assert state.overlap_lock is None or not state.overlap_lock.locked()
    assert (state.active, state.last_outcome, dict(parts.executor.active)) == (0, outcome, {})


@pytest.mark.usefixtures("ended_program")
@pytest.mark.parametrize("guarded", [False, True])
def test_a_keyboard_interrupt_ends_the_program_and_is_booked(guarded: bool) -> None:
    seen: list[Run] = []

    async def main() -> None:
        parts = Parts()
        state = parts.state(raising(KeyboardInterrupt()), *([no_overlap] if guarded else []))
        seen.append(await parts.start_granted(state) if guarded else parts.start(state))
        await asyncio.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())

    assert seen[0].outcome is Outcome.FAILED


async def test_what_is_told_of_a_run(parts: Parts) -> None:
    async def handler() -> None:
        await sleep(parts.clock, 2.5)

    start = parts.now_us
    run = parts.executor.new_run(state := parts.state(handler), ClaimKind.TICK, start)
    await parts.clock.advance(1.5)
    parts.executor.start(state, run)
    await parts.clock.advance(5)

    assert run.duration == 2.5
    assert run.started_us == start + 1_500_000
    assert [event.late_by for event in parts.of_type(events.RunStarted)] == [1.5]
    assert [event.duration for event in parts.of_type(events.RunEnded)] == [2.5]


async def test_the_current_run_is_that_of_the_task(parts: Parts) -> None:
    seen: list[object] = []

    async def handler() -> None:
        seen.append(current_run())

    run = parts.start(parts.state(handler))
    await run.wait()

    assert seen == [run]
    assert current_run() is None


async def test_all_who_wait_for_a_run_learn_its_end(parts: Parts) -> None:
    work = Work(holds=True)
    run = parts.start(parts.state(work))
    waiting = [asyncio.ensure_future(run.wait()) for _ in range(3)]
    await turns()
    assert not any(waiter.done() for waiter in waiting)
    work.let_go()

    assert await asyncio.gather(*waiting) == [Outcome.SUCCEEDED] * 3
    assert await run.wait() is Outcome.SUCCEEDED


class TestDelay:
    @pytest.mark.parametrize("guarded", [False, True])
    async def test_it_comes_before_the_start(self, parts: Parts, guarded: bool) -> None:
        work = Work()
        state = parts.state(work, delayed(5), *([no_overlap] if guarded else []))
        run = await parts.start_granted(state, LEASE) if guarded else parts.start(state)
        await parts.clock.advance(4.99)
        assert work.runs == []
        await parts.clock.advance(0.01)

        assert run.outcome is Outcome.SUCCEEDED
        assert run.duration == 0.0

    async def test_it_is_drawn_between_its_bounds(self, parts: Parts) -> None:
        state = parts.state(Work(), lambda job: job.random_delay(2, 4))
        runs = [parts.start(state) for _ in range(50)]
        await parts.clock.advance(10)
        delays = {(run.started_us - run.fire_us) / 1e6 for run in runs}

        assert len(delays) > 40
        assert min(delays) >= 2
        assert max(delays) <= 4

    async def test_a_triggered_run_has_none(self, parts: Parts) -> None:
        run = parts.start(parts.state(Work(), delayed(5)), ClaimKind.TRIGGER)
        await turns()

        assert run.outcome is Outcome.SUCCEEDED


class TestLostLease:
    async def test_in_the_delay_the_handler_never_starts(self, parts: Parts) -> None:
        parts.store.renewals = [Renewal.LOST]
        work = Work()
        run = await parts.start_granted(parts.state(work, no_overlap, delayed(30)), LEASE)
        await parts.clock.advance(20)

        assert run.outcome is Outcome.LOCK_LOST
        assert work.runs == []
        assert parts.tally == {"lock_lost": 1}
        assert parts.store.released == [[LEASE]]

    async def test_in_the_delay_it_is_noticed_even_if_no_timer_fired(self, parts: Parts) -> None:
        work = Work()
        run = await parts.start_granted(parts.state(work, no_overlap, delayed(10)), LEASE)
        await parts.clock.settle()
        parts.keeper.close = lambda: None  # type: ignore[method-assign]
        assert parts.keeper._timer is not None
        parts.keeper._timer.cancel()
        parts.clock.elapsed = 59.0  # a suspend
        await parts.clock.advance(0)

        assert run.outcome is Outcome.LOCK_LOST
        assert work.runs == []

    async def test_in_the_work_the_handler_is_cancelled(self, parts: Parts) -> None:
        parts.store.renewals = [Renewal.LOST]
        run = await parts.start_granted(parts.state(Work(holds=True), no_overlap), LEASE)
        await parts.clock.advance(20)

        assert run.outcome is Outcome.LOCK_LOST
        assert run.duration == 20.0
        assert [event.why for event in parts.of_type(events.LeaseLost)] == ["its key is gone or another's"]

    @pytest.mark.parametrize("error", [None, WRONG, SystemExit(1)])
    async def test_whatever_the_handler_makes_of_it_the_outcome_is_lock_lost(
        self, parts: Parts, error: BaseException | None
    ) -> None:
        async def handler() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if error is not None:
                    raise error from None

        parts.store.renewals = [Renewal.LOST]
        run = await parts.start_granted(parts.state(handler, no_overlap), LEASE)
        await parts.clock.advance(20)

        assert run.outcome is Outcome.LOCK_LOST
        assert run.errors == (() if error is None else (error,))

    async def test_a_thread_keeps_its_locks_until_it_ends(self, parts: Parts) -> None:
        began, go = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def handler() -> None:
            loop.call_soon_threadsafe(began.set)
            go.wait(5)

        parts.store.renewals = [Renewal.LOST]
        state = parts.state(handler, no_overlap)
        run = await parts.start_granted(state, LEASE)
        await asyncio.wait_for(began.wait(), 5)
        await parts.clock.advance(25)
        assert run.asked_to_end is Outcome.LOCK_LOST
        assert run.outcome is None
        assert parts.store.released == []
        assert state.overlap_lock is not None
        assert state.overlap_lock.locked()

        go.set()
        assert await asyncio.wait_for(run.wait(), 5) is Outcome.LOCK_LOST
        await turns()
        assert parts.store.released == [[LEASE]]

    async def test_a_stop_meanwhile_does_not_hide_it(self, parts: Parts) -> None:
        work = Work()
        parts.store.renewals = [Renewal.LOST]

        async def deaf() -> None:
            for _ in range(2):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue
            await work(None)  # type: ignore[arg-type]

        run = await parts.start_granted(parts.state(deaf, no_overlap), LEASE)
        await parts.clock.advance(20)
        draining = asyncio.ensure_future(parts.executor.drain(0, 5))
        await parts.clock.advance(5)
        await draining

        assert run.outcome is Outcome.LOCK_LOST


async def test_a_lease_that_nothing_can_lose(parts: Parts) -> None:
    run = await parts.start_granted(parts.state(Work(), one_server), None)

    assert await run.wait() is Outcome.SUCCEEDED
    assert parts.store.released == []
