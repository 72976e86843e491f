"""However it is asked to stop, and whenever: it ends, it leaves nothing behind, and it may start again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from _engine_doubles import Book, Gate, ScriptedStore, Work, answer_lost, counted, down, quick, running

from asyncsched import ConfigurationError, MemoryStore, Outcome, Scheduler, SchedulerError, SkipReason, events
from asyncsched._grants import LockType
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


async def ended(task: asyncio.Future[None], clock: FakeClock, seconds: float = 60) -> None:
    """Let time pass until the task has ended, and tell if it takes longer."""
    for _ in range(int(seconds * 2)):
        await clock.settle()
        if task.done():
            break
        await clock.advance(0.5)
    assert task.done()


def active(scheduler: Scheduler, work: Work) -> None:
    scheduler.add_job("a", work).per_seconds(10).on_one_server().without_overlapping()


async def test_a_stop_waits_for_active_runs(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    work = Work()
    active(scheduler, work)
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    stopping = asyncio.ensure_future(scheduler.stop())
    await clock.advance(20)
    assert (stopping.done(), scheduler.snapshot().state, work.cancelled) == (False, "draining", 0)
    assert len(work.contexts) == 1  # no new ticks
    work.finish()
    await clock.settle()
    assert stopping.done()
    assert task.done()
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    assert store.locks("a") == set()
    assert store.closed == 1


async def test_a_stop_cancels_what_takes_too_long(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make(shutdown_timeout=7)
    work = Work()
    active(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(6.9)
        assert work.cancelled == 0
        await clock.advance(0.2)
        assert work.cancelled == 1
        assert stopping.done()
    assert counted(scheduler) == {Outcome.CANCELLED: 1}
    assert store.locks("a") == set()


async def test_a_stop_of_a_scheduler_that_does_not_run(scheduler: Scheduler) -> None:
    await scheduler.stop()
    assert scheduler.snapshot().state == "idle"


async def test_stops_may_come_together_and_again(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    active(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        stops = [asyncio.ensure_future(scheduler.stop()) for _ in range(5)]
        await clock.advance(3)
        stops.append(asyncio.ensure_future(scheduler.stop()))
        work.finish()
        await clock.settle()
        assert all(stop.done() for stop in stops)
        await scheduler.stop()
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


@pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded"])
@pytest.mark.parametrize("immediate", [False, True], ids=["tick", "immediate"])
async def test_a_handler_may_stop_its_scheduler(
    scheduler: Scheduler, clock: FakeClock, guarded: bool, immediate: bool
) -> None:
    async def handler() -> None:
        await scheduler.stop()

    job = scheduler.add_job("a", handler)
    job = job.immediate() if immediate else job.per_seconds(1)
    if guarded:
        job.on_one_server()
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(1)
    assert task.done()
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("immediate", [False, True], ids=["tick", "immediate"])
async def test_a_handler_that_starts_eagerly_may_stop_its_scheduler(
    scheduler: Scheduler, clock: FakeClock, immediate: bool
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]

    async def handler() -> None:
        await scheduler.stop()

    job = scheduler.add_job("a", handler)
    job.immediate() if immediate else job.at(clock.now() + timedelta(seconds=1))
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(2)
    assert task.done()
    loop.set_task_factory(None)


async def test_a_cancelled_run_drains_and_says_so(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    work = Work()
    active(scheduler, work)
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    task.cancel()
    await clock.advance(5)
    assert (task.done(), work.cancelled) == (False, 0)
    work.finish()
    await ended(task, clock, 1)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    assert store.locks("a") == set()


async def test_a_second_cancellation_does_not_wait_for_runs(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    active(scheduler, work)
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    task.cancel()
    await clock.advance(1)
    task.cancel()
    await clock.settle()
    assert task.cancelled()
    assert counted(scheduler) == {Outcome.CANCELLED: 1}
    assert store.locks("a") == set()


@pytest.mark.parametrize("turns", range(24))
@pytest.mark.parametrize("whom", ["run", "everyone"])
async def test_a_cancellation_at_any_moment_leaves_nothing_held(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock, turns: int, whom: str
) -> None:
    """As many turns of the loop after a tick has come due: in the claim, before the first step, in the run, ..."""
    scheduler = make(shutdown_timeout=2)
    book = Book(scheduler)

    async def handler() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    store.on("claim", answer_lost)
    scheduler.add_job("a", handler).immediate().on_one_server().without_overlapping().misfire_grace(100)
    scheduler.add_job("b", handler).immediate()
    task = asyncio.ensure_future(scheduler.run(signals=()))
    for _ in range(turns):
        await asyncio.sleep(0)
    here = asyncio.current_task()
    victims = [task] if whom == "run" else [each for each in asyncio.all_tasks() if each is not here]
    for victim in victims:
        victim.cancel()
    await ended(task, clock, 20)
    assert task.cancelled()
    assert store.locks("a") <= {LockType.START}
    assert scheduler.snapshot().active == ()
    if turns or whom == "everyone":
        told = len(book.of(events.RunEnded)) + len(book.of(events.TickSkipped))
        assert told == sum(counted(scheduler).values()) <= 2


@pytest.mark.parametrize("turns", range(24))
async def test_a_second_cancellation_at_any_moment_of_the_drain(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, turns: int
) -> None:
    work = Work()
    active(scheduler, work)
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await ended(task, clock, 20)
    await clock.settle()
    assert store.locks("a") == set()
    assert counted(scheduler) == {Outcome.CANCELLED: 1}


async def test_what_is_being_claimed_is_accounted_for(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    gate = Gate()
    store.knows_time = False
    store.on("claim", down, gate)
    scheduler.add_job("retried", quick).per_seconds(10).on_one_server()
    scheduler.add_job("asked", quick).every(10.0001).on_one_server()
    scheduler.add_job("waiting", quick).every(10, anchor=clock.now() + timedelta(milliseconds=200)).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10.3)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.settle()
        gate.open()
        await ended(stopping, clock, 8)
    told = len(book.of(events.RunEnded)) + len(book.of(events.TickSkipped))
    assert told == sum(counted(scheduler).values()) >= 2
    assert all(store.locks(job) == set() for job in ("retried", "asked", "waiting"))
    assert {event.reason for event in book.of(events.TickSkipped)} <= {SkipReason.SHUTTING_DOWN}


async def test_an_ambiguous_claim_is_given_back_by_the_stop(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    store.on("claim", answer_lost, *[down] * 5)
    scheduler.add_job("a", quick).per_hours(1).on_one_server().without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(3600.01)
        assert store.locks("a") == {LockType.SERVER, LockType.OVERLAP}
    assert store.locks("a") == set()
    assert counted(scheduler) == {SkipReason.SHUTTING_DOWN: 1}


async def test_a_trigger_that_waits_for_its_claim_learns_of_the_stop(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    store.on("claim", *[down] * 50)
    scheduler.add_job("a", quick).per_hours(1).on_one_server()
    async with running(scheduler, clock):
        asked = asyncio.ensure_future(scheduler.trigger("a"))
        await clock.advance(1)
        await scheduler.stop()
        run = await asked
    assert run.skip_reason is SkipReason.SHUTTING_DOWN
    with pytest.raises(SchedulerError, match=r"trigger\('a'\): the scheduler does not run"):
        await scheduler.trigger("a")


async def test_a_stop_without_a_store_is_bounded_and_says_what_stays(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    active(scheduler, work)
    task = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    store.on("release", *[down] * 1000)
    work.finish()
    stopping = asyncio.ensure_future(scheduler.stop())
    await ended(stopping, clock, 5)
    assert task.done()
    assert "1 locks may last until they expire" in caplog.text
    store.forget_script("release")


async def test_each_leftover_gives_back_its_lock_when_it_ends(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make(shutdown_timeout=0)
    book = Book(scheduler)
    works = {name: Work(deaf=True) for name in ("brief", "endless")}
    for name, work in works.items():
        scheduler.add_job(name, work).per_seconds(10).without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(10)
        await ended(asyncio.ensure_future(scheduler.stop()), clock, 8)
        assert [event.unfinished for event in book.of(events.SchedulerStopped)] == [("brief", "endless")]
        works["brief"].finish()
        await clock.advance(5)
        assert (store.locks("brief"), store.locks("endless")) == (set(), {LockType.OVERLAP})
        assert store.closed == 0
        works["endless"].finish()
        await clock.advance(5)
        assert store.locks("endless") == set()
        assert store.closed == 1


async def test_a_restart_with_leftovers_keeps_the_store_open_and_the_job_alone(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make(shutdown_timeout=0)
    work = Work(deaf=True)
    scheduler.add_job("a", work).per_seconds(10).without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(10)
        await ended(asyncio.ensure_future(scheduler.stop()), clock, 8)
    async with running(scheduler, clock):
        await clock.advance(30)
        assert len(work.contexts) == 1  # the leftover still has the lease
        work.finish()
        await clock.advance(5)
        assert store.closed == 0
        await clock.advance(10)
        assert len(work.contexts) >= 2
    assert store.closed == 1


async def test_it_may_start_again(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    scheduler.add_job("b", quick).immediate()
    for _ in range(3):
        async with running(scheduler, clock):
            await clock.advance(10)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 6}


def test_it_may_start_again_on_another_event_loop() -> None:
    clock = FakeClock()
    scheduler = Scheduler(MemoryStore(clock), clock=clock)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server().without_overlapping()

    async def life() -> None:
        async with scheduler:
            await clock.advance(10)

    for _ in range(3):
        asyncio.run(life(), debug=True)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 3}


async def test_starting_twice_is_an_error(scheduler: Scheduler, clock: FakeClock) -> None:
    async with running(scheduler, clock):
        with pytest.raises(SchedulerError, match="runs already"):
            await scheduler.run(signals=())
        with pytest.raises(SchedulerError, match="runs already"):
            await scheduler.__aenter__()
        assert scheduler.snapshot().state == "running"


async def test_a_stop_from_a_task_that_a_run_has_left_behind_waits(scheduler: Scheduler, clock: FakeClock) -> None:
    stops: list[asyncio.Task[None]] = []
    work = Work()

    async def later() -> None:
        while counted(scheduler) == {}:
            await asyncio.sleep(0)
        await scheduler.stop()

    async def handler() -> None:
        stops.append(asyncio.ensure_future(later()))  # type: ignore[arg-type]

    scheduler.add_job("a", handler).per_seconds(10)
    scheduler.add_job("b", work).per_seconds(10)
    async with running(scheduler, clock):
        await clock.advance(10)
        assert not stops[0].done()
        work.finish()
        await clock.settle()
        assert stops[0].done()


# Signals


async def test_signals_are_answered_and_restored(scheduler: Scheduler, clock: FakeClock) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    work = Work()
    active(scheduler, work)
    task = asyncio.ensure_future(scheduler.run())
    await clock.advance(10)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.001)
    await clock.settle()
    assert scheduler.snapshot().state == "draining"
    os.kill(os.getpid(), signal.SIGINT)  # the second does not wait for active runs
    await asyncio.sleep(0.001)
    await clock.settle()
    assert task.done()
    await task
    assert counted(scheduler) == {Outcome.CANCELLED: 1}
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGKILL), (signal.SIGTERM, 9999), signal.SIGTERM])
async def test_bad_signals_start_nothing(scheduler: Scheduler, signals: object) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ConfigurationError, match="signals"):
        await scheduler.run(signals=signals)  # type: ignore[arg-type]
    assert scheduler.snapshot().state == "idle"
    assert signal.getsignal(signal.SIGTERM) is before


async def test_signals_are_restored_when_the_start_fails(scheduler: Scheduler) -> None:
    before = signal.getsignal(signal.SIGTERM)
    scheduler.add_job("a", quick)
    with pytest.raises(ConfigurationError):
        await scheduler.run()
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_signals_are_left_alone() -> None:
    import threading

    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def service() -> None:
        clock = FakeClock()
        scheduler = Scheduler(clock=clock)

        async def handler() -> None:
            seen.append(signal.getsignal(signal.SIGTERM))
            await scheduler.stop()

        scheduler.add_job("a", handler).immediate()
        asyncio.run(scheduler.run())

    thread = threading.Thread(target=service)
    thread.start()
    thread.join(5)
    assert seen == [before]
