"""Owns the judgement over ticks that ran more than once: which of these runs were right.

A tick is run again if its run was interrupted, by a job that asks for it. If the run had come to its own end, that is a
fault; unless its node could not say so before its lease had ended: it was dying, frozen, or without Redis from the
moment when the run ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from _checker import ENDED_BY_OTHERS, duplicates
from _history import History
from _records import RunRecord

AT_ONCE = 0.2
"""Seconds after a run's end in which its node has told Redis, if nothing keeps it from that."""
CALM = 2.0
"""Seconds without trouble in which a node that could not tell has tried again."""


@dataclass
class Reruns:
    """What was found."""

    breaches: list[tuple[RunRecord, ...]] = field(default_factory=list)
    untold: int = 0
    """Runs that had ended by themselves and were followed by another, because nobody could know."""
    interrupted: int = 0
    """Ticks of jobs with reruns whose first run was interrupted."""
    repeated: int = 0
    """Those of them that ran again."""


def judge_reruns(history: History) -> Reruns:
    """Look at each tick that ran more than once."""
    specs, result = history.specs(), Reruns()
    claimed = [run for run in history.runs if specs[run.job].on_one_server]
    for same in duplicates(claimed):
        runs = sorted(same, key=lambda run: run.start)
        if specs[same[0].job].reruns and all(_is_right(history, *pair) for pair in pairwise(runs)):
            result.untold += 1
        else:
            result.breaches.append(same)
    _count(history, result)
    return result


def _is_right(history: History, earlier: RunRecord, later: RunRecord) -> bool:
    is_next = later.attempt > earlier.attempt and later.fence > earlier.fence
    return is_next and (earlier.outcome in ENDED_BY_OTHERS or _could_not_tell(history, earlier, later.start))


def _could_not_tell(history: History, run: RunRecord, until: float) -> bool:
    """Return whether the run's node was in trouble when the run ended, and not free of it for long before ``until``."""
    if run.end is None or until < run.end:
        return False
    troubles = sorted(
        (since, over) for since, over in _troubles(history, run.node) if over >= run.end and since <= until
    )
    if not troubles or troubles[0][0] > run.end + AT_ONCE:
        return False
    in_trouble_until = run.end
    for since, over in [*troubles, (until, until)]:
        if since > in_trouble_until + CALM:
            return False
        in_trouble_until = max(in_trouble_until, over)
    return True


def _troubles(history: History, node: str) -> Iterator[tuple[float, float]]:
    """Yield when a node could not reach Redis, or could do nothing at all."""
    if node in history.deaths:
        yield history.deaths[node], float("inf")
    yield from ((block.since, block.until) for block in history.records.blocks if block.node == node)
    for fault in history.faults:
        if fault.node in (node, "") and fault.name not in ("kill", "restart", "clock_forward", "clock_back"):
            yield fault.since, fault.until


def _count(history: History, result: Reruns) -> None:
    specs, attempts = history.specs(), defaultdict(list)
    for run in history.runs:
        if specs[run.job].reruns and history.since <= run.tick <= history.until:
            attempts[run.job, run.tick_us].append(run)
    for runs in attempts.values():
        if min(runs, key=lambda run: run.attempt).outcome in ENDED_BY_OTHERS:
            result.interrupted += 1
            result.repeated += len(runs) > 1
