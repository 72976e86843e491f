"""Owns the few words of the cluster that are needed wherever there is a job or a run, before anything is claimed.

They stand apart from the values of ``_grants``, which only an engine and its store need: to import those takes longer.
"""

from __future__ import annotations

from enum import StrEnum

DEFAULT_LOCK_TTL = 600.0
"""Seconds after which a lock that nobody renews is free again."""

EVERY_JOB = "*"
"""Stands, among the names of paused jobs, for the maintenance of the whole cluster. It is no job's name."""

MOST_SLOTS = 100
"""Runs of a job that may be in progress at once, where that is limited at all: a claim reads the lock of each."""


class ClaimKind(StrEnum):
    """What is claimed."""

    TICK = "tick"
    """A fire time of the job's trigger."""
    START = "start"
    """The immediate run."""
    TRIGGER = "trigger"
    """A run that somebody asked for: no tick, so the tick record stays as it is."""
    RERUN = "rerun"
    """An open tick again: its run was interrupted, and its lease has ended."""
    SURVEY = "survey"
    """Nothing: only to be told the newest decided tick, and the open ones. A job that the store did not know is known
    from then on, and its ticks that had come due by then are in doubt."""


class LockType(StrEnum):
    """The last part of a lock's key."""

    SERVER = "server"
    OVERLAP = "overlap"
    """Of one slot, which stands behind it in the key unless it is 0."""
    START = "start"
    TICK = "tick"
    OPEN = "open"
    RUN = "run"
    """Of one tick, which stands behind it in the key."""
