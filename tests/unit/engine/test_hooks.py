"""Hooks: functions around the handler, as parts of its run, and for ticks that are skipped."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, Work, counted, down, guarded, plain, quick, running

from asyncsched import Job, Outcome, Run, Scheduler, SkipReason, current_run, events
from asyncsched._clock import sleep
from asyncsched._grants import LockType
from asyncsched._hook_calls import HookCalls
from asyncsched._hooks import checked_hook
from asyncsched._logs import SafeLogger
from asyncsched._side_tasks import SideTasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

WHENS = ("before", "on_success", "on_failure", "after", "on_skipped")


class Calls:
    """Hooks that note their calls."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.arguments: list[Any] = []

    def hook(self, name: str, error: BaseException | None = None) -> Callable[[Any], Any]:
        async def note(argument: Any) -> None:
            self.names.append(name)
            self.arguments.append(argument)
            if error is not None:
                raise error

        return note

    def put_on(self, job: Job) -> Job:
        for when in WHENS:
            getattr(job, when)(self.hook(when))
        return job


@pytest.fixture
def calls() -> Calls:
    return Calls()


def raising(error: BaseException) -> Callable[[], Any]:
    async def handler() -> None:
        raise error

    return handler


ENDS: list[tuple[Any, list[str], Outcome]] = [
    (quick, ["before", "on_success", "after"], Outcome.SUCCEEDED),
    (raising(ValueError("no")), ["before", "on_failure", "after"], Outcome.FAILED),
    (raising(SystemExit(3)), ["before", "on_failure", "after"], Outcome.FAILED),
    (raising(asyncio.CancelledError()), ["before", "after"], Outcome.CANCELLED),
]


@pytest.mark.parametrize(("handler", "names", "outcome"), ENDS)
async def test_around_each_end_of_a_handler(
    scheduler: Scheduler, clock: FakeClock, calls: Calls, handler: Any, names: list[str], outcome: Outcome
) -> None:
    plain(scheduler, handler)
    calls.put_on(scheduler.get_job("a"))
    async with running(scheduler, clock):
        await clock.advance(10)
    assert calls.names == names
    assert counted(scheduler) == {outcome: 1}
    assert len({run.run_id for run in calls.arguments}) == 1


async def test_after_a_timeout(scheduler: Scheduler, clock: FakeClock, calls: Calls) -> None:
    plain(scheduler, Work(), seconds=100)
    calls.put_on(scheduler.get_job("a")).timeout(5)
    async with running(scheduler, clock):
        await clock.advance(105)
    assert calls.names == ["before", "on_failure", "after"]
    assert repr(calls.arguments[1].errors[-1]) == "TimeoutError('the run has not ended within 5 s')"
    assert counted(scheduler) == {Outcome.TIMED_OUT: 1}


async def test_once_around_all_attempts(scheduler: Scheduler, clock: FakeClock, calls: Calls) -> None:
    plain(scheduler, raising(ValueError("no")), seconds=100)
    calls.put_on(scheduler.get_job("a")).retry(3, backoff=1)
    async with running(scheduler, clock):
        await clock.advance(110)
    assert calls.names == ["before", "on_failure", "after"]
    assert [run.attempt for run in calls.arguments] == [3, 3, 3]


