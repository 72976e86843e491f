"""Owns the fake clock: a dial that moves when a test tells it to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncsched._instants import require_aware
from asyncsched._run import current_run
from asyncsched.exceptions import ConfigurationError
from asyncsched.testing._dial import Dial
from asyncsched.testing._drive import Drive
from asyncsched.testing._lengths import Length, length
from asyncsched.testing._loop_patch import patched_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from asyncsched._scheduler import Scheduler

LIMIT = "366 days"
"""For how long ``run_until`` goes on, unless told otherwise."""


class FakeClock(Dial):
    """A clock that stands still until told to move: a year of a scheduler passes in seconds.

    Give it to ``Scheduler(clock=...)`` and drive it with ``await clock.advance("1 day")``. Every waiter in between is
    woken at its own instant, in order, and the event loop is left to settle before time moves on.

    Args:
        start: the first wall time, aware.
        waits_for_threads: whether time stands still while a plain function is at work in its thread; ``False``: for
            tests in which it shall not end before time has passed.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), *, waits_for_threads: bool = True) -> None:
        super().__init__(require_aware(start, what="FakeClock start").timestamp())
        self.drive = Drive(self, waits_for_threads=waits_for_threads)

    def shift(self, by: float) -> None:
        """Step the wall clock alone by ``by`` seconds (negative: back), as NTP or an administrator would.

        Those who wait notice it at the next ``advance``, even of 0.
        """
        if isinstance(by, bool) or not isinstance(by, int | float) or not math.isfinite(by):
            raise ConfigurationError(f"shift(): {by!r} is not a finite number of seconds")
        self.offset += by

    async def advance(self, by: Length) -> None:
        """Let ``by`` pass, waking each waiter at its own instant.

        Args:
            by: seconds, a ``timedelta``, or a text such as ``"1 day"``, ``"90 minutes"`` or ``"2 h"``.

        Raises:
            ConfigurationError: none of these, or negative.
            AssertionError: a plain function was at work in its thread for 10 s of real time.
        """
        await self.drive.advance(length(by, what="advance()"))

    async def advance_to(self, instant: datetime) -> None:
        """Let time pass until the wall clock shows ``instant`` (aware, not in the past)."""
        await self.advance(require_aware(instant, what="advance_to()").timestamp() - self.time())

    async def run_until(
        self,
        until: datetime | Callable[[], object] | Awaitable[Any],
        *schedulers: Scheduler,
        limit: Length = LIMIT,
    ) -> Any:
        """Let time pass until something has come, and return what an awaitable returned.

        Args:
            until: an aware instant that is not past; a function, asked at each instant at which someone is woken,
                until what it returns is true; or an awaitable, until it has ended.
            schedulers: run while that lasts, then stopped, as ``async with scheduler`` does; a drain takes fake time.
                The timers of their runs follow the clock, as with ``patch_asyncio``.
            limit: how long it may take by this clock; does not count for an instant.

        Raises:
            ConfigurationError: ``until`` is none of these.
            AssertionError: it did not come within ``limit``, or nobody waits for this clock any more.
        """
        seconds = length(limit, what="run_until() limit")
        if not schedulers:
            return await self._run_until(until, seconds)
        with self.patch_asyncio():
            async with self._running(schedulers):
                return await self._run_until(until, seconds)

    async def _run_until(self, until: object, limit: float) -> Any:
        if isinstance(until, datetime):
            await self.advance_to(until)
        elif isinstance(until, Awaitable):
            return await self._run_until_done(asyncio.ensure_future(until), limit)
        elif callable(until):
            await self.drive.advance_while(lambda: not until(), limit=limit, what=f"run_until({until!r})")
        else:
            raise ConfigurationError(f"run_until(): {until!r} is neither a datetime nor a function nor an awaitable")
        return None

    async def _run_until_done(self, task: asyncio.Future[Any], limit: float) -> Any:
        try:
            await self.drive.advance_while(lambda: not task.done(), limit=limit, what=f"run_until({task!r})")
        except BaseException:
            task.cancel()
            raise
        return task.result()

    @asynccontextmanager
    async def _running(self, schedulers: tuple[Scheduler, ...]) -> AsyncIterator[None]:
        entered = []
        try:
            for scheduler in schedulers:
                await scheduler.__aenter__()
                entered.append(scheduler)
            yield
        finally:
            leaving = asyncio.gather(*(scheduler.__aexit__(None, None, None) for scheduler in entered))
            await self.run_until(leaving)

    @contextmanager
    def patch_asyncio(self) -> Iterator[None]:
        """Let asyncio's timers follow this clock where a run sets them: ``asyncio.sleep``, ``timeout`` and ``wait_for``
        in handlers, and in the tasks that they start. What the test itself awaits goes on in real time.

        Raises:
            RuntimeError: no event loop of asyncio runs.
        """
        with patched_loop(self.drive, lambda: None if current_run() is None else self):
            yield

    async def settle(self) -> None:
        """Let the event loop run until no task can go on before time does; no time passes."""
        await self.drive.settle()
