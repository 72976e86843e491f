"""Owns how nodes tell each other of interrupted ticks: entries of one set, which each node reads with its refresh.

An entry is ``<tick_us> <owner> <job>``. It names the owner, so that a tick that is handed over twice is two entries.
Nothing rests on it: a node that does not see an entry takes the tick over when its lease would have ended.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from asyncsched._grants import LockType

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from asyncsched._grants import Lease

KEPT_MS = 60_000
"""How long the set is kept after its last entry: many times longer than the time between two refreshes."""


_RUN = LockType.RUN  # an enum's member is slow to look up


def interrupted(leases: Iterable[Lease]) -> list[Lease]:
    """Return those that are being given back while the tick's run has not come to its end."""
    return [lease for lease in leases if not lease.finished and _RUN in lease.locks]


class Handovers:
    """Those who listen, what they have been told already, and which leases of ``interrupted`` ticks are being given
    back."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str, int], None]] = []
        self._told: frozenset[str] = frozenset()
        self._tries: Counter[Lease] = Counter()
        """How often the release of a lease was begun without having been told of."""

    def begin(self, leases: Iterable[Lease]) -> None:
        """Note that these leases are being released. A stop, or a lost answer, may cut a release off between freeing a
        lease and telling of it: then the next try frees nothing, and must tell all the same."""
        self._tries.update(leases)

    def entries(self, answered: Iterable[Lease], freed: Container[Lease]) -> list[str]:
        """Return the entries for the ticks to be handed over, now that the release of these leases was answered."""
        return [
            f"{lease.tick_us} {lease.owner} {lease.job}"
            for lease in answered
            if lease in freed or self._tries[lease] > 1
        ]

    def told(self, answered: Iterable[Lease]) -> None:
        """Forget the releases that are through."""
        for lease in answered:
            self._tries.pop(lease, None)

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
