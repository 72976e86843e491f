"""Events: each kind is emitted with its fields, reaches who asked for it, and harms nobody."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import BaseHandler, Outcome, RunContext, Scheduler, SkipReason, events
from asyncsched._grants import ClaimKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched._grants import ClaimKind
from asyncsched.testing import FakeClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after the start of the fake clock."""
    return START + timedelta(seconds=seconds)


async def work() -> None:
    """A handler that does nothing."""


@pytest.fixture
def heard(scheduler: Scheduler) -> list[events.Event]:
    """Every event of the scheduler, in order."""
    found: list[events.Event] = []
    scheduler.subscribe(found.append)
    return found


def only(found: list[events.Event], kind: type[Any]) -> Any:
    """Return the one event of this kind."""
    (event,) = [event for event in found if type(event) is kind]
    return event


async def test_the_life_of_a_scheduler(scheduler: Scheduler, clock: FakeClock, heard: list[events.Event]) -> None:
    scheduler.add_job("tick", work).per_seconds(10)
    scheduler.add_job("once", work).immediate()
    async with scheduler:
        await clock.advance(1)
    assert [event for event in heard if not isinstance(event, events.RunEvent)] == [
        events.SchedulerStarted(at=START, node="here", jobs=2),
        events.JobAdded(at=START, node="here", job="tick", next_fire_time=at(10)),
        events.JobAdded(at=START, node="here", job="once", next_fire_time=None),
        events.SchedulerStopped(at=at(1), node="here", unfinished=()),
    ]
    assert heard[0] == events.SchedulerStarted(at=START, node="here", jobs=2), "it comes first"
    assert type(heard[-1]) is events.SchedulerStopped, "it comes last"


async def test_a_handler_that_would_not_end(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, lines: Callable[..., list[str]]
) -> None:
    scheduler = make_scheduler(shutdown_timeout=1)
    found: list[events.SchedulerStopped] = []
    scheduler.subscribe(found.append, events.SchedulerStopped)
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
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(10)
        await stopping
    assert [event.unfinished for event in found] == [("deaf",)]
    assert lines("stopped with handlers that would not end: deaf", logging.ERROR)
    over.set()
    await clock.settle()


async def test_jobs_that_come_and_go(scheduler: Scheduler, clock: FakeClock, heard: list[events.Event]) -> None:
    async with scheduler:
        await clock.advance(5)
        scheduler.add_job("late", work).per_seconds(10)
        await clock.settle()
        await scheduler.pause("late")
        await scheduler.resume("late")
        await clock.advance(1)
        scheduler.remove_job("late")
    job = {"node": "here", "job": "late"}
    assert [event for event in heard if isinstance(event, events.JobEvent)] == [
        events.JobAdded(**job, at=at(5), next_fire_time=at(10)),
        events.JobPaused(**job, at=at(5)),
        events.JobResumed(**job, at=at(5)),
        events.JobRemoved(**job, at=at(6)),
    ]


async def test_the_life_of_a_run(scheduler: Scheduler, clock: FakeClock, heard: list[events.Event]) -> None:
    contexts: list[RunContext] = []
    error = ValueError("first")

    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            contexts.append(ctx)
            self.hold()
            self.report(error)
            clock.call_later(1.5, lambda: self.finish(ctx))

    scheduler.add_job("report", Handler).per_seconds(10).on_one_server().random_delay(2, 2)
    async with scheduler:
        await clock.advance(14)
    (ctx,) = contexts
    run = {
        "node": "here", "job": "report", "run_id": ctx.run_id, "trace_id": ctx.trace_id,
        "fire_time": at(10), "kind": "tick", "attempt": 1, "fence": ctx.fence,
    }  # fmt: skip
    assert [event for event in heard if isinstance(event, events.RunEvent)] == [
        events.RunStarted(**run, at=at(12), late_by=2.0),
        events.ErrorReported(**run, at=at(12), error=error),
        events.RunEnded(**run, at=at(13.5), outcome=Outcome.FAILED, duration=1.5, errors=(error,)),
    ]
    assert ctx.fence > 0


@pytest.mark.parametrize(("kind", "fields"), [("skip", 1), ("miss", 2)])
async def test_ticks_that_do_not_run(
    scheduler: Scheduler, clock: FakeClock, heard: list[events.Event], kind: str, fields: int
) -> None:
    scheduler.add_job("often", work).per_seconds(10)
    if kind == "skip":
        await scheduler.pause("often")
    async with scheduler:
        await clock.advance(1)
        if kind == "miss":
            clock.shift(35)
        await clock.advance(11)
    job = {"node": "here", "job": "often"}
    if kind == "skip":
        assert only(heard, events.TickSkipped) == events.TickSkipped(
            **job, at=at(10), fire_time=at(10), kind=ClaimKind.TICK, reason=SkipReason.PAUSED
        )
    else:
        missed = only(heard, events.TicksMissed)
        assert (missed.job, missed.count, missed.first, missed.last) == ("often", fields, at(10), at(20))


