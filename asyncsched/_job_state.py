"""Owns what the engine remembers of a scheduled job. Plain data: every rule stands where it is applied."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from asyncsched._run import Outcome, SkipReason
from asyncsched.triggers import Every
from asyncsched.triggers._stepping import stepper

if TYPE_CHECKING:
    from asyncsched._claim import Claim
    from asyncsched._job import Job
    from asyncsched._job_settings import JobSettings
    from asyncsched._run import Run
    from asyncsched.protocols import Timer

Tally = Counter[Outcome | SkipReason | str]
"""How ticks and runs ended: an outcome, a reason of a skip, or ``MISSED``."""

MISSED = "missed"


class JobState:
    """A scheduled job.

    Attributes:
        entry: the timeline's mark of its live entry (0: it stands in none).
        next_us: the next fire time in microseconds since the epoch; ``None``: never again.
        last_us: the newest fire time that has come due, 0 before the first.
        decided_us: of a guarded job, the newest tick whose fate is sealed: it ran, was skipped or was missed. A tick
            that came due only by a wrong clock is not; and as long as the store's time is not known, none can tell.
        claims: the claim under way, first, and those that wait for its decision: one at a time, so that a
            later grant can never be overtaken by an earlier one, and fences rise in the order of the ticks.
        complaint: what was last said of a store that holds something foreign for this job, until a claim is decided.
        remembered_us: the newest tick that this node has seen decided, 0 for none; the store, should it have lost
            its records, starts from the largest that anyone remembers.
        remembered_until: wall seconds after which the store's record may have expired by rule, so that its absence
        means nothing.
        overlap_lock: the local half of ``without_overlapping``.
        retired: the job was removed.
        watched: the open ticks of a job that is run again, each with the timer after which it is asked for; ``None``:
            it is being asked for, or runs here.
    """

    __slots__ = (
        "active",
        "claims",
        "complaint",
        "decided_us",
        "entry",
        "grace_us",
        "grid",
        "job",
        "last_run",
        "last_us",
        "next_us",
        "overlap_lock",
        "remembered_until",
        "remembered_us",
        "retired",
        "settings",
        "step",
        "tally",
        "watched",
    )

    def __init__(self, job: Job, settings: JobSettings) -> None:
        self.job = job
        self.settings = settings
        self.step = None if job.trigger is None else stepper(job.trigger)
        self.grid = job.trigger if type(job.trigger) is Every else None
        self.grace_us = None if settings.misfire_grace is None else round(settings.misfire_grace * 1e6)
        self.entry = 0
        self.next_us: int | None = None
        self.last_us = self.decided_us = 0
        self.complaint = ""
        self.claims: list[Claim] | None = None
        self.remembered_us = 0
        self.remembered_until = 0.0
        self.overlap_lock = asyncio.Lock() if job.is_without_overlapping else None
        self.retired = False
        self.active = 0
        self.last_run: Run | None = None
        self.tally: Tally | None = None
        self.watched: dict[int, Timer | None] = {}

    def count(self, what: Outcome | SkipReason | str, number: int = 1) -> None:
        """Add to the job's tally."""
        if self.tally is None:
            self.tally = Counter()
        self.tally[what] += number
