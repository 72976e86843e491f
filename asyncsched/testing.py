"""Owns the test doubles that users and our own suite share: today the fake clock."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asyncsched._clock import CallQueue, PendingCall, make_calls
from asyncsched._durations import Duration, seconds
from asyncsched._instants import require_aware
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FakeClock"]

QUIET_TURNS = 10
"""Turns of the event loop in which nobody set a timer, after which everything that was woken counts as settled.
With a single turn most of a chain of awaits is cut off in silence, and runs go missing."""


class FakeClock:
    """A clock that stands still until told to move: hours of a scheduler pass in milliseconds.

    Give it to ``Scheduler(clock=...)`` and drive it with ``await clock.advance(seconds)``. Every waiter in between
    is woken at its own instant, in order, and the event loop is left to settle before time moves on. Work in threads
    and on sockets takes real time, which this clock does not wait for.

    Args:
        start: the first wall time, aware.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._offset = require_aware(start, what="FakeClock start").timestamp()
        self._elapsed = 0.0
        self._walls, self._monotonics = CallQueue(), CallQueue()
        self._asked = 0

    def time(self) -> float:
        """Return the wall clock: seconds since the Unix epoch."""
        return round(self._offset + self._elapsed, 6)

    def monotonic(self) -> float:
        """Return the seconds by which this clock was advanced so far."""
        return self._elapsed

    def now(self) -> datetime:
        """Return the wall clock as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def call_at(self, when: float, callback: Callable[[], object]) -> PendingCall:
        """Call back when the wall clock reaches ``when``, in seconds since the epoch."""
        self._asked += 1
        return self._walls.push(round(when + 4e-7, 6), callback)  # time() shows whole microseconds: round up to one

    def call_later(self, delay: float, callback: Callable[[], object]) -> PendingCall:
        """Call back when this clock was advanced by ``delay`` more seconds."""
        self._asked += 1
        return self._monotonics.push(self._elapsed + delay, callback)

    def shift(self, by: float) -> None:
        """Step the wall clock alone by ``by`` seconds (negative: back), as NTP or an administrator would.

        Those who wait notice it at the next ``advance``, even of 0.
        """
        if isinstance(by, bool) or not isinstance(by, int | float) or not math.isfinite(by):
            raise ConfigurationError(f"shift(): {by!r} is not a finite number of seconds")
        self._offset += by

    async def advance(self, by: Duration) -> None:
        """Let ``by`` (seconds or timedelta) pass, waking each waiter at its own instant."""
        end = self._elapsed + seconds(by, what="advance()")
        await self.settle()
        while (due := self._next_due()) is not None and due <= end + 1e-9:
            self._elapsed = max(self._elapsed, due)
            make_calls(self._monotonics.pop_due(self._elapsed) + self._walls.pop_due(self.time()))
            await self.settle()
        self._elapsed = max(self._elapsed, end)
        await self.settle()

    async def advance_to(self, instant: datetime) -> None:
        """Let time pass until the wall clock shows ``instant`` (aware, not in the past)."""
        await self.advance(require_aware(instant, what="advance_to()").timestamp() - self.time())

    async def settle(self) -> None:
        """Let the event loop run until nobody has set a timer for ``QUIET_TURNS`` turns."""
        quiet = 0
        while quiet < QUIET_TURNS:
            before = self._asked
            await asyncio.sleep(0)
            quiet = quiet + 1 if before == self._asked else 0

    def _next_due(self) -> float | None:
        wall_at = self._walls.next_at()
        from_wall = None if wall_at is None else wall_at - self._offset
        dues = [due for due in (from_wall, self._monotonics.next_at()) if due is not None]
        return min(dues, default=None)
