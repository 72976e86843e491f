"""Owns a clock whose wall time is wrong on purpose, by an offset that can be changed at any time."""

from __future__ import annotations

from asyncsched._clock import SystemClock


class SteeredClock(SystemClock):
    """The machine's clocks, with the wall clock set wrong by ``offset`` seconds. Monotonic time is left alone.

    Setting the offset is what a step of the wall clock is: nobody is told.
    """

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def time(self) -> float:
        return super().time() + self.offset
