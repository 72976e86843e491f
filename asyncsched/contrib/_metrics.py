"""Owns the metrics: their names, and how each is read. Knows nothing of who exports them. ``docs/metrics.md`` has them
as a table.

Counters and gauges are read when somebody wants them, from any thread. Events are subscribed to only for what a
snapshot does not have: distributions, the last success, and what happens seldom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from asyncsched._grants import ClaimKind
from asyncsched._job_state import MISSED
from asyncsched._run import Outcome, SkipReason
from asyncsched.events import ClaimsAnswered, Event, LeaseLost, RunEnded, RunStarted, StoreLost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from asyncsched._health import Health
    from asyncsched._scheduler import Scheduler
    from asyncsched._snapshot import JobSnapshot, Snapshot

Samples = Iterable[tuple[tuple[str, ...], float]]
"""The values of a metric, each with those of its labels."""

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True)
class Distribution:
    """What is observed as it happens."""

    name: str
    help: str
    buckets: tuple[float, ...]
    """Upper bounds, in seconds."""
    labels: tuple[str, ...] = ()


DURATION = Distribution("run_duration", "From a handler's start to the run's end.", LONG, ("job_name",))
LATENESS = Distribution(
    "run_lateness", "From a tick's fire time to its handler's start, random delay included.", SHORT, ("job_name",)
)
CLAIM_LATENCY = Distribution("claim_latency", "From a call of the store for claims to its answer.", SHORT)
DISTRIBUTIONS = (DURATION, LATENESS, CLAIM_LATENCY)

Observe = Callable[[Distribution, tuple[str, ...], float], object]
"""Told of a distribution's next value, in seconds, with the values of its labels."""


@dataclass
class Seen:
    """What was heard of events that a snapshot does not tell."""

    observe: Observe
    last_success: dict[str, float] = field(default_factory=dict)
    lease_losses: Counter[str] = field(default_factory=Counter)
    outages: int = 0

    def note(self, event: Event) -> None:
        """Keep what an event tells."""
        match event:
            case RunStarted(kind=ClaimKind.TICK):
                self.observe(LATENESS, (event.job,), event.late_by)
            case RunEnded():
                self.observe(DURATION, (event.job,), event.duration)
                if event.outcome is Outcome.SUCCEEDED:
                    self.last_success[event.job] = event.at.timestamp()
            case ClaimsAnswered():
                self.observe(CLAIM_LATENCY, (), event.answered_in)
            case LeaseLost():
                self.lease_losses[event.job] += 1
            case StoreLost():
                self.outages += 1


def watch(scheduler: Scheduler, observe: Observe) -> tuple[Seen, Callable[[], None]]:
    """Listen to a scheduler from now on; return what is heard, and what ends that."""
    seen = Seen(observe)
    return seen, scheduler.subscribe(seen.note, RunStarted, RunEnded, ClaimsAnswered, LeaseLost, StoreLost)


class Present:
    """A scheduler now: asked once, and only for what is needed."""

    def __init__(self, scheduler: Scheduler, seen: Seen) -> None:
        self._scheduler = scheduler
        self.seen = seen

    @cached_property
    def snapshot(self) -> Snapshot:
        """What it is doing."""
        return self._scheduler.snapshot(runs=False)

    @cached_property
    def health(self) -> Health:
        """How it does."""
        return self._scheduler.health()

    def by_job(self, value: Callable[[JobSnapshot], float | None]) -> Samples:
        """Return what each job has, if it has it."""
        values = ((job.name, value(job)) for job in self.snapshot.jobs)
        return [((job,), float(number)) for job, number in values if number is not None]

    def counted(self, names: Iterable[str]) -> Samples:
        """Return, for each job, how often each of these was counted; 0 included, so that the first one is a rise."""
        return [((job.name, str(name)), job.counters.get(name, 0)) for job in self.snapshot.jobs for name in names]


@dataclass(frozen=True)
class Metric:
    """What is read when somebody wants it."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Present], Samples]
    unit: str = ""
    rises: bool = False
    """Whether it is a counter."""


OUTCOMES = tuple(outcome for outcome in Outcome if outcome is not Outcome.SKIPPED)


def _alone(value: float | None) -> Samples:
    return [] if value is None else [((), float(value))]


def _timestamp(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()


def _for_jobs(values: Mapping[str, float], default: float | None = None) -> Callable[[JobSnapshot], float | None]:
    return lambda job: values.get(job.name, default)


METRICS = (
    Metric("runs", "Runs that ended.", ("job_name", "outcome"), lambda now: now.counted(OUTCOMES), rises=True),
    Metric(
        "skips",
        "Ticks that did not become a run on this node.",
        ("job_name", "reason"),
        lambda now: now.counted(tuple(SkipReason)),
        rises=True,
    ),
    Metric(
        "misses",
        "Ticks that were noticed too late to run.",
        ("job_name",),
        lambda now: now.by_job(lambda job: job.counters.get(MISSED, 0)),
        rises=True,
    ),
    Metric(
        "lease_losses",
        "Runs whose lease ended before them.",
        ("job_name",),
        lambda now: now.by_job(_for_jobs(now.seen.lease_losses, 0)),
        rises=True,
    ),
    Metric(
        "store_outages", "Times that the store stopped answering.", (), lambda now: _alone(now.seen.outages), rises=True
    ),
    Metric(
        "active_runs",
        "Runs in progress, random delays included.",
        ("job_name",),
        lambda now: now.by_job(lambda job: job.active),
    ),
    Metric("paused", "1 while the job is paused.", ("job_name",), lambda now: now.by_job(lambda job: job.paused)),
    Metric(
        "last_success_timestamp",
        "When a run last succeeded on this node.",
        ("job_name",),
        lambda now: now.by_job(_for_jobs(now.seen.last_success)),
        unit="seconds",
    ),
    Metric(
        "next_fire_timestamp",
        "When the next tick is due.",
        ("job_name",),
        lambda now: now.by_job(lambda job: _timestamp(job.next_fire_time)),
        unit="seconds",
    ),
    Metric("live", "1 while a restart would not help.", (), lambda now: _alone(now.health.live)),
    Metric("ready", "1 while it runs and its store answers.", (), lambda now: _alone(now.health.ready)),
    Metric("store_up", "0 during an outage of the store.", (), lambda now: _alone(now.snapshot.store_available)),
    Metric(
        "clock_skew",
        "How far the node's clock is ahead of the store's.",
        (),
        lambda now: _alone(now.snapshot.clock_skew),
        unit="seconds",
    ),
    Metric(
        "loop_lag",
        "Longest delay of the event loop within the last minute.",
        (),
        lambda now: _alone(now.health.loop_lag),
        unit="seconds",
    ),
)
