"""Owns what is said of one observed cluster: its figures, and each guarantee that was broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from _accounting import Account, account
from _checker import duplicates, fence_regressions
from _history import History
from _leases import Overlaps, judge_overlaps
from _records import RunRecord
from _recovery import Recovery, after_crashes, after_redis, skipped_after_emptying
from _reruns import Reruns, judge_reruns
from _writes import stale_writes_accepted, writes_refused_wrongly

SHOWN = 5
"""Breaches of one kind that are shown; all are counted."""
NEAR = 2.0
"""Seconds after a fault in which a tick does not count as calm."""


@dataclass
class Report:
    """Figures in the order in which they are to be read, and what is wrong."""

    figures: dict[str, str] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    def must_be_none(self, what: str, found: Iterable[object]) -> None:
        """Count what must not be."""
        found = list(found)
        self.figures[what] = str(len(found))
        self.breaches += [f"{what}: {one}" for one in found[:SHOWN]]

    def __str__(self) -> str:
        width = max(map(len, self.figures))
        lines = [f"{name:<{width}}  {value}" for name, value in self.figures.items()]
        verdict = [f"BROKEN {breach}" for breach in self.breaches] or ["every guarantee held"]
        return "\n".join([*lines, "", *verdict])


def report(history: History) -> Report:
    """Judge the history."""
    specs = history.specs()
    claimed = [run for run in history.runs if specs[run.job].on_one_server]
    ticks, result = account(history), Report()
    _tell_size(result, history, ticks)
    _tell_reruns(result, judge_reruns(history))
    result.must_be_none("plain ticks run twice by a node", duplicates(_plain_by_node(history)))
    _tell_overlaps(result, judge_overlaps(history))
    result.must_be_none("ticks unexplained", ticks.unexplained)
    result.must_be_none("ticks of a node without an account", ticks.unbooked)
    result.must_be_none("ticks of a node with two accounts", ticks.booked_twice)
    result.must_be_none("fences out of order", fence_regressions(claimed))
    result.must_be_none("stale writes accepted", stale_writes_accepted(history))
    result.must_be_none("writes refused wrongly", writes_refused_wrongly(history))
    result.figures["stale writes refused"] = str(len(history.records.refused))
    emptied = skipped_after_emptying(history, ticks.given_up)
    result.must_be_none("jobs with two ticks skipped after the store came back empty", emptied)
    _tell_recoveries(result, "after Redis", after_redis(history))
    _tell_recoveries(result, "after a crash", after_crashes(history))
    _tell_lateness(result, history, claimed)
    result.must_be_none("runs started before their fire time", _early(claimed))
    result.must_be_none("complaints of nodes", history.complaints)
    return result


def _tell_size(result: Report, history: History, ticks: Account) -> None:
    result.figures["seconds observed"] = f"{history.until - history.since:.0f}"
    names = Counter(fault.name for fault in history.faults)
    result.figures["faults"] = f"{len(history.faults)}: " + ", ".join(f"{name} {names[name]}" for name in sorted(names))
    result.figures["nodes that lived"] = f"{len(history.records.lives)}, of which {len(history.deaths)} were killed"
    result.figures["guarded ticks"] = str(ticks.fates.total())
    for fate, number in ticks.fates.most_common():
        result.figures[f"  {fate}"] = str(number)
    result.figures["ticks accounted for by nodes"] = str(ticks.booked)
    result.figures["ticks given up ahead of their time"] = str(ticks.given_up_ahead)
    result.figures["grants given back late"] = str(history.records.late_grants)


def _tell_reruns(result: Report, reruns: Reruns) -> None:
    result.must_be_none("ticks run twice", reruns.breaches)
    result.figures["interrupted runs of jobs with reruns"] = (
        f"{reruns.interrupted}, of which {reruns.repeated} ran again"
    )
    result.figures["  ran again although they had ended, untold"] = str(reruns.untold)


def _plain_by_node(history: History) -> list[RunRecord]:
    """Return the runs of plain jobs as if each node had its own."""
    specs = history.specs()
    plain = [run for run in history.runs if not specs[run.job].is_guarded]
    return [
        RunRecord(run.run, f"{run.node} {run.job}", run.tick_us, 0, 1, run.node, run.pid, run.start) for run in plain
    ]


def _tell_overlaps(result: Report, overlaps: Overlaps) -> None:
    result.must_be_none("overlaps without an excuse", overlaps.breaches)
    for kind, number in sorted(overlaps.excused.items()):
        longest = overlaps.longest[kind]
        result.figures[f"overlaps excused by {kind}"] = f"{number}, the longest for {longest:.3f} s after it"
    result.figures["  of which ended before they could know"] = str(overlaps.ended_unknowing)


def _tell_recoveries(result: Report, what: str, recoveries: Iterable[Recovery]) -> None:
    recoveries = list(recoveries)
    result.must_be_none(f"recoveries {what} too slow", [one for one in recoveries if one.seconds > one.allowed])
    if recoveries:
        slowest = max(recoveries, key=lambda one: one.seconds - one.allowed)
        result.figures[f"slowest recovery {what}"] = (
            f"{slowest.seconds:.3f} s of {slowest.allowed:g} allowed: {slowest.what}; {len(recoveries)} in all"
        )


def _tell_lateness(result: Report, history: History, runs: list[RunRecord]) -> None:
    specs = history.specs()
    undelayed = [run for run in runs if not specs[run.job].delay and history.since <= run.tick <= history.until]
    busy = _seconds_near_faults(history)
    calm = [run for run in undelayed if int(run.tick) not in busy]
    result.figures["lateness of all runs"] = _percentiles(undelayed)
    result.figures["lateness far from any fault"] = _percentiles(calm)
    result.figures["longest stall of a node, not made"] = f"{_longest_stall(history):.2f} s"


def _longest_stall(history: History) -> float:
    """Return for how long an event loop stood still without a fault that explains it."""
    explained = defaultdict(list)
    for fault in history.faults:
        explained[fault.node].append((fault.since, fault.until))
    for block in history.records.blocks:
        explained[block.node].append((block.since, block.until))
    return max(
        (
            stall.seconds
            for stall in history.records.stalls
            if not any(
                since <= stall.at and stall.at - stall.seconds <= until for since, until in explained[stall.node]
            )
        ),
        default=0.0,
    )


def _seconds_near_faults(history: History) -> set[int]:
    near: set[int] = set()
    for fault in history.faults:
        near |= set(range(int(fault.since - 1), int(fault.until + NEAR) + 1))
    return near


def _percentiles(runs: list[RunRecord]) -> str:
    late = sorted(run.start - run.tick for run in runs)
    if not late:
        return "no such run"
    p50, p95, p99 = (1000 * late[int(len(late) * share)] for share in (0.5, 0.95, 0.99))
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms, worst {late[-1] * 1000:.0f} ms, of {len(late)}"


def _early(runs: list[RunRecord]) -> list[RunRecord]:
    """Return the runs that began more than the claims' tolerance before their fire time, by the real clock."""
    return [run for run in runs if run.start < run.tick - 0.006]
