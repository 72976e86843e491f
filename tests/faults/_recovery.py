"""Owns the measurement of how soon work goes on: after Redis has come back, and after a node has died."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from _checker import by_job
from _history import Fault, History
from _records import DIED

REDIS_WAS_AWAY = ("redis_killed", "redis_emptied", "redis_absent_at_start")
EMPTIED = ("redis_emptied", "file_deleted")
OF_PROCESSES = ("kill", "restart", "freeze", "block", "clock_forward", "clock_back")
AFTER_REDIS = 2.0
"""Seconds after Redis has come back within which guarded jobs run again."""
AFTER_CRASH = 2.0
"""Seconds, beyond the lock_ttl and the job's interval, within which a job runs again whose holder died."""


LOOKED_AT_FOR = 10.0
"""Seconds after Redis has come back empty."""


class Recovery(NamedTuple):
    """How long one recovery took."""

    what: str
    seconds: float
    allowed: float


def after_redis(history: History) -> Iterator[Recovery]:
    """Yield, for each return of Redis, the seconds until the first guarded run, and until each node heard of it."""
    specs = history.specs()
    starts = sorted(run.start for run in history.runs if specs[run.job].is_guarded)
    answered = _answers_by_node(history)
    for fault in history.faults:
        if fault.name not in REDIS_WAS_AWAY:
            continue
        at = bisect_right(starts, fault.until)
        if at < len(starts):
            yield Recovery(f"first guarded run after {fault.name}", starts[at] - fault.until, AFTER_REDIS)
        for node, times in answered.items():
            at = bisect_right(times, fault.until)
            if 0 < at < len(times) and not _is_troubled(history, node, fault.until, fault.until + AFTER_REDIS):
                yield Recovery(f"{node} after {fault.name}", times[at] - fault.until, AFTER_REDIS)


def _answers_by_node(history: History) -> dict[str, list[float]]:
    """Return, for each node, when it booked guarded ticks that Redis had decided."""
    specs, answered = history.specs(), defaultdict(list)
    for booking in history.records.bookings:
        if specs[booking.job].is_guarded and booking.word not in ("store_unavailable", "shutting_down", "lock_lost"):
            answered[booking.node].append(booking.at)
    return {node: sorted(times) for node, times in answered.items()}


def _is_troubled(history: History, node: str, since: float, until: float) -> bool:
    """Return whether anything else keeps this node, or all of them, from Redis."""
    return any(
        fault.node in (node, "") and fault.touches(since, until) and fault.until != since for fault in history.faults
    )


def skipped_after_emptying(history: History, given_up: list[tuple[str, int]]) -> list[str]:
    """Return the jobs of which more than one tick was skipped after the store had come back empty, before anything else
    was done to it or to the ways there."""
    found = []
    for fault in history.faults:
        if fault.name not in EMPTIED:
            continue
        later = [other.since for other in history.faults if other.name not in OF_PROCESSES and other is not fault]
        until = min([fault.until + LOOKED_AT_FOR, *(since for since in later if since >= fault.until)])
        jobs = Counter(job for job, tick_us in given_up if fault.until < tick_us / 1e6 < until - 1.0)
        found += [f"{job}: {number} after {fault}" for job, number in jobs.items() if number > 1]
    return found


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