async def test_an_outage_and_a_lost_lease(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, flaky_store: Any
) -> None:
    scheduler = make_scheduler(flaky_store, lock_ttl=30)
    found: list[events.Event] = []
    scheduler.subscribe(found.append, events.StoreLost, events.StoreRecovered, events.LeaseLost)

    async def long() -> None:
        await asyncio.Event().wait()

    scheduler.add_job("long", long).immediate().without_overlapping()
    async with scheduler:
        await clock.advance(1)
        flaky_store.down = True
        await clock.advance(40)
        flaky_store.down = False
        await clock.advance(5)
    lost, lease, recovered = sorted(found, key=lambda event: event.at)
    assert isinstance(lost, events.StoreLost)
    assert lost.error == "no answer from the test's store"
    assert isinstance(lease, events.LeaseLost)
    assert (lease.job, lease.why) == ("long", "it could not be renewed in time")
    assert at(25) <= lease.at < at(30), "trust ends before the lease does"
    assert isinstance(recovered, events.StoreRecovered)
    assert recovered.outage_for == pytest.approx((recovered.at - lost.at).total_seconds())


@pytest.mark.parametrize("listening", [True, False])
async def test_a_grant_whose_answer_was_lost(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, flaky_store: Any, lines: Any, listening: bool
) -> None:
    scheduler = make_scheduler(flaky_store, misfire_grace=1)
    found: list[events.LateGrantReleased] = []
    if listening:
        scheduler.subscribe(found.append, events.LateGrantReleased)
    decide = flaky_store.claim

    async def claim(requests: Any) -> Any:
        await decide(requests)
        flaky_store.down = True
        return await decide(requests)

    flaky_store.claim = claim
    scheduler.add_job("unheard", work).per_seconds(10).on_one_server()
    async with scheduler:
        await clock.advance(14)
        flaky_store.down, flaky_store.claim = False, decide
        await clock.advance(4)
    assert [(event.job, event.fire_time) for event in found] == [("unheard", at(10))] * listening
    (line,) = lines("job=unheard tick=2026-01-01T00:00:10+00:00 was granted to this node", logging.WARNING)
    assert line.endswith("the answer came too late: its locks were given back")


# Who is told


