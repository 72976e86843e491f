"""Owns the judgement over overlaps: which of them nobody can prevent, and whether those ended as they must.

A lease cannot exclude an overlap when its holder is frozen or its event loop is blocked for longer than the lease
lasts, or when Redis loses the key. Then the holder must lose its run promptly. Nothing else excuses an overlap: no
outage, no crash of another node, no clock. A machine that gives a node no time is a freeze that nobody made; the node's
own heartbeat must have seen it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from _checker import overlaps
from _history import History
from _jobs import JobSpec
from _records import DIED, RunRecord

STALL = "stall, not made"
PROMPT = 2.0
"""Seconds, after a holder can act again, within which the run that has lost its lease must have ended."""


class Harm(NamedTuple):
    """What may take a lease from a holder without anybody being able to prevent it."""

    kind: str
    since: float
    until: float
    relief: float
    """From when on the holder could know, or will learn in its own time."""
    ends_within: float
    """Seconds after the relief by which the holder's run must have ended."""
    is_noticed_at_once: bool
    """Whether the holder learns of it the moment it can act: then it must not end as anything but ``lock_lost``."""


@dataclass
class Overlaps:
    """What was found."""

    breaches: list[str] = field(default_factory=list)
    excused: Counter[str] = field(default_factory=Counter)
    """By the kind of harm."""
    longest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds, by the kind of harm, from the relief to the end of the run that had lost its lease."""
    ended_unknowing: int = 0
    """Of the excused ones: the key was lost, and the run had ended before its next renewal could tell."""


def judge_overlaps(history: History) -> Overlaps:
    """Look at each pair of runs that were in progress at once and must not have been."""
    specs, result = history.specs(), Overlaps()
    alone = [run for run in history.runs if specs[run.job].without_overlapping]
    for pair in overlaps(alone):
        stale, newer = sorted(pair, key=lambda run: run.fence)
        _judge(history, specs[stale.job], stale, newer, result)
    return result


def _judge(history: History, spec: JobSpec, stale: RunRecord, newer: RunRecord, result: Overlaps) -> None:
    ended_at = history.until if stale.end is None else stale.end
    held_since = min(stale.start, stale.fence / 1e6)  # a key can be lost before the handler begins
    met = [harm for harm in _harms(history, spec, stale) if harm.since <= ended_at and held_since <= harm.until]
    harms = [harm for harm in met if harm.kind != STALL] or met
    if not harms:
        result.breaches.append(f"overlap without a reason: {stale} {newer}")
        return
    harm = max(harms, key=lambda harm: harm.relief)
    late_by = max(0.0, ended_at - harm.relief)
    if late_by > harm.ends_within:
        result.breaches.append(f"overlap that lasted {late_by:.3f} s after {harm.kind}: {stale} {newer}")
    elif stale.outcome in ("lock_lost", DIED) or not harm.is_noticed_at_once:
        result.excused[harm.kind] += 1
        result.longest[harm.kind] = max(result.longest[harm.kind], late_by)
        result.ended_unknowing += stale.outcome not in ("lock_lost", DIED)
    else:
        result.breaches.append(
            f"overlap, and the older run ended as {stale.outcome} after {harm.kind}: {stale} {newer}"
        )


def _harms(history: History, spec: JobSpec, run: RunRecord) -> Iterator[Harm]:
    for block in history.records.blocks:
        if block.node == run.node:
            yield Harm("block", block.since, block.until, block.until, PROMPT, is_noticed_at_once=True)
    for stall in history.records.stalls:
        if stall.node == run.node:
            yield Harm(STALL, stall.at - stall.seconds, stall.at, stall.at, PROMPT, is_noticed_at_once=True)
    for fault in history.faults:
        if fault.name == "freeze" and fault.node == run.node:
            yield Harm("freeze", fault.since, fault.until, fault.until, PROMPT, is_noticed_at_once=True)
        elif run.job in fault.jobs:
            # noticed at the next renewal; if that gets no answer either, at the end of the trust window
            relief = fault.until if fault.name == "redis_emptied" else fault.since
            yield Harm("lost key", fault.since, fault.until, relief, spec.lock_ttl + PROMPT, is_noticed_at_once=False)
