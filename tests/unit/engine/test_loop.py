"""What fires, when, and what is missed: steps of the clock, stalls, triggers that break their rules, jobs that come and
go."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import (
    Book,
    Gate,
    ScriptedStore,
    Skewed,
    Work,
    answering,
    counted,
    down,
    quick,
    running,
    steps,
    unhindered,
)

from asyncsched import Outcome, RunContext, Scheduler, SkipReason, events
from asyncsched._grants import ClaimAnswer, Verdict
from asyncsched.triggers import Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

GUARDS = pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded"])


class Seen:
    """Notes fire times, and how late each start was."""

    def __init__(self, clock: FakeClock) -> None:
        self.ticks: list[datetime] = []
        self.late_by: list[float] = []
        self._clock = clock

    async def __call__(self, ctx: RunContext) -> None:
        self.ticks.append(ctx.fire_time)
        self.late_by.append((self._clock.now() - ctx.fire_time).total_seconds())


def add(scheduler: Scheduler, handler: Any, *, guarded: bool, seconds: float = 10) -> Any:
    job = scheduler.add_job("a", handler).per_seconds(seconds)
    return job.on_one_server() if guarded else job


@GUARDS
@pytest.mark.parametrize("seconds", [0.001, 0.1, 1 / 3, 1, 7])
async def test_every_tick_once_at_its_instant(
    scheduler: Scheduler, clock: FakeClock, guarded: bool, seconds: float
) -> None:
    seen = Seen(clock)
    add(scheduler, seen, guarded=guarded, seconds=seconds)
    async with running(scheduler, clock):
        await clock.advance(50 * seconds + seconds / 2)
    assert len(seen.ticks) in (50, 51)
    assert all(b - a == seen.ticks[1] - seen.ticks[0] for a, b in zip(seen.ticks, seen.ticks[1:], strict=False))
    assert min(seen.late_by) >= 0
    assert max(seen.late_by) < 0.001


@GUARDS
async def test_a_step_forward_runs_the_newest_tick_and_counts_the_others(
    scheduler: Scheduler, clock: FakeClock, book: Book, guarded: bool
) -> None:
    seen = Seen(clock)
    add(scheduler, seen, guarded=guarded)
    async with running(scheduler, clock):
        await clock.advance(15)
        clock.shift(35)
        await clock.advance(1)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 2, "missed": 3}
    (missed,) = book.of(events.TicksMissed)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert (missed.count, missed.first, missed.last) == (
        3,
        start + timedelta(seconds=20),
        start + timedelta(seconds=40),
    )
    assert seen.ticks[-1] == start + timedelta(seconds=50)


@GUARDS
async def test_a_step_back_fires_nothing_twice(scheduler: Scheduler, clock: FakeClock, guarded: bool) -> None:
    seen = Seen(clock)
    add(scheduler, seen, guarded=guarded)
    async with running(scheduler, clock):
        await clock.advance(35)
        clock.shift(-25)
        await clock.advance(60)
    assert len(seen.ticks) == len(set(seen.ticks)) == 7
    assert min(seen.late_by) >= 0


@GUARDS
async def test_wall_steps_to_and_fro(scheduler: Scheduler, clock: FakeClock, guarded: bool) -> None:
    seen = Seen(clock)
    add(scheduler, seen, guarded=guarded, seconds=1)
    async with running(scheduler, clock):
        for step in (3.3, -2.1, -0.5, 60, -30, 0.001, -0.001, 3600, -3600):
            await clock.advance(2.25)
            clock.shift(step)
        await clock.advance(10)
    assert len(seen.ticks) == len(set(seen.ticks))
    assert seen.ticks == sorted(seen.ticks)
    assert min(seen.late_by) >= 0


@GUARDS
async def test_a_stall_is_coalesced(scheduler: Scheduler, clock: FakeClock, guarded: bool) -> None:
    seen = Seen(clock)
    add(scheduler, seen, guarded=guarded, seconds=1)
    async with running(scheduler, clock):
        await clock.advance(2)
        clock.elapsed += 1000.5  # the loop was blocked
        await clock.advance(0)
        await clock.settle()
        assert counted(scheduler) == {Outcome.SUCCEEDED: 3, "missed": 999}
        await clock.advance(1)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 4, "missed": 999}


@GUARDS
@pytest.mark.parametrize(("grace", "late", "runs"), [(5, 5.0, True), (5, 5.000001, False), (None, 9e5, True)])
async def test_the_misfire_grace(
    scheduler: Scheduler, clock: FakeClock, guarded: bool, grace: float | None, late: float, runs: bool
) -> None:
    job = scheduler.add_job("a", quick).at(clock.now() + timedelta(seconds=10)).misfire_grace(grace)
    if guarded:
        job.on_one_server()
    async with running(scheduler, clock):
        clock.elapsed += 10 + late
        await clock.advance(0)
        assert counted(scheduler) == ({Outcome.SUCCEEDED: 1} if runs else {"missed": 1})


async def test_a_year_of_seconds_through_a_union_lets_others_have_their_turn(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    scheduler.add_job("many", quick).schedule(Every(1) | Every(7))
    scheduler.add_job("other", quick).per_hours(1)
    async with running(scheduler, clock):
        clock.elapsed += 30_000
        await clock.advance(0)
        for _ in range(100):
            await clock.settle()
        tallies = {job.name: dict(job.counters) for job in scheduler.snapshot().jobs}
    assert tallies["many"] == {"missed": 29_999, Outcome.SUCCEEDED: 1}
    assert tallies["other"] == {"missed": 7, Outcome.SUCCEEDED: 1}


class Broken:
    """A trigger that keeps its rules until ``good`` ticks have been given."""

    def __init__(self, good: int, then: Callable[[datetime], Any]) -> None:
        self._good, self._then = good, then

    def next_fire_time(self, after: datetime) -> datetime | None:
        self._good -= 1
        return after + timedelta(seconds=1) if self._good >= 0 else self._then(after)


def fails(_: datetime) -> datetime:
    raise RuntimeError("no idea")


@pytest.mark.parametrize(
    "then",
    [
        fails,
        lambda after: after,
        lambda after: after - timedelta(hours=1),
        lambda after: (after + timedelta(seconds=1)).replace(tzinfo=None),
        lambda after: "tomorrow",
    ],
    ids=["raises", "stands still", "goes backwards", "naive", "no datetime"],
)
async def test_a_trigger_that_breaks_its_rules_ends_its_own_schedule(
    scheduler: Scheduler, clock: FakeClock, then: Any, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler.add_job("broken", quick).schedule(Broken(3, then))
    scheduler.add_job("sound", quick).per_seconds(1)
    async with running(scheduler, clock):
        await clock.advance(10)
        jobs = {job.name: job for job in scheduler.snapshot().jobs}
        assert jobs["sound"].counters == {Outcome.SUCCEEDED: 10}
        assert jobs["broken"].next_fire_time is None
        assert jobs["broken"].counters == {Outcome.SUCCEEDED: 3}
    assert "job=broken gets no more fire times" in caplog.text


async def test_a_trigger_that_is_broken_from_the_start(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler.add_job("broken", quick).schedule(Broken(0, fails))
    async with running(scheduler, clock):
        await clock.advance(1)
        assert scheduler.snapshot().state == "running"
    assert "job=broken has no fire time in the future" in caplog.text


# Jobs that come and go


async def test_a_job_added_while_running_fires(scheduler: Scheduler, clock: FakeClock) -> None:
    async with running(scheduler, clock):
        await clock.advance(5)
        scheduler.add_job("a", quick).per_seconds(10)
        scheduler.add_job("b", quick).immediate()
        await clock.advance(5)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 2}


async def test_a_decorated_job_added_while_running_fires(scheduler: Scheduler, clock: FakeClock) -> None:
    async with running(scheduler, clock):

        @scheduler.job("a").per_seconds(10)
        async def handler() -> None: ...

        await clock.advance(10)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_an_incomplete_job_added_while_running_is_said_and_follows(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(scheduler, clock):
        job = scheduler.add_job("a", quick)
        await clock.advance(5)
        assert "job=a was added to a running scheduler but does not run: it has no schedule" in caplog.text
        job.per_seconds(10)
        await clock.advance(5)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_an_incomplete_job_may_be_removed(scheduler: Scheduler, clock: FakeClock) -> None:
    async with running(scheduler, clock):
        job = scheduler.add_job("a", quick)
        scheduler.remove_job("a")
        await clock.settle()
        job.per_seconds(1)
        await clock.advance(5)
    assert counted(scheduler) == {}


async def test_a_removed_job_fires_no_more_but_its_run_goes_on(
    scheduler: Scheduler, clock: FakeClock, book: Book
) -> None:
    work = Work()
    scheduler.add_job("a", work).per_seconds(10)
    async with running(scheduler, clock):
        await clock.advance(10)
        scheduler.remove_job("a")
        await clock.advance(30)
        assert len(work.contexts) == 1
        work.finish()
        await clock.advance(1)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
        assert [event.job for event in book.of(events.JobRemoved)] == ["a"]


async def test_a_name_may_be_used_again_after_removal(scheduler: Scheduler, clock: FakeClock) -> None:
    old, new = Work(), Work()
    new.finish()
    scheduler.add_job("a", old).per_seconds(10)
    async with running(scheduler, clock):
        await clock.advance(10)
        scheduler.remove_job("a")
        scheduler.add_job("a", new).per_seconds(5)
        await clock.advance(10)
        old.finish()
    assert (len(old.contexts), len(new.contexts)) == (1, 2)


async def test_a_removed_and_re_added_guarded_job_does_not_overlap_its_former_self(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    old, new = Work(), Work()
    scheduler.add_job("a", old).per_seconds(10).without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(10)
        scheduler.remove_job("a")
        scheduler.add_job("a", new).per_seconds(10).without_overlapping()
        await clock.advance(10)
        assert new.contexts == []
        old.finish()
        new.finish()
        await clock.advance(10)
        assert len(new.contexts) == 1


async def test_adding_and_removing_in_a_handler(scheduler: Scheduler, clock: FakeClock) -> None:
    async def handler(ctx: RunContext) -> None:
        scheduler.remove_job(ctx.job)
        scheduler.add_job(f"{ctx.job}x", handler).per_seconds(1)

    scheduler.add_job("x", handler).per_seconds(1)
    async with running(scheduler, clock):
        await clock.advance(5)
        assert list(scheduler.jobs) == ["xxxxxx"]


async def test_a_subscriber_may_add_and_remove_jobs_at_the_start(scheduler: Scheduler, clock: FakeClock) -> None:
    def on_added(event: events.JobAdded) -> None:
        if event.job == "a":
            scheduler.add_job("more", quick).per_seconds(1)
            scheduler.remove_job("b")

    scheduler.subscribe(on_added, events.JobAdded)
    for name in ("a", "b", "c"):
        scheduler.add_job(name, quick).per_seconds(1)
    async with running(scheduler, clock):
        await clock.advance(2)
        assert {job.name: dict(job.counters) for job in scheduler.snapshot().jobs} == {
            name: {Outcome.SUCCEEDED: 2} for name in ("a", "c", "more")
        }


async def test_a_job_removed_while_its_tick_goes_back_to_the_timeline(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    gate = Gate()

    async def early(method: Any, items: Any) -> Any:
        return await gate(lambda _: answering(ClaimAnswer(Verdict.EARLY, wait=60.0))(method, items), items)

    store.on("claim", early)
    add(scheduler, quick, guarded=True)
    async with running(scheduler, clock):
        await clock.advance(10)
        scheduler.remove_job("a")
        gate.open()
        await clock.advance(100)
    assert counted(scheduler) == {}
    assert len(store.claims) == 1


async def test_an_immediate_job_that_is_removed_at_once_does_not_run(scheduler: Scheduler, clock: FakeClock) -> None:
    async with running(scheduler, clock):
        scheduler.add_job("a", quick).immediate()
        scheduler.remove_job("a")
        await clock.advance(1)
    assert counted(scheduler) == {}


# Pause


@GUARDS
async def test_a_paused_job_is_skipped_and_a_resumed_one_runs(
    scheduler: Scheduler, clock: FakeClock, book: Book, guarded: bool
) -> None:
    add(scheduler, quick, guarded=guarded)
    async with running(scheduler, clock):
        await scheduler.pause("a")
        await clock.advance(20)
        run = await scheduler.trigger("a")
        assert run.skip_reason is SkipReason.PAUSED
        await scheduler.resume("a")
        await clock.advance(10)
    assert counted(scheduler) == {SkipReason.PAUSED: 3, Outcome.SUCCEEDED: 1}
    assert [event.job for event in (*book.of(events.JobPaused), *book.of(events.JobResumed))] == ["a", "a"]


# A clock that disagrees with the store's


@pytest.mark.parametrize("skew", [2.0, 86_400.0])
async def test_a_node_ahead_of_the_store_runs_guarded_jobs_at_the_stores_time(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock, skew: float
) -> None:
    seen = Seen(clock)
    scheduler = make(clock=Skewed(clock, skew))
    add(scheduler, seen, guarded=True)
    async with running(scheduler, clock):
        await clock.advance(100)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert seen.ticks == [start + timedelta(seconds=10 * number) for number in range(1, 11)]
    assert max(seen.late_by) < 0.01


async def test_a_node_ahead_retries_as_long_as_any_other(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make(clock=Skewed(clock, 86_400.0))
    add(scheduler, quick, guarded=True)
    async with running(scheduler, clock):
        await clock.advance(11)
        store.on("claim", down, down, down)
        await clock.advance(10)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 2}


async def test_a_tick_that_is_due_when_a_wrong_clock_is_found_out_is_claimed_once(
    make: Callable[..., Scheduler], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that was far too early is put back while that of the right tick waits behind it, and the estimate of the
    store's time has just gone back by the error of a round trip."""
    store = ScriptedStore(clock, refresh_interval=0.001)
    store.knows_time = False
    gate = asyncio.Event()

    async def slow(claim: Callable[..., Any], requests: Any) -> Any:
        await gate.wait()
        return await claim(requests)

    store.on("claim", unhindered, slow)
    scheduler = make(store, clock=Skewed(clock, 5.0), node="ahead")
    add(scheduler, quick, guarded=True, seconds=2)
    book = Book(scheduler)
    async with running(scheduler, clock):
        await clock.advance(1.99)  # the tick at 6 s has been due, by the wrong clock, since 1 s
        store.knows_time = True
        await clock.advance(0.007)  # the one at 2 s is due, within the tolerance
        monkeypatch.setattr(store, "time", lambda: store.memory.time() - 0.003)
        gate.set()
        await clock.advance(1)
    assert [event.fire_time.second for event in book.of(events.RunEnded)] == [2]
    assert book.of(events.TickSkipped) == []


