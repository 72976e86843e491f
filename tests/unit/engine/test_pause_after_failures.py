"""``pause_after_failures``: a job whose runs fail one after the other is paused, for the whole cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, Work, counted, plain, quick, running

from asyncsched import Job, Outcome, RunContext, Scheduler, StoreUnavailableError, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


class Sequence:
    """A handler whose runs end one after the other as this says: ``.`` well, ``F`` failed, ``C`` cancelled."""

    def __init__(self, ends: str) -> None:
        self.left = list(ends)

    async def __call__(self, ctx: RunContext) -> None:
        match self.left.pop(0) if self.left else "F":
            case "F":
                raise ValueError("no")
            case "C":
                raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("ends", "runs"), [("FFF", 3), ("FF.FFF", 6), ("FFCF", 4), ("....", 7), ("F.F.F.FFF", 9), ("CCCFFF", 6)]
)
async def test_failures_in_a_row(scheduler: Scheduler, clock: FakeClock, ends: str, runs: int) -> None:
    plain(scheduler, Sequence(ends))
    scheduler.get_job("a").pause_after_failures(3)
    async with running(scheduler, clock):
        await clock.advance(200)
        counters = counted(scheduler)
        assert scheduler.snapshot().jobs[0].paused
    assert counters.pop("paused") == 20 - runs
    assert sum(counters.values()) == runs


async def test_it_is_told(scheduler: Scheduler, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture) -> None:
    plain(scheduler, Sequence(""))
    scheduler.get_job("a").pause_after_failures(2)
    async with running(scheduler, clock):
        await clock.advance(30)
    (told,) = book.of(events.PausedAfterFailures)
    assert (told.job, told.node, told.failures, repr(told.error)) == ("a", "here", 2, "ValueError('no')")
    assert len(book.of(events.JobPaused)) == 1
    assert "job=a is paused in the whole cluster: 2 of its runs in a row have failed" in caplog.text


async def test_a_timeout_is_a_failure_and_a_retried_run_is_one(scheduler: Scheduler, clock: FakeClock) -> None:
    plain(scheduler, Work())
    scheduler.get_job("a").timeout(1).pause_after_failures(2)
    scheduler.add_job("b", Sequence("")).per_seconds(10).retry(2, backoff=1).pause_after_failures(2)
    async with running(scheduler, clock):
        await clock.advance(50)
        first, second = scheduler.snapshot().jobs
    assert (first.counters, second.counters) == (
        {Outcome.TIMED_OUT: 2, "paused": 3},
        {Outcome.FAILED: 2, "paused": 3},
    )


async def test_all_nodes_stop_and_resume_begins_anew(make: Callable[..., Scheduler], clock: FakeClock) -> None:
    first, second = make(node="first"), make(node="second")
    plain(first, Sequence(""))
    first.get_job("a").pause_after_failures(2)
    plain(second, quick)
    async with running(first, clock), running(second, clock):
        await clock.advance(40)
        assert (counted(first), counted(second)) == ({"failed": 2, "paused": 2}, {"succeeded": 2, "paused": 2})
        await second.resume("a")
        await clock.advance(10)
        assert not first.snapshot().jobs[0].paused, "one failure after the pause"
        await first.resume("a")
        await clock.advance(10)
        assert not first.snapshot().jobs[0].paused, "resume() made it the first one again"
        await clock.advance(10)
        assert first.snapshot().jobs[0].paused


async def test_a_job_of_the_same_name_begins_anew(scheduler: Scheduler, clock: FakeClock) -> None:
    async with running(scheduler, clock):
        for _ in range(3):
            plain(scheduler, Sequence(""))
            scheduler.get_job("a").pause_after_failures(2)
            await clock.advance(10)
            scheduler.remove_job("a")
    assert counted(scheduler) == {"failed": 3}


async def test_a_store_that_does_not_take_it(
    scheduler: Scheduler,
    store: ScriptedStore,
    clock: FakeClock,
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[float] = []
    take = store.set_paused

    async def refuse(job: str, paused: bool) -> None:
        asked.append(clock.monotonic())
        if len(asked) == 1:
            raise StoreUnavailableError("it is away")
        if len(asked) == 2:
            await asyncio.Event().wait()
        await take(job, paused)

    monkeypatch.setattr(store, "set_paused", refuse)
    plain(scheduler, Sequence(""))
    scheduler.get_job("a").pause_after_failures(2)
    async with running(scheduler, clock):
        await clock.advance(100)
    assert asked == [20, 30, 40]
    assert "job=a is not paused, though 2 of its runs in a row have failed: it is away" in caplog.text
    assert "job=a is not paused, though 3 of its runs in a row have failed: no answer within 5 s" in caplog.text
    assert [told.failures for told in book.of(events.PausedAfterFailures)] == [4]
    assert counted(scheduler) == {"failed": 4, "paused": 6}


async def test_one_pause_on_its_way_is_enough(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_take, asked = asyncio.Event(), []

    async def hang(job: str, paused: bool) -> None:
        asked.append(job)
        await may_take.wait()

    monkeypatch.setattr(store, "set_paused", hang)
    plain(scheduler, Sequence(""), seconds=1)
    scheduler.get_job("a").pause_after_failures(1)
    async with running(scheduler, clock):
        await clock.advance(4)
        assert asked == ["a"]
        may_take.set()


async def test_what_a_stop_ends_does_not_count(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    async def handler() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("in the middle of it") from None

    plain(scheduler, handler, seconds=25)
    scheduler.get_job("a").pause_after_failures(1)
    async with running(scheduler, clock):
        await clock.advance(25)
    assert "failed" in counted(scheduler)
    assert book.of(events.PausedAfterFailures) == []


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "3", None], ids=repr)
def test_refused(value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Job("j", quick).pause_after_failures(value)
    rule = f"job 'j': pause_after_failures({value!r}): the rule is a whole number of runs, 1 or more"
    assert str(caught.value) == rule


def test_it_shows() -> None:
    job = Job("j", quick).pause_after_failures(3).pause_after_failures(3)
    assert job.policies == ("pause_after_failures(3)",)
    with pytest.raises(ValueError, match="it was given before with the value 3"):
        job.pause_after_failures(4)
