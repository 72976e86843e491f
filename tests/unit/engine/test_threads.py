"""Plain functions in worker threads: real ones, so they are waited for in real time, some milliseconds."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import ENDS, ScriptedStore, Work, counted, guarded, plain, running

from asyncsched import Outcome, Scheduler
from asyncsched._grants import LockType
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = pytest.mark.parametrize("register", [plain, guarded])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(waits_for_threads=False)  # these tests decide when a thread ends


class ThreadWork:
    """A plain function that works until it is told to end."""

    def __init__(self, result: Any = None, error: BaseException | None = None) -> None:
        self.begun, self.finish = threading.Event(), threading.Event()
        self._result, self._error = result, error

    def __call__(self) -> Any:
        self.begun.set()
        assert self.finish.wait(5)
        if self._error is not None:
            raise self._error
        return self._result() if callable(self._result) else self._result


async def until(condition: Callable[[], bool]) -> None:
    """Give threads the few real milliseconds that they need."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.0005)
    raise AssertionError("it never came true")


@KINDS
@pytest.mark.parametrize(("error", "outcome"), ENDS)
async def test_whatever_a_thread_raises_the_next_tick_comes(
    scheduler: Scheduler,
    store: ScriptedStore,
    clock: FakeClock,
    register: Any,
    error: Callable[[], BaseException] | None,
    outcome: Outcome,
) -> None:
    def handler() -> None:
        if error is not None:
            raise error()

    register(scheduler, handler)
    async with running(scheduler, clock):
        for number in (1, 2):
            await clock.advance(10)
            await until(lambda number=number: counted(scheduler) == {outcome: number})
        await clock.settle()
        assert store.locks("a") == set()


async def test_a_lease_lost_in_a_thread_is_kept_in_mind_until_the_thread_has_ended(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = ThreadWork()
    scheduler.add_job("a", work).per_hours(1).without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(3600)
        await until(work.begun.is_set)
        store.lose("a")
        await clock.advance(30)
        assert counted(scheduler) == {}
        assert len(scheduler.snapshot().active) == 1
        work.finish.set()
        await until(lambda: counted(scheduler) == {Outcome.LOCK_LOST: 1})


async def test_a_thread_keeps_its_lock_through_a_stop_until_it_ends(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make(shutdown_timeout=1)
    work = ThreadWork()
    guarded(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        await until(work.begun.is_set)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(7)
        assert stopping.done()
        assert store.locks("a") == {LockType.SERVER, LockType.OVERLAP}
        work.finish.set()
        await until(lambda: store.locks("a") == set())
        await until(lambda: store.closed == 1)


async def test_what_a_thread_returns_is_awaited_on_the_loop(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    work.finish()
    scheduler.add_job("a", lambda ctx: work(ctx)).per_seconds(10)
    async with running(scheduler, clock):
        await clock.advance(10)
        await until(lambda: counted(scheduler) == {Outcome.SUCCEEDED: 1})
    assert work.ended == 1


async def test_a_cancellation_that_came_during_the_thread_is_not_forgotten(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make(shutdown_timeout=1)
    later = Work()
    work = ThreadWork(result=lambda: later(None))  # type: ignore[arg-type]
    guarded(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        await until(work.begun.is_set)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(2)
        work.finish.set()
        await until(lambda: scheduler.snapshot().active == ())
        assert later.contexts == []
        await until(stopping.done)
        assert store.locks("a") == set()
    assert counted(scheduler) == {Outcome.CANCELLED: 1}


async def test_a_run_that_waits_for_a_free_thread_can_be_cancelled(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncsched._engine.THREADS", 1)
    scheduler = make(shutdown_timeout=1)
    first, second = ThreadWork(), ThreadWork()
    scheduler.add_job("first", first).per_seconds(10).on_one_server()
    scheduler.add_job("second", second).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10)
        await until(lambda: first.begun.is_set() or second.begun.is_set())
        waiting = "second" if first.begun.is_set() else "first"
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(7)
        assert stopping.done()
        assert store.locks(waiting) == set()
        first.finish.set()
        second.finish.set()
        await until(lambda: store.closed == 1)
    assert counted(scheduler) == {Outcome.CANCELLED: 1, Outcome.SUCCEEDED: 1}
    assert not (first.begun.is_set() and second.begun.is_set())
