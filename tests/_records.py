"""Owns what several processes say they did, as values, read from the files that ``_run_log`` writes.

Judges nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

DIED = "died"
"""Outcome of a run whose process was killed."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run; instants in seconds since the epoch."""

    run: str
    job: str
    tick_us: int
    fence: int
    attempt: int
    node: str
    pid: int
    start: float
    end: float | None = None
    """``None``: no end was written, because its process died, or because it still runs."""
    outcome: str | None = None
    """What the scheduler said of it, or ``DIED``."""

    @property
    def tick(self) -> float:
        """The fire time in seconds since the epoch."""
        return self.tick_us / 1e6


class Booking(NamedTuple):
    """How one node accounts for one tick."""

    node: str
    job: str
    tick_us: int
    word: str
    """An outcome, the reason of a skip, or ``missed``."""
    at: float
    attempt: int = 1
    """Above 1: of a run of the tick again, after an interrupted one."""


class Missed(NamedTuple):
    """Ticks of one job that one node was too late for."""

    node: str
    job: str
    first_us: int
    last_us: int
    count: int
    at: float


class RefusedWrite(NamedTuple):
    """A write that the fenced table refused."""

    node: str
    job: str
    run: str
    at: float


class Block(NamedTuple):
    """A handler that blocked its node's event loop."""

    node: str
    job: str
    run: str
    since: float
    until: float


class Stall(NamedTuple):
    """An event loop that stood still."""

    node: str
    seconds: float
    at: float


@dataclass
class Life:
    """One process: a node's name is never used by two."""

    node: str
    pid: int
    born: float
    stopped: float | None = None
    """When its scheduler had drained."""


@dataclass
class Records:
    """All that the processes wrote."""

    runs: list[RunRecord] = field(default_factory=list)
    """Ordered by their start."""
    bookings: list[Booking] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    lives: dict[str, Life] = field(default_factory=dict)
    refused: list[RefusedWrite] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    late_grants: int = 0


def read_records(folder: Path) -> Records:
    """Read all files. A line that a kill cut off does not count."""
    records = Records()
    runs: dict[str, RunRecord] = {}
    readers = _readers(records, runs)
    for path in sorted(folder.glob("*.jsonl")):
        for fields in _lines(path):
            readers[fields.pop("line")](fields)
    records.runs = sorted(runs.values(), key=lambda run: run.start)
    return records


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _readers(records: Records, runs: dict[str, RunRecord]) -> dict[str, Callable[[dict[str, Any]], object]]:
    def start(fields: dict[str, Any]) -> None:
        runs[fields["run"]] = RunRecord(**fields)

    def end(fields: dict[str, Any]) -> None:
        runs[fields["run"]] = replace(runs[fields["run"]], end=fields["end"])

    def booked(fields: dict[str, Any]) -> None:
        run = fields.pop("run", None)
        records.bookings.append(Booking(**fields))
        if run in runs:  # a run that lost its lease before its handler was started has an end, but no start
            runs[run] = replace(runs[run], outcome=fields["word"])

    def stopped(fields: dict[str, Any]) -> None:
        records.lives[fields["node"]].stopped = fields["at"]

    def late_grant(_: dict[str, Any]) -> None:
        records.late_grants += 1

    return {
        "start": start,
        "end": end,
        "booked": booked,
        "missed": lambda fields: records.missed.append(Missed(**fields)),
        "born": lambda fields: records.lives.update({fields["node"]: Life(**fields)}),
        "stopped": stopped,
        "refused": lambda fields: records.refused.append(RefusedWrite(**fields)),
        "block": lambda fields: records.blocks.append(Block(**fields)),
        "late_grant": late_grant,
        "stall": lambda fields: records.stalls.append(Stall(**fields)),
    }
