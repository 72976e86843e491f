"""Plain ticks start many at once, and where Python can, each handler takes its first step there and then."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, Work, counted, quick, running

from asyncsched import Outcome, Scheduler, SkipReason, _execution, current_run, events
from asyncsched._ticker import AT_ONCE
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

EAGER = pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has eager tasks from 3.12 on")
MANY = 3 * AT_ONCE + 7

mood: ContextVar[str] = ContextVar("mood", default="calm")


@pytest.fixture(params=["as it comes", pytest.param("not eager", marks=EAGER)], autouse=True)
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "not eager":
        monkeypatch.setattr(_execution, "EAGER", False)


@pytest.fixture
def scheduler(make: Callable[..., Scheduler]) -> Scheduler:
    """One that claims nothing, and whose records nobody reads."""
    return make(None)


def add_many(scheduler: Scheduler, handler: object, number: int = MANY) -> None:
    for index in range(number):
        scheduler.add_job(f"job{index}", handler).per_seconds(10)


class TestOneRun:
    async def test_what_a_handler_sets_stays_in_its_run(self, scheduler: Scheduler, clock: FakeClock) -> None:
        seen: list[tuple[str, object]] = []

        async def handler(ctx: object) -> None:
            seen.append((mood.get(), ctx is current_run()))
            mood.set("angry")
            await asyncio.sleep(0)
            seen.append((mood.get(), ctx is current_run()))

        add_many(scheduler, handler, 2)
        async with running(scheduler, clock):
            await clock.advance(20)
            assert (mood.get(), current_run()) == ("calm", None)
        assert sorted(seen) == [("angry", True)] * 4 + [("calm", True)] * 4

    @EAGER
    async def test_the_engines_own_context_is_left_alone(self, scheduler: Scheduler, clock: FakeClock) -> None:
        async def handler() -> None:
            mood.set("angry")

        scheduler.add_job("a", handler).per_seconds(10)
        async with running(scheduler, clock):
            await clock.advance(10)
            assert scheduler._serving is not None
            context = scheduler._serving.get_context()  # type: ignore[attr-defined]
            assert context.get(mood) is None
            assert context.get(current_run.__globals__["_current"]) is None

    async def test_each_has_a_task_of_its_own_with_the_jobs_name(self, scheduler: Scheduler, clock: FakeClock) -> None:
        tasks: list[asyncio.Task[Any] | None] = []

        async def handler() -> None:
            tasks.append(asyncio.current_task())

        add_many(scheduler, handler, 2)
        async with running(scheduler, clock):
            await clock.advance(10)
        assert [task and task.get_name() for task in tasks] == ["job0", "job1"]
        assert tasks[0] is not tasks[1]

    async def test_it_may_use_what_needs_a_task(self, scheduler: Scheduler, clock: FakeClock) -> None:
        async def handler() -> None:
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                group.create_task(quick())

        add_many(scheduler, handler, 3)
        async with running(scheduler, clock):
            await clock.advance(10)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 3}

    async def test_a_stop_cancels_what_waits(self, make: Callable[..., Scheduler], clock: FakeClock) -> None:
        scheduler = make(None, shutdown_timeout=1)
        work = Work()
        add_many(scheduler, work, 3)
        async with running(scheduler, clock):
            await clock.advance(10)
            assert all(run.task is not None and not run.task.done() for run in work.contexts)  # type: ignore[attr-defined]
        assert work.cancelled == 3
        assert counted(scheduler) == {Outcome.CANCELLED: 3}

    @pytest.mark.parametrize("waits", [False, True])
    async def test_it_may_cancel_itself(self, scheduler: Scheduler, clock: FakeClock, waits: bool) -> None:
        async def handler() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            if waits:
                await asyncio.sleep(0)

        add_many(scheduler, handler, 1)
        async with running(scheduler, clock):
            await clock.advance(20)
        # a handler that has ended before the cancellation could reach it has done its work
        assert counted(scheduler) == {Outcome.CANCELLED if waits else Outcome.SUCCEEDED: 2}

    async def test_a_tick_that_never_becomes_a_coroutine_fails(self, scheduler: Scheduler, clock: FakeClock) -> None:
        class Broken:
            async def __call__(self) -> None: ...

        broken = Broken()
        scheduler.add_job("a", broken).per_seconds(10)
        add_many(scheduler, quick, 2)
        Broken.__call__ = lambda _: 1 / 0  # type: ignore[assignment, method-assign]
        async with running(scheduler, clock):
            await clock.advance(10)
        assert counted(scheduler) == {Outcome.FAILED: 1, Outcome.SUCCEEDED: 2}

    async def test_a_random_delay_is_slept(self, scheduler: Scheduler, clock: FakeClock) -> None:
        told = Book(scheduler)
        scheduler.add_job("a", quick).per_seconds(10).random_delay(3, 3)
        async with running(scheduler, clock):
            await clock.advance(13)
        assert [event.late_by for event in told.of(events.RunStarted)] == [3]


@pytest.mark.usefixtures("ended_program")
@pytest.mark.parametrize("waits", [False, True])
def test_a_keyboard_interrupt_ends_the_program_after_the_drain(waits: bool) -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock=clock, node="here")
    ended: list[str] = []

    async def interrupted() -> None:
        if waits:
            await asyncio.sleep(0)
        raise KeyboardInterrupt

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("other")

    async def main() -> None:
        scheduler.add_job("a", other).per_seconds(10)
        scheduler.add_job("b", interrupted).per_seconds(10)
        scheduler.add_job("c", quick).per_seconds(10)
        async with running(scheduler, clock):
            await clock.advance(60)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())

    assert ended == ["other"]
    counters = counted(scheduler)
    assert (counters[Outcome.FAILED], counters[Outcome.CANCELLED]) == (1, 1)
    assert sum(counters.values()) == 3, "where the third had not begun, it was skipped"


class TestMany:
    async def test_the_loop_has_turns_in_between(self, scheduler: Scheduler, clock: FakeClock) -> None:
        started, at_most = 0, 0

        async def handler() -> None:
            nonlocal started
            started += 1

        async def bystander() -> None:
            nonlocal at_most
            while True:
                before = started
                await asyncio.sleep(0)
                at_most = max(at_most, started - before)

        add_many(scheduler, handler)
        watching = asyncio.ensure_future(bystander())
        async with running(scheduler, clock):
            await clock.advance(10)
            watching.cancel()
        assert started == MANY
        assert at_most == AT_ONCE

    async def test_all_start_at_their_instant_in_the_order_of_their_addition(
        self, scheduler: Scheduler, clock: FakeClock
    ) -> None:
        book = Book(scheduler)
        add_many(scheduler, quick)
        async with running(scheduler, clock):
            await clock.advance(20)
        told = book.of(events.RunStarted)
        assert {event.late_by for event in told} == {0.0}
        assert [event.job for event in told] == [f"job{index}" for index in range(MANY)] * 2

    async def test_a_stop_skips_what_had_no_turn_yet(self, scheduler: Scheduler, clock: FakeClock) -> None:
        book = Book(scheduler)

        async def handler() -> None:
            await scheduler.stop()

        add_many(scheduler, handler)
        async with running(scheduler, clock):
            await clock.advance(10)
        assert counted(scheduler) == {Outcome.SUCCEEDED: AT_ONCE, SkipReason.SHUTTING_DOWN: MANY - AT_ONCE}
        ended = [event.job for event in (*book.of(events.RunEnded), *book.of(events.TickSkipped))]
        assert ended == [f"job{index}" for index in range(MANY)]

    @pytest.mark.parametrize("stops", [False, True])
    async def test_one_that_is_removed_before_its_turn_is_gone(
        self, scheduler: Scheduler, clock: FakeClock, stops: bool
    ) -> None:
        book = Book(scheduler)
        doomed = f"job{MANY - 1}"

        async def handler() -> None:
            if doomed in scheduler.jobs:
                scheduler.remove_job(doomed)
                if stops:
                    await scheduler.stop()
                else:
                    clock.shift(-5)

        add_many(scheduler, handler)
        async with running(scheduler, clock):
            await clock.advance(30)
        told = (*book.of(events.RunStarted), *book.of(events.TickSkipped))
        assert {event.job for event in told} == {f"job{index}" for index in range(MANY - 1)}

    async def test_a_clock_that_is_set_back_meanwhile_starts_nothing_early_or_twice(
        self, scheduler: Scheduler, clock: FakeClock
    ) -> None:
        book = Book(scheduler)
        shifts = [-5.0]

        async def handler() -> None:
            if shifts:
                clock.shift(shifts.pop())

        add_many(scheduler, handler)
        async with running(scheduler, clock):
            await clock.advance(14.9)
            assert len(book.of(events.RunStarted)) == AT_ONCE
            await clock.advance(0.1)
            assert len(book.of(events.RunStarted)) == MANY
            await clock.advance(10)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 2 * MANY}
        assert min(event.late_by for event in book.of(events.RunStarted)) >= -5.0
        ticks = [(event.job, event.fire_time) for event in book.of(events.RunStarted)]
        assert len(set(ticks)) == len(ticks)

    @pytest.mark.parametrize("number", [1, AT_ONCE + 1, MANY - 1])
    async def test_a_job_that_another_ones_handler_removes(
        self, scheduler: Scheduler, clock: FakeClock, number: int
    ) -> None:
        book = Book(scheduler)
        doomed = f"job{number}"

        async def handler() -> None:
            if doomed in scheduler.jobs:
                scheduler.remove_job(doomed)

        add_many(scheduler, handler)
        async with running(scheduler, clock):
            await clock.advance(30)
        ran = [event.fire_time for event in book.of(events.RunStarted) if event.job == doomed]
        starts_with_the_first = number < AT_ONCE and not _execution.EAGER
        assert len(ran) == int(starts_with_the_first)

    async def test_paused_ones_are_skipped(self, scheduler: Scheduler, clock: FakeClock) -> None:
        add_many(scheduler, quick, 3)
        async with running(scheduler, clock):
            await scheduler.pause("job1")
            await clock.advance(10)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 2, SkipReason.PAUSED: 1}

    async def test_late_ones_run_their_newest_tick(self, scheduler: Scheduler, clock: FakeClock) -> None:
        book = Book(scheduler)
        add_many(scheduler, quick, 3)
        scheduler.add_job("slow", quick).per_seconds(40)
        async with running(scheduler, clock):
            clock.shift(45)
            await clock.advance(0)
        told = book.of(events.RunStarted)
        late_by = {event.job: event.late_by for event in told}
        assert late_by == {"job0": 5.0, "job1": 5.0, "job2": 5.0, "slow": 5.0}
        assert counted(scheduler) == {Outcome.SUCCEEDED: 4, "missed": 9}


class TestTaskFactories:
    async def test_that_of_the_service_makes_the_tasks(self, scheduler: Scheduler, clock: FakeClock) -> None:
        made: list[str] = []

        def factory(
            loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
        ) -> asyncio.Task[Any]:
            made.append(getattr(coro, "__qualname__", ""))
            return asyncio.Task(coro, loop=loop, **options)

        add_many(scheduler, quick, 3)
        loop = asyncio.get_running_loop()
        async with running(scheduler, clock):
            loop.set_task_factory(factory)
            try:
                await clock.advance(10)
            finally:
                loop.set_task_factory(None)
        assert [name for name in made if name.startswith("Executor.")] == ["Executor._carry_out"] * 3
        assert counted(scheduler) == {Outcome.SUCCEEDED: 3}

    async def test_a_loop_that_is_a_stranger_makes_its_own(
        self, scheduler: Scheduler, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[str | None] = []
        loop = asyncio.get_running_loop()
        create_task = loop.create_task

        def own(coro: Any, **options: Any) -> Any:
            made.append(options.get("name"))
            return create_task(coro, **options)

        monkeypatch.setattr(_execution, "PLAIN_LOOPS", ())
        add_many(scheduler, quick, 3)
        async with running(scheduler, clock):
            monkeypatch.setattr(loop, "create_task", own)
            await clock.advance(10)
            monkeypatch.undo()
        assert [name for name in made if name is not None] == ["job0", "job1", "job2"]

    @EAGER
    async def test_the_first_step_is_taken_at_once(self, scheduler: Scheduler, clock: FakeClock) -> None:
        if not _execution.EAGER:
            pytest.skip("it is switched off")
        loop = asyncio.get_running_loop()
        scheduled: list[str] = []
        steps: list[str] = []

        async def handler() -> None:
            steps.append("first")
            loop.call_soon(scheduled.append, "turned")
            steps.append(f"turns before the second: {len(scheduled)}")

        add_many(scheduler, handler, 3)
        async with running(scheduler, clock):
            await clock.advance(10)
        assert steps == ["first", "turns before the second: 0"] * 3
