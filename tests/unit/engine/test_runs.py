"""The life of one run: whatever the handler does, it ends once, and nothing of it is left."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import ENDS, Book, Gate, ScriptedStore, Work, counted, guarded, plain, quick, running

from asyncsched import BaseHandler, Outcome, RunContext, Scheduler, SkipReason, events
from asyncsched._clock import sleep
from asyncsched._grants import LockType

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


KINDS = pytest.mark.parametrize("register", [plain, guarded])


@KINDS
@pytest.mark.parametrize(("error", "outcome"), ENDS)
async def test_whatever_a_handler_raises_the_next_tick_comes(
    scheduler: Scheduler,
    store: ScriptedStore,
    clock: FakeClock,
    book: Book,
    register: Any,
    error: Callable[[], BaseException] | None,
    outcome: Outcome,
) -> None:
    raised: list[BaseException] = []

    async def handler() -> None:
        await asyncio.sleep(0)
        if error is not None:
            raised.append(error())
            raise raised[-1]

    register(scheduler, handler)
    async with running(scheduler, clock):
        await clock.advance(20)
        assert scheduler.snapshot().state == "running"
        assert store.locks("a") == set()
    assert counted(scheduler) == {outcome: 2}
    ended = book.of(events.RunEnded)
    assert [event.outcome for event in ended] == [outcome] * 2
    if outcome is Outcome.FAILED:
        assert [event.errors for event in ended] == [(one,) for one in raised]


@KINDS
async def test_a_handler_that_raises_before_it_waits(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, register: Any
) -> None:
    async def handler() -> None:
        raise ValueError

    register(scheduler, handler)
    async with running(scheduler, clock):
        await clock.advance(30)
        assert store.locks("a") == set()
    assert counted(scheduler) == {Outcome.FAILED: 3}


@KINDS
async def test_a_handler_that_hangs_in_its_cancellation(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, register: Any, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(deaf=True)
    register(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(36)
        assert stopping.done()
        assert "would not end: a" in caplog.text
        assert work.cancelled >= 1
        held = {LockType.SERVER, LockType.OVERLAP} if register is guarded else set()
        assert store.locks("a") == held
        work.finish()
        await clock.advance(1)
        assert store.locks("a") == set()
    assert counted(scheduler).get(Outcome.SUCCEEDED, 0) >= 1


async def test_a_handler_that_swallows_its_cancellation_ends_as_it_says(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    async def handler() -> None:
        try:
            await sleep(clock, 1000)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    guarded(scheduler, handler)
    async with running(scheduler, clock):
        await clock.advance(10)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(31)
        await stopping
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    assert store.locks("a") == set()


@KINDS
async def test_a_task_that_an_outsider_cancels_before_its_first_step(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, register: Any
) -> None:
    register(scheduler, quick, seconds=1000)
    async with running(scheduler, clock):
        asked = asyncio.ensure_future(scheduler.trigger("a"))
        run = None
        for _ in range(50):
            active = list(scheduler._engine.executor.active)  # type: ignore[union-attr]
            if active and active[0].task is not None:
                run = active[0]
                break
            await asyncio.sleep(0)
        assert run is not None
        run.task.cancel()
        await clock.settle()
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(0.1)
        await clock.settle()
        assert stopping.done()  # nothing is waited for
        await asked
        assert store.locks("a") == set()
    assert sum(counted(scheduler).values()) == 1
    assert scheduler.snapshot().active == ()


async def test_a_job_goes_on_after_an_outsider_has_cancelled_everything(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    guarded(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        work.contexts[0].task.cancel()  # type: ignore[attr-defined]
        work.finish()
        await clock.advance(10)
    assert counted(scheduler) == {Outcome.CANCELLED: 1, Outcome.SUCCEEDED: 1}


async def test_a_run_removed_and_stopped_before_its_first_step_is_skipped(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    work = Work()
    scheduler.add_job("a", work).per_seconds(1000)
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        engine = scheduler._engine
        assert engine is not None
        engine.executor._ask_to_end(run, Outcome.CANCELLED)
        await clock.settle()
    assert work.contexts == []
    assert (run.outcome, run.skip_reason) == (Outcome.SKIPPED, SkipReason.SHUTTING_DOWN)


async def test_a_lease_lost_before_the_first_step(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    work = Work()
    gate = Gate(decided_first=True)
    store.on("claim", gate)
    scheduler.add_job("a", work).per_hours(1).without_overlapping().lock_ttl(5)
    async with running(scheduler, clock):
        await clock.advance(3600)
        clock.elapsed += 5  # nobody was woken meanwhile
        gate.open()
        await clock.advance(0)
        assert work.contexts == []
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}


# Random delays


async def test_a_delay_comes_after_the_claim_and_within_its_bounds(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    starts: list[timedelta] = []

    async def handler(ctx: RunContext) -> None:
        starts.append(clock.now() - ctx.fire_time)

    scheduler.add_job("a", handler).per_minutes(1).on_one_server().random_delay(10, 30)
    async with running(scheduler, clock):
        await clock.advance(60)
        assert len(store.claims) == 1
        await clock.advance(60 * 50)
    assert len(starts) >= 50
    assert min(starts) >= timedelta(seconds=10)
    assert max(starts) <= timedelta(seconds=30.001)
    assert max(starts) - min(starts) > timedelta(seconds=5)


async def test_a_plain_job_is_delayed_too_and_a_triggered_run_is_not(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    work.finish()
    scheduler.add_job("a", work).per_minutes(10).random_delay(5, 5)
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        await clock.settle()
        assert run.outcome is Outcome.SUCCEEDED
        await clock.advance(604.9)
        assert len(work.contexts) == 1
        snapshot = scheduler.snapshot()
        assert [one.started_at for one in snapshot.active] == [None]
        await clock.advance(0.2)
        assert len(work.contexts) == 2


async def test_a_stop_skips_delays_that_cannot_end_in_time_and_waits_for_the_others(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make(shutdown_timeout=20)
    book = Book(scheduler)
    for name, delay in (("soon", 10), ("late", 100)):
        scheduler.add_job(name, quick).per_minutes(10).on_one_server().random_delay(delay, delay)
    async with running(scheduler, clock):
        await clock.advance(600)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(1)
        assert store.locks("late") == set()
        assert store.locks("soon") == {LockType.SERVER}
        await clock.advance(10)
        assert stopping.done()
    assert [event.job for event in book.of(events.RunEnded)] == ["soon"]
    assert [(event.job, event.reason) for event in book.of(events.TickSkipped)] == [("late", SkipReason.SHUTTING_DOWN)]


async def test_a_delay_that_begins_during_the_drain(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make(shutdown_timeout=20)
    gate = Gate()
    store.on("claim", gate)
    scheduler.add_job("a", quick).per_minutes(10).on_one_server().random_delay(100, 100)
    async with running(scheduler, clock):
        await clock.advance(600)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(0.5)
        gate.open()
        await clock.advance(0.5)
        assert stopping.done()
    assert counted(scheduler) == {SkipReason.SHUTTING_DOWN: 1}
    assert store.locks("a") == set()


async def test_a_delay_that_somebody_cancels_does_not_start(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler.add_job("a", quick).per_minutes(10).on_one_server().random_delay(100, 100)
    async with running(scheduler, clock):
        await clock.advance(600)
        (run,) = scheduler._engine.executor.active  # type: ignore[union-attr]
        run.task.cancel()
        await clock.advance(1)
        assert store.locks("a") == set()
    assert sum(counted(scheduler).values()) == 1


# Handlers with the protocol


class Ends(BaseHandler):
    """Ends as its ``how`` says, in whichever of the three parts."""

    def __init__(self, where: str, error: BaseException) -> None:
        self._where, self._error = where, error

    async def _act(self, here: str) -> None:
        await asyncio.sleep(0)
        if self._where == here:
            raise self._error

    async def exec(self, ctx: RunContext) -> None:
        await self._act("exec")
        if self._where != "exec":
            await asyncio.Event().wait()

    async def error(self) -> Exception:
        await self._act("error")
        return await super().error()

    async def done(self) -> None:
        await self._act("done")
        await super().done()


@KINDS
@pytest.mark.parametrize("where", ["exec", "error", "done"])
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("x"), Outcome.FAILED),
        (SystemExit(3), Outcome.FAILED),
        (asyncio.CancelledError(), Outcome.CANCELLED),
        (BaseExceptionGroup("x", [SystemExit()]), Outcome.FAILED),
    ],
)
async def test_whatever_a_part_of_the_protocol_raises_ends_the_run(
    scheduler: Scheduler,
    store: ScriptedStore,
    clock: FakeClock,
    register: Any,
    where: str,
    error: BaseException,
    outcome: Outcome,
) -> None:
    register(scheduler, Ends(where, error))
    async with running(scheduler, clock):
        await clock.advance(20)
        assert counted(scheduler) == {outcome: 2}
        assert store.locks("a") == set()


async def test_the_lock_is_held_until_done_has_resolved(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    class Held(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.hold()
            self.ctx = ctx

    handler = Held()
    scheduler.add_job("a", handler).per_hours(1).without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(3700)
        assert store.locks("a") == {LockType.OVERLAP}
        handler.report(ValueError("late"), handler.ctx)
        handler.finish(handler.ctx)
        await clock.advance(1)
        assert store.locks("a") == set()
    assert counted(scheduler) == {Outcome.FAILED: 1}


async def test_a_lost_lease_ends_a_held_protocol_run(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    class Held(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.hold()

    scheduler.add_job("a", Held).per_hours(1).without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(3601)
        store.lose("a")
        await clock.advance(21)
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}
