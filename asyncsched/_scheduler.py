"""Owns the facade: options, the registry of jobs, and starting and stopping. The loop itself is the engine's."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import tzinfo
from signal import SIGINT, SIGTERM
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from asyncsched._accounting import Ledger
from asyncsched._clock import checked_clock
from asyncsched._durations import Duration, seconds
from asyncsched._events import EventBus
from asyncsched._grants import DEFAULT_LOCK_TTL
from asyncsched._instants import from_us
from asyncsched._job_settings import JobSettings, checked_grace, checked_lock_ttl, checked_name
from asyncsched._lazy import LazyModule
from asyncsched._logs import checked_logger
from asyncsched._recording import HISTORY_FOR, Recording
from asyncsched._registry import Registry
from asyncsched._run import current_run
from asyncsched._signals import answered
from asyncsched._steering import Steering
from asyncsched._trace_ids import TraceIds
from asyncsched.exceptions import SchedulerError
from asyncsched.stores import make_store
from asyncsched.triggers._zones import zone

if TYPE_CHECKING:
    from datetime import datetime

    from redis.asyncio import Redis, RedisCluster

    from asyncsched import events
    from asyncsched._engine import Engine
    from asyncsched._health import Health
    from asyncsched._job import Job
    from asyncsched._preview import FireTime
    from asyncsched._snapshot import Snapshot
    from asyncsched.console import Console
    from asyncsched.protocols import Clock, Store, Tracing
else:
    events = LazyModule("asyncsched.events")


class Scheduler(Steering):
    """A scheduler of periodic jobs inside an asyncio service.

    Args:
        store: where a cluster decides. Nothing: the memory of this process, no server needed. A URL
            (``sqlite:///path``: a file for all processes of this host; ``redis://``, ``rediss://``, ``unix://``,
            ``redis+sentinel://host,host/service/db``, ``redis+cluster://host,host``), a
            ``redis.asyncio.Redis`` or ``RedisCluster`` client that the service already has (never closed), or any
            ``Store``.
        logger: where the scheduler's and the runs' records go; by default the logger ``asyncsched``.
        trace_id: makes the trace id of a run; by default 32 hex digits, a valid W3C trace id.
        timezone: of daily times and cron expressions: an IANA name or a ``tzinfo``.
        lock_ttl: seconds (or a timedelta) after which the locks of a node that died are free; at least 1.
        misfire_grace: how late, in seconds, a tick may be noticed and still run; ``None``: however late.
        shutdown_timeout: seconds for which a stop waits for active runs before it cancels them.
        prefix: put in front of every key, or of every job in a file: two schedulers with the same prefix and job name
            are one cluster.
        environment: where this scheduler runs, such as ``"production"``, for jobs that are only for some environments.
        node: this node's name; by default host, process id and four random hex digits.
        clock: where time comes from, for tests.
        replica_ack: replicas of the Redis that must have a grant before it counts (``WAIT``).
        history: how many endings of each job the store keeps for people, 0 to 10 000; 0: this node reports nothing.
        history_for: seconds (or a timedelta, at least 1 minute) for which it keeps them.

    Raises:
        ConfigurationError: an option breaks its rule.
    """

    def __init__(
        self,
        store: str | Redis | RedisCluster | Store | None = None,
        *,
        logger: logging.Logger | None = None,
        trace_id: Callable[[], str] | None = None,
        timezone: str | tzinfo = "UTC",
        lock_ttl: Duration = DEFAULT_LOCK_TTL,
        misfire_grace: Duration | None = 3600,
        shutdown_timeout: Duration = 30,
        prefix: str = "",
        environment: str | None = None,
        node: str | None = None,
        clock: Clock | None = None,
        replica_ack: int = 0,
        history: int = 200,
        history_for: Duration = HISTORY_FOR,
    ) -> None:
        self._logger = checked_logger(logger)
        self._trace_ids = TraceIds(trace_id, self._logger)
        self._defaults = JobSettings(
            timezone=zone(timezone),
            lock_ttl=checked_lock_ttl(lock_ttl, what="lock_ttl"),
            misfire_grace=checked_grace(misfire_grace, what="misfire_grace"),
        )
        self._shutdown_timeout = seconds(shutdown_timeout, what="shutdown_timeout")
        self._node = None if node is None else checked_name(node, what="node", forbidden="{}*?[]|")
        self._clock = checked_clock(clock)
        self._store = make_store(store, prefix=prefix, replica_ack=replica_ack, clock=self._clock)
        self._bus = EventBus(self._logger)
        self._ledger = Ledger(self._clock, self._logger, self._bus)
        if environment is not None:
            checked_name(environment, what="environment", forbidden="")
        self._registry = Registry(self._defaults, environment, self._logger)
        self._recording = Recording(history, history_for, environment or "")
        self._engine: Engine | None = None
        self._failure: BaseException | None = None
        self._serving: asyncio.Task[None] | None = None
        self._entered: asyncio.Task[None] | None = None

    # Jobs

    def remove_job(self, name: str) -> None:
        """Forget a job. Its active runs go on.

        Raises:
            UnknownJobError: no job has this name.
        """
        self._registry.remove(name)

    def get_job(self, name: str) -> Job:
        """Return a job.

        Raises:
            UnknownJobError: no job has this name.
        """
        return self._registry.get(name)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """All jobs by name, read-only."""
        return MappingProxyType(self._registry.jobs)

    def preview(self, name: str, count: int = 10, after: datetime | None = None) -> tuple[FireTime, ...]:
        """Return the next fire times of a job, with what changes them. Nothing runs, and nothing is asked of the store.

        Args:
            name: of the job, which may lack a handler, and the scheduler need not run.
            count: how many, 1 to 10 000; there are fewer if the schedule ends.
            after: aware; ``None``: now.

        Raises:
            UnknownJobError: no job has this name.
            ConfigurationError: a bad count or instant, or parts of a schedule that do not go together.
        """
        job = self.get_job(name)
        from asyncsched._preview import preview

        return preview(job, self._defaults.timezone, self._ledger.now() if after is None else after, count)

    # Running

    async def run(self, *, signals: Iterable[int] = (SIGINT, SIGTERM)) -> None:
        """Run until cancelled or stopped, and drain on the way out: the form for a program whose main thing this is.

        In the main thread, ``signals`` stop it, as ``stop()`` does; a second one does not wait for active runs. Their
        earlier handlers are put back afterwards; ``()`` leaves them alone.

        Raises:
            ConfigurationError: a job has no handler or no schedule.
            SchedulerError: it runs already.
        """
        with answered(signals, self._stop_or_hurry):
            await self._join(self._start())

    async def __aenter__(self) -> Self:
        """Run in the background; signals are left alone.

        Raises:
            ConfigurationError: a job has no handler or no schedule.
            SchedulerError: it runs already.
        """
        self._entered = self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain. Raises what stopped the engine, if that was a fault of its own."""
        entered, self._entered = self._entered, None
        if entered is not None:
            if not entered.done():
                self._request_stop()
            await self._join(entered)

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[dict[str, Scheduler]]:
        """Run while an ASGI app does: ``FastAPI(lifespan=scheduler.lifespan)``; handlers find
        ``request.state.scheduler``."""
        async with self:
            yield {"scheduler": self}

    async def stop(self) -> None:
        """Stop: no new ticks, active runs are waited for, then cancelled, and every lock is given back.

        Called from a job or a subscriber of this scheduler it only begins the stop, as they cannot wait for their own
        end. Without effect on a scheduler that does not run.
        """
        engine, serving = self._engine, self._serving
        if engine is None:
            return
        self._request_stop()
        from_inside = current_run() in engine.executor.active or asyncio.current_task() in self._bus.beside
        if serving is not None and not from_inside:
            await self._join(serving)

    def _start(self) -> asyncio.Task[None]:
        if self._engine is not None:
            raise SchedulerError("the scheduler runs already")
        self._registry.check_complete()
        self._failure = None
        from asyncsched._engine import Engine

        engine = Engine(
            store=self._store,
            clock=self._clock,
            node=self._node or _default_node(),
            logger=self._logger,
            bus=self._bus,
            ledger=self._ledger,
            trace_ids=self._trace_ids,
            shutdown_timeout=self._shutdown_timeout,
            close_store=self._close_store,
        )
        self._recording.start(engine, self._store, self._clock, self._logger, self._ledger, self._bus.beside)
        if self._bus.is_heard and self._bus.wants(events.SchedulerStarted):
            self._bus.emit(
                events.SchedulerStarted(at=self._ledger.now(), node=engine.node, jobs=len(self._registry.jobs))
            )
        self._engine = engine
        self._registry.open(engine)
        self._serving = asyncio.get_running_loop().create_task(self._serve(engine))
        return self._serving

    async def _serve(self, engine: Engine) -> None:
        try:
            await engine.serve()
        except Exception as error:
            self._failure = error
            raise
        finally:
            self._engine = self._serving = None
            self._registry.close()

    async def _close_store(self, engine: Engine) -> None:
        """Close the store behind an engine that has ended, unless the next one uses it already."""
        await self._recording.stop(engine)
        if self._engine is None or self._engine is engine:
            await self._store.close()

    async def _join(self, serving: asyncio.Task[None]) -> None:
        """Wait for the end of the engine. A cancellation stops it, a second one hurries it; both wait for its drain."""
        cancelled = False
        while not serving.done():
            try:
                await asyncio.wait([serving])
            except asyncio.CancelledError:
                self._stop_or_hurry()
                cancelled = True
        if cancelled:
            if not serving.cancelled():
                serving.exception()  # if there is one, it was logged: what counts now is the cancellation
            raise asyncio.CancelledError
        serving.result()

    def _request_stop(self) -> None:
        if self._engine is not None:
            self._engine.request_stop()

    def _stop_or_hurry(self) -> None:
        if self._engine is not None:
            if self._engine.is_stopping:
                self._engine.hurry()
            else:
                self._engine.request_stop()

    def subscribe(self, callback: Callable[[Any], object], *event_types: type[events.Event]) -> Callable[[], None]:
        """Call ``callback`` (a plain or an async function) for each event of the given types; none: for all.

        What it raises is logged and reaches nobody else; it goes on being called.

        Returns:
            A function that ends the subscription.

        Raises:
            ConfigurationError: ``callback`` cannot be called, or a type is no event type.
        """
        return self._bus.subscribe(callback, *event_types)

    def trace_runs(self, tracing: Tracing) -> None:
        """Let ``tracing`` give each run its trace id, and what its handler runs in. Before the scheduler runs.

        Raises:
            ConfigurationError: it is no ``Tracing``, or trace ids come from elsewhere.
            SchedulerError: the scheduler runs already.
        """
        if self._engine is not None:
            raise SchedulerError("trace_runs(): the scheduler runs already")
        self._trace_ids.come_from(tracing)

    # What it tells of itself

    def snapshot(self, *, runs: bool = True) -> Snapshot:
        """Return what the scheduler is doing, as one frozen value.

        Args:
            runs: ``False``: without the runs in progress; then it may be asked from any thread.
        """
        from asyncsched._snapshot import snapshot_of

        parts = self._engine, self._registry, self._store, self._clock, self._ledger
        return snapshot_of(self._state(), *parts, runs=runs)

    def health(self, *, stale_after: Duration = 10) -> Health:
        """Return whether it is live and ready, and why not. From any thread, and cheap.

        Args:
            stale_after: seconds, at least 1, for which the event loop may stand still and count as live.
        """
        from asyncsched._health import health_of

        limit = seconds(stale_after, what="health() stale_after", at_least=1)
        return health_of(self._state(), self._engine, self._failure, self._store, self._ledger, limit)

    def console(self, by: str | None = None) -> Console:
        """Return what shows and steers the cluster that this scheduler's store is of. The store stays open.

        Args:
            by: who acts, for notes and orders; ``None``: this user at this host.

        Raises:
            ConfigurationError: ``by`` is no name.
        """
        from asyncsched.console import Console

        return Console(self._store, by=by, clock=self._clock)

    def _state(self) -> str:
        engine = self._engine  # once: another thread may ask
        if engine is None:
            return "idle"
        return "draining" if engine.is_stopping else "running"

    def __repr__(self) -> str:
        """Tell the state in a line, without secrets."""
        words = [self._state(), f"jobs={len(self._registry.jobs)}"]
        if self._engine is not None:
            nexts = [state.next_us for state in self._engine.states.values() if state.next_us is not None]
            words.append(f"active={len(self._engine.executor.active)}")
            words.append(f"next={from_us(min(nexts)).isoformat() if nexts else None}")
        return f"<Scheduler {' '.join(words)} store={self._store!r}>"


def _default_node() -> str:
    """Return a name that no other process, and no earlier life of this one, has."""
    host = "".join(c for c in socket.gethostname() if c.isalnum() or c in "-._") or "node"
    return f"{host[:100]}-{os.getpid()}-{os.urandom(2).hex()}"
