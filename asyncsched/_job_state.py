"""Owns what the engine remembers of a scheduled job. Plain data: every rule stands where it is applied."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from asyncsched._run import Outcome, SkipReason
from asyncsched._terms import terms_of
from asyncsched.triggers import Every
from asyncsched.triggers._stepping import stepper

if TYPE_CHECKING:
    from asyncsched._claim import Claim
    from asyncsched._job import Job
    from asyncsched._job_settings import JobSettings
    from asyncsched._turns import Wait
    from asyncsched.protocols import Timer
    from asyncsched.triggers._stepping import Step

Tally = Counter[Outcome | SkipReason | str]
"""How ticks and runs ended: an outcome, a reason of a skip, or ``MISSED``."""

MISSED = "missed"

Kept = tuple[int, int, float] | tuple[int, int, float, str, str, int, int] | dict[str, str | float]
"""How a tick ended: of a run that ended well, its fire time, start and duration, and, if it has them, its ids, attempt
and fence; of all else, by name, what there is to tell."""

_NOTHING_WATCHED = cast("dict[int, Timer | None]", MappingProxyType({}))


class JobState:
    """A scheduled job. There may be a million, so what few jobs need is not made for each.

    Attributes:
        name, handler, invoke, delay: the job's own, where a run finds them at the price of a slot. Of a job with
            policies for its runs, ``invoke`` is the guide's.
        entry: the instant under which it stands in the timeline; ``None``: in none.
        asks_first: the job has conditions, which are asked before each run.
        grid: the trigger, if it is a fixed interval whose ticks need nothing but to be started.
        next_us: the next fire time in microseconds since the epoch; ``None``: never again.
        last_us: the newest fire time that has come due, 0 before the first.
        decided_us: of a guarded job, the newest tick whose fate is sealed: it ran, was skipped or was missed. A tick
            that came due only by a wrong clock is not; and as long as the store's time is not known, none can tell.
        claims: the claim under way, first, and those that wait for its decision: one at a time, so that a
            later grant can never be overtaken by an earlier one, and fences rise in the order of the ticks.
        complaint: what was last said of a store that holds something foreign for this job, until a claim is decided.
        remembered_us: the newest tick that this node has seen decided; 1: none yet, but the store is told of the job;
            0: it is not. The store, should it have lost its records, starts from the largest that anyone remembers.
        remembered_until: wall seconds after which the store's record may have expired by rule, so that its absence
        means nothing.
        overlap_lock: the local half of ``without_overlapping`` and ``max_concurrent``.
        terms: what all its claims have in common.
        retired: the job was removed.
        last_outcome: of the run that ended last.
        kept: how its ticks have ended lately, until the recorder takes it; ``None``: nothing of the job is recorded.
        succeeded, elsewhere: how many runs ended well, and how many ticks another node had: nearly all end so. What
            else there is to count stands in ``others``.
        elsewhere_us: the newest tick that another node had.
        waiting: with whom a tick of its waits for this node's turn.
        watched: the open ticks of a job that is run again, each with the timer after which it is asked for; ``None``:
            it is being asked for, or runs here.
    """

    __slots__ = (
        "_step",
        "active",
        "asks_first",
        "claims",
        "complaint",
        "decided_us",
        "delay",
        "elsewhere",
        "elsewhere_us",
        "entry",
        "grid",
        "handler",
        "invoke",
        "job",
        "kept",
        "last_outcome",
        "last_us",
        "name",
        "next_us",
        "others",
        "overlap_lock",
        "remembered_until",
        "remembered_us",
        "retired",
        "settings",
        "succeeded",
        "terms",
        "waiting",
        "watched",
    )

    def __init__(self, job: Job, settings: JobSettings) -> None:
        self.job = job
        self.settings = settings
        self.terms = terms_of(job, settings)
        self.name = job.name
        self.handler, self.invoke = job.handler, job.invoke
        self.delay = job.delay
        self.asks_first = job.tick_policies is not None and bool(job.tick_policies.conditions)
        is_counted = job.run_limit and not job.is_guarded  # here, not in the store
        is_quick = not self.asks_first and not is_counted  # what is quick does not look
        self.grid = job.trigger if type(job.trigger) is Every and is_quick else None
        self._step = None if self.grid is not None or job.trigger is None else stepper(job.trigger)
        self.entry: int | None = None
        self.next_us: int | None = None
        self.last_us = self.decided_us = 0
        self.complaint = ""
        self.claims: list[Claim] | None = None
        self.waiting: Wait | None = None
        self.remembered_us = 0
        self.remembered_until = 0.0
        self.overlap_lock = _local_lock(job.concurrency) if job.concurrency else None
        self.retired = False
        self.active = self.succeeded = self.elsewhere = self.elsewhere_us = 0
        self.last_outcome: Outcome | None = None
        self.kept: deque[Kept] | None = None
        self.others: Tally | None = None
        self.watched: dict[int, Timer | None] = {} if job.is_guarded else _NOTHING_WATCHED

    @property
    def step(self) -> Step | None:
        """The integer form of the trigger; ``None``: the job has none."""
        return self._step if self.grid is None else self.grid.next_fire_us

    @property
    def tally(self) -> Tally:
        """How the job's ticks and runs have ended so far."""
        return told(self.succeeded, self.elsewhere, self.others)


def _local_lock(slots: int) -> asyncio.Lock | asyncio.Semaphore:
    return asyncio.Lock() if slots == 1 else asyncio.BoundedSemaphore(slots)


def told(succeeded: int, elsewhere: int, others: Tally | None) -> Tally:
    """Return the tally of what is counted apart because that is cheap, and of what else there was."""
    tally = Counter(others)
    if succeeded:
        tally[Outcome.SUCCEEDED] = succeeded
    if elsewhere:
        tally[SkipReason.ELSEWHERE] = elsewhere
    return tally
