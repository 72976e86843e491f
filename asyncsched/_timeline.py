"""Owns the order in which jobs come due. Knows no clock: it is told what time it is.

Entries are ``(fire_us, order, item)`` in a heap. Removing an item only forgets it: its entry stays in the heap and is
dropped when it comes up, so adding, removing and rescheduling cost O(log n). The heap is rebuilt when more than
half of it is forgotten.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """What can stand in a timeline: it keeps the order number of its only live entry (0: none)."""

    entry: int


T = TypeVar("T", bound=Timed)

LEAST_GARBAGE = 64
"""Forgotten entries that are never worth a rebuild."""


class Timeline(Generic[T]):
    """Items by their next fire time, in microseconds since the epoch. Each item has at most one."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, T]] = []
        self._order = count(1)
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, fire_us: int, item: T) -> None:
        """Set the item's next fire time, in place of one that it had."""
        replaces = item.entry
        item.entry = next(self._order)
        heappush(self._heap, (fire_us, item.entry, item))
        if replaces:
            self._drop_garbage()
        else:
            self._live += 1

    def remove(self, item: T) -> None:
        """Forget the item; harmless when it has no fire time."""
        if item.entry:
            item.entry = 0
            self._live -= 1
            self._drop_garbage()

    def _drop_garbage(self) -> None:
        if len(self._heap) > 2 * self._live + LEAST_GARBAGE:
            self._heap = [entry for entry in self._heap if entry[2].entry == entry[1]]
            heapify(self._heap)

    def next_us(self) -> int | None:
        """Return the earliest fire time, or ``None``."""
        heap = self._heap
        while heap and heap[0][2].entry != heap[0][1]:
            heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now_us: int) -> list[tuple[int, T]]:
        """Remove and return all ``(fire_us, item)`` with a fire time not after ``now_us``, in order."""
        due = []
        heap = self._heap
        while heap and heap[0][0] <= now_us:
            fire_us, order, item = heappop(heap)
            if item.entry == order:
                item.entry = 0
                due.append((fire_us, item))
        self._live -= len(due)
        return due
