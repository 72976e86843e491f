"""Owns the events: one frozen value per fact. ``docs/events.md`` has them as a table.

Instants are aware datetimes in UTC, durations are seconds. Nobody makes an event that nobody subscribed to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from asyncsched._kinds import ClaimKind
from asyncsched._run import Outcome, SkipReason

__all__ = [
    "ClaimsAnswered",
    "ClockSkewed",
    "ErrorReported",
    "Event",
    "JobAdded",
    "JobPaused",
    "JobRemoved",
    "JobResumed",
    "LateGrantReleased",
    "LeaseLost",
    "LoopBlocked",
    "MaintenanceBegan",
    "MaintenanceEnded",
    "PausedAfterFailures",
    "RerunsExhausted",
    "RunEnded",
    "RunProgressed",
    "RunRetried",
    "RunStarted",
    "SchedulerStarted",
    "SchedulerStopped",
    "StoreLost",
    "StoreRecovered",
    "TickSkipped",
    "TicksMissed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    at: datetime
    """When it happened, by the node's wall clock."""
    node: str
    """The node that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStarted(Event):
    """The scheduler runs."""

    jobs: int
    """Registered jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStopped(Event):
    """The scheduler has drained."""

    unfinished: tuple[str, ...]
    """Names of the jobs whose handlers would not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceBegan(Event):
    """This node put the whole cluster into maintenance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceEnded(Event):
    """This node ended the maintenance of the whole cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent(Event):
    """Base of the events that belong to one job."""

    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAdded(JobEvent):
    """A job was scheduled: at the scheduler's start, or added while it runs."""

    next_fire_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRemoved(JobEvent):
    """A job was removed; runs in progress go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPaused(JobEvent):
    """This node paused a job for the whole cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResumed(JobEvent):
    """This node resumed a job for the whole cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedAfterFailures(JobEvent):
    """This node paused a job for the whole cluster, since it has ``pause_after_failures`` and its runs here fail."""

    failures: int
    """Runs in a row."""
    error: BaseException
    """Of the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent(JobEvent):
    """Base of the events that belong to one run."""

    run_id: str
    trace_id: str
    fire_time: datetime
    """The tick, in UTC."""
    kind: ClaimKind
    """``tick``, ``start`` (the immediate run) or ``trigger`` (asked for): only the first is one of the job's ticks."""
    attempt: int
    fence: int
    """0 for a job without guards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(RunEvent):
    """A handler was started."""

    late_by: float
    """Seconds between the fire time and the start, random delay included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReported(RunEvent):
    """A protocol handler reported an error; its run goes on."""

    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgressed(RunEvent):
    """A handler said how far it is. Told at most once a second for each run, and when it is complete."""

    done: float
    total: float | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetried(RunEvent):
    """An attempt of a run with ``retry`` has failed, and another one follows after a wait. ``attempt`` is the failed
    one."""

    error: BaseException
    """The last one of the attempt."""
    wait_for: float
    """Seconds until the next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost(RunEvent):
    """A run's lease has ended before the run, which is cancelled."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(RunEvent):
    """A run has ended, and with it its tick."""

    outcome: Outcome
    duration: float
    """Seconds from the handler's start; 0 if it never started."""
    errors: tuple[BaseException, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TickSkipped(JobEvent):
    """A due tick, immediate run or triggered run did not become a run on this node."""

    fire_time: datetime
    """The tick, in UTC."""
    kind: ClaimKind
    """``tick``, ``start`` or ``trigger``."""
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class TicksMissed(JobEvent):
    """Ticks were noticed too late to run: beyond ``misfire_grace``, or with a newer one due as well."""

    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunsExhausted(JobEvent):
    """A tick of a job with ``rerun_on_crash`` was interrupted as often as it may run: nobody runs it again. Said by the
    one node that found it so."""

    fire_time: datetime
    """The tick, in UTC."""
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLost(Event):
    """The store stopped answering. Said once for each outage."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRecovered(Event):
    """The store answers again."""

    outage_for: float
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkewed(Event):
    """The node's clock differs from the store's by more than a second. Said again only after it was right."""

    skew: float
    """Seconds by which the node's clock is ahead; negative: behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsAnswered(Event):
    """The store has answered claims that it was asked for in one call."""

    claims: int
    answered_in: float
    """Seconds from the call to its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopBlocked(Event):
    """The event loop did not turn for longer than a third of the shortest held lease, so none could be renewed."""

    blocked_for: float
    """Seconds."""
    job: str | None
    """The job whose run kept it; ``None``: none did, or nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateGrantReleased(JobEvent):
    """A claim had won without its answer arriving in time; what it held was given back, and its tick did not run."""

    fire_time: datetime
