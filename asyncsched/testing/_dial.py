"""Owns one clock's two hands, and who waits for them. Never moves by itself: a ``Drive`` moves it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asyncsched._clock import CallQueue, PendingCall, make_calls
from asyncsched._run import current_run

if TYPE_CHECKING:
    from collections.abc import Callable


class Dial:
    """A ``Clock`` that stands still.

    Args:
        offset: the wall time, in seconds since the epoch, at ``elapsed`` 0.
        elapsed: the monotonic time, in seconds.
    """

    def __init__(self, offset: float, elapsed: float = 0.0) -> None:
        self.offset = offset
        self.elapsed = elapsed
        self.is_frozen = False
        """Whether its time goes on, but wakes nobody: all whom it should have are woken afterwards."""
        self.on_asked: Callable[[], None] = _nothing
        """Called with every timer that is set."""
        self._shown: tuple[float, float, float] = (offset, elapsed, round(offset + elapsed, 6))
        """Offset, elapsed and the wall time that follows: it is asked for far more often than it moves."""
        self._walls, self._monotonics = CallQueue(), CallQueue()
        self._of_runs: list[tuple[str, PendingCall]] = []

    def time(self) -> float:
        """Return the wall clock: seconds since the Unix epoch."""
        offset, elapsed, shown = self._shown
        if offset != self.offset or elapsed != self.elapsed:
            shown = round(self.offset + self.elapsed, 6)
            self._shown = self.offset, self.elapsed, shown
        return shown

    def monotonic(self) -> float:
        """Return the seconds by which this clock was advanced so far."""
        return self.elapsed

    def now(self) -> datetime:
        """Return the wall clock as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def call_at(self, when: float, callback: Callable[[], object]) -> PendingCall:
        """Call back when the wall clock reaches ``when``, in seconds since the epoch."""
        # time() shows whole microseconds: round up to one
        return self._noted(self._walls.push(round(when + 4e-7, 6), callback))

    def call_later(self, delay: float, callback: Callable[[], object]) -> PendingCall:
        """Call back when this clock was advanced by ``delay`` more seconds."""
        return self._noted(self._monotonics.push(self.elapsed + delay, callback))

    def _noted(self, call: PendingCall) -> PendingCall:
        run = current_run()
        if run is not None:
            self._of_runs.append((run.run_id, call))
        self.on_asked()
        return call

    def next_due(self) -> float | None:
        """Return the monotonic time at which the next call is due; ``None``: nobody waits, or would be woken."""
        if self.is_frozen:
            return None
        wall_at = self._walls.next_at()
        from_wall = None if wall_at is None else wall_at - self.offset
        dues = [due for due in (from_wall, self._monotonics.next_at()) if due is not None]
        return min(dues, default=None)

    def make_due_calls(self) -> None:
        """Make the calls that are due, in their order."""
        if self.is_frozen:
            return
        calls = self._monotonics.pop_due(self.elapsed) + self._walls.pop_due(self.time())
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
