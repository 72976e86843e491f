"""Owns the doubles of the life-cycle tests: a store that can be cut off, wrong clocks, and books of what happened."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from asyncsched import MemoryStore, StoreUnavailableError, events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched import Clock, Scheduler
    from asyncsched._grants import ClaimAnswer, ClaimRequest, Lease, Renewal
    from asyncsched.protocols import Timer


class Link:
    """One node's way to a ``MemoryStore``, which others may share; ``fail`` says what happens on it.

    ``fail(method)`` is asked before each call and may return an exception: ``cut`` raises it before the store is
    asked, ``lost`` after it has decided.
    """

    def __init__(self, memory: MemoryStore) -> None:
        self.memory = memory
        self.refresh_interval: float | None = None
        self.cut: Callable[[str], BaseException | None] = lambda _: None
        self.lost: Callable[[str], BaseException | None] = lambda _: None
        self.calls: Counter[str] = Counter()
        self.closed = 0
        self.knows_time = True

    def down(self, *methods: str) -> None:
        """Answer none of ``methods``; of none at all, if none is named."""
        self.cut = lambda method: StoreUnavailableError("down") if not methods or method in methods else None

    def mute(self, *methods: str) -> None:
        """Carry out, but never answer."""
        self.lost = lambda method: StoreUnavailableError("lost") if not methods or method in methods else None

    def up(self) -> None:
        self.cut = self.lost = lambda _: None

    async def refresh(self) -> Sequence[str]:
        answer: Sequence[str] = await self._call("refresh", self.memory.refresh())
        return answer

    def time(self) -> float | None:
        return self.memory.time() if self.knows_time else None

    def is_paused(self, job: str) -> bool:
        return self.memory.is_paused(job)

    async def set_paused(self, job: str, paused: bool) -> None:
        await self._call("set_paused", self.memory.set_paused(job, paused))

    async def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        return await self._call("claim", self.memory.claim(requests))

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Renewal]:
        return await self._call("renew", self.memory.renew(leases))

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        return await self._call("release", self.memory.release(leases))

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        return self.memory.listen(callback)

    async def close(self) -> None:
        self.closed += 1

    async def _call(self, method: str, work: Any) -> Any:
        self.calls[method] += 1
        if (error := self.cut(method)) is not None:
            work.close()
            raise error
        answer = await work
        if (error := self.lost(method)) is not None:
            raise error
        return answer


class SkewedClock:
    """A node's view of the shared clock: its wall is ``skew`` seconds wrong, its monotonic time is not."""

    def __init__(self, clock: Clock, skew: float) -> None:
        self._clock = clock
        self.skew = skew

    def time(self) -> float:
        return round(self._clock.time() + self.skew, 6)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        return self._clock.call_at(when - self.skew, callback)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return self._clock.call_later(delay, callback)


class Book:
    """Every event of one scheduler, in order."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.events: list[Any] = []
        scheduler.subscribe(self.events.append)

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    def outcomes(self, job: str) -> list[str]:
        return [str(event.outcome) for event in self.of(events.RunEnded) if event.job == job]

    def skips(self, job: str) -> list[str]:
        return [str(event.reason) for event in self.of(events.TickSkipped) if event.job == job]

    def missed(self, job: str) -> int:
        return sum(event.count for event in self.of(events.TicksMissed) if event.job == job)

    def totals(self, job: str) -> Counter[str]:
        """Return what the counters of the job should say."""
        totals = Counter(self.outcomes(job) + self.skips(job))
        if missed := self.missed(job):
            totals["missed"] = missed
        return totals


class Handler:
    """An async handler that notes its runs and works until it is let go, or is cancelled; ``deaf`` ignores that."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.runs: list[Any] = []
        self.cancelled = 0
        self.ended = 0
        self._deaf = deaf
        self._let_go = asyncio.Event()

    async def __call__(self, ctx: Any) -> None:
        self.runs.append(ctx)
        while not self._let_go.is_set():
            try:
                await self._let_go.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if not self._deaf:
                    raise
        self.ended += 1

    def let_go(self) -> None:
        self._let_go.set()


async def nothing() -> None:
    """A handler that does nothing."""


def locks(memory: MemoryStore) -> dict[str, set[str]]:
    """Return the locks that anyone holds now, by job, but for that of an immediate run, which is kept on purpose."""
    held = {job: {str(lock) for lock in memory._job(job).locks} - {"start"} for job in tuple(memory._jobs)}
    return {job: types for job, types in held.items() if types}
