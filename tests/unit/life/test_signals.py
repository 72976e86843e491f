"""Ctrl-C and SIGTERM while the scheduler is a program's main thing, and while it is not."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from _life_doubles import Book, Handler, locks, nothing

from asyncsched import MemoryStore, Scheduler
from asyncsched.testing import FakeClock

Make = Callable[..., Scheduler]
BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def mine() -> Iterator[Callable[..., None]]:
    """Have the signals answered by a handler that is known, and see to it that pytest's come back."""
    before = {number: signal.getsignal(number) for number in BOTH}

    def known(number: int, frame: object) -> None:
        pytest.fail(f"signal {number} reached the handler that stood before")

    for number in BOTH:
        signal.signal(number, known)
    yield known
    for number, handler in before.items():
        signal.signal(number, handler)


async def delivered(number: int) -> None:
    """Send the signal to this process and let the loop hear of it."""
    os.kill(os.getpid(), number)
    for _ in range(5):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("number", BOTH)
async def test_a_signal_stops_gently_and_a_second_one_hurries(
    scheduler: Scheduler, clock: FakeClock, memory: MemoryStore, mine: object, number: int
) -> None:
    handler = Handler()
    scheduler.add_job("a", handler).per_seconds(10).without_overlapping()
    book = Book(scheduler)
    running = asyncio.ensure_future(scheduler.run())
    await clock.advance(10)
    await delivered(number)
    await clock.advance(15)
    assert scheduler.snapshot().state == "draining"
    assert (running.done(), handler.cancelled) == (False, 0)
    await delivered(BOTH[number == signal.SIGINT])
    await clock.settle()
    assert running.done()
    assert running.result() is None
    assert book.outcomes("a") == ["cancelled"]
    assert locks(memory) == {}
    assert [signal.getsignal(each) for each in BOTH] == [mine, mine]


async def test_one_signal_is_answered_and_the_run_ends_quietly(
    scheduler: Scheduler, clock: FakeClock, mine: object
) -> None:
    handler = Handler()
    scheduler.add_job("a", handler).per_seconds(10)
    running = asyncio.ensure_future(scheduler.run())
    await clock.advance(10)
    await delivered(signal.SIGTERM)
    handler.let_go()
    await clock.run_until(running)
    assert (handler.ended, handler.cancelled) == (1, 0)
    assert [signal.getsignal(each) for each in BOTH] == [mine, mine]


@pytest.mark.parametrize("form", ["run", "async with", "lifespan"])
async def test_signals_are_left_alone_where_the_scheduler_is_a_guest(
    scheduler: Scheduler, clock: FakeClock, mine: object, form: str
) -> None:
    scheduler.add_job("a", nothing).per_seconds(10)
    if form == "run":
        running = asyncio.ensure_future(scheduler.run(signals=()))
        await clock.advance(10)
        seen = [signal.getsignal(each) for each in BOTH]
        await scheduler.stop()
        await running
    else:
        async with scheduler if form == "async with" else scheduler.lifespan(None):
            await clock.advance(10)
            seen = [signal.getsignal(each) for each in BOTH]
    assert seen == [mine, mine]
    assert scheduler.snapshot().counters == {"succeeded": 1}


async def test_only_the_named_signals_are_answered(scheduler: Scheduler, clock: FakeClock, mine: object) -> None:
    scheduler.add_job("a", nothing).per_seconds(10)
    running = asyncio.ensure_future(scheduler.run(signals=[signal.SIGTERM]))
    await clock.settle()
    assert signal.getsignal(signal.SIGINT) is mine
    assert signal.getsignal(signal.SIGTERM) is not mine
    await delivered(signal.SIGTERM)
    await clock.run_until(running)
    assert signal.getsignal(signal.SIGTERM) is mine


async def test_a_cancelled_run_puts_the_handlers_back(scheduler: Scheduler, clock: FakeClock, mine: object) -> None:
    scheduler.add_job("a", nothing).per_seconds(10)
    running = asyncio.ensure_future(scheduler.run())
    await clock.settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await clock.run_until(running)
    assert [signal.getsignal(each) for each in BOTH] == [mine, mine]


def test_asyncio_run_ends_quietly_at_a_signal() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock=clock)
    handler = Handler()
    scheduler.add_job("a", lambda: os.kill(os.getpid(), signal.SIGTERM)).immediate()
    scheduler.add_job("b", handler).immediate()
    handler.let_go()
    asyncio.run(scheduler.run())
    assert scheduler.snapshot().counters == {"succeeded": 2}


def test_in_another_thread_no_handler_is_touched(mine: object) -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock=clock)
    seen: list[object] = []

    async def last() -> None:
        seen.extend(signal.getsignal(each) for each in BOTH)
        await scheduler.stop()

    scheduler.add_job("a", last).immediate()
    thread = threading.Thread(target=lambda: asyncio.run(scheduler.run()))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert seen == [mine, mine]
    assert scheduler.snapshot().counters == {"succeeded": 1}
