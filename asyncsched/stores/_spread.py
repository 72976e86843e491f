"""Owns one operation's way through several primaries: who is asked what, for how long, and where a redirection leads.

Knows neither keys nor what is asked. A primary that fails, or lets us wait, costs its own items only.

    items ──by slot──▶ batches ──by primary──▶ asked, all at once ──▶ answered
              ▲                                      ├── MOVED, ASK: asked once more, there
              └──────────────────────────────────────┘
                                                     └── any other failure: stays undecided
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic

from redis.crc import key_slot

from asyncsched._tasks import is_being_cancelled
from asyncsched.stores import _wire
from asyncsched.stores._failures import FAILURES, UndecidedError, reason, redirect_in
from asyncsched.stores._link import Answer, Ask, Item, Outcome, Place
from asyncsched.stores._server import Server
from asyncsched.stores._topology import Topology

MOST_HOPS = 3
"""Redirections that one item follows: the primary of before, the one of now, and one that a slot is on its way to."""
SLOW_SHARE = 0.1
"""Share of the time that a primary gets which let us wait for all of it before: the others' jobs must not wait for it
again and again."""

Batch = list[int]
"""Positions of items that are in one slot."""


class Spread(Generic[Item, Answer]):
    """One operation.

    Args:
        topology: who serves what.
        items: what is asked.
        place: where each belongs.
        ask: asks one primary.
        within: seconds for all of it.
        patient: whether primaries that were slow before get the full time.
    """

    def __init__(
        self,
        topology: Topology,
        items: Sequence[Item],
        place: Place[Item],
        ask: Ask[Item, Answer],
        *,
        within: float,
        patient: bool,
    ) -> None:
        self._topology = topology
        self._items = items
        self._place = place
        self._ask = ask
        self._patient = patient
        self._within = within
        self._until = asyncio.get_running_loop().time() + within
        self._answers: list[Answer | Exception] = [UndecidedError("not asked")] * len(items)

    async def settle(self) -> list[Answer | Exception]:
        """Ask, and return an answer or a failure for each item."""
        await self._ask_everyone(self._by_server(), hops=0)
        return self._answers

    def _by_server(self) -> dict[Server, list[Batch]]:
        by_slot: dict[int | Server, Batch] = {}
        for index, item in enumerate(self._items):
            place = self._place(item)
            slot = place if isinstance(place, Server) else key_slot(place.encode())
            by_slot.setdefault(slot, []).append(index)
        by_server: dict[Server, list[Batch]] = {}
        for slot, indexes in by_slot.items():
            try:
                server = slot if isinstance(slot, Server) else self._topology.serving(slot)
            except UndecidedError as error:
                self._fail(indexes, error)
                self._topology.doubt()
            else:
                by_server.setdefault(server, []).extend(map(list, _wire.chunks(indexes)))
        return by_server

    async def _ask_everyone(self, by_server: dict[Server, list[Batch]], hops: int, asking: bool = False) -> None:
        if len(by_server) == 1:
            ((server, batches),) = by_server.items()
            await self._ask_one(server, batches, hops, asking)
            return
        async with asyncio.TaskGroup() as group:
            for server, batches in by_server.items():
                group.create_task(self._ask_one(server, batches, hops, asking))

    async def _ask_one(self, server: Server, batches: list[Batch], hops: int, asking: bool) -> None:
        outcomes = await self._outcomes(server, batches, asking)
        server.is_failing = all(isinstance(outcome, Exception) and not redirect_in(outcome) for outcome in outcomes)
        moved: dict[Server, list[Batch]] = {}
        asked: dict[Server, list[Batch]] = {}
        for batch, outcome in zip(batches, outcomes, strict=True):
            redirect = redirect_in(outcome) if hops < MOST_HOPS else None
            if redirect is not None:
                target = self._topology.redirected(redirect, server)
                (asked if redirect.is_ask else moved).setdefault(target, []).append(batch)
            elif isinstance(outcome, Exception):
                self._fail(batch, outcome, server)
            else:
                self._put(batch, outcome, server)
        if moved:
            await self._ask_everyone(moved, hops + 1)
        if asked:
            await self._ask_everyone(asked, hops + 1, asking=True)

    async def _outcomes(self, server: Server, batches: list[Batch], asking: bool) -> Sequence[Outcome[Answer]]:
        """Ask one primary within its time; whatever it or the way to it does becomes the batches' outcome."""
        left = self._until - asyncio.get_running_loop().time()
        within = min(left, self._within * SLOW_SHARE) if server.is_slow and not self._patient else left
        failure: Exception
        try:
            async with asyncio.timeout(within) as bound:
                outcomes = await self._ask(
                    server, [[self._items[index] for index in batch] for batch in batches], asking
                )
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            failure = UndecidedError("the client cancelled it")
        except FAILURES as error:
            server.is_slow = bound.expired()
            failure = UndecidedError(f"no answer within {within:g} s") if bound.expired() else error
        else:
            server.is_slow = False
            return outcomes
        return [failure] * len(batches)

    def _put(self, batch: Batch, answers: Sequence[Answer | Exception], server: Server) -> None:
        for index, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                self._fail([index], answer, server)
            else:
                self._answers[index] = answer

    def _fail(self, batch: Batch, error: Exception, server: Server | None = None) -> None:
        self._topology.doubt()
        failure = UndecidedError(reason(error) if server is None else f"{server.where}: {reason(error)}")
        failure.__cause__ = error
        for index in batch:
            self._answers[index] = failure
