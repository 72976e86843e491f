"""Owns one clock's two hands, and who waits for them. Never moves by itself: a ``Drive`` moves it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asyncsched._clock import CallQueue, PendingCall, make_calls
from asyncsched._run import current_run

if TYPE_CHECKING:
    from collections.abc import Callable


NEVER = float("inf")


class Dial:
    """A ``Clock`` that stands still.

    Args:
        offset: the wall time, in seconds since the epoch, at ``elapsed`` 0.
        elapsed: the monotonic time, in seconds.
    """

    def __init__(self, offset: float, elapsed: float = 0.0) -> None:
        self._offset, self._elapsed = offset, elapsed
        self._shown: float | None = None
        """The wall time, once it was asked for: that is far more often than it moves."""
        self.is_frozen = False
        """Whether its time goes on, but wakes nobody: all whom it should have are woken afterwards."""
        self.due_at = 0.0
        """What ``next_due`` returned last; infinite for ``None``."""
        self.on_asked: Callable[[], None] = _nothing
        """Called with every timer that is set."""
        self._walls, self._monotonics = CallQueue(), CallQueue()
        self._of_runs: list[tuple[str, PendingCall]] = []

    @property
    def offset(self) -> float:
        """The wall time at ``elapsed`` 0; set it to step the clock."""
        return self._offset

    @offset.setter
    def offset(self, offset: float) -> None:
        self._offset, self._shown = offset, None

    @property
    def elapsed(self) -> float:
        """The monotonic time; whoever sets it wakes nobody."""
        return self._elapsed

    @elapsed.setter
    def elapsed(self, elapsed: float) -> None:
        self._elapsed, self._shown = elapsed, None

    def time(self) -> float:
        """Return the wall clock: seconds since the Unix epoch."""
        shown = self._shown
        if shown is None:
            shown = self._shown = round((self._offset + self._elapsed) * 1e6) / 1e6  # `round(…, 6)` takes far longer
        return shown

    def monotonic(self) -> float:
        """Return the seconds by which this clock was advanced so far."""
        return self._elapsed

    def now(self) -> datetime:
        """Return the wall clock as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def call_at(self, when: float, callback: Callable[[], object]) -> PendingCall:
        """Call back when the wall clock reaches ``when``, in seconds since the epoch."""
        us = round(when * 1e6)
        if us / 1e6 < when:  # time() shows whole microseconds: round up to one
            us += 1
        return self._noted(self._walls.push(us / 1e6, callback))

    def call_later(self, delay: float, callback: Callable[[], object]) -> PendingCall:
        """Call back when this clock was advanced by ``delay`` more seconds."""
        return self._noted(self._monotonics.push(self._elapsed + delay, callback))

    def _noted(self, call: PendingCall) -> PendingCall:
        run = current_run()
        if run is not None:
            self._of_runs.append((run.run_id, call))
        self.on_asked()
        return call

    def next_due(self) -> float | None:
        """Return the monotonic time at which the next call is due; ``None``: nobody waits, or would be woken."""
        self.due_at = NEVER
        if self.is_frozen:
            return None
        due, wall_at = self._monotonics.next_at(), self._walls.next_at()
        if wall_at is not None:
            from_wall = wall_at - self._offset
            if due is None or from_wall < due:
                due = from_wall
        if due is not None:
            self.due_at = due
        return due

    def make_due_calls(self) -> None:
        """Make the calls that are due, in their order."""
        if self.is_frozen:
            return
        calls = self._monotonics.pop_due(self._elapsed) + self._walls.pop_due(self.time())
        try:
            make_calls(calls)
        finally:
            for call in calls:
                call.cancel()  # nobody waits for it any more
            if self._of_runs:
                self._of_runs = [(run, call) for run, call in self._of_runs if call.callback is not None]

    def waiting_runs(self) -> set[str]:
        """Return the ids of the runs that wait for this clock."""
        return {run for run, call in self._of_runs if call.callback is not None}


def _nothing() -> None:
    """Nobody wants to know."""