async def emit_all(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("tick", work).per_seconds(10)
    async with scheduler:
        await clock.advance(10)


FILTERS = [
    pytest.param((events.RunEnded,), ["RunEnded"], id="a type"),
    pytest.param((events.RunStarted, events.RunEnded), ["RunStarted", "RunEnded"], id="two types"),
    pytest.param((events.JobAdded, events.JobEvent), ["JobAdded", "RunStarted", "RunEnded"], id="a base of jobs"),
    pytest.param(
        (events.Event,), ["SchedulerStarted", "JobAdded", "RunStarted", "RunEnded", "SchedulerStopped"], id="base"
    ),
    pytest.param((), ["SchedulerStarted", "JobAdded", "RunStarted", "RunEnded", "SchedulerStopped"], id="none: all"),
    pytest.param((events.StoreLost,), [], id="nothing of that kind"),
]


@pytest.mark.parametrize(("kinds", "names"), FILTERS)
async def test_only_the_wanted_events(scheduler: Scheduler, clock: FakeClock, kinds: Any, names: list[str]) -> None:
    found: list[str] = []
    scheduler.subscribe(lambda event: found.append(type(event).__name__), *kinds)
    await emit_all(scheduler, clock)
    assert found == names, "each once, even if two of the types match"


async def test_each_subscriber_hears_its_own_kind(scheduler: Scheduler, clock: FakeClock) -> None:
    starts: list[events.Event] = []
    ends: list[events.Event] = []
    scheduler.subscribe(starts.append, events.RunStarted)
    scheduler.subscribe(ends.append, events.RunEnded)
    await emit_all(scheduler, clock)
    assert [type(event) for event in (*starts, *ends)] == [events.RunStarted, events.RunEnded]


async def test_async_subscribers(scheduler: Scheduler, clock: FakeClock) -> None:
    found: list[str] = []

    async def listen(event: events.Event) -> None:
        await asyncio.sleep(0)
        found.append(type(event).__name__)

    scheduler.subscribe(listen, events.RunEnded, events.SchedulerStopped)
    await emit_all(scheduler, clock)
    assert found == ["RunEnded", "SchedulerStopped"], "a stop waits for subscribers that are at work"


async def test_an_async_subscriber_that_never_ends_is_cancelled_by_the_stop(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    ended: list[str] = []

    async def listen(_event: events.Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    scheduler.subscribe(listen, events.SchedulerStarted)
    async with scheduler:
        await clock.settle()
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(4.9)
        assert not stopping.done(), "it is given 5 s"
        await clock.advance(0.2)
        await stopping
    assert ended == ["cancelled"]


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("form", ["sync", "async"])
async def test_a_subscriber_that_raises(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture, form: str, error: BaseException
) -> None:
    calls: list[events.Event] = []
    others: list[events.Event] = []

    def raise_now(event: events.Event) -> None:
        calls.append(event)
        raise error

    async def raise_soon(event: events.Event) -> None:
        raise_now(event)

    callback = raise_now if form == "sync" else raise_soon
    scheduler.subscribe(callback, events.RunEnded)
    scheduler.subscribe(others.append, events.RunEnded)
    scheduler.add_job("tick", work).per_seconds(1)
    async with scheduler:
        await clock.advance(3)
    assert len(calls) == 3, "it goes on being called"
    assert len(others) == 3, "the others hear all of it"
    records = [record for record in caplog.records if record.getMessage().startswith(f"subscriber {callback!r}")]
    assert len(records) == 3
    assert records[0].getMessage().endswith("failed on RunEnded; it goes on being called")
    assert records[0].levelno == logging.ERROR
    assert records[0].exc_info is not None
    assert records[0].exc_info[1] is error


async def test_the_end_of_a_subscription(scheduler: Scheduler, clock: FakeClock) -> None:
    one: list[events.Event] = []
    two: list[events.Event] = []
    unsubscribe = scheduler.subscribe(one.append, events.RunEnded)
    scheduler.subscribe(two.append, events.RunEnded)
    scheduler.add_job("tick", work).per_seconds(1)
    async with scheduler:
        await clock.advance(2)
        unsubscribe()
        unsubscribe()  # harmless
        await clock.advance(2)
    assert (len(one), len(two)) == (2, 4)


async def test_a_subscriber_may_end_itself_and_begin_others(scheduler: Scheduler, clock: FakeClock) -> None:
    first: list[events.Event] = []
    second: list[events.Event] = []

    def once(event: events.Event) -> None:
        first.append(event)
        unsubscribe()
        scheduler.subscribe(second.append, events.RunEnded)

    unsubscribe = scheduler.subscribe(once, events.RunEnded)
    scheduler.add_job("tick", work).per_seconds(1)
    async with scheduler:
        await clock.advance(3)
    assert (len(first), len(second)) == (1, 2)


async def test_a_subscriber_may_add_and_remove_jobs(scheduler: Scheduler, clock: FakeClock) -> None:
    def rearrange(event: events.JobAdded) -> None:
        if event.job == "first":
            scheduler.remove_job("second")
            scheduler.add_job("third", work).per_seconds(1)

    scheduler.subscribe(rearrange, events.JobAdded)
    for name in ("first", "second"):
        scheduler.add_job(name, work).per_seconds(1)
    async with scheduler:
        await clock.advance(2)
        ran = {job.name: job.counters.get("succeeded") for job in scheduler.snapshot().jobs}
    assert ran == {"first": 2, "third": 2}


async def test_two_subscriptions_of_one_callback(scheduler: Scheduler, clock: FakeClock) -> None:
    found: list[events.Event] = []
    unsubscribe = scheduler.subscribe(found.append, events.SchedulerStarted)
    scheduler.subscribe(found.append, events.SchedulerStarted)
    async with scheduler:
        pass
    assert len(found) == 2
    unsubscribe()
    async with scheduler:
        pass
    assert len(found) == 3


@pytest.mark.parametrize("name", events.__all__)
def test_events_are_frozen(name: str) -> None:
    kind = getattr(events, name)
    event = kind(**{field.name: None for field in dataclasses.fields(kind)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.at = START
    assert event == dataclasses.replace(event)
    with pytest.raises(TypeError):
        kind(START)


async def test_a_run_tells_of_which_kind_it_is(
    scheduler: Scheduler, clock: FakeClock, heard: list[events.Event]
) -> None:
    """An accountant of ticks must be able to leave out the runs that are none."""
    scheduler.add_job("both", work).immediate().per_seconds(10)
    async with scheduler:
        await clock.advance(12)
        await scheduler.trigger("both")
        await scheduler.pause("both")
        await scheduler.trigger("both")
    ended = [event.kind for event in heard if isinstance(event, events.RunEnded)]
    skipped = [event.kind for event in heard if isinstance(event, events.TickSkipped)]
    assert ended == [ClaimKind.START, ClaimKind.TICK, ClaimKind.TRIGGER]
    assert skipped == [ClaimKind.TRIGGER]
