"""What goes wrong around the engine: a fault of its own is loud, and everything else stays where it happened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from _life_doubles import Book, Handler, Link, locks, nothing

from asyncsched import MemoryStore, Scheduler, StoreUnavailableError, events
from asyncsched.testing import FakeClock

Make = Callable[..., Scheduler]


def messages(caplog: pytest.LogCaptureFixture, text: str, level: int = logging.WARNING) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= level and text in r.getMessage()]


# The engine's own


@pytest.mark.parametrize("method", ["claim", "renew", "release", "refresh"])
async def test_a_store_that_breaks_its_protocol_ends_the_run_loudly(
    scheduler: Scheduler,
    clock: FakeClock,
    link: Link,
    memory: MemoryStore,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    link.refresh_interval = 1.0
    handler = Handler()
    scheduler.add_job("long", handler).per_seconds(10).on_one_server().without_overlapping()
    scheduler.add_job("short", nothing).per_seconds(10).on_one_server()
    book = Book(scheduler)
    running = asyncio.ensure_future(scheduler.run(signals=()))
    await clock.advance(11)
    broken = RuntimeError("broken")
    told: list[str] = []

    def once(asked: str) -> BaseException | None:
        if asked == method and not told:
            told.append(asked)
            return broken
        return None

    link.cut = once
    await clock.advance(25)
    assert told == [method]
    assert not running.done()
    handler.let_go()
    with pytest.raises(RuntimeError, match="broken") as raised:
        await clock.run_until(running)
    assert raised.value is broken
    assert len(messages(caplog, "its engine failed", logging.CRITICAL)) == 1
    assert book.outcomes("long") == ["succeeded"]
    assert scheduler.snapshot().state == "idle"
    assert locks(memory) == {}


async def test_async_with_raises_the_fault_and_may_start_again(
    scheduler: Scheduler, clock: FakeClock, link: Link
) -> None:
    scheduler.add_job("a", nothing).per_seconds(10).on_one_server()
    link.cut = lambda _: RuntimeError("broken")
    await scheduler.__aenter__()
    await clock.advance(10)
    link.up()
    with pytest.raises(RuntimeError, match="broken"):
        await scheduler.__aexit__(None, None, None)
    async with scheduler:
        await clock.advance(20)
    assert scheduler.snapshot().counters["succeeded"] == 2


# Triggers


class Odd:
    """A trigger that is right for ``good`` fire times and breaks its rules after them."""

    def __init__(self, answer: Callable[[datetime], Any], good: int) -> None:
        self._answer, self._good, self._first = answer, good, None

    def next_fire_time(self, after: datetime) -> Any:
        if after >= datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=10 * self._good):
            return self._answer(after)
        return datetime.fromtimestamp((after.timestamp() // 10 + 1) * 10, UTC)


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("good", [0, 2])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: _raise(ValueError("no idea")), id="raises"),
        pytest.param(lambda after: after.replace(tzinfo=None) + timedelta(days=1), id="naive"),
        pytest.param(lambda after: after, id="not later"),
        pytest.param(lambda after: after - timedelta(hours=1), id="earlier"),
        pytest.param(lambda _: "tomorrow", id="no instant"),
        pytest.param(lambda _: 1e10, id="a number"),
    ],
)
async def test_a_bad_trigger_ends_its_own_schedule_only(
    scheduler: Scheduler,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    answer: Callable[[datetime], Any],
    good: int,
) -> None:
    scheduler.add_job("odd", nothing).schedule(Odd(answer, good))
    scheduler.add_job("even", nothing).per_seconds(10)
    book = Book(scheduler)
    async with scheduler:
        await clock.advance(50)
        assert scheduler.snapshot().jobs[0].next_fire_time is None
    assert book.outcomes("even") == ["succeeded"] * 5
    assert book.outcomes("odd") == ["succeeded"] * good
    assert len(messages(caplog, "job=odd gets no more fire times", logging.ERROR)) == 1
    assert messages(caplog, "job=even") == []


async def test_a_job_with_a_bad_trigger_can_still_be_triggered(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("odd", nothing).schedule(Odd(lambda _: _raise(ValueError()), 0)).without_overlapping()
    async with scheduler:
        run = await scheduler.trigger("odd")
        assert await clock.run_until(run.wait()) == "succeeded"


# Subscribers


async def test_subscribers_that_raise_change_nothing(
    scheduler: Scheduler, clock: FakeClock, memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def later(event: object) -> None:
        raise KeyError(event)

    scheduler.subscribe(lambda _: _raise(ValueError("sub")))
    scheduler.subscribe(later)
    book = Book(scheduler)
    scheduler.add_job("a", nothing).per_seconds(10).on_one_server().without_overlapping()
    scheduler.add_job("b", nothing).per_seconds(10)
    async with scheduler:
        await clock.advance(30)
    assert book.outcomes("a") == book.outcomes("b") == ["succeeded"] * 3
    assert len(messages(caplog, "it goes on being called", logging.ERROR)) == 2 * len(book.events)
    assert locks(memory) == {}


# Outages


async def test_a_store_that_is_away_from_the_start(
    make: Make, clock: FakeClock, link: Link, memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = make(misfire_grace=None)
    scheduler.add_job("guarded", nothing).per_seconds(10).on_one_server().without_overlapping()
    scheduler.add_job("plain", nothing).per_seconds(10)
    book = Book(scheduler)
    link.down()
    link.knows_time = False
    async with scheduler:
        await clock.advance(35)
        assert scheduler.snapshot().store_available is False
        assert book.skips("guarded") == ["store_unavailable"] * 2  # the third is still asked for
        assert link.calls["claim"] > 20
        link.up()
        await clock.advance(1.01)
        assert scheduler.snapshot().store_available is True
        assert book.outcomes("guarded") == ["succeeded"]
        await clock.advance(4)
    assert book.outcomes("guarded") == ["succeeded"] * 2
    assert [event.late_by for event in book.of(events.RunStarted) if event.job == "plain"] == [0] * 4
    assert len(book.of(events.StoreLost)) == len(book.of(events.StoreRecovered)) == 1
    assert len(messages(caplog, "the store does not answer", logging.ERROR)) == 1
    assert len(messages(caplog, "the store answers again")) == 1
    assert locks(memory) == {}


async def test_a_tick_is_given_up_after_its_grace(make: Make, clock: FakeClock, link: Link) -> None:
    scheduler = make(misfire_grace=60)
    scheduler.add_job("a", nothing).per_seconds(3600).on_one_server()
    book = Book(scheduler)
    link.down()
    async with scheduler:
        await clock.advance(3600 + 59.9)
        assert book.skips("a") == []
        await clock.advance(1.2)
        assert book.skips("a") == ["store_unavailable"]
        asked = link.calls["claim"]
        await clock.advance(600)
        assert link.calls["claim"] == asked
        link.up()
        await clock.advance(3600)
    assert book.outcomes("a") == ["succeeded"]


@pytest.mark.parametrize("policies", [("one",), ("overlap",), ("one", "overlap")])
async def test_a_lost_answer_loses_and_repeats_nothing(
    scheduler: Scheduler, clock: FakeClock, link: Link, memory: MemoryStore, policies: tuple[str, ...]
) -> None:
    handler = Handler()
    handler.let_go()
    job = scheduler.add_job("a", handler).per_seconds(10)
    if "one" in policies:
        job.on_one_server()
    if "overlap" in policies:
        job.without_overlapping()
    heard: list[str] = []

    def every_other(method: str) -> BaseException | None:
        heard.append(method)
        return StoreUnavailableError("lost") if heard.count(method) % 2 else None

    link.lost = every_other
    async with scheduler:
        await clock.advance(205)
    fires = [run.fire_us for run in handler.runs]
    assert len(fires) == len(set(fires)) == 20
    assert [run.fence for run in handler.runs] == sorted({run.fence for run in handler.runs})
    assert heard.count("claim") == 40
    assert locks(memory) == {}


async def test_an_ambiguous_claim_that_is_given_up_leaves_no_lock(
    make: Make, clock: FakeClock, link: Link, memory: MemoryStore
) -> None:
    scheduler = make(misfire_grace=5)
    scheduler.add_job("a", nothing).per_seconds(3600).on_one_server().without_overlapping()
    book = Book(scheduler)
    link.mute("claim")
    async with scheduler:
        await clock.advance(3604)
        assert locks(memory) == {"a": {"server", "overlap"}}
        await clock.advance(4)
        assert book.skips("a") == ["store_unavailable"]
        assert locks(memory) == {}
    assert [event.job for event in book.of(events.LateGrantReleased)] == ["a"]


@pytest.mark.parametrize("method", ["claim", "renew", "release", "refresh"])
async def test_a_store_that_hangs_and_swallows_cancellation_cannot_hold_up_a_stop(
    make: Make, clock: FakeClock, link: Link, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A client library may take a cancellation in mid-call for its own business and go on waiting."""
    wait = asyncio.wait

    async def wait_briefly(tasks: Any, *, timeout: float | None = None) -> Any:
        return await wait(tasks, timeout=None if timeout is None else min(timeout, 0.01))

    monkeypatch.setattr(asyncio, "wait", wait_briefly)
    swallowed: list[str] = []

    async def deaf(*_: object) -> object:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed.append(method)

    scheduler, handler = make(shutdown_timeout=0), Handler()
    link.refresh_interval = 5
    scheduler.add_job("a", handler).per_seconds(60).without_overlapping()
    scheduler.add_job("b", nothing).per_seconds(1)
    book = Book(scheduler)
    if method != "release":  # a handler that goes on, so that there is something to renew
        await scheduler.__aenter__()
        await clock.advance(59)
        setattr(link, method, deaf)
    else:
        handler.let_go()
        await scheduler.__aenter__()
        await clock.advance(59)
        real, link.release = link.release, deaf  # type: ignore[method-assign]
    await clock.advance(31)
    assert len(book.outcomes("b")) == 90
    stopping = asyncio.ensure_future(scheduler.stop())
    await clock.settle()
    if method == "release":
        link.release = real  # type: ignore[method-assign]
    for _ in range(10):
        await asyncio.sleep(0.005)
        await clock.advance(1)
    assert stopping.done()
    assert scheduler.snapshot().state == "idle"
    assert swallowed == [method]
    assert book.totals("a").total() == 1
