"""Owns what a scheduler tells of itself: frozen values, made on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from asyncsched._instants import from_us
from asyncsched._kinds import EVERY_JOB
from asyncsched._progress import Progress
from asyncsched._run import Outcome, Run
from asyncsched._store_health import skew_of

if TYPE_CHECKING:
    from asyncsched._accounting import Ledger
    from asyncsched._engine import Engine
    from asyncsched._job import Job
    from asyncsched._job_state import JobState, Tally
    from asyncsched._registry import Registry
    from asyncsched.protocols import Clock, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSnapshot:
    """One job."""

    name: str
    schedule: str
    """The trigger as code, such as ``Every(30)``; empty for a job that only runs immediately."""
    policies: tuple[str, ...]
    is_for_here: bool
    """``False``: it has ``environments``, and this scheduler's is none of them, so it has no ticks here."""
    next_fire_time: datetime | None
    """In the job's time zone; ``None``: never again, or the scheduler does not run."""
    paused: bool
    active: int
    """Runs in progress here, random delays included."""
    last_outcome: Outcome | None
    counters: Mapping[str, int]
    """How many ticks and runs ended as each outcome, skip reason or ``missed`` since the job was scheduled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSnapshot:
    """One run in progress."""

    job: str
    run_id: str
    trace_id: str
    fire_time: datetime
    started_at: datetime | None
    """``None`` while it sleeps its random delay."""
    fence: int
    progress: Progress | None
    """What the handler has said of it: ``done``, ``total`` and ``message``; ``None``: nothing yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A scheduler at one instant."""

    state: str
    """``idle``, ``running``, ``draining``."""
    node: str
    """Empty while idle."""
    taken_at: datetime
    store_available: bool
    maintenance: bool
    """Whether the cluster is in maintenance, as far as this node knows."""
    clock_skew: float | None
    """Seconds by which the node's wall clock is ahead of the store's (negative: behind); ``None``: not known yet."""
    jobs: tuple[JobSnapshot, ...]
    active: tuple[RunSnapshot, ...]
    counters: Mapping[str, int]
    """As the jobs' counters, of all jobs that were ever scheduled."""


def snapshot_of(
    state: str,
    engine: Engine | None,
    registry: Registry,
    store: Store,
    clock: Clock,
    ledger: Ledger,
    *,
    runs: bool,
) -> Snapshot:
    """Return a scheduler as it is now; ``engine`` is ``None`` while it is idle. ``runs``: with those in progress, whose
    ids are made when they are first asked for: on the event loop only."""
    states = {} if engine is None else engine.states
    return Snapshot(
        state=state,
        node="" if engine is None else engine.node,
        taken_at=ledger.now(),
        store_available=engine is None or not engine.outage.is_on,
        maintenance=store.is_paused(EVERY_JOB),
        clock_skew=skew_of(clock, store),
        jobs=tuple(
            job_snapshot(job, states.get(job.name), store, is_for_here=registry.is_for_here(job))
            for job in tuple(registry.jobs.values())
        ),
        active=() if engine is None or not runs else tuple(map(run_snapshot, engine.executor.active)),
        counters=counted(ledger.tally),
    )


def counted(tally: Tally | None) -> Mapping[str, int]:
    """Return a tally as a value that does not change any more."""
    return MappingProxyType({str(what): number for what, number in (tally or {}).items()})


def job_snapshot(job: Job, state: JobState | None, store: Store, *, is_for_here: bool) -> JobSnapshot:
    """Return one job; ``state`` is ``None`` while it is not scheduled."""
    next_us = None if state is None else state.next_us
    return JobSnapshot(
        name=job.name,
        schedule="" if job.trigger is None else repr(job.trigger),
        policies=job.policies,
        is_for_here=is_for_here,
        next_fire_time=None if state is None or next_us is None else from_us(next_us, state.settings.timezone),
        paused=store.is_paused(job.name),
        active=0 if state is None else state.active,
        last_outcome=None if state is None else state.last_outcome,
        counters=counted(None if state is None else state.tally),
    )


def run_snapshot(run: Run) -> RunSnapshot:
    """Return one run in progress."""
    return RunSnapshot(
        job=run.job,
        run_id=run.run_id,
        trace_id=run.trace_id,
        fire_time=run.fire_time,
        started_at=run.started_at,
        fence=run.fence,
        progress=None if run.side is None else run.side.progress,
    )
