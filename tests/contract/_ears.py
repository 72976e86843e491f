"""Owns the nodes of the tests of turns: each is there, and notes what it hears."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncsched._tasks import cancel_until_ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


class Ear:
    """A node that is there, and what it has heard."""

    def __init__(self, store: Any, name: str) -> None:
        self.store = store
        self.heard: list[tuple[str, int]] = []
        self.place = store.attend(lambda: name, self._hear_of)
        self.begun = 1
        """How often hearing has begun."""
        self.hearing = asyncio.ensure_future(self._hear())

    def _hear_of(self, jobs: Sequence[str], tick_us: int) -> None:
        self.heard += [(job, tick_us) for job in jobs]

    async def _hear(self) -> None:
        while True:
            self.begun += await self.place.hear()
            await asyncio.sleep(0.01)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await self.store.refresh()
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        await cancel_until_ended(self.hearing)


@asynccontextmanager
async def ears(**stores: Any) -> AsyncIterator[list[Ear]]:
    """Have nodes that all hear."""
    made = [Ear(store, name) for name, store in stores.items()]
    try:
        for ear in made * 2:
            await ear.store.refresh()
        for ear in made:
            await ear.until(lambda ear=ear: ear.place.hears)
        yield made
    finally:
        for ear in made:
            await ear.close()
