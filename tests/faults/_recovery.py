"""Owns the measurement of how soon work goes on: after Redis has come back, and after a node has died."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from _checker import by_job
from _history import Fault, History
from _records import DIED

REDIS_WAS_AWAY = ("redis_killed", "redis_emptied", "redis_absent_at_start")
AFTER_REDIS = 2.0
"""Seconds after Redis has come back within which guarded jobs run again."""
AFTER_CRASH = 2.0
"""Seconds, beyond the lock_ttl and the job's interval, within which a job runs again whose holder died."""


class Recovery(NamedTuple):
    """How long one recovery took."""

    what: str
    seconds: float
    allowed: float


def after_redis(history: History) -> Iterator[Recovery]:
    """Yield, for each return of Redis, the seconds until the first guarded run, and until each node had an answer."""
    specs = history.specs()
    starts = sorted(run.start for run in history.runs if specs[run.job].is_guarded)
    for fault in history.faults:
        if fault.name in REDIS_WAS_AWAY:
            at = bisect_right(starts, fault.until)
            if at < len(starts):
                yield Recovery(f"first guarded run after {fault.name}", starts[at] - fault.until, AFTER_REDIS)


def after_crashes(history: History) -> Iterator[Recovery]:
    """Yield, for each run that died with its node, the seconds from the death to the job's next run."""
    specs = history.specs()
    outages = [fault for fault in history.faults if not fault.node and fault.name not in ("kill", "script_flush")]
    for name, runs in by_job(history.runs).items():
        spec = specs[name]
        starts = [run.start for run in runs]
        for run in runs:
            if run.outcome != DIED or run.end is None or not spec.without_overlapping:
                continue
            at = bisect_right(starts, run.end)
            allowed = spec.lock_ttl + spec.interval + AFTER_CRASH
            if at < len(starts) and not _is_hindered(outages, run.end, run.end + allowed, name):
                yield Recovery(f"{name} after the death of {run.node}", starts[at] - run.end, allowed)


def _is_hindered(outages: list[Fault], since: float, until: float, job: str) -> bool:
    return any(fault.touches(since, until) and (not fault.jobs or job in fault.jobs) for fault in outages)
