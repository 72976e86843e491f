"""Owns one simulated node: its clock, its way to the store, its scheduler, and what can happen to it.

    down ──start──▶ up ──stop, crash──▶ down          a restart is a start of a new life: scheduler, clock, link

The node's tasks run in a context that names its dial, so that asyncio's timers in it follow that, too.
"""

from __future__ import annotations

import asyncio
import random
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from asyncsched._scheduler import Scheduler
from asyncsched.exceptions import ConfigurationError, SchedulerError
from asyncsched.testing._dial import Dial
from asyncsched.testing._drive import Drive
from asyncsched.testing._shared_steps import SharedSteps
from asyncsched.testing._store_link import StoreLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.protocols import Store
    from asyncsched.testing._fake_clock import FakeClock
    from asyncsched.testing._history import History

DIAL_OF_NODE: ContextVar[Dial | None] = ContextVar("asyncsched_testing_dial", default=None)
STORE_BOUND = 1.0
"""Seconds within which a store answers, or says that it cannot."""
DRAIN_LIMIT = 366 * 86_400.0


class Surroundings(NamedTuple):
    """What the nodes of a cluster share."""

    declare: Callable[[Scheduler], object]
    clock: FakeClock
    drive: Drive
    store: Store
    history: History
    seed: object
    options: dict[str, Any]
    steps: SharedSteps


