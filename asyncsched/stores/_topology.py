"""Owns which primary of a Cluster serves which slot: finding it out, believing it, and doubting it.

Knows neither keys nor what is asked of a primary.

    unknown ──a member asked──▶ known ──a failure, a redirection──▶ doubted ──a member asked──▶ known
                                                                      └──nobody answers: kept as it is
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from asyncsched._clock import boottime
from asyncsched.stores import _wire
from asyncsched.stores._failures import Redirect, UndecidedError
from asyncsched.stores._poll import Poll
from asyncsched.stores._server import Server
from asyncsched.stores._urls import Address

SLOTS = 16_384
LOOK_INTERVAL = 0.25
"""Seconds between two looks at a Cluster in doubt: while a primary is away, every operation would ask."""

Range = tuple[int, int, Address]
"""First slot, last slot, and who serves them."""


class Topology:
    """The primaries of one Cluster.

    Args:
        members: tells the addresses to begin with.
        make: makes the way to the server at an address.
        remap: turns an address as the Cluster knows it into one that can be reached from here.
    """

    def __init__(
        self,
        members: Callable[[], Sequence[Address]],
        make: Callable[[Address], Server],
        remap: Callable[[Address], Address],
    ) -> None:
        self._members = members
        self._make = make
        self._remap = remap
        self._slots: list[Server | None] = []
        self._servers: dict[Address, Server] = {}
        self._former: list[Server] = []
        self._is_doubted = True
        self._looked_at = float("-inf")

    @property
    def primaries(self) -> Sequence[Server]:
        """Those that are known."""
        return tuple(self._servers.values())

    def serving(self, slot: int) -> Server:
        """Return who serves a slot.

        Raises:
            UndecidedError: nobody does.
        """
        server = self._slots[slot]
        if server is None:
            raise UndecidedError(f"slot {slot} is served by nobody")
        return server

    def doubt(self) -> None:
        """Ask a member before it is relied on again."""
        self._is_doubted = True

    def redirected(self, redirect: Redirect, told_by: Server) -> Server:
        """Believe a redirection, and return where it leads."""
        address = self._remap((redirect.host or told_by.address[0], redirect.port))
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = self._make(address)
        if not redirect.is_ask:
            self._slots[redirect.slot] = server
            self.doubt()
        return server

    async def look(self, within: float) -> None:
        """Make sure that it is known, as far as somebody answers within so many seconds.

        Raises:
            UndecidedError: it was never known, and no member answers.
        """
        now = boottime()
        if not self._is_doubted or (self._slots and now < self._looked_at + LOOK_INTERVAL):
            return
        self._looked_at = now
        try:
            self._adopt(await self._ranges(within))
        except UndecidedError as error:
            if not self._slots:
                raise UndecidedError(f"no member of the Cluster answers: {error}") from error

    async def _ranges(self, within: float) -> list[Range]:
        """Ask the primaries that are known; and only if none answers, those that were named to begin with."""
        if self._servers:
            try:
                return await self._first_answer(self.primaries, within / 2)
            except UndecidedError:
                within /= 2
        named = [self._make(address) for address in self._members()]
        try:
            return await self._first_answer(named, within)
        finally:
            self._former += named  # not before: what is closed too early opens again

    async def _first_answer(self, servers: Sequence[Server], within: float) -> list[Range]:
        answer, *_ = await Poll(servers, _ask).answers(enough=1, within=within)
        return answer

    def _adopt(self, found: list[Range]) -> None:
        old, self._servers = self._servers, {}
        slots: list[Server | None] = [None] * SLOTS
        for first, last, named in found:
            address = self._remap(named)
            server = self._servers.get(address) or old.get(address) or self._make(address)
            self._servers[address] = server
            slots[first : last + 1] = [server] * (last + 1 - first)
        self._slots = slots
        self._former += [server for address, server in old.items() if address not in self._servers]
        self._is_doubted = False

    async def close_former(self) -> None:
        """Close the ways to those that are primaries no more."""
        while self._former:
            await self._former.pop().close()

    async def close(self) -> None:
        """Close all ways."""
        for server in self.primaries:
            await server.close()
        await self.close_former()


async def _ask(server: Server) -> list[Range]:
    (reply,) = await server.ask([("CLUSTER", "SLOTS")])
    found = ranges(reply, server.address[0])
    if not found:
        raise UndecidedError(f"{server.where} belongs to no Cluster yet")
    return found


def ranges(reply: object, host: str) -> list[Range]:
    """Read the answer to ``CLUSTER SLOTS``; a member that names no host for a primary means its own, ``host``.

    Raises:
        UnexpectedReplyError: it is not that.
    """
    try:
        return [_range(item, host) for item in _list(reply)]
    except (IndexError, ValueError):
        raise _wire.UnexpectedReplyError(f"{reply!r:.80} is no list of slots") from None


def _range(item: object, host: str) -> Range:
    first, last, primary = _list(item)[:3]
    first, last = _wire.integer(first), _wire.integer(last)
    if not 0 <= first <= last < SLOTS:
        raise ValueError(first, last)
    named, port = _list(primary)[:2]
    name = "" if named is None else _wire.text(named)
    return first, last, (name if name not in ("", "?") else host, _wire.integer(port))


def _list(item: object) -> Sequence[Any]:
    if not isinstance(item, list | tuple):
        raise _wire.UnexpectedReplyError(f"{item!r:.80} is no list of slots")
    return item
