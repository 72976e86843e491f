"""Owns the way to the primaries of a Redis Cluster. Knows no keys and no grants.

It has clients of its own, one for each primary, and finds out by itself who serves what: a ``RedisCluster`` client
would repeat, wait and reconnect by rules that fit no deadline, and asks for more permissions.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from asyncsched.stores import _clients
from asyncsched.stores._link import Answer, Ask, Item, Link, Place
from asyncsched.stores._server import Server
from asyncsched.stores._settings import masked
from asyncsched.stores._spread import Spread
from asyncsched.stores._topology import Topology
from asyncsched.stores._urls import Address, cluster_url, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio

SHARE = 0.9
"""Share of an operation's time after which what the answering primaries said is taken: one that hangs must not take it
with it."""
FIRST_LOOK_SHARE, LOOK_SHARE = 0.6, 0.3
"""Share of it that finding out who serves what may take: the first time, when nothing can be asked without it, and
later."""


class ClusterLink(Link):
    """The way to all primaries.

    Args:
        source: a URL, ``redis+cluster://host,host``, or a client, of which the members' addresses, the credentials
            and the settings of encryption are taken.
        operation_timeout: longest time, in seconds, that one operation may take as a whole.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    is_cluster = True

    def __init__(self, source: str | redis.asyncio.RedisCluster, *, operation_timeout: float) -> None:
        members: Callable[[], Sequence[Address]]
        remap: Callable[[Address], Address] = _unchanged
        if isinstance(source, str):
            url = cluster_url(source)
            where, members = masked(source), lambda: url.members
            self._options = _clients.options_of(url.server_url, given=source)
        else:
            members, remap = partial(_clients.members_of, source), partial(_clients.remapped, source)
            where = f"redis+cluster://{','.join(map(shown, members()))}"
            self._options = _clients.options_of_cluster(source)
        super().__init__(where, operation_timeout=operation_timeout)
        self._topology = Topology(members, self._server_at, remap)

    def _server_at(self, address: Address) -> Server:
        make = partial(_clients.client_at, address, self._options, self.operation_timeout)
        return Server(shown(address), make, address=address)

    @property
    def servers(self) -> Sequence[Server]:
        """The primaries that are known."""
        return self._topology.primaries

    async def look(self) -> Sequence[Server]:
        """Find out who serves what, if there is reason to doubt what is known."""
        await self._topology.close_former()
        await self._look()
        return self.servers

    async def _look(self) -> None:
        share = LOOK_SHARE if self.servers else FIRST_LOOK_SHARE
        await self._topology.look(self.operation_timeout * share)

    async def settle(
        self, items: Sequence[Item], place: Place[Item], ask: Ask[Item, Answer], *, patient: bool = False
    ) -> list[Answer | Exception]:
        """Ask every primary for its own items, all at once."""
        spread = Spread(self._topology, items, place, ask, within=self.operation_timeout * SHARE, patient=patient)
        await self._look()
        return await spread.settle()

    def check(self, answers: Sequence[object]) -> None:
        """Make sure that somebody answers, though perhaps not what was asked now: others' jobs are being decided."""
        if all(server.is_failing for server in self.servers):
            super().check(answers)

    async def close(self) -> None:
        """Close all clients of our own."""
        await self._topology.close()


def _unchanged(address: Address) -> Address:
    return address