class Node:
    """One simulated process of a cluster.

    Attributes:
        name: stays the same in all its lives.
        scheduler: that of its present, or latest, life.
    """

    def __init__(self, name: str, skew: float, surroundings: Surroundings) -> None:
        self.name = name
        self._around = surroundings
        self._lives = self._lives_ended = 0
        self._serving: asyncio.Task[None] | None = None
        self._be_born(surroundings.clock.offset + skew, None)

    def __repr__(self) -> str:
        """Tell its name and its state."""
        words = {
            "up" if self.is_up else "down": True,
            "frozen": self._dial.is_frozen,
            "partitioned": self._link.is_cut or self._link.loses_answers,
        }
        return f"<Node {self.name} {' '.join(word for word, is_so in words.items() if is_so)}>"

    def _be_born(self, offset: float, link: StoreLink | None) -> None:
        around = self._around
        self._lives += 1
        self._dial = Dial(offset, around.clock.elapsed)
        self._link = StoreLink(around.store, self._dial, like=link)
        self.scheduler = Scheduler(
            cast("Store", self._link), **{"node": self.name, "clock": self._dial, **around.options}
        )
        around.declare(self.scheduler)
        self._forget = around.history.watch(self.scheduler)

    @property
    def is_up(self) -> bool:
        """Whether its scheduler runs, or drains."""
        return self._serving is not None

    @property
    def is_at_work(self) -> bool:
        """Whether a run is in progress on it."""
        return bool(self.scheduler.snapshot().active)

    @property
    def skew(self) -> float:
        """Seconds by which its wall clock is ahead of the store's; set it to step the clock."""
        return self._dial.offset - self._around.clock.offset

    @skew.setter
    def skew(self, skew: float) -> None:
        self._dial.offset = self._around.clock.offset + skew

    @property
    def latency(self) -> float:
        """Seconds from what it asks the store to the answer; at least 0, less than 1."""
        return self._link.latency

    @latency.setter
    def latency(self, latency: float) -> None:
        if not 0 <= latency < STORE_BOUND:
            raise ConfigurationError(
                f"latency: {latency!r} is not from 0 to less than {STORE_BOUND:g} s, a store's bound"
            )
        self._link.latency = latency

    async def start(self) -> None:
        """Begin a life: a new scheduler, with the jobs declared anew, and no memory of an earlier one.

        Raises:
            SchedulerError: it is up.
            ConfigurationError: a job was declared without a handler or a schedule.
        """
        if self.is_up:
            raise SchedulerError(f"node {self.name!r} is up already")
        if self._lives_ended == self._lives:
            self._be_born(self._dial.offset, self._link)
        self._dial.elapsed = self._around.clock.elapsed  # the cluster's time may have gone on since it was made
        self._around.drive.attach(self._dial)
        context = copy_context()
        context.run(DIAL_OF_NODE.set, self._dial)
        self._serving = asyncio.get_running_loop().create_task(self.scheduler.run(signals=()), context=context)
        await asyncio.sleep(0)  # now there is an engine, of which nothing has run yet
        self._prepare()
        await self._around.drive.settle()
        if self._serving.done() and (failure := await self.end()) is not None:
            raise failure

    def _prepare(self) -> None:
        """Let the random delays of this life follow from the cluster's seed, and nobody watch over its event loop.

        All nodes share that, and its time stands still; the beats of the watch would be most of what a year costs. So
        would, without the shared steps, what each of them computes of the same fire times.
        """
        engine = self.scheduler._engine  # noqa: SLF001 - the engine takes neither from outside
        if engine is not None:
            engine._loop_watch.close()  # noqa: SLF001
            seeded = random.Random(f"{self._around.seed} {self.name} {self._lives}")  # noqa: S311 - a simulation
            engine.executor._random.setstate(seeded.getstate())  # noqa: SLF001
            for state in engine.states.values():
                if state._step is not None and state.job.trigger is not None:  # noqa: SLF001
                    state._step = self._around.steps.shared(state.job.trigger, state._step)  # noqa: SLF001

    async def restart(self) -> None:
        """Stop it, if it is up, and begin a new life."""
        if self.is_up:
            await self.stop()
        await self.start()

    async def stop(self) -> None:
        """End it as a deployment does: its scheduler drains, while time passes for all, and gives everything back.

        Raises:
            SchedulerError: it is down, or frozen.
        """
        serving = self._running("stop")
        if self._dial.is_frozen:
            raise SchedulerError(f"node {self.name!r} is frozen, and cannot stop; let it thaw, or crash it")
        stopping = asyncio.gather(self.scheduler.stop(), return_exceptions=True)  # a fault of its own comes by serving
        await self._around.drive.advance_while(
            lambda: not (stopping.done() and serving.done()), limit=DRAIN_LIMIT, what=f"the stop of {self.name}"
        )
        if (failure := await self.end()) is not None:
            raise failure

    async def crash(self) -> None:
        """End it as a power cut does: at once, with nothing given back.

        The store hears nothing more of it. Its handlers are cancelled; what they do about that they do, unlike in a
        real crash. No time passes, for the others.

        Raises:
            SchedulerError: it is down.
        """
        serving = self._running("crash")
        self._around.history.crash(self.name)
        self._forget()
        self._link.is_dead = True
        self._dial.is_frozen = False
        self._around.drive.detach(self._dial)
        own_time = Drive(self._dial)  # what its scheduler does to end takes time that only the dead node has
        for _ in range(2):  # the first cancellation begins a drain, the second one hurries it
            serving.cancel()
            await asyncio.sleep(0)
        await own_time.advance_while(lambda: not serving.done(), limit=DRAIN_LIMIT, what=f"the crash of {self.name}")
        self._around.drive.attach(self._dial)
        await self.end()

    def _running(self, what: str) -> asyncio.Task[None]:
        if self._serving is None:
            raise SchedulerError(f"{what}: node {self.name!r} is down")
        return self._serving

    async def end(self) -> BaseException | None:
        """Take the end of the scheduler to notice; return the fault of its own that has ended it, if one has."""
        serving, self._serving = self._running("end"), None
        self._around.drive.detach(self._dial)
        self._lives_ended = self._lives
        (failure,) = await asyncio.gather(serving, return_exceptions=True)
        return None if isinstance(failure, asyncio.CancelledError) else failure

    def check_alive(self) -> None:
        """Raise what has ended its scheduler unasked."""
        if self._serving is not None and self._serving.done():
            raise AssertionError(f"the scheduler of node {self.name!r} has ended by itself") from (
                self._serving.exception()
            )

    def freeze(self) -> None:
        """Let it stand still, as a stopped process or a machine that is moved does, while time goes on for all.

        Neither its timers nor the store's answers reach it until it thaws; then all that came due meanwhile comes at
        once. (What a handler awaits that is neither, such as an event that the test sets, does reach it.)
        """
        self._running("freeze")
        self._dial.is_frozen = True

    async def thaw(self) -> None:
        """Let it go on."""
        self._running("thaw")
        self._dial.is_frozen = False
        await self._around.drive.advance(0)

    def partition(self, *, answers_only: bool = False) -> None:
        """Cut it off from the store, in all its lives until it heals: whatever it asks fails at once.

        Args:
            answers_only: what it asks still arrives and is decided, but no answer comes back.
        """
        self._link.is_cut, self._link.loses_answers = not answers_only, answers_only

    def heal(self) -> None:
        """Join it with the store again."""
        self._link.is_cut = self._link.loses_answers = False
