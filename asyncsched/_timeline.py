"""Owns the order in which jobs come due. Knows no clock: it is told what time it is.

A heap of instants, and for each instant the items that are due then: one item, or a list of them in the order in which
they were added. Jobs that share an instant, as most do, cost no heap operation each.

Removing an item from a list only forgets it there: it is left out when the list comes up, or when most of the list is
forgotten. So adding, removing and rescheduling cost O(log n) at most. The heap, likewise, may hold instants at which
nothing is due any more; it is rebuilt when more than half of it is that.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar, cast


class Timed(Protocol):
    """What can stand in a timeline: it keeps the instant under which it stands (``None``: it stands in none)."""

    entry: int | None


T = TypeVar("T", bound=Timed)

LEAST_GARBAGE = 64
"""Forgotten entries that are never worth a rebuild."""


class Timeline(Generic[T]):
    """Items by their next fire time, in microseconds since the epoch. Each item has at most one."""

    def __init__(self) -> None:
        self._instants: list[int] = []
        self._due: dict[int, T | list[T]] = {}
        self._forgotten: dict[int, int] = {}
        """How many entries of an instant's list are forgotten, where any is."""
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, fire_us: int, item: T) -> None:
        """Set the item's next fire time, in place of one that it had."""
        if item.entry is not None:
            self.remove(item)
        item.entry = fire_us
        self._live += 1
        there = self._due.get(fire_us)
        if there is None:
            self._due[fire_us] = item
            heappush(self._instants, fire_us)
        elif type(there) is list:
            there.append(item)
        else:
            self._due[fire_us] = [cast("T", there), item]

    def remove(self, item: T) -> None:
        """Forget the item; harmless when it has no fire time."""
        fire_us = item.entry
        if fire_us is None:
            return
        item.entry = None
        self._live -= 1
        there = self._due[fire_us]
        forgotten = self._forgotten.get(fire_us, 0) + 1
        if type(there) is not list or forgotten == len(there):
            del self._due[fire_us]
            self._forgotten.pop(fire_us, None)
            if len(self._instants) > 2 * len(self._due) + LEAST_GARBAGE:
                self._instants = sorted(self._due)
        elif 2 * forgotten > len(there) + LEAST_GARBAGE:
            self._due[fire_us] = _remembered(there, fire_us)
            self._forgotten.pop(fire_us)
        else:
            self._forgotten[fire_us] = forgotten

    def items(self) -> list[T]:
        """Return all items, in no order."""
        found: list[T] = []
        for fire_us, there in self._due.items():
            found += _remembered(there, fire_us) if type(there) is list else [cast("T", there)]
        return found

    def next_us(self) -> int | None:
        """Return the earliest fire time, or ``None``."""
        instants = self._instants
        while instants and instants[0] not in self._due:
            heappop(instants)
        return instants[0] if instants else None

    def pop_due(self, now_us: int) -> list[tuple[int, list[T]]]:
        """Remove all items with a fire time not after ``now_us`` and return them, instant by instant in order."""
        due: list[tuple[int, list[T]]] = []
        while (fire_us := self.next_us()) is not None and fire_us <= now_us:
            heappop(self._instants)
            there = self._due.pop(fire_us)
            items = there if type(there) is list else [cast("T", there)]
            if self._forgotten.pop(fire_us, 0):
                items = _remembered(items, fire_us)
            for item in items:
                item.entry = None
            self._live -= len(items)
            due.append((fire_us, items))
        return due


def _remembered(items: list[T], fire_us: int) -> list[T]:
    """Return those that still stand under this instant; of one that was removed and added again, the later entry."""
    latest = dict.fromkeys(item for item in reversed(items) if item.entry == fire_us)
    return list(latest)[::-1]
