"""Owns the estimate of the server's wall clock. Reads no clock itself: readings come in as arguments."""

from __future__ import annotations


class ServerTime:
    """The server's wall clock, carried on by the local clock since the last sample.

    Local instants are seconds of a clock that is never set back and counts suspends.
    """

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset: float | None = None

    def sample(self, server_us: int, *, sent_at: float, received_at: float) -> None:
        """Take in what the server's clock showed (microseconds since the epoch) between two local instants.

        The newest sample counts, whatever its precision: a step of the server's clock must not be averaged
        away.
        """
        self._offset = server_us / 1e6 - (sent_at + received_at) / 2

    def at(self, local: float) -> float | None:
        """Return the server's wall clock at a local instant in seconds since the epoch, if any is known."""
        return None if self._offset is None else local + self._offset