@pytest.mark.parametrize("wrong_ticks", [1, 2, 3])
async def test_claims_of_a_wrong_clock_make_way_without_an_account(
    make: Callable[..., Scheduler], clock: FakeClock, wrong_ticks: int
) -> None:
    """Their ticks are still to come, so to book them now would be to book them twice."""
    store = ScriptedStore(clock, refresh_interval=0.01)
    store.knows_time = False
    gate = asyncio.Event()

    async def slow(claim: Callable[..., Any], requests: Any) -> Any:
        await gate.wait()
        return await down(claim, requests)

    store.on("claim", unhindered, slow)
    scheduler = make(store, clock=Skewed(clock, 60.0), node="ahead")
    add(scheduler, quick, guarded=True, seconds=5)
    book = Book(scheduler)
    async with running(scheduler, clock):
        await clock.advance(5 * wrong_ticks + 1)  # one is asked, the newest of the others waits
        store.knows_time = True
        await clock.advance(5)  # the right tick is due, and waits for the decision of the wrong one
        gate.set()
        await clock.advance(90)
    ticks = Counter(event.fire_time for event in (*book.of(events.RunEnded), *book.of(events.TickSkipped)))
    given_up = max(0, wrong_ticks - 2)  # those that a newer one replaced while nobody knew better
    assert sorted(ticks.values()) == [1] * (len(ticks) - given_up) + [2] * given_up
    assert counted(scheduler)[Outcome.SUCCEEDED] >= 18


