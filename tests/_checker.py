"""Owns the judgement over the runs of several processes: duplicates, overlaps, lost ticks, sunken fences.

Knows nothing of faults and excuses nothing: it finds, others explain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from _records import DIED, RunRecord

ENDED_BY_OTHERS = {DIED, "cancelled", "lock_lost"}
"""Outcomes of runs that did not end by themselves: their ticks may be run again."""


def ended_by_death(runs: Iterable[RunRecord], died_at: Mapping[int, float]) -> list[RunRecord]:
    """Give the runs without an end that of their process (by pid)."""
    return [
        replace(run, end=died_at[run.pid], outcome=DIED) if run.end is None and run.pid in died_at else run
        for run in runs
    ]


def of_job(runs: Iterable[RunRecord], job: str) -> list[RunRecord]:
    """Return one job's runs."""
    return [run for run in runs if run.job == job]


def by_job(runs: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return the runs of each job, ordered by their start."""
    jobs = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.start):
        jobs[run.job].append(run)
    return jobs


def duplicates(runs: Iterable[RunRecord]) -> list[tuple[RunRecord, ...]]:
    """Return the runs that share their job and tick with another, unless each is a rightful rerun of those before."""
    by_tick = defaultdict(list)
    for run in runs:
        by_tick[run.job, run.tick_us].append(run)
    return [tuple(same) for same in by_tick.values() if len(same) > 1 and not _are_reruns(same)]


def _are_reruns(same: list[RunRecord]) -> bool:
    """Return whether each run has a higher attempt than the one before, which did not end by itself."""
    return all(
        later.attempt > earlier.attempt and earlier.outcome in ENDED_BY_OTHERS
        for earlier, later in pairwise(sorted(same, key=lambda run: run.start))
    )


def overlaps(runs: Iterable[RunRecord]) -> list[tuple[RunRecord, RunRecord]]:
    """Return the pairs of runs of one job of which the second started before the first had ended."""
    found = []
    for same in by_job(runs).values():
        in_progress: list[RunRecord] = []
        for run in same:
            in_progress = [earlier for earlier in in_progress if run.start < _end(earlier)]
            found += [(earlier, run) for earlier in in_progress]
            in_progress.append(run)
    return found


def lost_ticks(runs: Iterable[RunRecord], interval: float) -> list[float]:
    """Return the ticks of one job, on a grid of ``interval`` seconds, that nobody ran between its first and last."""
    ticks = sorted({run.tick for run in runs})
    lost = []
    for earlier, later in pairwise(ticks):
        steps = round((later - earlier) / interval)
        lost += [earlier + step * interval for step in range(1, steps)]
    return lost


def fence_regressions(runs: Iterable[RunRecord]) -> list[tuple[RunRecord, RunRecord]]:
    """Return the pairs of runs of one job of which the later tick, or attempt, has no higher fence.

    A rerun is younger than the ticks that ran meanwhile, so it is compared with the other attempts of its tick only.
    """
    found = []
    for same in by_job(runs).values():
        firsts = sorted((run for run in same if run.attempt == 1), key=lambda run: (run.tick_us, run.start))
        pairs = list(pairwise(firsts))
        tries = sorted(same, key=lambda run: (run.tick_us, run.attempt))
        pairs += [pair for pair in pairwise(tries) if pair[0].tick_us == pair[1].tick_us and pair[1].attempt > 1]
        found += [(earlier, later) for earlier, later in pairs if later.fence <= earlier.fence]
    return found


def _end(run: RunRecord) -> float:
    return float("inf") if run.end is None else run.end
