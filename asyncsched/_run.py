"""Owns the words for one run: its context, its outcome, and why a tick may not have become one.

Knows nothing of how a run is carried out. The engine makes one ``Run`` for each; what costs time and is often
unread (ids, datetimes, the logger) is made when it is first asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextvars import ContextVar
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from asyncsched._instants import from_us
from asyncsched._kinds import ClaimKind
from asyncsched._lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from anyio import CapacityLimiter

    from asyncsched import _progress
    from asyncsched._progress import Progress, RunSide
else:
    _progress = LazyModule("asyncsched._progress")


class Outcome(StrEnum):
    """How a run ended."""

    __hash__ = str.__hash__  # an enum's own is slow, and each tick is counted

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The handler raised, or reported an error."""
    TIMED_OUT = "timed_out"
    """It had not ended within the job's ``timeout``, and was cancelled."""
    CANCELLED = "cancelled"
    """Cancelled by a stop, by itself, or for a newer tick (``without_overlapping("cancel_running")``)."""
    LOCK_LOST = "lock_lost"
    """Its lease ended before it did: another node may have started the next run."""
    SKIPPED = "skipped"
    """It never started; ``Run.skip_reason`` says why."""


_SUCCEEDED = Outcome.SUCCEEDED


class SkipReason(StrEnum):
    """Why a due tick did not become a run on this node."""

    __hash__ = str.__hash__

    OVERLAP = "overlap"
    """A run of the job is still in progress."""
    ELSEWHERE = "elsewhere"
    """Another node has it."""
    PAUSED = "paused"
    MAINTENANCE = "maintenance"
    """The cluster is in maintenance."""
    STORE_UNAVAILABLE = "store_unavailable"
    """The store could not decide in time: the tick does not run rather than perhaps run twice."""
    SHUTTING_DOWN = "shutting_down"
    FINISHED = "finished"
    """The job has had all its ``max_runs``."""
    CONDITION = "condition"
    """A condition of the job kept it back on this node."""
    CONDITION_FAILED = "condition_failed"
    """A condition raised, or did not answer in time."""


MOST_ERRORS = 100
"""Errors kept of one run: a handler that reports in a loop must not fill the memory."""


_NO_ID = "0" * 32


def new_id() -> str:
    """Return 32 lower-case hex digits, not all zero: a run id, and a valid W3C trace id."""
    while (value := os.urandom(16).hex()) == _NO_ID:
        pass
    return value


def new_ids(count: int) -> list[str]:
    """Return so many ids, drawn together: that costs a third. (A store of them for later would be shared by all copies
    of the process, as of a fork.)"""
    digits = os.urandom(16 * count).hex()
    ids = [digits[start : start + 32] for start in range(0, 32 * count, 32)]
    return [new_id() if each == _NO_ID else each for each in ids] if _NO_ID in ids else ids


