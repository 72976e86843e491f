"""Owns the watch over the event loop: one that is blocked for long can renew no lease.

    on the loop    a timer beats while leases are held, and finds out for how long it could not
    in a thread    while the beat is overdue: which task keeps the loop, and at which line

The thread tells of a block while it lasts, even of one that never ends. A process that is stopped as a whole (SIGSTOP,
a machine asleep) looks the same from inside, but there is no task to name then.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched._accounting import Ledger
    from asyncsched.protocols import Clock, Timer

PART_OF_TTL = 3
"""The loop counts as blocked once it has not turned for the shortest held lease's time divided by this."""
BEATS = 10
"""Beats within that time: a block is measured to one of them."""
LONGEST_BEAT = 5.0
"""Seconds between two beats at most."""


class LoopWatch:
    """Watches the running event loop.

    Args:
        clock: its monotonic time counts.
        shortest_ttl: returns the ``lock_ttl`` of the shortest held lease, ``None`` if none is held.
        job_of: returns the job that a task works for, if it is known to; called from the thread.
        ledger: told of each block twice: from the thread while it lasts, and on the loop when it is over.
    """

    def __init__(
        self,
        clock: Clock,
        shortest_ttl: Callable[[], float | None],
        job_of: Callable[[asyncio.Task[object] | None], str | None],
        ledger: Ledger,
    ) -> None:
        self._clock = clock
        self._shortest_ttl = shortest_ttl
        self._job_of = job_of
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._limit = float("inf")
        """Seconds; infinite while nothing is watched."""
        self._beat_at = 0.0
        self._timer: Timer | None = None
        self._was_seen = False
        self._was_held = False
        """Whether a lease was held since the last beat: short runs that follow each other are watched as one."""
        self._job: str | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._closing = False

    def watch(self, lock_ttl: float) -> None:
        """Watch for the sake of a lease that is held from now on; it costs nothing while a shorter one is."""
        limit = lock_ttl / PART_OF_TTL
        self._was_held = True
        if limit < self._limit and not self._closing:
            self._beat_at = self._clock.monotonic()  # before the limit: the thread may look in between
            self._limit = limit
            self._set_timer()
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_on, name="asyncsched-loop-watch", daemon=True)
                self._thread.start()
            self._wake.set()

    @property
    def _interval(self) -> float:
        return min(self._limit / BEATS, LONGEST_BEAT)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(self._interval, self._beat)

    def _beat(self) -> None:
        now = self._clock.monotonic()
        silent_for, self._beat_at = now - self._beat_at, now
        job, self._job, self._was_seen = self._job, None, False
        if silent_for > self._limit:
            self._ledger.loop_blocked(job, silent_for)
        was_held, self._was_held = self._was_held, False
        shortest = self._shortest_ttl()
        if shortest is not None:
            self._limit = shortest / PART_OF_TTL
            self._set_timer()
        elif was_held:
            self._set_timer()
        else:
            self._limit = float("inf")
            self._timer = None

    def _look_on(self) -> None:
        """Look, in the thread, whether the loop still beats."""
        while not self._closing:
            self._wake.wait(None if self._limit == float("inf") else self._interval)
            self._wake.clear()
            silent_for = self._clock.monotonic() - self._beat_at
            if silent_for > self._limit and not self._was_seen and not self._closing:
                self._job, self._was_seen = self._job_of(asyncio.current_task(self._loop)), True
                self._ledger.loop_blocking(self._job, silent_for, self._where())

    def _where(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the documented way
        return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"

    def close(self) -> None:
        """Watch no more."""
        self._closing = True
        self._limit = float("inf")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake.set()
        if self._thread is not None:
            self._thread.join(LONGEST_BEAT)
