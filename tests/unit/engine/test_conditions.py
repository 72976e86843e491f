"""Conditions: functions that are asked before each run whether there shall be one."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, counted, down, quick, running

from asyncsched import Job, Run, Scheduler, SkipReason, current_run, events
from asyncsched.testing import Cluster, FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


class Door:
    """A condition that answers what it is told to, and notes what it was asked."""

    def __init__(self, answer: Any = True) -> None:
        self.answer = answer
        self.asked: list[Run] = []

    async def __call__(self, run: Run) -> Any:
        self.asked.append(run)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Slow(Door):
    """One that answers when it is told to, whatever anyone else wants."""

    def __init__(self, *, deaf: bool = False) -> None:
        super().__init__()
        self.deaf = deaf
        self.opened = asyncio.Event()

    async def __call__(self, run: Run) -> Any:
        self.asked.append(run)
        while not self.opened.is_set():
            try:
                await self.opened.wait()
            except asyncio.CancelledError:
                if not self.deaf:
                    raise
        return True


def on_one(job: Job) -> Job:
    return job.on_one_server().without_overlapping()


@pytest.fixture(params=["plain", "guarded"])
def add(request: pytest.FixtureRequest, scheduler: Scheduler) -> Callable[..., Job]:
    """Add the job ``a``, without and with guards."""

    def add(handler: Any = quick, *, seconds: float = 10) -> Job:
        job = scheduler.add_job("a", handler).per_seconds(seconds)
        return job if request.param == "plain" else on_one(job)

    return add


@pytest.mark.parametrize(("answer", "expected"), [(True, "succeeded"), ([0], "succeeded"), (0, "condition")])
async def test_a_run_begins_if_its_condition_is_true(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job], answer: Any, expected: str
) -> None:
    door = Door(answer)
    add().when(door)
    async with running(scheduler, clock):
        await clock.advance(20)
        assert counted(scheduler) == {expected: 2}
        assert [run.fire_time for run in door.asked] == [datetime(2026, 1, 1, 0, 0, s, tzinfo=UTC) for s in (10, 20)]


async def test_it_does_not_begin_if_one_of_them_says_so(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job], book: Book
) -> None:
    first, second, never = Door(), Door(True), Door()
    add().when(first).skip_when(second).when(never)
    async with running(scheduler, clock):
        await clock.advance(10)
        second.answer = False
        await clock.advance(10)
    assert (len(first.asked), len(second.asked), len(never.asked)) == (2, 2, 1)
    (skipped,) = book.of(events.TickSkipped)
    assert (skipped.reason, skipped.kind, skipped.fire_time.second) == (SkipReason.CONDITION, "tick", 10)
    assert counted(scheduler) == {"condition": 1, "succeeded": 1}


async def test_a_tick_that_is_kept_back_is_not_claimed(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    on_one(scheduler.add_job("a", quick).per_seconds(10)).skip_when(Door())
    async with running(scheduler, clock):
        await clock.advance(30)
    assert not store.claims


async def test_a_plain_function_is_asked_in_a_thread(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]
) -> None:
    seen: list[Any] = []

    def condition() -> bool:
        run = current_run()
        seen.append((threading.current_thread() is threading.main_thread(), run and run.job))
        return len(seen) == 2

    add().when(condition)
    async with running(scheduler, clock):
        await clock.advance(20)
    assert seen == [(False, "a")] * 2
    assert counted(scheduler) == {"condition": 1, "succeeded": 1}


async def test_what_a_plain_function_returns_is_awaited(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]
) -> None:
    door = Door(False)
    add().when(lambda ctx: door(ctx))
    async with running(scheduler, clock):
        await clock.advance(10)
    assert counted(scheduler) == {"condition": 1}


class Doubtful:
    def __bool__(self) -> bool:
        raise RuntimeError("who knows?")


@pytest.mark.parametrize(
    "answer", [ValueError("no table"), SystemExit(3), asyncio.CancelledError(), Doubtful()], ids=repr
)
@pytest.mark.parametrize("method", ["when", "skip_when"])
async def test_one_that_fails_keeps_the_run_back(
    scheduler: Scheduler,
    clock: FakeClock,
    add: Callable[..., Job],
    caplog: pytest.LogCaptureFixture,
    method: str,
    answer: Any,
) -> None:
    door = Door(answer)
    getattr(add(), method)(door)
    caplog.set_level(logging.WARNING, "asyncsched")
    async with running(scheduler, clock):
        await clock.advance(10)
        assert counted(scheduler) == {"condition_failed": 1}
        door.answer = method == "when"
        await clock.advance(10)
    assert counted(scheduler) == {"condition_failed": 1, "succeeded": 1}
    (record,) = caplog.records
    shown = f"job=a tick=2026-01-01T00:00:10+00:00 is skipped: {method}({door!r}) failed"
    assert (record.levelname, record.message) == ("ERROR", shown)
    assert record.exc_info


@pytest.mark.parametrize("deaf", [False, True])
async def test_one_that_hangs_is_given_up(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job], caplog: pytest.LogCaptureFixture, deaf: bool
) -> None:
    slow = Slow(deaf=deaf)
    add(seconds=60).when(slow)
    scheduler.add_job("other", quick).per_seconds(60)
    async with running(scheduler, clock):
        await clock.advance(60 + 9.9)
        assert counted(scheduler) == {"succeeded": 1}  # the other one's
        await clock.advance(0.2)
        assert counted(scheduler) == {"succeeded": 1, "condition_failed": 1}
        await clock.advance(60)
        assert len(slow.asked) == (1 if deaf else 2)  # no second one beside it
        slow.opened.set()
        await clock.advance(60)
        assert counted(scheduler) == {"succeeded": 4, "condition_failed": 2}
    assert "TimeoutError: no answer within 10 s" in caplog.text


async def test_one_that_hangs_in_a_thread_takes_one_thread(make: Callable[..., Scheduler]) -> None:
    clock = FakeClock(waits_for_threads=False)
    scheduler = make(clock=clock)
    end, calls = threading.Event(), []

    def hang() -> bool:
        calls.append(1)
        return end.wait(10)

    scheduler.add_job("a", quick).per_seconds(1).when(hang)
    async with running(scheduler, clock):
        await clock.advance(1)
        while not calls:
            await asyncio.sleep(0.001)
        await clock.advance(29)
        assert (len(calls), counted(scheduler)["condition_failed"]) == (1, 29)
        end.set()
        while "succeeded" not in counted(scheduler):  # the newest one, which has waited
            await asyncio.sleep(0.001)


async def test_the_newest_waiting_tick_is_asked_next(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]
) -> None:
    slow = Slow()
    add(seconds=1).when(slow)
    async with running(scheduler, clock):
        await clock.advance(4)
        assert counted(scheduler) == {"condition_failed": 2}  # the second and the third
        slow.opened.set()
        await clock.settle()
        assert counted(scheduler) == {"condition_failed": 2, "succeeded": 2}
    assert [run.fire_time.second for run in slow.asked] == [1, 4]


async def test_an_immediate_run_asks_and_gives_way_to_no_tick(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]
) -> None:
    slow = Slow()
    add(seconds=1).immediate().when(slow)
    async with running(scheduler, clock):
        await clock.advance(2)
        slow.opened.set()
        await clock.settle()
    assert [run.kind for run in slow.asked] == ["start", "tick"]
    assert counted(scheduler) == {"condition_failed": 1, "succeeded": 2}


async def test_a_triggered_run_does_not_ask(scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]) -> None:
    door = Door(False)
    add().when(door)
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        assert await run.wait() == "succeeded"
    assert not door.asked


async def test_a_paused_job_is_not_asked(scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]) -> None:
    door = Door()
    add().when(door)
    async with running(scheduler, clock):
        await scheduler.pause("a")
        await clock.advance(10)
    assert not door.asked
    assert counted(scheduler) == {"paused": 1}


async def test_a_pause_while_it_is_asked_holds(scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]) -> None:
    slow = Slow()
    add().when(slow)
    async with running(scheduler, clock):
        await clock.advance(10)
        await scheduler.pause("a")
        slow.opened.set()
        await clock.settle()
        assert counted(scheduler) == {"paused": 1}


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_stop_does_not_wait_for_the_answer(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job], deaf: bool
) -> None:
    slow = Slow(deaf=deaf)
    add(seconds=1).when(slow)
    async with running(scheduler, clock):
        await clock.advance(2)
        clock_at_stop = clock.monotonic()
        await clock.run_until(scheduler.stop())
        assert clock.monotonic() - clock_at_stop == (10 if deaf else 0)
        slow.opened.set()
    assert counted(scheduler) == {"shutting_down": 2}


async def test_removing_the_job_ends_the_asking(
    scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job], book: Book
) -> None:
    slow = Slow()
    add(seconds=1).when(slow)
    async with running(scheduler, clock):
        await clock.advance(2)
        scheduler.remove_job("a")
        slow.opened.set()
        await clock.advance(2)
    assert [skip.reason for skip in book.of(events.TickSkipped)] == ["shutting_down"] * 2
    assert not book.of(events.RunStarted)


async def test_a_subscriber_may_remove_the_job(scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]) -> None:
    def remove(event: events.Event) -> None:
        if "a" in scheduler.jobs:
            scheduler.remove_job("a")

    slow = Slow()
    add(seconds=1).when(slow)
    scheduler.subscribe(remove, events.TickSkipped)
    async with running(scheduler, clock):
        await clock.advance(3)  # the second one makes way for the third
        assert counted(scheduler) == {"condition_failed": 1, "shutting_down": 2}


async def test_on_skipped_is_told(scheduler: Scheduler, clock: FakeClock, add: Callable[..., Job]) -> None:
    told: list[events.TickSkipped] = []

    async def tell(tick: events.TickSkipped) -> None:
        told.append(tick)

    add().skip_when(Door()).on_skipped(tell)
    async with running(scheduler, clock):
        await clock.advance(10)
        await clock.settle()
    assert [tick.reason for tick in told] == [SkipReason.CONDITION]


async def test_the_time_of_asking_counts_as_lateness(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    """A claim is tried until the grace is over, which began at the tick."""
    slow = Slow()
    on_one(scheduler.add_job("a", quick).per_seconds(60)).misfire_grace(10).when(slow)
    async with running(scheduler, clock):
        await clock.advance(60 + 8)
        store.on("claim", *[down] * 100)
        slow.opened.set()
        await clock.advance(1.9)
        assert counted(scheduler) == {}
        await clock.advance(1.1)
        assert counted(scheduler) == {"store_unavailable": 1}
        store.forget_script("claim")


@pytest.mark.parametrize("answers", [(False, True, True), (False, False, False)])
async def test_another_node_takes_a_tick_that_one_keeps_back(answers: tuple[bool, ...]) -> None:
    by_node = dict(zip(("n0", "n1", "n2"), answers, strict=True))

    def declare(scheduler: Scheduler) -> None:
        job = scheduler.add_job("a", quick).per_minutes(1)
        on_one(job).when(lambda run: by_node[run.node])

    async with Cluster(declare, nodes=3, skew=(0.0, 0.3, 0.5)) as cluster:
        await cluster.advance(3600 + 30)
    if any(answers):
        cluster.ran_once_per_tick("a")
        assert {run.node for run in cluster.history.runs} == {"n1", "n2"}
    else:
        assert not cluster.history.runs
    kept_back = [node for _, _, node, reason in cluster.history.skips if reason == "condition"]
    assert set(kept_back) == {node for node, says_yes in by_node.items() if not says_yes}
    if not any(answers):
        assert [kept_back.count(node) for node in by_node] == [60, 60, 60]


async def test_a_rerun_asks_too() -> None:
    may_run = True

    async def work() -> None:
        await asyncio.sleep(20)

    def declare(scheduler: Scheduler) -> None:
        job = scheduler.add_job("a", work).per_hours(1).on_one_server().rerun_on_crash().lock_ttl(30)
        job.when(lambda: may_run)

    async with Cluster(declare, nodes=2) as cluster:
        await cluster.advance(3600 + 5)
        (busy,) = [node for node in cluster.nodes if node.is_at_work]
        await busy.crash()
        may_run = False
        await cluster.advance(120)
        assert len(cluster.history.runs) == 1
        may_run = True
        await cluster.advance(120)
    first, second = cluster.history.runs
    assert (first.outcome, second.outcome, second.attempt) == ("crashed", "succeeded", 2)
    assert [reason for *_, reason in cluster.history.skips] == ["elsewhere"]


# How they are given


@pytest.mark.parametrize(
    ("condition", "rule"),
    [
        ("nobody", r"'nobody' is no condition when\(\): it must be an async or a plain function"),
        (
            lambda a, b: a is b,
            r"requires the arguments \(a, b\); it may take none or one, the Run",
        ),
    ],
)
def test_a_bad_condition_is_refused(condition: Any, rule: str) -> None:
    with pytest.raises(Exception, match=rule) as caught:
        Job("a").when(condition)
    assert type(caught.value).__name__ == "ConfigurationError"


async def is_open() -> bool:
    return True


def test_they_are_shown_and_shared_in_groups(scheduler: Scheduler) -> None:
    group = scheduler.group(when=is_open, skip_when=(is_open, quick))
    job = group.add_job("a", quick).per_hours(1).when(quick)
    assert job.policies == ("when(is_open)", "skip_when(is_open)", "skip_when(quick)", "when(quick)")


async def test_no_change_once_it_is_scheduled(scheduler: Scheduler, clock: FakeClock) -> None:
    job = scheduler.add_job("a", quick).per_hours(1)
    async with running(scheduler, clock):
        with pytest.raises(Exception, match=r"job 'a': when\(\): it is already scheduled"):
            job.when(is_open)
