"""Owns what is known of one observed cluster: what its processes wrote, and what was done to them. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from _checker import ended_by_death
from _fenced_table import AcceptedWrite
from _jobs import JobSpec
from _records import Records, RunRecord, read_records


def read_records_of_dead(folder: Path, deaths: Mapping[str, float]) -> Records:
    """Read what the processes wrote, and end the runs of nodes that died then."""
    records = read_records(folder)
    records.runs = ended_by_death(records.runs, {records.lives[node].pid: at for node, at in deaths.items()})
    return records


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that was made; instants in seconds since the epoch."""

    name: str
    since: float
    until: float
    """When it was over: the node thawed, Redis answered, the way was good again."""
    node: str = ""
    """The node it was made to; empty: it was made to Redis, or to all."""
    jobs: tuple[str, ...] = ()
    """The jobs whose locks were lost by it."""

    def touches(self, since: float, until: float) -> bool:
        return self.since <= until and since <= self.until


@dataclass
class History:
    """One observed cluster."""

    jobs: list[JobSpec]
    records: Records
    since: float
    """The observation window, in which each tick must be accounted for."""
    until: float
    faults: list[Fault] = field(default_factory=list)
    deaths: dict[str, float] = field(default_factory=dict)
    """When each node that was killed died."""
    stops: dict[str, float] = field(default_factory=dict)
    """When each node that was stopped was asked to."""
    writes: list[AcceptedWrite] = field(default_factory=list)
    """What the fenced table accepted, in order."""
    complaints: list[str] = field(default_factory=list)
    """Nodes that ended by themselves, and tracebacks in what they printed."""

    @property
    def runs(self) -> list[RunRecord]:
        return self.records.runs

    def specs(self) -> dict[str, JobSpec]:
        return {spec.name: spec for spec in self.jobs}