class Origin:
    """What all runs of one started scheduler share."""

    __slots__ = ("logger", "loop", "new_trace_id", "node", "on_error", "on_progress", "threads")

    def __init__(
        self,
        node: str,
        logger: logging.Logger,
        new_trace_id: Callable[[Run], str],
        on_error: Callable[[Run, Exception], None],
        threads: Callable[[], CapacityLimiter],
        on_progress: Callable[[Run, Progress], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.node = node
        self.logger = logger
        self.new_trace_id = new_trace_id
        self.on_error = on_error
        """Told of every error that a run reports before its end."""
        self.threads = threads
        """The worker threads of plain-function handlers."""
        self.on_progress = on_progress
        """Told of all that a run says of its progress, from any thread."""
        self.loop = loop


class RunContext:
    """What a handler may know of the run that it carries out.

    Attributes:
        job: the job's name.
        attempt: 1 for the first try of a tick; one more with each rerun after a crash, and with each retry.
        fence: the fencing token: higher for each later grant of the job in the cluster. 0 for a job without
            ``on_one_server``, ``without_overlapping`` and ``max_concurrent``, which nobody grants.
    """

    __slots__ = (
        "_origin",
        "_run_id",
        "_timezone",
        "_trace_id",
        "attempt",
        "fence",
        "fire_us",
        "job",
        "side",
        "started_us",
    )

    _origin: Origin
    _timezone: tzinfo
    _run_id: str | None
    _trace_id: str | None
    job: str
    fire_us: int
    started_us: int
    side: RunSide | None
    attempt: int
    fence: int

    @property
    def run_id(self) -> str:
        """The run's id, unique in the cluster: 32 hex digits."""
        if self._run_id is None:
            self._run_id = new_id()
        return self._run_id

    @property
    def trace_id(self) -> str:
        """The id that joins everything said during this run; by default 32 hex digits, a valid W3C trace id."""
        if self._trace_id is None:
            self._trace_id = "-"  # for log records of the factory itself, which a RunFilter stamps with this
            self._trace_id = self._origin.new_trace_id(cast("Run", self))
        return self._trace_id

    @property
    def fire_time(self) -> datetime:
        """The instant that the trigger named, in the job's time zone. An immediate or triggered run has the instant
        at which it was asked for."""
        return from_us(self.fire_us, self._timezone)

    @property
    def started_at(self) -> datetime | None:
        """When the handler was started, by the wall clock and in the job's time zone; ``None`` before."""
        return from_us(self.started_us, self._timezone) if self.started_us else None

    @property
    def node(self) -> str:
        """The name of the node that carries the run out."""
        return self._origin.node

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry ``job``, ``run_id`` and ``trace_id`` as attributes."""
        return RunLogger(self._origin.logger, {"job": self.job, "run_id": self.run_id, "trace_id": self.trace_id})

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the run is: ``snapshot()`` shows it, and an event tells it, at most once a second. From any
        thread, and as often as it is convenient.

        Args:
            done: in whatever unit, 0 or more.
            total: in the same, at least ``done``; ``None``: not known.
            message: for people.

        Raises:
            ConfigurationError: a value against its rule.
        """
        self._origin.on_progress(cast("Run", self), _progress.checked_progress(done, total, message))

    def __repr__(self) -> str:
        """Tell which run this is, and how far it is."""
        return f"<{type(self).__name__} job={self.job!r} tick={self.fire_time.isoformat()} {self._state()}>"

    def _state(self) -> str:
        return "started" if self.started_us else "waiting"


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """Stamps each record with the run, beside whatever ``extra`` the caller gives."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the two; the caller's own ``extra`` may not replace the run's ids."""
        run: Mapping[str, object] = self.extra or {}
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **run}
        return msg, kwargs


class Run(RunContext):
    """One run, from being due to its end. The engine writes it, everyone may read it.

    Attributes:
        kind: a tick, the immediate run, or one that was triggered.
        outcome: how it ended; ``None`` while it has not.
        skip_reason: with ``Outcome.SKIPPED``, why.
        errors: every error that the handler raised or reported, in order.
        duration: seconds from the handler's start to the run's end, on the monotonic clock.
        interrupted: whether somebody else than the handler ended it.
    """

    __slots__ = (
        "_ended",
        "asked_to_end",
        "begun",
        "duration",
        "errors",
        "interrupted",
        "kind",
        "outcome",
        "skip_reason",
        "task",
    )

    def __init__(
        self,
        origin: Origin,
        job: str,
        fire_us: int,
        timezone: tzinfo,
        kind: ClaimKind = ClaimKind.TICK,
        run_id: str | None = None,
    ) -> None:
        self._origin = origin  # all in one function: a call of the base class's would cost as much as the rest
        self._timezone = timezone
        self._run_id = run_id
        self._trace_id = None
        self.job = job
        self.fire_us = fire_us
        self.started_us = self.fence = 0
        self.attempt = 1
        self.kind = kind
        self.outcome: Outcome | None = None
        self.skip_reason: SkipReason | None = None
        self.errors: tuple[BaseException, ...] = ()
        self.duration = 0.0
        self.task: asyncio.Task[None] | None = None
        self.begun = self.interrupted = False
        self.asked_to_end: Outcome | None = None
        self.side = None
        self._ended: asyncio.Event | None = None

    def with_side(self) -> RunSide:
        """Return what only few runs need; made by the first call."""
        if self.side is None:
            self.side = _progress.RunSide()
        return self.side

    async def wait(self) -> Outcome:
        """Wait for the run's end and return its outcome. Never raises the handler's errors: see ``errors``."""
        if self.outcome is None:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()
        assert self.outcome is not None
        return self.outcome

    def end(self, outcome: Outcome, *errors: BaseException, skip_reason: SkipReason | None = None) -> None:
        """Record the end, once. The engine's to call."""
        self.outcome, self.skip_reason = outcome, skip_reason
        if errors:
            self.errors += errors
        if self._ended is not None:
            self._ended.set()

    def end_well(self) -> None:
        """Record that the run has succeeded: what nearly all do, at a fraction of the price."""
        self.outcome = _SUCCEEDED
        if self._ended is not None:
            self._ended.set()

    @property
    def ids(self) -> tuple[str, str]:
        """The run's id and its trace id, as far as somebody has asked for them; empty: nobody has."""
        return self._run_id or "", self._trace_id or ""

    @property
    def origin(self) -> Origin:
        """What the run shares with the others of its scheduler."""
        return self._origin

    def report(self, error: Exception) -> None:
        """Record an error while the run goes on. Only the first ``MOST_ERRORS`` are kept."""
        if len(self.errors) < MOST_ERRORS:
            self.errors += (error,)
        self._origin.on_error(self, error)

    def _state(self) -> str:
        return super()._state() if self.outcome is None else self.outcome.value


_current: ContextVar[Run | None] = ContextVar("asyncsched_run", default=None)


def current_run() -> RunContext | None:
    """Return the context of the run that the caller is part of, or ``None`` outside of every run.

    It works in everything that a handler awaits, in the tasks that it starts and in its worker thread.
    """
    return _current.get()


def run_in(task: asyncio.Task[object]) -> Run | None:
    """Return the run that a task belongs to; ``None``: to none, or its context cannot be read (Python 3.11)."""
    get_context = getattr(task, "get_context", None)
    return None if get_context is None else get_context().get(_current)


enter_run = _current.set
"""Makes a run the current one of this task."""
