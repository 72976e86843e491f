"""A clock, a scheduler on it, and a day in its life in which everything happens that there are metrics for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import MemoryStore, Scheduler, StoreUnavailableError
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Remote(MemoryStore):
    """A store that can be cut off, and whose answers take a quarter of a second."""

    is_down = False

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.dial = clock

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailableError("nobody answers")

    async def claim(self, requests: Any) -> Any:
        self._check()
        self.dial.elapsed += 0.25
        return await super().claim(requests)

    async def renew(self, leases: Any) -> Any:
        self._check()
        return await super().renew(leases)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> Remote:
    return Remote(clock)


@pytest.fixture
def scheduler(clock: FakeClock, store: Remote) -> Scheduler:
    return Scheduler(store, clock=clock, node="n1", shutdown_timeout=0)


@pytest.fixture
def live(scheduler: Scheduler, clock: FakeClock, store: Remote) -> Callable[[], Awaitable[None]]:
    """Let the scheduler, which runs, have a few minutes of work, a failure, a miss, a pause, a skip and an outage."""

    async def work() -> None: ...

    async def fail() -> None:
        raise ZeroDivisionError("no price")

    async def hold() -> None:
        await asyncio.Event().wait()

    scheduler.add_job("works", work).per_seconds(60)
    scheduler.add_job("fails", fail).per_seconds(60)
    scheduler.add_job("paused", work).per_seconds(60)
    scheduler.add_job("held", hold).per_seconds(60).without_overlapping().lock_ttl(30)

    async def go() -> None:
        await scheduler.pause("paused")
        await clock.advance(120)
        store.is_down = True  # the lease of the run of "held" cannot be renewed, and is lost
        await clock.advance(60)
        store.is_down = False
        await clock.advance(60)
        clock.elapsed += 600  # the process stood still: ticks were missed
        await clock.advance(0)

    return go
