"""Owns the estimate of the servers' wall clocks. Reads no clock itself: readings come in as arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ServerTime:
    """One server's wall clock, carried on by the local clock since the last sample.

    Local instants are seconds of a clock that is never set back and counts suspends.

    Args:
        before: the clock of the server whose place this one has taken; good enough until the first sample, but
            for nothing that must be judged by this very clock.
    """

    __slots__ = ("_offset", "is_sampled")

    def __init__(self, before: ServerTime | None = None) -> None:
        self._offset = None if before is None else before.at(0.0)
        self.is_sampled = False

    def sample(self, server_us: int, *, sent_at: float, received_at: float) -> None:
        """Take in what the server's clock showed (microseconds since the epoch) between two local instants.

        The newest sample counts, whatever its precision: a step of the server's clock must not be averaged
        away.
        """
        self._offset = server_us / 1e6 - (sent_at + received_at) / 2
        self.is_sampled = True

    def at(self, local: float) -> float | None:
        """Return the server's wall clock at a local instant in seconds since the epoch, if any is known."""
        return None if self._offset is None else local + self._offset


def most_behind(clocks: Iterable[ServerTime], local: float) -> float | None:
    """Return what the one that is most behind of the known ``clocks`` shows: by it, nothing is asked too early."""
    return min((at for clock in clocks if (at := clock.at(local)) is not None), default=None)
