"""Owns the endings that the dashboard has seen: per job the newest ones, brought up to date by what is new alone. Knows
nothing of where they come from and how they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from asyncsched._records import Ending

MOST_ENDINGS = 200
"""Kept per job."""
HOUR = 3600

Key: TypeAlias = tuple[datetime, str, str, str, datetime]


def key_of(ending: Ending) -> Key:
    """Return what tells an ending from all others."""
    return ending.at, ending.node, ending.run_id, ending.outcome, ending.fire_time


class Archive:
    """Endings by job, newest first."""

    def __init__(self) -> None:
        self._endings: dict[str, tuple[Ending, ...]] = {}
        self._hours: dict[str, tuple[float, Counter[str]]] = {}

    def of(self, job: str) -> tuple[Ending, ...]:
        """Return what is known of a job, newest first. The value changes with its contents only, so it can be compared
        by identity."""
        return self._endings.get(job, ())

    def has(self, job: str) -> bool:
        """Return whether anything of the job was added yet."""
        return job in self._endings

    def add(self, job: str, endings: Iterable[Ending]) -> bool:
        """Add endings of a job, in any order, known ones among them; return whether that changed anything."""
        known = self.of(job)
        keys = {key_of(ending) for ending in known}
        new = {key_of(ending): ending for ending in endings if ending.job == job and key_of(ending) not in keys}
        if not new and job in self._endings:
            return False
        merged = sorted((*known, *new.values()), key=lambda ending: ending.at, reverse=True)
        self._endings[job] = tuple(merged[:MOST_ENDINGS])
        self._hours.pop(job, None)
        return True

    def retain(self, jobs: Sequence[str]) -> None:
        """Forget the jobs that are not among these."""
        for job in self._endings.keys() - set(jobs):
            del self._endings[job]
            self._hours.pop(job, None)

    def in_last_hour(self, now: datetime) -> Counter[str]:
        """Return how many ticks have ended how within an hour before ``now``; each job is counted again only when it
        has something new, or an ending of it leaves the hour."""
        begin = now.timestamp() - HOUR
        total: Counter[str] = Counter()
        for job in self._endings:
            leaves_at, counted = self._hours.get(job, (float("-inf"), Counter()))
            if leaves_at < begin:
                leaves_at, counted = _counted(self._endings[job], begin)
                self._hours[job] = leaves_at, counted
            total.update(counted)
        return total


def _counted(endings: Iterable[Ending], begin: float) -> tuple[float, Counter[str]]:
    """Return the counts, and when the oldest of them was."""
    counts: Counter[str] = Counter()
    oldest = float("inf")
    for ending in endings:
        at = ending.at.timestamp()
        if at < begin:
            break
        counts[ending.outcome] += ending.count
        oldest = at
    return oldest, counts
