"""A fault of the engine's own is loud; what others raise around it never becomes one."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import (
    Book,
    Gate,
    ScriptedStore,
    Work,
    answer_lost,
    answering,
    counted,
    down,
    quick,
    raising,
    running,
    steps,
)

from asyncsched import Outcome, Scheduler, SchedulerError, SkipReason, events
from asyncsched._clock import CallQueue, make_calls
from asyncsched._grants import ClaimAnswer, LockType, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


def guarded(scheduler: Scheduler, handler: Any = quick) -> None:
    scheduler.add_job("a", handler).per_seconds(10).on_one_server().without_overlapping()


@pytest.mark.parametrize(
    "act",
    [
        raising(RuntimeError("boom")),
        answering(),
        answering(None),
        answering(ClaimAnswer("nonsense")),  # type: ignore[arg-type]
    ],
    ids=["raises", "too few answers", "no answer", "an unknown verdict"],
)
async def test_a_store_that_breaks_its_protocol_stops_the_scheduler_loudly(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, caplog: pytest.LogCaptureFixture, act: Any
) -> None:
    store.on("claim", act)
    guarded(scheduler)
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(15)
    assert task.done()
    assert task.exception() is not None
    assert "the scheduler stops: its engine failed" in caplog.text
    assert scheduler.snapshot().state == "idle"
    assert sum(counted(scheduler).values()) == 1


@pytest.mark.parametrize("method", ["claim", "renew", "release", "refresh"])
@pytest.mark.parametrize("error", [RuntimeError("boom"), asyncio.CancelledError()], ids=["raises", "is cancelled"])
async def test_the_end_of_a_sibling_is_loud_whatever_ended_it(
    make: Callable[..., Scheduler], clock: FakeClock, method: str, error: BaseException
) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    scheduler = make(store)
    work = Work()
    scheduler.add_job("a", work).per_seconds(10).without_overlapping().lock_ttl(3)
    store.on(method, raising(error))
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(12)
    work.finish()
    await steps(clock, 60, 1)
    assert task.done()
    with pytest.raises((RuntimeError, SchedulerError)):
        await task
    assert store.locks("a") == set()


async def test_a_fault_in_the_loop_itself_is_loud(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def boom(job: str) -> bool:
        if job == "plain":
            raise RuntimeError("boom")
        return False

    monkeypatch.setattr(store, "is_paused", boom)
    scheduler.add_job("plain", quick).per_seconds(10)
    work = Work()
    scheduler.add_job("held", work).every(8).without_overlapping()
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(11)
    work.finish()
    await clock.settle()
    with pytest.raises(RuntimeError, match="boom"):
        await task
    assert store.locks("held") == set()
    assert scheduler._ledger.tally == {Outcome.SUCCEEDED: 1}


async def test_async_with_raises_the_fault_at_its_end(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    store.on("claim", raising(RuntimeError("boom")))
    guarded(scheduler)
    with pytest.raises(RuntimeError, match="boom"):
        async with scheduler:
            await clock.advance(15)


async def test_everyone_who_waits_for_the_stop_learns_of_the_fault(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    guarded(scheduler, work)
    scheduler.add_job("b", quick).per_seconds(15).on_one_server()
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(11)
    store.on("claim", raising(RuntimeError("boom")))
    await clock.advance(5)
    stops = [asyncio.ensure_future(scheduler.stop()) for _ in range(2)]
    await clock.settle()
    work.finish()
    await clock.advance(1)
    results = await asyncio.gather(task, *stops, return_exceptions=True)
    assert [str(result) for result in results] == ["boom"] * 3


async def test_a_cancelled_run_does_not_leave_the_fault_unretrieved(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    gate = Gate()

    async def fault(method: Any, items: Any) -> Any:
        await gate(lambda _: raising(RuntimeError("boom"))(method, items), items)

    store.on("claim", fault)
    guarded(scheduler)
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    task.cancel()
    await clock.settle()
    gate.open()
    await clock.advance(1)
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        await task  # the fixture looks for the complaint of asyncio


async def test_after_a_fault_the_scheduler_can_be_started_again(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    store.on("claim", raising(RuntimeError("boom")))
    guarded(scheduler)
    with pytest.raises(RuntimeError):
        async with scheduler:
            await clock.advance(10)
    async with running(scheduler, clock):
        await clock.advance(10)
    assert counted(scheduler)[Outcome.SUCCEEDED] == 1


# Subscribers

ERRORS = pytest.mark.parametrize(
    "error", [ValueError, asyncio.CancelledError, SystemExit], ids=lambda error: error.__name__
)
SCENES = pytest.mark.parametrize(
    "event",
    [
        events.SchedulerStarted,
        events.JobAdded,
        events.RunStarted,
        events.RunEnded,
        events.TickSkipped,
        events.TicksMissed,
        events.LeaseLost,
        events.StoreLost,
        events.StoreRecovered,
        events.JobPaused,
        events.JobRemoved,
        events.SchedulerStopped,
        events.LateGrantReleased,
    ],
    ids=lambda event: event.__name__,
)


async def everything_happens(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    """Let each kind of event happen at least once, within a virtual minute and a half."""
    work = Work()
    start = clock.now()
    scheduler.add_job("plain", quick).per_seconds(1)
    scheduler.add_job("held", work).at(start + timedelta(seconds=1)).without_overlapping()
    scheduler.add_job("removed", quick).per_seconds(1)
    ticks = [start + timedelta(seconds=60), start + timedelta(seconds=70)]
    scheduler.add_job("impatient", quick).at(*ticks).on_one_server().misfire_grace(2)
    async with running(scheduler, clock):
        scheduler.remove_job("removed")
        await clock.advance(2)
        await scheduler.pause("plain")
        await clock.advance(2)
        await scheduler.resume("plain")
        clock.elapsed += 10
        await clock.advance(1)
        store.lose("held")
        await clock.advance(25)
        store.on("claim", answer_lost, *[down] * 8)
        await clock.advance(31)
        assert scheduler.snapshot().state == "running"
        assert counted(scheduler)["missed"] == 9


@ERRORS
@SCENES
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_what_a_subscriber_raises_changes_nothing(
    scheduler: Scheduler,
    store: ScriptedStore,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
    event: type[events.Event],
    is_async: bool,
) -> None:
    told: list[events.Event] = []

    def bad(seen: events.Event) -> None:
        told.append(seen)
        raise error

    async def bad_later(seen: events.Event) -> None:
        await asyncio.sleep(0)
        bad(seen)

    book = Book(scheduler)
    scheduler.subscribe(bad_later if is_async else bad, event)
    caplog.set_level(logging.ERROR)
    await everything_happens(scheduler, store, clock)
    assert told != []
    assert len(told) == len(book.of(event))
    assert f"failed on {event.__name__}" in caplog.text
    tallies = counted(scheduler)
    assert tallies == {
        Outcome.SUCCEEDED: 2 + 1 + 57 + 1,
        Outcome.LOCK_LOST: 1,
        SkipReason.PAUSED: 2,
        SkipReason.STORE_UNAVAILABLE: 1,
        "missed": 9,
    }
    assert [store.locks(job) for job in ("held", "impatient")] == [set(), set()]


async def test_an_async_subscriber_may_stop_the_scheduler(scheduler: Scheduler, clock: FakeClock) -> None:
    async def on_ended(_: events.RunEnded) -> None:
        await scheduler.stop()

    scheduler.subscribe(on_ended, events.RunEnded)
    scheduler.add_job("a", quick).per_seconds(1)
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(1)
    await clock.settle()
    assert task.done()
    await task


async def test_a_subscriber_that_never_ends_is_cancelled_by_the_stop(scheduler: Scheduler, clock: FakeClock) -> None:
    cancelled: list[bool] = []

    async def on_ended(_: events.RunEnded) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    scheduler.subscribe(on_ended, events.RunEnded)
    scheduler.add_job("a", quick).per_seconds(1)
    async with running(scheduler, clock):
        await clock.advance(3)
    assert cancelled == [True] * 3


# Other strangers: loggers, trace ids, clocks


class BadHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("disk full")


class BadFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("no such field")


@pytest.mark.parametrize("bad", [BadHandler(), BadFilter()], ids=["handler", "filter"])
async def test_logging_that_fails_changes_nothing(
    make: Callable[..., Scheduler],
    store: ScriptedStore,
    clock: FakeClock,
    bad: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("tests.bad_logging")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    add = logger.addHandler if isinstance(bad, logging.Handler) else logger.addFilter
    remove = logger.removeHandler if isinstance(bad, logging.Handler) else logger.removeFilter
    scheduler = make(logger=logger)
    add(bad)
    try:
        await everything_happens(scheduler, store, clock)
    finally:
        remove(bad)
    assert counted(scheduler)[Outcome.SUCCEEDED] == 61
    assert "RuntimeError" in capsys.readouterr().err


def test_a_call_that_raises_does_not_lose_the_others() -> None:
    queue, made = CallQueue(), []

    def bad() -> None:
        raise ValueError("first")

    for callback in (bad, lambda: made.append(1), bad, lambda: made.append(2)):
        queue.push(1.0, callback)
    with pytest.raises(ValueError, match="first"):
        make_calls(queue.pop_due(1.0))
    assert made == [1, 2]


async def test_locks_are_given_back_after_a_fault(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    work = Work()
    guarded(scheduler, work)
    scheduler.add_job("b", quick).every(15).on_one_server()
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(11)
    assert store.locks("a") == {LockType.SERVER, LockType.OVERLAP}
    store.on("claim", raising(RuntimeError("boom")))
    await clock.advance(40)
    with pytest.raises(RuntimeError, match="boom"):
        await task
    assert store.locks("a") == store.locks("b") == set()
    assert work.cancelled == 1
    assert store.closed == 1


async def test_a_corrupt_answer_is_no_fault(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    store.on("claim", *[answering(ClaimAnswer(Verdict.CORRUPT, detail="a list"))] * 3)
    guarded(scheduler)
    async with running(scheduler, clock):
        await clock.advance(15)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
