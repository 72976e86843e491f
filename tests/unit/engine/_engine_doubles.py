"""Owns the doubles of the engine's tests: a store that follows a script, clocks that are wrong, and handlers."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from asyncsched import MemoryStore, Outcome, StoreUnavailableError
from asyncsched._grants import LockType
from asyncsched.stores._decide import Held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from asyncsched import Clock, RunContext, Scheduler
    from asyncsched._grants import ClaimAnswer, ClaimRequest, Lease, Renewal
    from asyncsched.protocols import Attendance, Timer
    from asyncsched.testing import FakeClock

    Method = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    Act = Callable[[Method, Sequence[Any]], Awaitable[Sequence[Any]]]

E = TypeVar("E")


class ScriptedStore:
    """A ``MemoryStore`` of which the next answers can be arranged: ``store.on("claim", down, answer_lost)``."""

    def __init__(self, clock: Clock, *, refresh_interval: float | None = None) -> None:
        self.memory = MemoryStore(clock)
        self.refresh_interval = refresh_interval
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.closed = 0
        self.knows_time = True
        self.spreads_news = True
        self._clock = clock
        self._script: dict[str, deque[Act]] = {}

    def on(self, method: str, *acts: Act) -> None:
        """Let the next calls of ``method`` go as ``acts``; those that follow are the memory store's own."""
        self._script.setdefault(method, deque()).extend(acts)

    def forget_script(self, method: str) -> None:
        self._script.pop(method, None)

    def requests(self, method: str) -> list[tuple[Any, ...]]:
        return [requests for name, requests in self.calls if name == method]

    @property
    def claims(self) -> list[ClaimRequest]:
        return [request for batch in self.requests("claim") for request in batch]

    def locks(self, job: str) -> set[LockType]:
        """Return the locks that are held now."""
        return set(self.memory._job(job).locks)

    def lose(self, job: str, *locks: LockType) -> None:
        """Lose keys, as an eviction does."""
        for lock in locks or tuple(LockType):
            self.memory._job(job).locks.pop(lock, None)

    def take(self, job: str, lock: LockType) -> None:
        """Hold a lock as another node does."""
        self.memory._job(job).locks[lock] = Held("elsewhere:1", 2**62, self._clock.monotonic() + 600)

    # The protocol

    async def refresh(self) -> Sequence[str]:
        return await self._call("refresh", lambda _: _none(), ())

    def time(self) -> float | None:
        return self.memory.time() if self.knows_time else None

    def is_paused(self, job: str) -> bool:
        return self.memory.is_paused(job)

    async def set_paused(self, job: str, paused: bool) -> None:
        await self.memory.set_paused(job, paused)

    async def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        return await self._call("claim", self.memory.claim, requests)

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Renewal]:
        return await self._call("renew", self.memory.renew, leases)

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        return await self._call("release", self.memory.release, leases)

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        return self.memory.listen(callback)

    def attend(self, name: Callable[[], str], heard: Callable[[Sequence[str], int], None]) -> Attendance:
        def hear(jobs: Sequence[str], tick_us: int) -> None:
            if self.spreads_news:
                heard(jobs, tick_us)

        return self.memory.attend(name, hear)

    async def close(self) -> None:
        self.closed += 1

    async def _call(self, name: str, method: Method, items: Sequence[Any]) -> Sequence[Any]:
        self.calls.append((name, tuple(items)))
        script = self._script.get(name)
        return await (script.popleft()(method, items) if script else method(items))


def ghost(memory: MemoryStore, group: str, number: int = 0) -> Attendance:
    """Have a node be there that never asks: frozen, or dead and not yet missed."""
    name = f"{group}|{number}-ghost|"
    return memory.attend(lambda: name, lambda _jobs, _tick_us: None)


async def _none() -> Sequence[Any]:
    return ()


async def down(_method: Method, _items: Sequence[Any]) -> Sequence[Any]:
    """Never reach the store."""
    raise StoreUnavailableError("the store is down")


async def unhindered(method: Method, items: Sequence[Any]) -> Sequence[Any]:
    return await method(items)


