"""The ways to run and to stop: signals, cancellation, a second life; and what a run says when it is waited for."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import BaseHandler, ConfigurationError, Job, Outcome, RunContext, Scheduler, events
from asyncsched._job_settings import JobSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


async def work() -> None:
    """A handler that does nothing."""


@pytest.fixture
def over() -> asyncio.Event:
    """What the job ``long`` waits for."""
    return asyncio.Event()


@pytest.fixture
def long(scheduler: Scheduler, over: asyncio.Event) -> Job:
    """An immediate job whose run is in progress until ``over``."""

    async def handler() -> None:
        await over.wait()

    return scheduler.add_job("long", handler).immediate()


async def test_the_lifespan_yields_the_scheduler(scheduler: Scheduler) -> None:
    async with scheduler.lifespan(object()) as state:
        assert state == {"scheduler": scheduler}
        assert scheduler.snapshot().state == "running"
    assert scheduler.snapshot().state == "idle"


# Signals


@pytest.mark.parametrize("count", [1, 2])
async def test_a_signal_stops_and_a_second_one_hurries(
    scheduler: Scheduler, clock: FakeClock, long: Job, over: asyncio.Event, count: int
) -> None:
    def earlier(_number: int, _frame: object) -> None: ...

    before = signal.signal(signal.SIGUSR1, earlier)
    try:
        running = asyncio.create_task(scheduler.run(signals=(signal.SIGUSR1,)))
        await clock.settle()
        signal.raise_signal(signal.SIGUSR1)
        await clock.settle()
        assert scheduler.snapshot().state == "draining"
        assert not running.done(), "the first one waits for active runs"
        if count == 2:
            signal.raise_signal(signal.SIGUSR1)
        else:
            over.set()
        await running
        assert signal.getsignal(signal.SIGUSR1) is earlier, "the earlier handler was put back"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert scheduler.snapshot().counters == {"succeeded" if count == 1 else "cancelled": 1}


async def test_run_in_another_thread_leaves_signals_alone(make_scheduler: Callable[..., Scheduler]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    during: list[object] = []
    scheduler = make_scheduler(clock=None)

    async def stop() -> None:
        during.append(signal.getsignal(signal.SIGTERM))
        await scheduler.stop()

    scheduler.add_job("stop", stop).immediate()
    await asyncio.to_thread(asyncio.run, scheduler.run())
    assert during == [before]
    assert scheduler.snapshot().counters == {"succeeded": 1}


async def test_run_leaves_default_handlers_as_they_were(scheduler: Scheduler) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    scheduler.add_job("stop", scheduler.stop).immediate()
    await scheduler.run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# Cancellation


@pytest.mark.parametrize("count", [1, 2])
async def test_a_cancellation_drains_and_a_second_one_hurries(
    scheduler: Scheduler, clock: FakeClock, long: Job, over: asyncio.Event, count: int
) -> None:
    running = asyncio.create_task(scheduler.run(signals=()))
    await clock.settle()
    for _ in range(count):
        running.cancel()
        await clock.settle()
    if count == 1:
        assert not running.done()
        over.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert scheduler.snapshot().state == "idle"
    assert scheduler.snapshot().counters == {"succeeded" if count == 1 else "cancelled": 1}


async def test_the_error_of_the_body_is_kept(scheduler: Scheduler) -> None:
    scheduler.add_job("tick", work).per_seconds(1)
    with pytest.raises(ZeroDivisionError):
        async with scheduler:
            1 / 0  # noqa: B018
    assert scheduler.snapshot().state == "idle"


@pytest.mark.parametrize("form", ["async with", "run"])
async def test_a_fault_of_the_engine_is_raised(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, flaky_store: Any, form: str
) -> None:
    async def claim(_requests: object) -> Any:
        raise RuntimeError("a bug in the store")

    flaky_store.claim = claim
    scheduler = make_scheduler(flaky_store)
    scheduler.add_job("guarded", work).immediate().on_one_server()

    async def serve() -> None:
        if form == "run":
            await scheduler.run(signals=())
        else:
            async with scheduler:
                await clock.settle()

    with pytest.raises(RuntimeError, match="a bug in the store"):
        await serve()
    assert scheduler.snapshot().state == "idle"


async def test_leaving_and_stopping_what_does_not_run_is_harmless(scheduler: Scheduler) -> None:
    await scheduler.stop()
    await scheduler.__aexit__(None, None, None)
    async with scheduler:
        await scheduler.stop()
        await scheduler.stop()
        assert scheduler.snapshot().state == "idle"


async def test_many_may_wait_for_one_stop(
    scheduler: Scheduler, clock: FakeClock, long: Job, over: asyncio.Event
) -> None:
    async with scheduler:
        await clock.settle()
        stops = [asyncio.create_task(scheduler.stop()) for _ in range(3)]
        await clock.settle()
        assert not any(stop.done() for stop in stops)
        over.set()
        await asyncio.gather(*stops)
        assert scheduler.snapshot().state == "idle"


async def test_a_run_that_outlives_the_stop_keeps_the_store_open_for_the_next_start(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, flaky_store: Any
) -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append(scheduler.snapshot().state)

    flaky_store.close = close
    scheduler = make_scheduler(flaky_store, shutdown_timeout=1)
    over = asyncio.Event()

    async def deaf() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    scheduler.add_job("deaf", deaf).immediate()
    async with scheduler:
        await clock.settle()
        stopping = asyncio.create_task(scheduler.stop())
        await clock.advance(10)
        await stopping
    assert closed == []
    scheduler.remove_job("deaf")
    async with scheduler:
        over.set()
        await clock.settle()
        assert closed == [], "the store is in use again"
    assert len(closed) == 1


# Pausing without a running scheduler


async def test_a_pause_of_an_idle_scheduler_closes_the_store_again(
    make_scheduler: Callable[..., Scheduler], flaky_store: Any
) -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("closed")

    flaky_store.close = close
    scheduler = make_scheduler(flaky_store)
    scheduler.add_job("poll", work).per_seconds(1)
    told: list[str] = []
    scheduler.subscribe(lambda event: told.append(type(event).__name__), events.JobPaused, events.JobResumed)
    await scheduler.pause("poll")
    assert scheduler.snapshot().jobs[0].paused
    await scheduler.resume("poll")
    assert not scheduler.snapshot().jobs[0].paused
    assert closed == ["closed", "closed"]
    assert told == ["JobPaused", "JobResumed"]


async def test_a_pause_that_the_store_did_not_take(
    make_scheduler: Callable[..., Scheduler], flaky_store: Any, lines: Callable[..., list[str]]
) -> None:
    scheduler = make_scheduler(flaky_store)
    scheduler.add_job("poll", work).per_seconds(1)
    told: list[events.Event] = []
    scheduler.subscribe(told.append)
    flaky_store.down = True
    async with scheduler:
        for steer in (scheduler.pause, scheduler.resume):
            with pytest.raises(Exception, match="no answer from the test's store"):
                await steer("poll")
    assert not [event for event in told if isinstance(event, events.JobPaused | events.JobResumed)]
    assert not lines("was paused")


# Runs


async def test_many_may_wait_for_one_run(
    scheduler: Scheduler, clock: FakeClock, long: Job, over: asyncio.Event
) -> None:
    async with scheduler:
        run = await scheduler.trigger("long")
        waiting = [asyncio.create_task(run.wait()) for _ in range(3)]
        await clock.settle()
        assert not any(task.done() for task in waiting)
        over.set()
        assert await asyncio.gather(*waiting) == [Outcome.SUCCEEDED] * 3
        assert await run.wait() is Outcome.SUCCEEDED, "also after its end"


async def test_the_first_hundred_errors_of_a_run_are_kept(scheduler: Scheduler) -> None:
    class Noisy(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            for number in range(150):
                self.report(ValueError(number))

    scheduler.add_job("noisy", Noisy).per_hours(1)
    async with scheduler:
        run = await scheduler.trigger("noisy")
        assert await run.wait() is Outcome.FAILED
    assert [error.args[0] for error in run.errors] == list(range(100))


async def test_a_handler_without_exec(scheduler: Scheduler) -> None:
    class Empty(BaseHandler):
        pass

    scheduler.add_job("empty", Empty).per_hours(1)
    async with scheduler:
        run = await scheduler.trigger("empty")
        assert await run.wait() is Outcome.FAILED
    assert [str(error) for error in run.errors] == ["Empty has no exec(ctx)"]


async def test_a_handlers_words_from_threads(scheduler: Scheduler) -> None:
    class Threaded(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.hold()

            def callback() -> None:  # a thread that knows nothing of the run
                self.report(ValueError("from a thread"), ctx)
                self.finish(ctx)

            threading.Thread(target=callback).start()

    scheduler.add_job("threaded", Threaded).per_hours(1)
    async with scheduler:
        run = await scheduler.trigger("threaded")
        assert await run.wait() is Outcome.FAILED
    assert [str(error) for error in run.errors] == ["from a thread"]


async def test_a_handler_that_holds_until_it_finishes_within_exec(scheduler: Scheduler) -> None:
    class Quick(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.hold()
            self.finish()

    scheduler.add_job("quick", Quick).per_hours(1)
    async with scheduler:
        run = await scheduler.trigger("quick")
        assert await run.wait() is Outcome.SUCCEEDED


# Guards that a facade keeps from being needed


def test_an_incomplete_job_cannot_be_scheduled() -> None:
    from datetime import UTC

    defaults = JobSettings(timezone=UTC, lock_ttl=600, misfire_grace=None)
    with pytest.raises(ConfigurationError, match="job 'half': scheduled: it has no schedule"):
        Job("half", work).freeze(defaults)


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_a_keyboard_interrupt_of_a_subscriber_is_the_programs(scheduler: Scheduler, form: str) -> None:
    """Ctrl-C that lands in a subscriber must end the program, so the bus lets it pass."""

    def interrupt(_event: events.Event) -> None:
        raise KeyboardInterrupt

    async def interrupt_soon(event: events.Event) -> None:
        interrupt(event)

    event = events.SchedulerStarted(at=scheduler.snapshot().taken_at, node="here", jobs=0)
    if form == "sync":
        scheduler.subscribe(interrupt)
        with pytest.raises(KeyboardInterrupt):
            scheduler._bus.emit(event)
    else:
        with pytest.raises(KeyboardInterrupt):
            await scheduler._bus._await(interrupt_soon, event, interrupt_soon(event))
