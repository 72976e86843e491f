"""Owns a cluster whose nodes die: what their handlers did, and ways to end a node with and without a farewell."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from _life_doubles import Book, Link, passing

from asyncsched import MemoryStore, RunContext, Scheduler, events
from asyncsched._clock import sleep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncsched import Job
    from asyncsched.testing import FakeClock


class Begun(NamedTuple):
    """One start of the handler; instants in seconds since the test's start."""

    tick: float
    node: str
    attempt: int
    fence: int
    at: float


class Node:
    """One process of the cluster."""

    def __init__(self, name: str, fleet: Fleet, **options: Any) -> None:
        self.name = name
        self.clock = fleet.clock
        self.link = Link(fleet.memory)
        self.scheduler = Scheduler(self.link, clock=fleet.clock, node=name, **{"shutdown_timeout": 0, **options})
        self.book = Book(self.scheduler)

    async def start(self) -> None:
        """Begin a life of the process."""
        self.link.up()
        await self.scheduler.__aenter__()
        await self.clock.settle()

    async def stop(self) -> None:
        """End it as a deployment does: its runs are cancelled, and everything is given back."""
        await passing(self.clock, self.scheduler.stop(), step=0.001)

    async def die(self) -> None:
        """End it as a power cut does: the store hears nothing more of it."""
        self.link.down()
        await passing(self.clock, self.scheduler.stop())

    @property
    def is_at_work(self) -> bool:
        return bool(self.scheduler.snapshot().active)


class Fleet:
    """A cluster whose nodes all have the job ``a``; a run of it takes ``lasting`` seconds."""

    def __init__(
        self, clock: FakeClock, nodes: int, describe: Callable[[Job], object], *, lasting: float = 0.001, **options: Any
    ) -> None:
        self.clock = clock
        self.memory = MemoryStore(clock)
        self.started_at = clock.time()
        self.lasting = lasting
        self.begun: list[Begun] = []
        self.spans: list[tuple[float, float]] = []
        self.done: list[float] = []
        """The ticks whose work was done to its end."""
        self.nodes = [Node(f"n{number}", self, **options) for number in range(nodes)]
        for node in self.nodes:
            describe(node.scheduler.add_job("a", self.work))

    async def work(self, ctx: RunContext) -> None:
        tick, began = ctx.fire_time.timestamp() - self.started_at, self.now
        self.begun.append(Begun(tick, ctx.node, ctx.attempt, ctx.fence, began))
        try:
            await sleep(self.clock, self.lasting)
            self.done.append(tick)
        finally:
            self.spans.append((began, self.now))

    @property
    def now(self) -> float:
        return self.clock.time() - self.started_at

    async def until(self, at: float) -> None:
        """Let time pass until ``at`` seconds after the test's start."""
        await self.clock.advance(at - self.now)

    def at_work(self) -> Node:
        """Return the one node that carries out a run."""
        (node,) = (node for node in self.nodes if node.is_at_work)
        return node

    def runs(self, tick: float) -> list[Begun]:
        return [begun for begun in self.begun if begun.tick == tick]

    def told(self, kind: type[events.Event]) -> list[Any]:
        return [event for node in self.nodes for event in node.book.of(kind)]

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[Fleet]:
        """Run the nodes of these names, or all; end with all of them stopped, whichever run then."""
        for node in self.nodes:
            if not names or node.name in names:
                await node.start()
        try:
            yield self
        finally:
            self.lasting = 0.0
            for node in self.nodes:
                node.link.up()
            leaving = [node.scheduler.__aexit__(None, None, None) for node in self.nodes]
            stops = [node.scheduler.stop() for node in self.nodes]
            await passing(self.clock, asyncio.gather(*leaving, *stops))
