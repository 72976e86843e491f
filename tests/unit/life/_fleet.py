"""Owns a cluster of which every node has the job ``a``, and the doings of its handler in seconds since the start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from _life_doubles import Book

from asyncsched.testing import Cluster, Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched import Job, RunContext, Scheduler, events
    from asyncsched.testing import FakeClock


class Begun(NamedTuple):
    """One start of the handler; instants in seconds since the test's start."""

    tick: float
    node: str
    attempt: int
    fence: int
    at: float


class Fleet(Cluster):
    """A cluster whose nodes all have the job ``a``; a run of it takes ``lasting`` seconds."""

    def __init__(
        self, clock: FakeClock, nodes: int, describe: Callable[[Job], object], *, lasting: float = 0.001, **options: Any
    ) -> None:
        self.started_at = clock.time()
        self.lasting = lasting
        self.done: list[float] = []
        """The ticks whose work was done to its end."""
        self._describe = describe
        self._books: dict[Scheduler, Book] = {}
        super().__init__(self._declare, nodes, clock=clock, **{"shutdown_timeout": 0, **options})

    def _declare(self, scheduler: Scheduler) -> None:
        self._books[scheduler] = Book(scheduler)
        self._describe(scheduler.add_job("a", self.work))

    async def work(self, ctx: RunContext) -> None:
        await asyncio.sleep(self.lasting)
        self.done.append(ctx.fire_time.timestamp() - self.started_at)

    @property
    def begun(self) -> list[Begun]:
        since = self.started_at
        return [
            Begun(
                run.fire_time.timestamp() - since, run.node, run.attempt, run.fence, run.started_at.timestamp() - since
            )
            for run in self.history.runs
        ]

    @property
    def now(self) -> float:
        return self.clock.time() - self.started_at

    async def until(self, at: float) -> None:
        """Let time pass until ``at`` seconds after the test's start."""
        await self.advance(at - self.now)

    def at_work(self) -> Node:
        """Return the one node that carries out a run."""
        (node,) = (node for node in self.nodes if node.is_at_work)
        return node

    def runs(self, tick: float) -> list[Begun]:
        return [begun for begun in self.begun if begun.tick == tick]

    def book(self, node: Node) -> Book:
        """Return the events of the node's latest life."""
        return self._books[node.scheduler]

    def told(self, kind: type[events.Event]) -> list[Any]:
        return [event for book in self._books.values() for event in book.of(kind)]