async def answer_lost(method: Method, items: Sequence[Any]) -> Sequence[Any]:
    """Reach the store, and lose its answer."""
    await method(items)
    raise StoreUnavailableError("the answer was lost")


def raising(error: BaseException) -> Act:
    """Raise what a store must not raise."""

    async def act(_method: Method, _items: Sequence[Any]) -> Sequence[Any]:
        raise error

    return act


def answering(*answers: Any) -> Act:
    """Answer this, without asking the memory store."""

    async def act(_method: Method, _items: Sequence[Any]) -> Sequence[Any]:
        return answers

    return act


class Gate:
    """An answer that waits: ``store.on("claim", gate)``. ``decided_first``: only its way back takes long."""

    def __init__(self, *, decided_first: bool = False) -> None:
        self._open = asyncio.Event()
        self._decided_first = decided_first
        self.entered = False

    async def __call__(self, method: Method, items: Sequence[Any]) -> Sequence[Any]:
        self.entered = True
        if self._decided_first:
            answers = await method(items)
            await self._open.wait()
            return answers
        await self._open.wait()
        return await method(items)

    def open(self) -> None:
        self._open.set()


class Skewed:
    """A clock whose wall is wrong by ``skew`` seconds."""

    def __init__(self, clock: Clock, skew: float) -> None:
        self._clock, self.skew = clock, skew

    def time(self) -> float:
        return round(self._clock.time() + self.skew, 6)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        return self._clock.call_at(when - self.skew, callback)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return self._clock.call_later(delay, callback)


class Book:
    """Every event of a scheduler, in order."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.events: list[Any] = []
        scheduler.subscribe(self.events.append)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class Work:
    """A handler that notes its runs and goes on until it is told to end; ``deaf`` to cancellation, if asked."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.contexts: list[RunContext] = []
        self.cancelled = 0
        self.ended = 0
        self._deaf = deaf
        self._finish = asyncio.Event()

    async def __call__(self, ctx: RunContext) -> None:
        self.contexts.append(ctx)
        while not self._finish.is_set():
            try:
                await self._finish.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if not self._deaf:
                    raise
        self.ended += 1

    def finish(self) -> None:
        self._finish.set()


async def quick() -> None:
    """Do nothing."""


async def steps(clock: Any, total: float, step: float) -> None:
    """Advance in pieces, as a test does that looks in between."""
    done = 0.0
    while done < total:
        await clock.advance(min(step, total - done))
        done += step


def counted(scheduler: Scheduler) -> dict[str, int]:
    return dict(scheduler.snapshot().counters)


@asynccontextmanager
async def running(scheduler: Scheduler, clock: FakeClock) -> AsyncIterator[Scheduler]:
    """Run the scheduler in the background and let time pass while it drains, whatever the test did to it."""
    await scheduler.__aenter__()
    try:
        yield scheduler
    finally:
        await clock.run_until(scheduler.__aexit__(None, None, None))


def guarded(scheduler: Scheduler, handler: Any, *, seconds: float = 10) -> None:
    scheduler.add_job("a", handler).per_seconds(seconds).on_one_server().without_overlapping()


def plain(scheduler: Scheduler, handler: Any, *, seconds: float = 10) -> None:
    scheduler.add_job("a", handler).per_seconds(seconds)


ENDS: list[tuple[Callable[[], BaseException] | None, Outcome]] = [
    (None, Outcome.SUCCEEDED),
    (lambda: ValueError("of the handler"), Outcome.FAILED),
    (lambda: SystemExit(3), Outcome.FAILED),
    (GeneratorExit, Outcome.FAILED),
    (StopAsyncIteration, Outcome.FAILED),
    (asyncio.CancelledError, Outcome.CANCELLED),
    (lambda: BaseExceptionGroup("two", [ValueError(), SystemExit()]), Outcome.FAILED),
    (lambda: ExceptionGroup("two", [ValueError(), KeyError()]), Outcome.FAILED),
]
"""What a handler may raise (``None``: nothing), and what its run is booked as."""
