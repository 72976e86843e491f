"""Owns the judgement over what several processes say they ran: duplicates, overlaps, lost ticks, sunken fences.

Reads files of JSON lines, one file for each process, one line at a run's start and one at its end.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run; instants in seconds since the epoch."""

    run: str
    job: str
    tick: float
    fence: int
    node: str
    pid: int
    start: float
    end: float | None
    """``None``: no end was written, because its process died, or because it still runs."""


def read_records(folder: Path) -> list[RunRecord]:
    """Return the runs of all processes, ordered by their start. A line that a kill cut off does not count."""
    runs: dict[str, RunRecord] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            if "end" in fields:
                runs[fields["run"]] = replace(runs[fields["run"]], end=fields["end"])
            else:
                runs[fields["run"]] = RunRecord(**fields, end=None)
    return sorted(runs.values(), key=lambda run: run.start)


def ended_by_death(runs: Iterable[RunRecord], died_at: Mapping[int, float]) -> list[RunRecord]:
    """Give the runs without an end that of their process (by pid)."""
    return [replace(run, end=died_at[run.pid]) if run.end is None and run.pid in died_at else run for run in runs]


def of_job(runs: Iterable[RunRecord], job: str) -> list[RunRecord]:
    """Return one job's runs."""
    return [run for run in runs if run.job == job]


def duplicates(runs: Iterable[RunRecord]) -> list[tuple[RunRecord, ...]]:
    """Return the runs that share their job and tick with another."""
    by_tick = defaultdict(list)
    for run in runs:
        by_tick[run.job, run.tick].append(run)
    return [tuple(same) for same in by_tick.values() if len(same) > 1]


def overlaps(runs: Iterable[RunRecord]) -> list[tuple[RunRecord, RunRecord]]:
    """Return the pairs of runs of one job of which the second started before the first had ended."""
    by_job = defaultdict(list)
    for run in runs:
        by_job[run.job].append(run)
    found = []
    for same in by_job.values():
        longest: RunRecord | None = None  # of those before, the one that ends last: a long one may span several
        for run in sorted(same, key=lambda run: run.start):
            if longest is not None and run.start < _end(longest):
                found.append((longest, run))
            if longest is None or _end(run) > _end(longest):
                longest = run
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
    """Return the pairs of runs of one job of which the later tick has no higher fence."""
    by_job = defaultdict(list)
    for run in runs:
        by_job[run.job].append(run)
    return [
        (earlier, later)
        for same in by_job.values()
        for earlier, later in pairwise(sorted(same, key=lambda run: (run.tick, run.start)))
        if later.fence <= earlier.fence
    ]


def _end(run: RunRecord) -> float:
    return float("inf") if run.end is None else run.end
