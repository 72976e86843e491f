"""Plain functions in worker threads: a thread cannot be cancelled, so its run lasts as long as it does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from _scripted import turns
from anyio import CapacityLimiter

from asyncsched import current_run
from asyncsched._handlers import _ThreadCall
from asyncsched._run import Outcome

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._run import Run

WRONG = ValueError("wrong")


class Blocking:
    """A handler that tells when its thread has begun, and ends when it is let go."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go = threading.Event()
        self.result: Callable[[], object] = lambda: None
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> object:
        self._loop.call_soon_threadsafe(self.began.set)
        assert self.go.wait(5)
        return self.result()

    async def begin(self, parts: Parts) -> Run:
        run = parts.start(parts.state(self))
        await asyncio.wait_for(self.began.wait(), 5)
        return run


@pytest.fixture
async def blocking() -> Iterator[Blocking]:  # type: ignore[misc]
    made = Blocking()
    yield made
    made.go.set()


async def ended(run: Run) -> Outcome:
    return await asyncio.wait_for(run.wait(), 5)


def raising(error: BaseException) -> Callable[[], None]:
    def handler() -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (WRONG, Outcome.FAILED),
        (SystemExit(4), Outcome.FAILED),
        (asyncio.CancelledError(), Outcome.CANCELLED),
        (BaseExceptionGroup("g", [WRONG]), Outcome.FAILED),
    ],
)
async def test_what_it_raises(parts: Parts, error: BaseException, outcome: Outcome) -> None:
    run = parts.start(parts.state(raising(error)))

    assert await ended(run) is outcome
    assert run.errors == ((error,) if outcome is Outcome.FAILED else ())


async def test_a_stop_iteration_fails_it_as_it_does_a_coroutine(parts: Parts) -> None:
    run = parts.start(parts.state(raising(StopIteration())))

    assert await ended(run) is Outcome.FAILED
    assert isinstance(run.errors[0].__cause__, StopIteration)


async def test_it_knows_its_run(parts: Parts) -> None:
    seen: list[object] = []

    def handler(ctx: Run) -> None:
        seen.extend((ctx, current_run(), threading.current_thread() is threading.main_thread()))

    run = parts.start(parts.state(handler))
    assert await ended(run) is Outcome.SUCCEEDED
    assert seen == [run, run, False]


async def test_what_it_returns_is_awaited(parts: Parts) -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("began")
        await turns()
        seen.append("ended")

    assert await ended(parts.start(parts.state(lambda: work()))) is Outcome.SUCCEEDED
    assert seen == ["began", "ended"]


async def test_a_cancelled_run_lasts_until_its_thread_ends(parts: Parts, blocking: Blocking) -> None:
    run = await blocking.begin(parts)
    draining = asyncio.ensure_future(parts.executor.drain(0, 5))
    await parts.clock.advance(6)
    assert draining.done()
    assert run.outcome is None
    blocking.go.set()

    assert await ended(run) is Outcome.SUCCEEDED


async def test_however_often_it_is_cancelled(parts: Parts, blocking: Blocking) -> None:
    run = await blocking.begin(parts)
    for _ in range(5):
        for task in asyncio.all_tasks() - {asyncio.current_task(), *parts.tasks}:  # as the end of asyncio.run does
            task.cancel()
        await turns()
    assert run.outcome is None
    blocking.go.set()

    assert await ended(run) is Outcome.SUCCEEDED


@pytest.mark.parametrize("kind", ["coroutine", "future"])
async def test_what_a_cancelled_thread_returns_is_not_begun(parts: Parts, blocking: Blocking, kind: str) -> None:
    began: list[int] = []

    async def work() -> None:
        began.append(1)

    def result() -> Awaitable[object]:
        return work() if kind == "coroutine" else asyncio.Future(loop=blocking._loop)

    blocking.result = result
    run = await blocking.begin(parts)
    draining = asyncio.ensure_future(parts.executor.drain(0, 5))
    await turns()
    blocking.go.set()

    assert await ended(run) is Outcome.CANCELLED
    await draining
    assert began == []


class TestLimitedThreads:
    @pytest.fixture(autouse=True)
    def _one_thread(self, parts: Parts) -> None:
        parts.limiter = CapacityLimiter(1)

    async def test_the_next_waits_for_a_free_thread(self, parts: Parts, blocking: Blocking) -> None:
        run = await blocking.begin(parts)
        ran: list[int] = []
        waiting = parts.start(parts.state(lambda: ran.append(1)))
        await turns()
        assert ran == []
        blocking.go.set()

        assert await ended(run) is Outcome.SUCCEEDED
        assert await ended(waiting) is Outcome.SUCCEEDED
        assert ran == [1]

    async def test_one_that_waits_for_a_free_thread_can_be_cancelled(self, parts: Parts, blocking: Blocking) -> None:
        run = await blocking.begin(parts)
        ran: list[int] = []
        waiting = parts.start(parts.state(lambda: ran.append(1)))
        await turns()
        assert waiting.task is not None
        waiting.task.cancel()
        await turns()
        assert waiting.outcome is Outcome.CANCELLED
        assert run.outcome is None

        blocking.go.set()
        assert await ended(run) is Outcome.SUCCEEDED
        after = parts.start(parts.state(lambda: ran.append(2)))
        assert await ended(after) is Outcome.SUCCEEDED
        assert ran == [2]

    async def test_one_whose_inner_waiting_is_cancelled_does_not_hang(self, parts: Parts, blocking: Blocking) -> None:
        """The end of ``asyncio.run`` cancels every task, also the one that waits for a thread."""
        await blocking.begin(parts)
        known = asyncio.all_tasks()
        waiting = parts.start(parts.state(lambda: None))
        await turns()
        for task in asyncio.all_tasks() - known - {waiting.task}:
            task.cancel()
        await turns()
        for task in asyncio.all_tasks() - known:
            task.cancel()
        await turns()

        assert waiting.outcome is Outcome.CANCELLED


async def test_a_thread_that_cannot_be_started_fails_the_run(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("anyio.to_thread.run_sync", refuse)
    run = parts.start(parts.state(lambda: None))

    assert await ended(run) is Outcome.FAILED
    assert "can't start new thread" in str(run.errors[0])


async def test_what_fails_after_the_function_has_ended_does_not_count(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_and_fail(function: Callable[[], None], **_: object) -> None:
        function()
        await turns(1)
        raise RuntimeError("too late to matter")

    monkeypatch.setattr("anyio.to_thread.run_sync", run_and_fail)

    assert await ended(parts.start(parts.state(lambda: None))) is Outcome.SUCCEEDED


async def test_the_run_ends_no_sooner_than_its_thread_is_back(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    back = asyncio.Event()

    async def come_back_late(function: Callable[[], None], **_: object) -> None:
        function()
        await back.wait()

    monkeypatch.setattr("anyio.to_thread.run_sync", come_back_late)
    run = parts.start(parts.state(lambda: None))
    await turns(20)
    assert run.outcome is None  # else the task that waits for the thread would be left to nobody

    back.set()
    assert await ended(run) is Outcome.SUCCEEDED


async def test_a_thread_that_comes_after_its_run_has_given_up_does_nothing() -> None:
    made: list[int] = []
    call = _ThreadCall(lambda: made.append(1))
    call._turn.acquire()
    call._in_thread()
    await turns()

    assert made == []
    assert not call._ended.done()


def test_a_thread_that_outlives_its_loop_harms_nobody() -> None:
    async def begin() -> _ThreadCall:
        return _ThreadCall(lambda: None)

    call = asyncio.run(begin())
    call._in_thread()
    assert not call._ended.done()
