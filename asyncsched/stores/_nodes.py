"""Owns which nodes are there: entries of one sorted set, which each node renews and reads with its refresh.

An entry is a node's name, its score the server's time of the node's last refresh, in seconds. Nothing rests on it: who
is missing, or is there no more, costs others a question or a moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched.stores import _wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncsched.stores._hearing import Hearing
    from asyncsched.stores._questions import Order

SILENT_AFTER = 3.5
"""Seconds after its last refresh from which a node counts as gone: three refreshes."""
FORGOTTEN_AFTER = 60
"""Seconds after which its entry is removed, and all of them if no node is left."""
MOST_NODES = 1_000
"""Entries that are read: what stands there is not trusted."""


class Attendance:
    """A node that is there.

    Args:
        roll: all those of its store.
        name: is called for its name, which may change.
        hearing: its way to hear.
        tell_leave: tells the server that the node of a name is gone.
    """

    def __init__(
        self, roll: Roll, name: Callable[[], str], hearing: Hearing, tell_leave: Callable[[str], Awaitable[None]]
    ) -> None:
        self._roll = roll
        self._tell_leave = tell_leave
        self.name = name
        self.hearing = hearing

    @property
    def nodes(self) -> Sequence[str]:
        """The names of all nodes that are there, in order; empty: not known."""
        return self._roll.nodes

    @property
    def hears(self) -> bool:
        """Whether this node hears, as far as is known, and there are others."""
        return self.hearing.is_on and len(self._roll.nodes) > 1

    async def hear(self) -> bool:
        """Hear, until that fails. Returns whether it had begun."""
        return await self.hearing.listen()

    async def leave(self) -> None:
        """Be there no more, as far as the server can be told."""
        self._roll.present.remove(self)
        await self._tell_leave(self.name())


class Roll:
    """Who is there.

    Args:
        key: of the sorted set.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self.present: list[Attendance] = []
        """Those of this store."""
        self.nodes: tuple[str, ...] = ()

    @property
    def channel(self) -> str:
        """Where others hear, and this store's nodes do too; empty: nowhere."""
        return next((each.hearing.channel for each in self.present if each.hears), "")

    @property
    def sender(self) -> str:
        """By whom others hear: by the one node of this store, which need not hear that itself; else by nobody's."""
        return self.present[0].hearing.mark if len(self.present) == 1 else _wire.NOBODY

    def orders(self, now: float) -> list[Order]:
        """Return what to ask the server, at its time ``now``: nothing, if nobody is there."""
        if not self.present:
            return []
        key, names = self._key, [attendance.name() for attendance in self.present]
        marks = [word for name in names for word in (f"{now:.3f}", name)]
        reading = ("ZRANGEBYSCORE", key, f"{now - SILENT_AFTER:.3f}", "+inf", "LIMIT", 0, MOST_NODES)
        orders: list[Order] = [(key, ("ZADD", key, *marks)), (key, reading)]
        if self.nodes[:1] == tuple(names[:1]):  # one node cleans up for all
            orders.append((key, ("ZREMRANGEBYSCORE", key, "-inf", f"{now - FORGOTTEN_AFTER:.3f}")))
            orders.append((key, ("PEXPIRE", key, FORGOTTEN_AFTER * 1_000)))
        return orders

    def farewell(self, name: str) -> list[Order]:
        """Return what to ask the server when a node leaves."""
        return [(self._key, ("ZREM", self._key, name))]

    def take(self, answers: Sequence[object]) -> None:
        """Take in the answers to ``orders``. Whatever is wrong with them: then nobody is known."""
        nodes: tuple[str, ...] = ()
        if not any(isinstance(answer, Exception) for answer in answers[:2]):
            nodes = tuple(sorted(_wire.names(answers[1])))
        if nodes != self.nodes:
            self.nodes = nodes
        if len(nodes) > 1:
            for attendance in self.present:
                attendance.hearing.is_wanted.set()
