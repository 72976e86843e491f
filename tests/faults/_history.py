"""Owns what is known of one observed cluster: what its processes wrote, and what was done to them. Judges nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from _checker import ended_by_death
from _fenced_table import AcceptedWrite, FencedTable
from _jobs import JobSpec, job_table
from _records import Records, RunRecord, read_records

LOG, TABLE, FILE, DONE = "log", "table.db", "jobs.db", "done.json"
"""What a folder holds: what the processes wrote, the fenced table, the store's file, and what was done."""


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

    def save(self, folder: Path) -> None:
        """Write what was done, beside what the processes wrote, so that it can be judged again."""
        done = {name: getattr(self, name) for name in ("since", "until", "deaths", "stops", "complaints")}
        faults = [asdict(fault) for fault in self.faults]
        guarded = sum(spec.is_guarded for spec in self.jobs)
        (folder / DONE).write_text(json.dumps({**done, "faults": faults, "guarded": guarded}))

    @classmethod
    def load(cls, folder: Path) -> History:
        """Read what ``save`` and the processes wrote."""
        done = json.loads((folder / DONE).read_text())
        faults = [Fault(**{**fault, "jobs": tuple(fault["jobs"])}) for fault in done.pop("faults")]
        table = FencedTable(folder / TABLE)
        try:
            return cls(
                jobs=job_table(done.pop("guarded")),
                records=read_records_of_dead(folder / LOG, done["deaths"]),
                faults=faults,
                writes=table.history(),
                **done,
            )
        finally:
            table.close()

    @property
    def runs(self) -> list[RunRecord]:
        return self.records.runs

    def specs(self) -> dict[str, JobSpec]:
        return {spec.name: spec for spec in self.jobs}
