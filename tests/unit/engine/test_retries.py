"""``retry``: a run that failed is tried again, as one run, with its locks held, until nothing more is worth it."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, counted, guarded, plain, running

from asyncsched import BaseHandler, Job, Outcome, RunContext, Scheduler, events
from asyncsched._grants import LockType
from asyncsched._retries import checked_retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

KINDS = pytest.mark.parametrize("register", [plain, guarded])


class Failing:
    """A handler that fails so often, and then succeeds."""

    def __init__(self, times: int, error: Callable[[], BaseException] = ValueError) -> None:
        self.left = times
        self._make_error = error
        self.attempts: list[int] = []
        self.runs: set[str] = set()

    async def __call__(self, ctx: RunContext) -> None:
        self.attempts.append(ctx.attempt)
        self.runs.add(ctx.run_id)
        self.left -= 1
        if self.left >= 0:
            raise self._make_error()


def retried(scheduler: Scheduler, attempts: int = 3, **options: Any) -> Job:
    return scheduler.get_job("a").retry(attempts, **{"backoff": 2, **options})


@KINDS
async def test_it_is_one_run_that_succeeds_in_the_end(
    scheduler: Scheduler, clock: FakeClock, book: Book, register: Any
) -> None:
    handler = Failing(2)
    register(scheduler, handler, seconds=100)
    retried(scheduler)
    async with running(scheduler, clock):
        await clock.advance(103.9)
        assert handler.attempts == [1, 2]
        await clock.advance(0.1)
    assert handler.attempts == [1, 2, 3]
    assert len(handler.runs) == 1
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    (ended,) = book.of(events.RunEnded)
    assert (ended.attempt, ended.duration, ended.errors) == (3, 4.0, ())
    assert len(book.of(events.RunStarted)) == 1
    told = book.of(events.RunRetried)
    assert [(each.attempt, type(each.error), each.wait_for) for each in told] == [
        (1, ValueError, 2),
        (2, ValueError, 2),
    ]


async def test_the_attempts_are_used_up(
    scheduler: Scheduler, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[BaseException] = []

    def error() -> BaseException:
        errors.append(ValueError(len(errors)))
        return errors[-1]

    plain(scheduler, Failing(9, error), seconds=100)
    retried(scheduler)
    async with running(scheduler, clock):
        await clock.advance(150)
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, ended.errors) == (Outcome.FAILED, (errors[2],))
    assert len(errors) == 3
    said = [record.getMessage().split("trace=")[1].split(" ", 1)[1] for record in caplog.records]
    assert said[:2] == [f"failed in attempt {number} and is tried again in 2.000 s" for number in (1, 2)]
    assert said[2].endswith("outcome=failed duration=4.000s attempt=3")


async def test_no_wait_at_all(scheduler: Scheduler, clock: FakeClock) -> None:
    handler = Failing(2)
    plain(scheduler, handler, seconds=100)
    retried(scheduler, backoff=0)
    async with running(scheduler, clock):
        await clock.advance(100)
    assert handler.attempts == [1, 2, 3]


ON: list[tuple[Any, BaseException, int]] = [
    (Exception, ValueError(), 3),
    (ValueError, ValueError(), 3),
    (ValueError, UnicodeError(), 3),
    (ValueError, KeyError(), 1),
    ((KeyError, OSError), TimeoutError(), 3),
    (Exception, SystemExit(), 1),
    (Exception, asyncio.CancelledError(), 1),
    (lambda error: error.args == (503,), ValueError(503), 3),
    (lambda error: error.args == (503,), ValueError(404), 1),
]


@pytest.mark.parametrize(("on", "error", "calls"), ON, ids=repr)
async def test_what_is_worth_another_attempt(
    scheduler: Scheduler, clock: FakeClock, on: Any, error: BaseException, calls: int
) -> None:
    handler = Failing(9, lambda: error)
    plain(scheduler, handler, seconds=100)
    retried(scheduler, on=on)
    async with running(scheduler, clock):
        await clock.advance(150)
    assert len(handler.attempts) == calls


async def test_a_function_that_cannot_judge(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Failing(9)
    plain(scheduler, handler, seconds=100)
    retried(scheduler, on=lambda error: error.args[0] == "x")
    async with running(scheduler, clock):
        await clock.advance(150)
    assert handler.attempts == [1]
    assert "job=a is not tried again: the function given as on failed" in caplog.text
    assert counted(scheduler) == {Outcome.FAILED: 1}


async def test_reported_errors_are_failures_too(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    made = []

    class Reporting(BaseHandler):
        def __init__(self) -> None:
            made.append(self)

        async def exec(self, ctx: RunContext) -> None:
            if ctx.attempt == 1:
                self.report(ValueError("one"))

    plain(scheduler, Reporting, seconds=100)
    retried(scheduler)
    async with running(scheduler, clock):
        await clock.advance(150)
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, ended.errors, len(made)) == (Outcome.SUCCEEDED, (), 2)


async def test_a_plain_function_is_called_again(scheduler: Scheduler, clock: FakeClock) -> None:
    calls = threading.Semaphore(0)

    def handler() -> None:
        calls.release()
        raise ValueError

    plain(scheduler, handler, seconds=100)
    retried(scheduler, 2, backoff=0)
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        assert await asyncio.to_thread(calls.acquire, timeout=10)
        while run.outcome is None:
            await asyncio.sleep(0.001)
            await clock.advance(0)
    assert run.attempt == 2
    assert calls.acquire(blocking=False)


async def test_the_locks_are_held_and_the_next_tick_is_an_overlap(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    handler = Failing(2)
    guarded(scheduler, handler)
    retried(scheduler, backoff=8)
    async with running(scheduler, clock):
        await clock.advance(10)
        for _ in range(15):
            assert store.locks("a") == {LockType.SERVER, LockType.OVERLAP}
            await clock.advance(1)
        await clock.advance(1)
        assert store.locks("a") == set()
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1, "overlap": 1}


async def test_without_a_guard_the_next_tick_runs_beside_it(scheduler: Scheduler, clock: FakeClock) -> None:
    handler = Failing(1)
    plain(scheduler, handler)
    retried(scheduler, backoff=15)
    async with running(scheduler, clock):
        await clock.advance(20)
        assert handler.attempts == [1, 1]
        await clock.advance(5)
        assert handler.attempts == [1, 1, 2]
    assert counted(scheduler) == {Outcome.SUCCEEDED: 2}


@KINDS
async def test_a_stop_ends_the_wait_at_once(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book, register: Any
) -> None:
    handler = Failing(9)
    register(scheduler, handler, seconds=100)
    retried(scheduler)
    async with running(scheduler, clock):
        await clock.advance(101)
        await asyncio.wait_for(scheduler.stop(), 5)
        assert clock.monotonic() == 101
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, [type(error) for error in ended.errors]) == (Outcome.CANCELLED, [ValueError])
    assert handler.attempts == [1]
    assert store.locks("a") == set()


async def test_a_stop_lets_no_further_attempt_begin(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    may_fail = asyncio.Event()

    async def handler() -> None:
        await may_fail.wait()
        raise ValueError

    guarded(scheduler, handler, seconds=100)
    retried(scheduler)
    async with running(scheduler, clock):
        await clock.advance(100)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(1)
        may_fail.set()
        await clock.settle()
        assert stopping.done()
    (ended,) = book.of(events.RunEnded)
    assert (ended.outcome, [type(error) for error in ended.errors]) == (Outcome.CANCELLED, [ValueError])
    assert book.of(events.RunRetried) == []


async def test_a_stop_hands_the_tick_over(make: Callable[..., Scheduler], clock: FakeClock) -> None:
    failing, working = Failing(9), Failing(0)
    first, second = make(node="first"), make(node="second")
    for node, handler in ((first, failing), (second, working)):
        guarded(node, handler, seconds=1000)
        node.get_job("a").rerun_on_crash().retry(3, backoff=60)
    async with running(first, clock):
        await clock.advance(1000 - clock.time() % 1000)
        assert failing.attempts == [1]
        async with running(second, clock):
            await first.stop()
            await clock.advance(2)
    assert working.attempts == [2], "the run after the interrupted one"
    assert (counted(first), counted(second)) == ({Outcome.CANCELLED: 1}, {Outcome.SUCCEEDED: 1})


async def test_a_lost_lease_ends_the_wait_at_once(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    handler = Failing(9)
    guarded(scheduler, handler, seconds=100)
    retried(scheduler, backoff=60)
    async with running(scheduler, clock):
        await clock.advance(101)
        store.lose("a")
        await clock.advance(20)
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}
    assert handler.attempts == [1]


async def test_the_timeout_is_of_all_attempts_together(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    handler = Failing(9)
    plain(scheduler, handler, seconds=100)
    retried(scheduler, 9).timeout(5)
    async with running(scheduler, clock):
        await clock.advance(105)
    assert handler.attempts == [1, 2, 3]
    (ended,) = book.of(events.RunEnded)
    assert ended.outcome is Outcome.TIMED_OUT
    assert [type(error) for error in ended.errors] == [ValueError, TimeoutError]


async def test_the_waits_grow_within_their_bounds() -> None:
    rule = checked_retry(9, (2, 60), Exception)
    for failed in range(1, 9):
        waits = [rule.wait_after(failed) for _ in range(200)]
        assert 2 <= min(waits) < max(waits) <= min(60, 2 * 2**failed)
    assert max(rule.wait_after(8) for _ in range(200)) > 30
    assert {rule.wait_after(5000) <= 60 for _ in range(20)} == {True}


def test_without_tenacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenacity", None)
    rule = r"job 'j': retry\(3\): retries need the package tenacity: pip install 'asyncsched\[retry\]'"
    with pytest.raises(ValueError, match=rule):
        Job("j", print).retry(3)


async def a_predicate(error: BaseException) -> bool:
    return True


def is_busy(error: BaseException) -> bool:
    return error.args == (503,)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        *[(lambda job, n=n: job.retry(n), "attempts is a whole number") for n in (1, 0, -3, True, "3", 2.0, None)],
        (lambda job: job.retry(3, backoff=-1), "backoff"),
        (lambda job: job.retry(3, backoff=None), "backoff"),
        (lambda job: job.retry(3, backoff=(0, 1)), r"backoff \(0, 1\): the rule is \(min, max\) with 0 < min <= max"),
        (lambda job: job.retry(3, backoff=(2, 1)), "the rule is"),
        (lambda job: job.retry(3, backoff=(1, 2, 3)), "the rule is"),
        (lambda job: job.retry(3, backoff=(1, "2")), "backoff"),
        (lambda job: job.retry(3, on=()), r"on \(\): the rule is a type of exceptions"),
        (lambda job: job.retry(3, on=int), "on <class 'int'>: the rule"),
        (lambda job: job.retry(3, on=KeyboardInterrupt), "on <class 'KeyboardInterrupt'>: the rule"),
        (lambda job: job.retry(3, on=(ValueError, 1)), "the rule is a type"),
        (lambda job: job.retry(3, on=a_predicate), "a plain function of the error"),
        (
            lambda job: job.timeout(2).retry(3, backoff=2),
            r"the first wait of retry\(3, backoff=2\) is as long as t",
        ),
        (lambda job: job.retry(3, backoff=(5, 9)).timeout(5), r"job 'j': timeout\(5\): the first wait of retry\(3, ba"),
        (lambda job: job.retry(3).retry(4), r"retry\(4\): it was given before with the value"),
    ],
)
def test_refused(call: Callable[[Job], Job], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        call(Job("j", print))


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "retry(3, backoff=(1, 60))"),
        ({"backoff": 5}, "retry(3, backoff=5)"),
        ({"on": OSError}, "retry(3, backoff=(1, 60), on=OSError)"),
        ({"on": (OSError, KeyError)}, "retry(3, backoff=(1, 60), on=(OSError, KeyError))"),
        ({"on": is_busy}, "retry(3, backoff=(1, 60), on=is_busy)"),
    ],
)
def test_it_shows(options: Any, shown: str) -> None:
    assert Job("j", print).retry(3, **options).retry(3, **options).policies == (shown,)


def test_groups(scheduler: Scheduler) -> None:
    group = scheduler.group(retry={"attempts": 3, "backoff": 5, "on": OSError})
    assert group.add_job("shared", print).policies == ("retry(3, backoff=5, on=OSError)",)
    assert group.add_job("own", print).retry(2, backoff=1).policies == ("retry(2, backoff=1)",)
