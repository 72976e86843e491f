"""Owns the estimate of the servers' wall clocks. Reads no clock itself: readings come in as arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


WIDENING = 0.01
"""Seconds of precision that a sample loses in each second: clocks drift apart, and are slewed."""


class ServerTime:
    """One server's wall clock, carried on by the local clock since the last sample.

    Local instants are seconds of a clock that is never set back and counts suspends.

    Args:
        before: the clock of the server whose place this one has taken; good enough until the first sample, but
            for nothing that must be judged by this very clock.
    """

    __slots__ = ("_at", "_offset", "_width", "is_sampled")

    def __init__(self, before: ServerTime | None = None) -> None:
        self._offset = None if before is None else before.at(0.0)
        self._width = self._at = 0.0
        """Seconds that the round trip of the sample took that counts, and when it was over."""
        self.is_sampled = False

    def sample(self, server_us: int, *, sent_at: float, received_at: float) -> None:
        """Take in what the server's clock showed (microseconds since the epoch) between two local instants.

        A newer sample counts, so that a step of the server's clock is not averaged away; but not one that agrees with
        the older one and says less. Of an answer that lay unread while this process was busy, the middle is far off.
        """
        earliest, latest = server_us / 1e6 - received_at, server_us / 1e6 - sent_at
        if self.is_sampled and self._offset is not None and earliest <= self._offset <= latest:
            width = self._width + WIDENING * max(0.0, received_at - self._at)
            if received_at - sent_at > width:
                return
        self._offset = (earliest + latest) / 2
        self._width, self._at = received_at - sent_at, received_at
        self.is_sampled = True

    def at(self, local: float) -> float | None:
        """Return the server's wall clock at a local instant in seconds since the epoch, if any is known."""
        return None if self._offset is None else local + self._offset


def most_behind(clocks: Iterable[ServerTime], local: float) -> float | None:
    """Return what the one that is most behind of the known ``clocks`` shows: by it, nothing is asked too early."""
    return min((at for clock in clocks if (at := clock.at(local)) is not None), default=None)