async def test_they_are_part_of_the_run(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    seen: list[Any] = []

    async def hook(run: Run) -> None:
        seen.append((current_run() is run, run.outcome, store.locks("a")))
        await sleep(clock, 7)

    guarded(scheduler, quick, seconds=100)
    scheduler.get_job("a").before(hook).after(hook)
    async with running(scheduler, clock):
        await clock.advance(100)
        assert scheduler.snapshot().active != ()
        await clock.advance(13.9)
        assert counted(scheduler) == {}
        await clock.advance(0.1)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    assert seen == [(True, None, {LockType.SERVER, LockType.OVERLAP})] * 2


async def test_in_order_and_each_on_its_own(
    scheduler: Scheduler, clock: FakeClock, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    plain(scheduler, quick)
    job = scheduler.get_job("a").on_success(calls.hook("one", ValueError("of a hook"))).on_success(calls.hook("two"))
    job.after(calls.hook("three", asyncio.CancelledError())).after(calls.hook("four", SystemExit()))
    async with running(scheduler, clock):
        await clock.advance(10)
    assert calls.names == ["one", "two", "three", "four"]
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    failed = [record for record in caplog.records if "hook=" in record.getMessage()]
    names = [record.getMessage().split("(")[0] for record in failed]
    assert names == ["job=a hook=on_success", "job=a hook=after", "job=a hook=after"]
    assert [record.exc_info[0] for record in failed if record.exc_info] == [
        ValueError,
        asyncio.CancelledError,
        SystemExit,
    ]


async def test_a_before_that_fails(scheduler: Scheduler, clock: FakeClock, calls: Calls, book: Book) -> None:
    work, error = Work(), ValueError("not ready")
    plain(scheduler, work)
    calls.put_on(scheduler.get_job("a").before(calls.hook("first", error)))
    async with running(scheduler, clock):
        await clock.advance(10)
    assert calls.names == ["first", "on_failure", "after"]
    assert work.contexts == []
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, ended.errors) == (Outcome.FAILED, (error,))


@pytest.mark.parametrize(("when", "outcome"), [("before", Outcome.FAILED), ("after", Outcome.SUCCEEDED)])
async def test_a_hook_has_its_time(
    scheduler: Scheduler, clock: FakeClock, book: Book, when: str, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    plain(scheduler, quick, seconds=100)
    getattr(scheduler.get_job("a"), when)(work)
    async with running(scheduler, clock):
        await clock.advance(129.9)
        assert counted(scheduler) == {}
        await clock.advance(0.1)
        assert work.cancelled == 1
    assert counted(scheduler) == {outcome: 1}
    assert "has not ended within 30 s" in caplog.text


async def test_plain_functions_are_called_in_threads(scheduler: Scheduler, clock: FakeClock) -> None:
    threads: list[Any] = []

    class Callable_:
        def __call__(self, ctx: Run) -> None:
            threads.append((threading.get_ident(), ctx.job))

    def without() -> None:
        threads.append((threading.get_ident(), current_run()))

    plain(scheduler, quick, seconds=1000)
    scheduler.get_job("a").before(without).after(Callable_()).after(functools.partial(without))
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        assert await run.wait() is Outcome.SUCCEEDED
    assert threading.get_ident() not in {thread for thread, _ in threads}
    assert [told for _, told in threads] == [run, "a", run]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_stop_cancels_the_hook_at_work(scheduler: Scheduler, clock: FakeClock, calls: Calls, when: str) -> None:
    hanging = Work()
    plain(scheduler, quick, seconds=25)
    getattr(scheduler.get_job("a"), when)(hanging)
    calls.put_on(scheduler.get_job("a"))
    async with running(scheduler, clock):
        await clock.advance(25)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.settle()
        scheduler._engine.hurry()  # type: ignore[union-attr]
        await stopping
    assert hanging.cancelled == 1
    assert counted(scheduler) == {Outcome.CANCELLED if when == "before" else Outcome.SUCCEEDED: 1}
    assert calls.names == ([] if when == "before" else ["before", "on_success"])


async def test_a_thread_before_the_handler_and_a_stop(scheduler: Scheduler, clock: FakeClock) -> None:
    work, began, may_end = Work(), threading.Event(), threading.Event()

    def hook() -> None:
        began.set()
        may_end.wait(10)

    plain(scheduler, work, seconds=1000)
    scheduler.get_job("a").before(hook)
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        await asyncio.to_thread(began.wait, 10)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.settle()
        scheduler._engine.hurry()  # type: ignore[union-attr]
        await clock.settle()
        may_end.set()
        assert await run.wait() is Outcome.CANCELLED
        await stopping
    assert work.contexts == [], "the handler was not called after the stop"


async def test_no_hooks_after_a_handler_that_swallows_a_stop(
    scheduler: Scheduler, clock: FakeClock, calls: Calls
) -> None:
    work = Work(deaf=True)
    plain(scheduler, work, seconds=25)
    calls.put_on(scheduler.get_job("a"))
    async with running(scheduler, clock):
        await clock.advance(25)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(31)
        work.finish()
        await stopping
    assert calls.names == ["before"]
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_a_lost_lease_ends_the_hooks(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    hanging = Work()
    guarded(scheduler, quick, seconds=100)
    scheduler.get_job("a").after(hanging)
    async with running(scheduler, clock):
        await clock.advance(101)
        store.lose("a")
        await clock.advance(20)
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}
    assert hanging.cancelled == 1


async def test_the_end_of_the_program_is_no_failure_of_a_hook(clock: FakeClock) -> None:
    async def hook() -> None:
        raise KeyboardInterrupt

    logger = SafeLogger(logging.getLogger("asyncsched"))
    calls = HookCalls(clock, logger, lambda: None, SideTasks())  # type: ignore[arg-type, return-value]
    run: Any = object()
    with pytest.raises(KeyboardInterrupt):
        await calls.before([checked_hook("before", hook, "j")], run)


# Skipped ticks


async def test_what_is_skipped_is_told(scheduler: Scheduler, clock: FakeClock, calls: Calls) -> None:
    guarded(scheduler, Work())
    scheduler.get_job("a").on_skipped(calls.hook("skipped"))
    async with running(scheduler, clock):
        await clock.advance(20)
        await scheduler.pause("a")
        await scheduler.trigger("a")
        await clock.settle()
    assert [(each.reason, each.kind) for each in calls.arguments] == [
        (SkipReason.OVERLAP, "tick"),
        (SkipReason.OVERLAP, "trigger"),
    ]
    assert isinstance(calls.arguments[0], events.TickSkipped)


async def test_a_tick_that_another_node_has_is_not_skipped(
    make: Callable[..., Scheduler], clock: FakeClock, calls: Calls
) -> None:
    first, second = make(node="first"), make(node="second")
    for node in (first, second):
        node.add_job("a", quick).per_seconds(10).on_one_server().on_skipped(calls.hook("skipped"))
    async with running(first, clock), running(second, clock):
        await clock.advance(50)
        assert calls.names == []
    both = [counted(node) for node in (first, second)]
    assert [sum(each.get(word, 0) for each in both) for word in ("succeeded", "elsewhere")] == [5, 5]


async def test_a_hook_of_a_skipped_tick_that_fails(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    guarded(scheduler, quick)
    scheduler.get_job("a").on_skipped(calls.hook("one", ValueError())).on_skipped(calls.hook("two"))
    store.on("claim", *[down] * 200)
    async with running(scheduler, clock):
        await clock.advance(21)
    assert calls.names[:2] == ["one", "two"]
    assert calls.arguments[0].reason is SkipReason.STORE_UNAVAILABLE
    assert "job=a hook=on_skipped(" in caplog.text


async def test_a_stop_waits_for_them_and_then_cancels_them(scheduler: Scheduler, clock: FakeClock) -> None:
    hanging = Work()
    plain(scheduler, quick)
    scheduler.get_job("a").on_skipped(hanging)
    await scheduler.pause("a")
    async with running(scheduler, clock):
        await clock.advance(10)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(4.9)
        assert (stopping.done(), hanging.cancelled) == (False, 0)
        await clock.advance(0.1)
        await stopping
    assert hanging.cancelled == 1


async def test_one_may_stop_the_scheduler(scheduler: Scheduler, clock: FakeClock) -> None:
    plain(scheduler, quick)
    scheduler.get_job("a").on_skipped(scheduler.stop)
    await scheduler.pause("a")
    async with running(scheduler, clock):
        await clock.advance(10)
        assert scheduler.snapshot().state == "idle"


# What may be one


async def two(first: object, second: object) -> None: ...


async def generator() -> Any:
    yield 1


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize(
    ("hook", "rule"),
    [
        (None, "None is no hook {when}(): it must be an async or a plain function"),
        ("print", "'print' is no hook {when}()"),
        (Work, "<class '_engine_doubles.Work'> is no hook {when}()"),
        (two, "the hook {when}() requires the arguments (first, second); it may take none or one, the "),
        (generator, "is a generator; a hook {when}() must be an async or a plain function"),
    ],
)
def test_refused(when: str, hook: Any, rule: str) -> None:
    job = Job("j", quick)
    with pytest.raises(ValueError) as caught:
        getattr(job, when)(hook)
    assert str(caught.value).startswith("job 'j': ")
    assert rule.format(when=when) in str(caught.value)
    assert job.policies == ()


@pytest.mark.parametrize("when", WHENS)
def test_it_shows(when: str) -> None:
    job = getattr(Job("j", quick), when)(quick)
    assert getattr(job, when)(Work.finish).policies == (f"{when}(quick)", f"{when}(Work.finish)")


async def test_none_after_it_was_scheduled(scheduler: Scheduler, clock: FakeClock) -> None:
    plain(scheduler, quick)
    async with running(scheduler, clock):
        with pytest.raises(ValueError, match=r"job 'a': before\(\): it is already scheduled"):
            scheduler.get_job("a").before(quick)
