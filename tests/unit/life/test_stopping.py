"""How a scheduler ends, and begins again: what is waited for, what is cancelled, what is given back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from _life_doubles import Book, Handler, Link, locks, nothing

from asyncsched import MemoryStore, Scheduler, SchedulerError, current_run, events
from asyncsched.testing import FakeClock

Make = Callable[..., Scheduler]


def add_guarded(scheduler: Scheduler, handler: object, name: str = "a") -> None:
    scheduler.add_job(name, handler).per_seconds(10).on_one_server().without_overlapping()


# When


async def test_before_any_start_a_stop_does_nothing(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("a", nothing).per_seconds(1)
    await scheduler.stop()
    async with scheduler:
        await clock.advance(3)
    assert scheduler.snapshot().counters["succeeded"] == 3


async def test_an_idle_scheduler_stops_without_time_passing(scheduler: Scheduler, clock: FakeClock) -> None:
    add_guarded(scheduler, nothing)
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(25)
    await asyncio.wait_for(scheduler.stop(), 1)
    await running
    await scheduler.stop()
    assert clock.monotonic() == 25
    assert scheduler.snapshot().state == "idle"


async def test_stops_together_all_wait_for_the_same_end(scheduler: Scheduler, clock: FakeClock) -> None:
    handler = Handler()
    add_guarded(scheduler, handler)
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    stops = [asyncio.ensure_future(scheduler.stop()) for _ in range(3)]
    await clock.advance(10)
    assert not any(stop.done() for stop in stops)
    handler.let_go()
    await clock.settle()
    assert all(stop.done() for stop in stops)
    assert running.done()
    assert handler.ended == 1


async def test_a_cancelled_stop_does_not_end_the_drain(scheduler: Scheduler, clock: FakeClock) -> None:
    handler = Handler()
    add_guarded(scheduler, handler)
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    first = asyncio.ensure_future(scheduler.stop())
    await clock.settle()
    assert scheduler.snapshot().state == "draining"
    handler.let_go()
    await clock.run_until(asyncio.gather(running, first))
    assert (handler.ended, handler.cancelled) == (1, 0)


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_handler_that_stops_its_scheduler_ends_as_any_other(
    scheduler: Scheduler, clock: FakeClock, memory: MemoryStore, guarded: bool
) -> None:
    after: list[str] = []

    async def last() -> None:
        await scheduler.stop()
        after.append(scheduler.snapshot().state)

    job = scheduler.add_job("last", last).per_seconds(10)
    if guarded:
        job.on_one_server().without_overlapping()
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(60)
    assert running.done()
    await running
    assert after == ["draining"]
    assert scheduler.snapshot().counters == {"succeeded": 1}
    assert locks(memory) == {}


# The forms


async def test_a_cancelled_run_drains_and_then_raises(scheduler: Scheduler, clock: FakeClock) -> None:
    handler = Handler()
    add_guarded(scheduler, handler)
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    running.cancel()
    await clock.advance(9)
    assert not running.done()
    handler.let_go()
    await clock.settle()
    assert running.cancelled()
    assert (handler.ended, handler.cancelled) == (1, 0)


async def test_a_second_cancellation_hurries_but_still_cleans_up(
    scheduler: Scheduler, clock: FakeClock, memory: MemoryStore
) -> None:
    handler = Handler()
    add_guarded(scheduler, handler)
    book = Book(scheduler)
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    running.cancel()
    await clock.advance(1)
    assert locks(memory) == {"a": {"server", "overlap"}}
    running.cancel()
    await clock.settle()
    assert running.cancelled()
    assert book.outcomes("a") == ["cancelled"]
    assert locks(memory) == {}


async def test_leaving_async_with_drains(scheduler: Scheduler, clock: FakeClock) -> None:
    handler = Handler()
    add_guarded(scheduler, handler)
    async with scheduler:
        await clock.advance(10)
        asyncio.get_running_loop().call_soon(handler.let_go)
    assert (handler.ended, handler.cancelled) == (1, 0)
    assert scheduler.snapshot().state == "idle"


async def test_leaving_async_with_after_a_stop_inside(scheduler: Scheduler, clock: FakeClock) -> None:
    add_guarded(scheduler, nothing)
    async with scheduler:
        await clock.advance(10)
        await scheduler.stop()
        assert scheduler.snapshot().state == "idle"
        await clock.advance(60)
    assert scheduler.snapshot().counters == {"succeeded": 1}


async def test_the_lifespan_yields_the_scheduler_and_drains(scheduler: Scheduler, clock: FakeClock) -> None:
    add_guarded(scheduler, nothing)
    async with scheduler.lifespan(object()) as state:
        assert state == {"scheduler": scheduler}
        await clock.advance(10)
        assert scheduler.snapshot().state == "running"
    assert scheduler.snapshot().state == "idle"
    assert scheduler.snapshot().counters == {"succeeded": 1}


# Again


async def test_each_start_is_a_life_of_its_own(scheduler: Scheduler, clock: FakeClock) -> None:
    fired: list[float] = []

    async def note() -> None:
        fired.append(current_run().fire_time.timestamp() % 60)  # type: ignore[union-attr]

    scheduler.add_job("a", note).per_seconds(10).on_one_server()
    for _ in range(3):
        async with scheduler:
            await clock.advance(12)
        await clock.advance(8)
    assert fired == [10, 30, 50]
    assert scheduler.snapshot().counters == {"succeeded": 3}


async def test_a_start_while_it_runs_or_drains_is_refused_and_harms_nothing(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    handler = Handler()
    add_guarded(scheduler, handler)
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(10)
    for _ in range(2):
        with pytest.raises(SchedulerError, match="runs already"):
            await scheduler.run(signals=())
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.settle()
    handler.let_go()
    await clock.run_until(asyncio.gather(running, stopping))
    assert handler.ended == 1


def test_one_scheduler_on_one_loop_after_another() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock=clock)
    lives: list[int] = []
    scheduler.add_job("once", lambda: None).immediate()
    scheduler.add_job("a", nothing).per_seconds(10).on_one_server().without_overlapping()
    complaints: list[object] = []

    async def life() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with scheduler:
            await clock.advance(35)
        lives.append(len(asyncio.all_tasks()))

    for _ in range(3):
        asyncio.run(life(), debug=True)
    assert lives == [1, 1, 1]
    assert complaints == []
    assert scheduler.snapshot().counters["succeeded"] >= 9


async def test_an_immediate_job_runs_at_every_start(scheduler: Scheduler, clock: FakeClock) -> None:
    handler = Handler()
    handler.let_go()
    scheduler.add_job("once", handler).immediate()
    for lives in (1, 2, 3):
        async with scheduler:
            await clock.advance(1000)
        assert len(handler.runs) == lives


async def test_a_job_added_between_lives_belongs_to_the_next(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("a", nothing).per_seconds(10)
    async with scheduler:
        await clock.advance(10)
    scheduler.add_job("b", nothing).per_seconds(10)
    scheduler.remove_job("a")
    book = Book(scheduler)
    async with scheduler:
        await clock.advance(10)
    assert [event.job for event in book.of(events.RunEnded)] == ["b"]


# Handlers that take long


async def test_the_shutdown_timeout_then_cancels(make: Make, clock: FakeClock, memory: MemoryStore) -> None:
    scheduler = make(shutdown_timeout=7)
    handler = Handler()
    add_guarded(scheduler, handler)
    await scheduler.__aenter__()
    await clock.advance(10)
    stopping = asyncio.ensure_future(scheduler.stop())
    await clock.advance(6.9)
    assert (stopping.done(), handler.cancelled) == (False, 0)
    await clock.advance(0.2)
    assert (stopping.done(), handler.cancelled) == (True, 1)
    assert scheduler.snapshot().counters == {"cancelled": 1}
    assert locks(memory) == {}


async def test_a_deaf_handler_is_left_behind_after_five_more_seconds_and_named(
    make: Make, clock: FakeClock, memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler, handler = make(shutdown_timeout=7), Handler(deaf=True)
    add_guarded(scheduler, handler, "deaf")
    scheduler.add_job("tame", nothing).per_seconds(10)
    book = Book(scheduler)
    await scheduler.__aenter__()
    await clock.advance(10)
    stopping = asyncio.ensure_future(scheduler.stop())
    await clock.advance(11.9)
    assert not stopping.done()
    with caplog.at_level(logging.ERROR):
        await clock.advance(0.2)
    assert stopping.done()
    assert [r.getMessage() for r in caplog.records if "would not end: deaf" in r.getMessage()] != []
    assert book.of(events.SchedulerStopped)[0].unfinished == ("deaf",)
    assert locks(memory) == {"deaf": {"server", "overlap"}}
    handler.let_go()
    await clock.settle()
    assert locks(memory) == {}
    assert book.outcomes("deaf") == ["succeeded"]  # it did all of its work


async def test_another_node_may_run_the_job_only_when_the_leftover_has_ended(
    make: Make, clock: FakeClock, memory: MemoryStore
) -> None:
    old, deaf = make(shutdown_timeout=0), Handler(deaf=True)
    old.add_job("a", deaf).per_seconds(10).without_overlapping()
    new, handler = make(memory, node="there"), Handler()
    new.add_job("a", handler).per_seconds(10).without_overlapping()
    handler.let_go()
    await old.__aenter__()
    await clock.advance(10)
    await clock.run_until(old.stop())
    async with new:
        await clock.advance_to(clock.now().replace(second=35))
        assert handler.runs == []
        deaf.let_go()
        await clock.advance(10)
        assert len(handler.runs) == 1
        assert handler.runs[0].fence > deaf.runs[0].fence


# What is on its way


@pytest.mark.parametrize("let_in", [True, False])
async def test_a_claim_in_flight_at_a_stop(
    scheduler: Scheduler, clock: FakeClock, link: Link, memory: MemoryStore, let_in: bool
) -> None:
    answer, real = asyncio.Event(), link.claim

    async def slow(requests: object) -> object:
        answers = await real(requests)  # type: ignore[arg-type]
        await answer.wait()
        if not let_in:
            link.mute("claim")
            return await real(requests)  # type: ignore[arg-type]
        return answers

    link.claim = slow  # type: ignore[assignment, method-assign]
    handler = Handler()
    handler.let_go()
    add_guarded(scheduler, handler)
    book = Book(scheduler)
    await scheduler.__aenter__()
    await clock.advance(10)
    stopping = asyncio.ensure_future(scheduler.stop())
    await clock.settle()
    assert not stopping.done()
    answer.set()
    await clock.settle()
    assert stopping.done()
    assert (book.outcomes("a"), book.skips("a")) == ((["succeeded"], []) if let_in else ([], ["shutting_down"]))
    assert len(handler.runs) == let_in
    assert locks(memory) == {}


async def test_a_claim_that_waits_to_be_repeated_is_skipped_at_once(
    scheduler: Scheduler, clock: FakeClock, link: Link
) -> None:
    link.down("claim")
    add_guarded(scheduler, nothing)
    book = Book(scheduler)
    await scheduler.__aenter__()
    await clock.advance(15)
    await scheduler.stop()
    assert clock.monotonic() == 15
    assert book.skips("a") == ["shutting_down"]


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_random_delay_at_a_stop(make: Make, clock: FakeClock, memory: MemoryStore, guarded: bool) -> None:
    scheduler = make(shutdown_timeout=20)
    book = Book(scheduler)
    jobs = [
        scheduler.add_job("soon", nothing).per_seconds(100).random_delay(15, 15),
        scheduler.add_job("late", nothing).per_seconds(100).random_delay(60, 60),
    ]
    for job in jobs if guarded else ():
        job.on_one_server().without_overlapping()
    await scheduler.__aenter__()
    await clock.advance(100)
    assert book.of(events.RunStarted) == []
    stopping = asyncio.ensure_future(scheduler.stop())
    await clock.settle()
    assert book.skips("late") == ["shutting_down"]
    assert locks(memory) == ({"soon": {"server", "overlap"}} if guarded else {})
    await clock.advance(14.9)
    assert book.outcomes("soon") == []
    await clock.advance(0.2)
    assert book.outcomes("soon") == ["succeeded"]
    assert stopping.done()
    assert locks(memory) == {}


@pytest.mark.parametrize("turns", range(0, 40, 2))
async def test_a_stop_at_any_turn_of_the_loop_leaves_no_lock_and_no_task(
    make: Make, clock: FakeClock, memory: MemoryStore, turns: int
) -> None:
    asyncio.get_running_loop().set_debug(True)
    scheduler = make(shutdown_timeout=2)
    book = Book(scheduler)
    add_guarded(scheduler, nothing)
    add_guarded(scheduler, Handler(), "long")
    scheduler.add_job("delayed", nothing).per_seconds(10).without_overlapping().random_delay(0, 5)
    scheduler.add_job("first", nothing).immediate().without_overlapping()
    async with scheduler:
        advancing = asyncio.ensure_future(clock.advance(10))
        for _ in range(turns):
            await asyncio.sleep(0)
        stopping = asyncio.ensure_future(scheduler.stop())
        await advancing
        await clock.run_until(stopping, limit=40)
    assert locks(memory) == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}
    started = {event.run_id for event in book.of(events.RunStarted)}
    assert started == {event.run_id for event in book.of(events.RunEnded)}
    assert book.outcomes("long") == ["cancelled"] * len(book.outcomes("long"))
