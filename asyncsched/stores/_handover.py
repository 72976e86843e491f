"""Owns how nodes tell each other of interrupted ticks: entries of one set, which each node reads with its refresh.

An entry is ``<tick_us> <owner> <job>``. It names the owner, so that a tick that is handed over twice is two entries.
Nothing rests on it: a node that does not see an entry takes the tick over when its lease would have ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._grants import LockType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncsched._grants import Lease

KEPT_MS = 60_000
"""How long the set is kept after its last entry: many times longer than the time between two refreshes."""


def entries(released: Iterable[Lease]) -> list[str]:
    """Return the entries for those of the released leases whose tick has not finished."""
    return [
        f"{lease.tick_us} {lease.owner} {lease.job}"
        for lease in released
        if LockType.RUN in lease.locks and not lease.finished
    ]


class Handovers:
    """Those who listen, and what they have been told already."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str, int], None]] = []
        self._told: frozenset[str] = frozenset()

    @property
    def are_wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        """Call back, with job and tick, for each entry that is new; return what ends that."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def tell(self, found: frozenset[str]) -> None:
        """Tell of the entries that were not there before. What is no entry of ours is passed over."""
        for entry in found - self._told:
            tick, _, rest = entry.partition(" ")
            job = rest.partition(" ")[2]
            if job and tick.isascii() and tick.isdigit() and len(tick) <= 16:
                for callback in tuple(self._listeners):
                    callback(job, int(tick))
        self._told = found
