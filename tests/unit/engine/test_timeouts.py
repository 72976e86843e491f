"""``timeout``: a handler that takes too long is cancelled, and its run ends as timed out when it has really ended."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
from _engine_doubles import Book, ScriptedStore, Work, counted, guarded, plain, running

from asyncsched import BaseHandler, Outcome, RunContext, Scheduler, events
from asyncsched._clock import TimeLimit, sleep
from asyncsched._grants import LockType
from asyncsched.testing import FakeClock

KINDS = pytest.mark.parametrize("register", [plain, guarded])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(waits_for_threads=False)  # these tests decide when a thread ends


def limit(scheduler: Scheduler, timeout: float = 5) -> None:
    scheduler.get_job("a").timeout(timeout)


@KINDS
async def test_a_handler_that_takes_too_long_is_cancelled(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book, register: Any
) -> None:
    work = Work()
    register(scheduler, work, seconds=100)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(100 + 4.999)
        assert (work.cancelled, counted(scheduler)) == (0, {})
        await clock.advance(0.001)
        assert (work.cancelled, counted(scheduler)) == (1, {Outcome.TIMED_OUT: 1})
        assert store.locks("a") == set()
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, ended.duration) == (Outcome.TIMED_OUT, 5.0)
    assert repr(ended.errors) == "(TimeoutError('the run has not ended within 5 s'),)"


@KINDS
async def test_a_handler_in_time_pays_nothing_for_it(scheduler: Scheduler, clock: FakeClock, register: Any) -> None:
    async def handler() -> None:
        await sleep(clock, 4.999)

    register(scheduler, handler)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(35)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 3}


async def test_a_failure_in_time_is_a_failure(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    error = ValueError("no")

    async def handler() -> None:
        raise error

    plain(scheduler, handler)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(10)
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, ended.errors) == (Outcome.FAILED, (error,))
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_frame.f_code.co_name == "handler", "no frame of ours keeps the run alive"


async def test_a_handler_that_cancels_itself_is_cancelled(scheduler: Scheduler, clock: FakeClock) -> None:
    async def handler() -> None:
        raise asyncio.CancelledError

    plain(scheduler, handler)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(10)
    assert counted(scheduler) == {Outcome.CANCELLED: 1}


async def test_the_random_delay_does_not_count(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    plain(scheduler, Work(), seconds=100)
    limit(scheduler)
    scheduler.get_job("a").random_delay(50, 50)
    async with running(scheduler, clock):
        await clock.advance(154.9)
        assert counted(scheduler) == {}
        await clock.advance(0.1)
        assert counted(scheduler) == {Outcome.TIMED_OUT: 1}


@KINDS
async def test_a_handler_that_swallows_its_cancellation(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, register: Any
) -> None:
    work = Work(deaf=True)
    register(scheduler, work)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(16)
        assert (work.cancelled, counted(scheduler)) == (1, {})
        assert store.locks("a") == ({LockType.SERVER, LockType.OVERLAP} if register is guarded else set())
        work.finish()
        await clock.settle()
        assert counted(scheduler) == {Outcome.TIMED_OUT: 1}
        assert store.locks("a") == set()


async def test_what_it_raises_while_it_is_cancelled_is_told(
    scheduler: Scheduler, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("half of it is undone")

    plain(scheduler, handler)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(15)
    (ended,) = book.of(events.RunEnded)
    assert ended.outcome is Outcome.TIMED_OUT
    assert [type(error) for error in ended.errors] == [TimeoutError, ValueError]
    said = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage().split("trace=")[1].split(" ", 1)[1] for record in said] == [
        "has not ended within 5.000 s; it is being cancelled",
        "tick=2026-01-01T00:00:10+00:00 outcome=timed_out duration=5.000s errors=2",
    ]


async def test_the_whole_of_a_protocol_handler_is_cancelled(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    class Held(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.hold()
            self.report(ValueError("one"))

    plain(scheduler, Held())
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(15)
    (ended,) = book.of(events.RunEnded)
    assert ended.outcome is Outcome.TIMED_OUT
    assert [type(error) for error in ended.errors] == [ValueError, TimeoutError]


async def test_a_thread_is_waited_for(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    may_end, began = threading.Event(), threading.Event()

    def handler() -> None:
        began.set()
        may_end.wait(10)

    guarded(scheduler, handler)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(10)
        await asyncio.to_thread(began.wait, 10)
        await clock.advance(6)
        assert counted(scheduler) == {}
        assert store.locks("a") == {LockType.SERVER, LockType.OVERLAP}
        run = next(iter(scheduler._engine.executor.active))  # type: ignore[union-attr]
        may_end.set()
        assert await run.wait() is Outcome.TIMED_OUT
        await clock.settle()
        assert store.locks("a") == set()


async def test_a_stop_after_the_time_is_over(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work(deaf=True)
    plain(scheduler, work)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(15)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(31)
        assert work.cancelled == 2
        work.finish()
        await stopping
    assert counted(scheduler)[Outcome.TIMED_OUT] == 1


async def test_a_stop_before_the_time_is_over(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    work = Work(deaf=True)
    plain(scheduler, work)
    limit(scheduler, 33)
    async with running(scheduler, clock):
        await clock.advance(10)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(34)
        assert work.cancelled == 2, "by the stop, and when its time was over"
        work.finish()
        await stopping
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, ended.errors) == (Outcome.SUCCEEDED, ())


async def test_a_stop_during_the_clean_up_after_a_timeout(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    async def handler() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    guarded(scheduler, handler, seconds=100)
    limit(scheduler)
    scheduler.get_job("a").rerun_on_crash()
    async with running(scheduler, clock):
        await clock.advance(106)
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, [type(error) for error in ended.errors]) == (Outcome.TIMED_OUT, [TimeoutError])
    assert store.locks("a") == set()
    assert store.memory._job("a").open == {}, "it came to its end, so nobody runs it again"


async def test_a_lost_lease_counts_for_more(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    work = Work(deaf=True)
    guarded(scheduler, work, seconds=100)
    limit(scheduler)
    async with running(scheduler, clock):
        await clock.advance(106)
        store.lose("a")
        await clock.advance(21)
        work.finish()
        await clock.settle()
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}


async def test_a_tick_that_timed_out_is_not_run_again(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    guarded(scheduler, work, seconds=1000)
    scheduler.get_job("a").rerun_on_crash().timeout(5)
    async with running(scheduler, clock):
        await clock.advance(2000)
    assert [ctx.attempt for ctx in work.contexts] == [1, 1], "two ticks"


@pytest.mark.parametrize(
    ("value", "rule"),
    [(0, "the rule is more than 0 seconds"), (-1, "below"), (None, "neither"), ("5", "neither"), (float("nan"), "nan")],
)
def test_a_timeout_against_the_rules(scheduler: Scheduler, value: Any, rule: str) -> None:
    job = scheduler.add_job("a", Work())
    with pytest.raises(ValueError, match=rule) as caught:
        job.timeout(value)
    assert str(caught.value).startswith(f"job 'a': timeout({value!r}): ")
    assert job.run_policies is None or job.run_policies.timeout is None
    assert job.timeout(timedelta(seconds=5)).policies == ("timeout(5)",)


def test_a_second_timeout(scheduler: Scheduler) -> None:
    job = scheduler.add_job("a", Work()).timeout(5).timeout(5.0)
    with pytest.raises(ValueError, match=r"job 'a': timeout\(6\): it was given before with the value 5.0"):
        job.timeout(6)
    assert scheduler.group(timeout=5).add_job("b", Work()).timeout(6).policies == ("timeout(6)",)


async def test_no_timeout_after_it_was_scheduled(scheduler: Scheduler, clock: FakeClock) -> None:
    plain(scheduler, Work())
    async with running(scheduler, clock):
        with pytest.raises(ValueError, match="it is already scheduled"):
            limit(scheduler)
    assert scheduler.get_job("a").run_policies is None


async def test_a_time_limit_leaves_other_cancellations_alone(clock: FakeClock) -> None:
    async def both() -> str:
        with TimeLimit(clock, 5):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                if task.cancelling() == 1:
                    task.cancel()  # an outsider's, on top of the limit's
                raise
        return "went on"

    task = asyncio.ensure_future(both())
    await clock.advance(5)
    assert task.cancelled()
