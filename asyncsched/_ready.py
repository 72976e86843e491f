"""Owns the claims that are ready to be asked, in the order in which they came, and says when there are too many.

Ticks that come due while more waits than one call takes would only wait behind that, and then be given up one by one
for those after them, which costs as much as running them. So they stay in their timelines meanwhile, and what is late
in the end is coalesced, as after any other delay.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncsched._claim import Claim

MOST_AT_ONCE = 1_000
"""Claims in one call of the store at most. A call has a bound in time, so one of everything that a busy node has
waiting could fail as a whole, be asked again with all that has come due meanwhile, and never get an answer."""


class Ready:
    """The claims of one node that are ready.

    Args:
        on_room: called when there are too many no longer.
    """

    def __init__(self, on_room: Callable[[], object]) -> None:
        self._on_room = on_room
        self._claims: list[Claim] = []
        self._wanted = asyncio.Event()

    @property
    def are_too_many(self) -> bool:
        """Whether more waits than one call takes."""
        return len(self._claims) > MOST_AT_ONCE

    def add(self, claims: Iterable[Claim]) -> None:
        """Add some to be asked."""
        self._claims += claims
        self._wanted.set()

    def wake(self) -> None:
        """End the wait for some."""
        self._wanted.set()

    async def wait(self) -> None:
        """Wait until there are some."""
        await self._wanted.wait()

    def take(self) -> list[Claim]:
        """Return those to ask now, and keep the rest."""
        were_too_many = self.are_too_many
        taken, self._claims = self._claims[:MOST_AT_ONCE], self._claims[MOST_AT_ONCE:]
        if not self._claims:
            self._wanted.clear()
        if were_too_many and not self.are_too_many:
            self._on_room()
        return taken