async def test_a_node_that_learns_the_stores_time_late_finds_what_it_passed_over(
    make: Callable[..., Scheduler], clock: FakeClock
) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    store.knows_time = False
    store.on("refresh", down, down)
    scheduler = make(store, clock=Skewed(clock, 86_400.0))
    add(scheduler, quick, guarded=True, seconds=3600)
    async with running(scheduler, clock):
        await clock.advance(2.5)
        store.knows_time = True
        await clock.advance(3600)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_a_lag_that_flaps_leaves_no_heap_behind(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    skewed = Skewed(clock, 0.0)
    scheduler = make(clock=skewed)
    scheduler.add_job("a", quick).per_hours(10).on_one_server()
    async with running(scheduler, clock):
        engine = scheduler._engine
        assert engine is not None
        for number in range(400):
            skewed.skew = 0.5 * (number % 2)
            engine._alarm.set()
            await clock.advance(0.1)
        assert len(engine._ticker.guarded._instants) < 100


async def test_a_claim_on_its_way_through_a_step_of_the_wall(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    seen = Seen(clock)
    gate = Gate()
    store.on("claim", gate)
    add(scheduler, seen, guarded=True)
    async with running(scheduler, clock):
        await clock.advance(10)
        clock.shift(-5)
        gate.open()
        await steps(clock, 30, 5)
    assert len(seen.ticks) == len(set(seen.ticks))
    assert seen.late_by == [late for late in seen.late_by if late >= 0]


@pytest.mark.parametrize("one_server", [False, True])
async def test_a_step_back_while_a_claim_is_undecided_fires_nothing_twice(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book, one_server: bool
) -> None:
    seen = Seen(clock)
    job = scheduler.add_job("a", seen).per_seconds(10).without_overlapping()
    if one_server:
        job.on_one_server()
    async with running(scheduler, clock):
        await clock.advance(65)
        store.on("claim", down)
        await clock.advance(5)
        clock.shift(-45)
        await clock.advance(90)
    assert seen.ticks == sorted(set(seen.ticks))
    assert book.of(events.TickSkipped) == []
    assert len(seen.ticks) == 11
