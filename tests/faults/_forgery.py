"""Owns a forged log: a cluster of two nodes that did everything right, until a test makes it lie.

Written to files and read back, so that what is judged is what real nodes would have written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _fenced_table import AcceptedWrite
from _history import Fault, History, read_records_of_dead
from _jobs import JobSpec
from _report import Report, report
from _run_log import RunLog

SOLO = JobSpec("solo", 1.0, on_one_server=True)
AGAIN = JobSpec("again", 1.0, on_one_server=True, lock_ttl=2.0, reruns=True)
ALONE = JobSpec("alone", 1.0, on_one_server=True, without_overlapping=True)
PLAIN = JobSpec("plain", 1.0)
GUARDED = (SOLO, ALONE, AGAIN)
FIRST, LAST = 100, 160
"""Ticks, in seconds since the epoch."""
SINCE, UNTIL = 105.0, 150.0
NODES = ("a", "b")


def owner(tick: int) -> str:
    """Return the node that runs a guarded tick."""
    return NODES[tick % 2]


class Forgery:
    """Lines of two nodes, and what was done to them."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.faults: list[Fault] = []
        self.deaths: dict[str, float] = {}
        self.writes: list[AcceptedWrite] = []
        self.complaints: list[str] = []
        for node in NODES:
            self.add(node, "born", node=node, pid=ord(node), born=95.0)
        for tick in range(FIRST, LAST):
            for spec in GUARDED:
                self.run(owner(tick), spec, tick)
                self.book(owner(tick + 1), spec, tick, "elsewhere")
            for node in NODES:
                self.run(node, PLAIN, tick)

    def add(self, node: str, line: str, /, **fields: Any) -> None:
        self.lines.append((node, line, fields))

    def run(self, node: str, spec: JobSpec, tick: int, **changes: Any) -> None:
        """Add a run with its end, its booking and its write."""
        run, fence = (
            changes.get("run", f"{spec.name}-{tick}-{node}"),
            changes.get("fence", tick * 1_000_000 if spec.is_guarded else 0),
        )
        start, end = changes.get("start", tick + 0.01), changes.get("end", tick + 0.1)
        tick_us, attempt = tick * 1_000_000, changes.get("attempt", 1)
        fields = {"run": run, "job": spec.name, "tick_us": tick_us, "fence": fence, "attempt": attempt}
        self.add(node, "start", **fields, node=node, pid=ord(node), start=start)
        write = AcceptedWrite(spec.name, fence, tick_us, attempt)
        if spec.is_guarded and write not in self.writes:
            self.writes.append(write)
        if end is not None:
            self.add(node, "end", run=run, end=end)
            self.book(node, spec, tick, changes.get("outcome", "succeeded"), at=end, run=run)

    def book(
        self, node: str, spec: JobSpec, tick: int, word: str, *, at: float | None = None, **run: str | int
    ) -> None:
        at = tick + 0.02 if at is None else at
        self.add(node, "booked", node=node, job=spec.name, tick_us=tick * 1_000_000, word=word, at=at, **run)

    def forget(self, spec: JobSpec, tick: int, *nodes: str) -> None:
        """Take back all that these nodes (default: all) wrote of a tick."""
        tick_us = tick * 1_000_000
        ids = {
            fields["run"]
            for node, line, fields in self.lines
            if line == "start"
            and (fields["job"], fields["tick_us"]) == (spec.name, tick_us)
            and node in (nodes or NODES)
        }

        def is_kept(node: str, fields: dict[str, Any]) -> bool:
            of_tick = fields.get("job") == spec.name and fields.get("tick_us") == tick_us
            return fields.get("run") not in ids and not (of_tick and node in (nodes or NODES))

        self.lines = [line for line in self.lines if is_kept(line[0], line[2])]

    def history(self, folder: Path) -> History:
        logs = {node: RunLog(folder, node) for node in {node for node, _, _ in self.lines}}
        for node, line, fields in self.lines:
            logs[node].write(line, **fields)
        return History(
            jobs=[*GUARDED, PLAIN],
            records=read_records_of_dead(folder, self.deaths),
            since=SINCE,
            until=UNTIL,
            faults=self.faults,
            deaths=self.deaths,
            writes=self.writes,
            complaints=self.complaints,
        )

    def report(self, folder: Path) -> Report:
        return report(self.history(folder))
