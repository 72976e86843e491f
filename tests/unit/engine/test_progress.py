"""``ctx.progress``: how far a run is, in the snapshot at once and as an event now and then."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, Work, counted, plain, running

from asyncsched import BaseHandler, Outcome, RunContext, Scheduler, current_run, events
from asyncsched._clock import sleep

if TYPE_CHECKING:
    from asyncsched.testing import FakeClock


def told(book: Book) -> list[tuple[float, float | None, str]]:
    return [(event.done, event.total, event.message) for event in book.of(events.RunProgressed)]


async def test_the_snapshot_has_the_latest(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    plain(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        assert scheduler.snapshot().active[0].progress is None
        work.contexts[0].progress(1)
        assert scheduler.snapshot().active[0].progress == (1, None, "")
        work.contexts[0].progress(2.5, 10, "files")
        assert scheduler.snapshot().active[0].progress == (2.5, 10, "files")
        work.finish()


async def test_an_event_at_most_once_a_second(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    async def handler(ctx: RunContext) -> None:
        for done in range(14):
            ctx.progress(done, 100)
            await sleep(clock, 0.25)

    plain(scheduler, handler)
    async with running(scheduler, clock):
        await clock.advance(15)
    assert told(book) == [(0, 100, ""), (4, 100, ""), (8, 100, ""), (12, 100, "")]
    event = book.of(events.RunProgressed)[0]
    assert (event.job, event.attempt, event.node) == ("a", 1, "here")


async def test_the_end_is_told_always_and_once(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    async def handler(ctx: RunContext) -> None:
        for done in range(1000):
            ctx.progress(done, 999)
        for _ in range(1000):
            ctx.progress(999, 999, "still")

    plain(scheduler, handler)
    async with running(scheduler, clock):
        await clock.advance(10)
    assert told(book) == [(0, 999, ""), (999, 999, "")]


async def test_a_tight_loop_that_nobody_listens_to_makes_no_event(
    scheduler: Scheduler, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(ctx: RunContext) -> None:
        ctx.progress(1)

    monkeypatch.setattr(events.RunProgressed, "__init__", None)  # to make one would raise
    scheduler.subscribe(lambda _: None, events.RunEnded)
    plain(scheduler, handler)
    async with running(scheduler, clock):
        await clock.advance(10)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_from_a_thread(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    threads: list[int] = []
    scheduler.subscribe(lambda _: threads.append(threading.get_ident()), events.RunProgressed)

    def handler() -> None:
        run = current_run()
        assert run is not None
        run.progress(1, 2, "half")

    plain(scheduler, handler, seconds=1000)
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        assert await run.wait() is Outcome.SUCCEEDED
    assert told(book) == [(1, 2, "half")]
    assert threads == [threading.get_ident()], "subscribers are called on the event loop"


async def test_beside_what_a_protocol_handler_reports(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    class Reporting(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            ctx.progress(1)
            self.report(ValueError("one"))
            ctx.progress(2, 2)

    plain(scheduler, Reporting())
    async with running(scheduler, clock):
        await clock.advance(10)
    assert counted(scheduler) == {Outcome.FAILED: 1}
    assert told(book) == [(1, None, ""), (2, 2, "")]


async def test_a_retry_begins_with_none(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    seen: list[Any] = []

    async def handler(ctx: RunContext) -> None:
        seen.append(scheduler.snapshot().active[0].progress)
        ctx.progress(5, 10)
        raise ValueError

    plain(scheduler, handler, seconds=100)
    scheduler.get_job("a").retry(2, backoff=0)
    async with running(scheduler, clock):
        await clock.advance(100)
    assert seen == [None, None]
    assert told(book) == [(5, 10, ""), (5, 10, "")]
    assert [event.attempt for event in book.of(events.RunProgressed)] == [1, 2]


async def test_after_the_end_nothing_is_told(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    contexts: list[RunContext] = []

    async def handler(ctx: RunContext) -> None:
        contexts.append(ctx)

    plain(scheduler, handler)
    async with running(scheduler, clock):
        await clock.advance(10)
        contexts[0].progress(1)
        await asyncio.sleep(0)
    assert told(book) == []


REFUSED: list[tuple[tuple[Any, ...], str]] = [
    ((-1,), "progress(-1, None): the rule is finite numbers, 0 or more"),
    ((float("nan"),), "progress(nan, None): the rule is finite"),
    ((float("inf"), 5), "progress(inf, 5): the rule is finite"),
    ((True,), "progress(True, None): the rule is finite"),
    (("5",), "progress('5', None): the rule is finite"),
    ((None,), "progress(None, None): the rule is finite"),
    ((1, -1), "progress(1, -1): the rule is finite"),
    ((1, "2"), "progress(1, '2'): the rule is finite"),
    ((3, 2), "progress(3, 2): the rule is done <= total"),
    ((1, 2, None), "progress(): the message None is no string"),
]


@pytest.mark.parametrize(("arguments", "rule"), REFUSED)
async def test_refused(scheduler: Scheduler, clock: FakeClock, arguments: Any, rule: str) -> None:
    work = Work()
    plain(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        with pytest.raises(ValueError) as caught:
            work.contexts[0].progress(*arguments)
        assert str(caught.value).startswith(rule)
        assert scheduler.snapshot().active[0].progress is None
        work.finish()


@pytest.mark.parametrize("arguments", [(0, 0), (2, 2), (0.5, 1), (10**30,), (0, None, "x")])
async def test_the_bounds_are_taken(scheduler: Scheduler, clock: FakeClock, arguments: Any) -> None:
    work = Work()
    plain(scheduler, work)
    async with running(scheduler, clock):
        await clock.advance(10)
        work.contexts[0].progress(*arguments)
        assert scheduler.snapshot().active[0].progress is not None
        work.finish()
