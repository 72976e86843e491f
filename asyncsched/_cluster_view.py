"""Owns how the state of a cluster is put together from the texts of its board. Plain values in, plain values out: it
asks nobody, and leaves out what makes no sense."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from asyncsched._grants import EVERY_JOB
from asyncsched._instants import from_us
from asyncsched._record_texts import definitions_of, ending_of, node_of, note_of
from asyncsched._records import ClusterState, Ending, JobRecord, Note

if TYPE_CHECKING:
    from asyncsched._records import ActiveRun, BoardText, Definition, NodeRecord

VANISHED_AFTER = 15.0
"""Seconds without a report after which a node counts as vanished."""
SHOWN_FOR = 3600.0
"""Seconds for which a vanished node is shown."""
VANISHED = "vanished"

Catalogues = Mapping[str, tuple["Definition", ...]]


def nodes_of(text: BoardText) -> tuple[tuple[NodeRecord, ...], Catalogues]:
    """Return the nodes by name, those that vanished a short time ago among them, and the definitions of each."""
    nodes: list[NodeRecord] = []
    catalogues: dict[str, tuple[Definition, ...]] = {}
    definitions: dict[str, tuple[Definition, ...]] = {}
    for name, (report, age) in sorted(text.reports.items()):
        if age > SHOWN_FOR:
            continue
        with suppress(OverflowError, ValueError):
            read = node_of(name, report, from_us(round((text.now - age) * 1e6)))
            if read is None:
                continue
            record, digest = read
            if digest not in catalogues:
                catalogues[digest] = definitions_of(text.catalogues.get(digest, ""))
            definitions[record.node] = catalogues[digest]
            jobs = tuple(each.job for each in catalogues[digest])
            state = VANISHED if age > VANISHED_AFTER else record.state
            nodes.append(replace(record, jobs=jobs, state=state))
    return tuple(nodes), definitions


def is_there(node: NodeRecord) -> bool:
    """Return whether a node reports still."""
    return node.state != VANISHED


def names_in(text: BoardText, nodes: Iterable[NodeRecord]) -> tuple[str, ...]:
    """Return the names of all jobs that a node has or that are paused, sorted."""
    return tuple(sorted({job for node in nodes for job in node.jobs} | (set(text.paused) - {EVERY_JOB})))


def names_ever(text: BoardText, nodes: Iterable[NodeRecord]) -> tuple[str, ...]:
    """Return the names of all jobs of which there may be endings, also after their nodes have left, sorted."""
    return tuple(sorted({*names_in(text, nodes), *text.fire_times, *text.successes}))


def cluster_state(text: BoardText, last: Mapping[str, Sequence[str]]) -> ClusterState:
    """Return the state of a cluster; ``last``: the newest endings of each job."""
    nodes, definitions = nodes_of(text)
    return ClusterState(
        taken_at=from_us(round(text.now * 1e6)),
        maintenance=_note(text, EVERY_JOB),
        nodes=nodes,
        jobs=tuple(
            job_record(name, text, nodes, definitions, endings_of(name, last.get(name, ())))
            for name in names_in(text, nodes)
        ),
    )


def job_record(
    job: str, text: BoardText, nodes: Sequence[NodeRecord], definitions: Catalogues, endings: Sequence[Ending]
) -> JobRecord:
    """Return one job; ``endings``: of it, the newest first."""
    there = sorted(filter(is_there, nodes), key=lambda node: node.started_at)
    declared = {
        node.node: definition for node in there for definition in definitions[node.node] if definition.job == job
    }
    return JobRecord(
        job=job,
        definitions=MappingProxyType(declared),
        next_fire_time=_instant(text.fire_times.get(job, 0)) if declared else None,
        paused=_note(text, job),
        last=endings[0] if endings else None,
        last_success_at=_instant(text.successes.get(job, 0)),
        active=tuple(_runs_of(job, there)),
    )


def endings_of(job: str, texts: Iterable[str]) -> tuple[Ending, ...]:
    """Return the endings in these texts, the newest first."""
    found = (ending_of(job, text) for text in texts)
    return newest_first(ending for ending in found if ending is not None)


def newest_first(endings: Iterable[Ending]) -> tuple[Ending, ...]:
    """Return endings in order: nodes write theirs down at different times."""
    return tuple(sorted(endings, key=lambda ending: ending.at, reverse=True))


def _runs_of(job: str, nodes: Iterable[NodeRecord]) -> Iterable[ActiveRun]:
    return (run for node in nodes for run in node.active if run.job == job)


def _note(text: BoardText, job: str) -> Note | None:
    if job not in text.paused:
        return None
    return note_of(text.notes.get(job, "")) or Note(by="", why="", at=None)


def _instant(instant_us: int) -> datetime | None:
    with suppress(OverflowError):
        return from_us(instant_us) if instant_us > 0 else None
    return None
