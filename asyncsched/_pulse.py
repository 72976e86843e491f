"""Owns the beat of the event loop: whether it still turns, and how late it is. Nothing beats until somebody asks."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncsched.protocols import Clock, Timer

BEAT = 1.0
"""Seconds between two beats."""
KEPT = 60
"""Beats whose delay is remembered."""


class Pulse:
    """Beats on the running event loop once it is wanted. What it tells may be asked from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._due_at: float | None = None
        """When the next beat should come, in monotonic seconds; ``None``: nobody has asked yet."""
        self._lags: deque[float] = deque(maxlen=KEPT)
        self._timer: Timer | None = None
        self._closed = False

    def want(self) -> None:
        """Beat from now on, for those who will ask."""
        if self._due_at is None:
            self._due_at = self._clock.monotonic()
            with suppress(RuntimeError):  # the loop was closed over a scheduler that ran: then it will never beat
                self._loop.call_soon_threadsafe(self._beat, context=Context())  # no run's, if one asks

    @property
    def silent_for(self) -> float:
        """Seconds since when a beat is overdue; 0 if none is, or if it was never wanted."""
        return 0.0 if self._due_at is None else max(0.0, self._clock.monotonic() - self._due_at)

    @property
    def lag(self) -> float:
        """Seconds by which the latest of the last ``KEPT`` beats came too late, or the next one is overdue."""
        return max(self.silent_for, *list(self._lags), 0.0)  # a list: no beat can come in between

    def _beat(self) -> None:
        if not self._closed:
            self._lags.append(self.silent_for)
            self._due_at = self._clock.monotonic() + BEAT
            self._timer = self._clock.call_later(BEAT, self._beat)

    def close(self) -> None:
        """Beat no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
