"""Owns the way to the primary of a service that Sentinels watch. Knows no keys and no grants.

    unknown ──Sentinels asked──▶ known ──any failure──▶ doubted ──Sentinels asked──▶ known
                                   └──every refresh: asked as well, for the old primary may still answer

Of what a majority of the Sentinels says the newest configuration counts: one that was cut off would lead back to the
old primary. Where there is no majority those that answer will do, and where nobody answers the known primary is kept.
"""

from __future__ import annotations

import asyncio
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from asyncsched.stores import _clients, _wire
from asyncsched.stores._failures import UndecidedError
from asyncsched.stores._link import Answer, Ask, Item, Link, Place, ask_for_all
from asyncsched.stores._poll import Poll
from asyncsched.stores._server import Server
from asyncsched.stores._settings import masked
from asyncsched.stores._urls import Address, sentinel_url, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARE = 0.5
"""Share of an operation's time that asking the Sentinels may take."""


class Sighting(NamedTuple):
    """What a Sentinel says of a service's primary."""

    epoch: int
    """Version of the configuration: rises with every failover."""
    address: Address
    is_down: bool
    """Whether the Sentinels agree that it does not answer."""


class SentinelLink(Link):
    """The way to the primary.

    Args:
        url: ``redis+sentinel://host,host/service/db``.
        operation_timeout: longest time, in seconds, that one operation may take as a whole.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(self, url: str, *, operation_timeout: float) -> None:
        super().__init__(masked(url), operation_timeout=operation_timeout)
        parsed = sentinel_url(url)
        self._service = parsed.service
        self._options = _clients.options_of(parsed.server_url, given=url)
        sentinel_options = _clients.options_of(parsed.sentinel_url, given=url)
        self._sentinels = [self._server_at(address, sentinel_options) for address in parsed.sentinels]
        self._primary: Server | None = None
        self._former: list[Server] = []
        self._is_doubted = False

    def _server_at(self, address: Address, options: _clients.Options, before: Server | None = None) -> Server:
        make = partial(_clients.client_at, address, options, self.operation_timeout)
        return Server(shown(address), make, address=address, before=None if before is None else before.time)

    @property
    def servers(self) -> Sequence[Server]:
        """The primary, if it is known."""
        return () if self._primary is None else (self._primary,)

    async def look(self) -> Sequence[Server]:
        """Ask the Sentinels."""
        while self._former:
            await self._former[-1].close()
            self._former.pop()
        return (await self._find(),)

    async def settle(
        self, items: Sequence[Item], place: Place[Item], ask: Ask[Item, Answer], *, patient: bool = False
    ) -> list[Answer | Exception]:
        """Ask the primary; find it first, if there is reason to doubt that it still is the one."""
        primary = self._primary
        if primary is None or self._is_doubted:
            primary = await self._find()
        try:
            answers = await ask_for_all(primary, items, ask)
        except BaseException:  # our time being up included
            self._is_doubted = True
            raise
        self._is_doubted = any(isinstance(answer, Exception) for answer in answers)
        return answers

    async def _find(self) -> Server:
        try:
            majority = len(self._sentinels) // 2 + 1
            sightings = await Poll(self._sentinels, self._sighting).answers(
                enough=majority, within=self.operation_timeout * SHARE
            )
        except UndecidedError as error:
            if self._primary is None:
                raise UndecidedError(f"no Sentinel knows the primary of {self._service!r}: {error}") from error
            return self._primary
        newest = max(sightings, key=attrgetter("epoch"))
        if newest.is_down and (self._primary is None or self._is_doubted):
            raise UndecidedError(f"the primary of {self._service!r}, {shown(newest.address)}, is down")
        return self._moved_to(newest.address)

    async def _sighting(self, sentinel: Server) -> Sighting:
        (reply,) = await sentinel.ask([("SENTINEL", "MASTER", self._service)])
        return sighting(reply)

    def _moved_to(self, address: Address) -> Server:
        old = self._primary
        if old is not None and old.address == address:
            return old
        self._primary = self._server_at(address, self._options, old)
        if old is not None:
            self._former.append(old)
        return self._primary

    async def close(self) -> None:
        """Close all clients, those to the Sentinels too."""
        await asyncio.gather(*(server.close() for server in (*self.servers, *self._former, *self._sentinels)))
        self._former = []


def sighting(reply: object) -> Sighting:
    """Read the answer to ``SENTINEL MASTER``: names and values in turn.

    Raises:
        UnexpectedReplyError: it is not that.
    """
    if not isinstance(reply, list | tuple) or len(reply) % 2:
        raise _wire.UnexpectedReplyError(f"{reply!r:.80} is no description of a primary")
    words = [_wire.text(item) for item in reply]
    fields = dict(zip(words[::2], words[1::2], strict=True))
    try:
        address = fields["ip"], int(fields["port"])
        return Sighting(int(fields["config-epoch"]), address, "o_down" in fields["flags"].split(","))
    except (KeyError, ValueError):
        raise _wire.UnexpectedReplyError(f"{reply!r:.80} is no description of a primary") from None
