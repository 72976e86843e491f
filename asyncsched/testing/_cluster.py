"""Owns the simulated cluster: nodes on one store in memory, time for all of them, and chance that can be repeated."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from asyncsched._durations import seconds
from asyncsched.exceptions import ConfigurationError
from asyncsched.stores.memory import MemoryStore
from asyncsched.testing._fake_clock import LIMIT, FakeClock
from asyncsched.testing._history import History
from asyncsched.testing._lengths import Length, length
from asyncsched.testing._loop_patch import patched_loop
from asyncsched.testing._node import DIAL_OF_NODE, Node, Surroundings
from asyncsched.testing._shared_steps import SharedSteps

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from asyncsched._scheduler import Scheduler

MOST_NODES = 1000


class Cluster:
    """Some nodes of a service, as they would be, in one process and in fake time.

    ``async with cluster:`` starts them all, and stops them in the end. While it lasts, asyncio's timers in handlers
    follow their node's clock, and the module ``random`` begins with ``seed``: the same seed gives the same history.

    Args:
        declare: called with the scheduler of each node, and again for each new life of one: adds the service's jobs.
        nodes: how many; they are named ``n0``, ``n1``, …
        seed: of all chance: skews, random delays, the times between retries, ``random``.
        skew: seconds by which the nodes' wall clocks are wrong: at most that many, either way, by chance; or a sequence
            with one number for each node.
        starts: how many nodes start with the cluster, the first ones; the others join by ``Node.start``. ``None``: all.
        clock: the true time, and the store's; ``None``: a new ``FakeClock``.
        options: of each node's ``Scheduler``.

    Attributes:
        nodes: by number.
        clock: the true time.
        store: the ``MemoryStore`` that the nodes share.
        random: a ``random.Random`` of the seed, for faults at random.
        history: what the nodes did.

    Raises:
        ConfigurationError: a value breaks its rule.
    """

    def __init__(
        self,
        declare: Callable[[Scheduler], object],
        nodes: int = 3,
        *,
        seed: int | str = 0,
        skew: float | Sequence[float] = 0.0,
        starts: int | None = None,
        clock: FakeClock | None = None,
        **options: Any,
    ) -> None:
        if isinstance(nodes, bool) or not isinstance(nodes, int) or not 1 <= nodes <= MOST_NODES:
            raise ConfigurationError(f"Cluster nodes: {nodes!r} is not a whole number from 1 to {MOST_NODES}")
        self._starts = nodes if starts is None else starts
        if not 0 <= self._starts <= nodes:
            raise ConfigurationError(f"Cluster starts: {starts!r} is not from 0 to {nodes}, the number of nodes")
        if refused := {"store", "clock", "node", "prefix", "replica_ack"} & options.keys():
            raise ConfigurationError(f"Cluster: {', '.join(sorted(refused))} is the cluster's own to set")
        self.clock = FakeClock() if clock is None else clock
        self.store = MemoryStore(self.clock)
        self.random = random.Random(seed)  # noqa: S311 - a simulation
        self.history = History(self.clock)
        self._seed = seed
        self._resources = ExitStack()
        around = Surroundings(
            declare, self.clock, self.clock.drive, self.store, self.history, seed, options, SharedSteps()
        )
        self.nodes = tuple(Node(f"n{at}", skew, around) for at, skew in enumerate(self._skews(nodes, skew)))

    def _skews(self, nodes: int, skew: float | Sequence[float]) -> Sequence[float]:
        if isinstance(skew, Sequence):
            if len(skew) != nodes:
                raise ConfigurationError(f"Cluster skew: {skew!r} has not one number for each of {nodes} nodes")
            return skew
        most = seconds(skew, what="Cluster skew")
        return [self.random.uniform(-most, most) for _ in range(nodes)]

    def __repr__(self) -> str:
        return f"<Cluster {' '.join(map(repr, self.nodes))}>"

    async def __aenter__(self) -> Self:
        self._resources.enter_context(patched_loop(self.clock.drive, DIAL_OF_NODE.get))
        self._resources.callback(random.setstate, random.getstate())
        random.seed(self._seed)
        try:
            for node in self.nodes[: self._starts]:
                await node.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._resources:
            for node in self.nodes:
                node.heal()
            up = [node for node in self.nodes if node.is_up]
            for node in up:
                await node.thaw()
            stops = asyncio.gather(*(node.scheduler.stop() for node in up), return_exceptions=True)
            await self.clock.run_until(stops)
            failures = [failure for node in up if (failure := await node.end()) is not None]
            if failures:
                raise failures[0]

    # Time

    async def advance(self, by: Length) -> None:
        """Let ``by`` pass for all nodes: seconds, a ``timedelta``, or a text such as ``"1 day"``.

        Raises:
            AssertionError: the scheduler of a node has ended by a fault of its own.
        """
        await self.clock.advance(by)
        self._check_alive()

    async def run_until(self, until: datetime | Callable[[], object] | Awaitable[Any], *, limit: Length = LIMIT) -> Any:
        """Let time pass for all nodes until something has come, as ``FakeClock.run_until`` does."""
        result = await self.clock.run_until(until, limit=limit)
        self._check_alive()
        return result

    def _check_alive(self) -> None:
        for node in self.nodes:
            node.check_alive()

    async def advance_with_faults(self, by: Length, *, every: Length = "10 minutes") -> None:
        """Let ``by`` pass with a fault of a node now and then, one at a time, all by the seed.

        A node crashes, stops, freezes, is cut off from the store, or loses its answers. After a while it is whole
        again, and so are all in the end.

        Args:
            by: how long in all, at least; the last fault may end later.
            every: the mean time from the end of one fault to the next, and how long one lasts at most.
        """
        gap = length(every, what="advance_with_faults() every")
        end = self.clock.monotonic() + length(by, what="advance_with_faults()")
        while (left := end - self.clock.monotonic()) > 0:
            wait = self.random.expovariate(1 / gap) if gap else 0.0
            await self.advance(min(left, wait))
            if wait < left:
                await self._break_for(self.random.choice(self.nodes), self.random.uniform(0, gap))

    async def _break_for(self, node: Node, lasting: float) -> None:
        fault = self.random.choice(("crash", "stop", "freeze", "partition", "lose answers"))
        if fault in ("crash", "stop"):
            await (node.crash if fault == "crash" else node.stop)()
            await self.advance(lasting)
            await node.start()
        elif fault == "freeze":
            node.freeze()
            await self.advance(lasting)
            await node.thaw()
        else:
            node.partition(answers_only=fault == "lose answers")
            await self.advance(lasting)
            node.heal()

    # Assertions

    def ran_once_per_tick(self, job: str, *, since: datetime | None = None, until: datetime | None = None) -> None:
        """Assert what ``History.ran_once_per_tick`` does."""
        self.history.ran_once_per_tick(job, since=since, until=until)

    def never_overlapped(self, job: str) -> None:
        """Assert what ``History.never_overlapped`` does."""
        self.history.never_overlapped(job)

    def ran_at(self, job: str, instants: Iterable[datetime], *, within: Length = 1.0) -> None:
        """Assert what ``History.ran_at`` does."""
        self.history.ran_at(job, instants, within=within)
