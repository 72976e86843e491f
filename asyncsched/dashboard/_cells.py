"""Owns the values that the pages show, a value for each part that changes by itself. Plain functions over the records
of the cluster; how a value looks is a template's matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from asyncsched.dashboard._lanes import BAD, COLOURS
from asyncsched.dashboard._schedule_words import in_words

if TYPE_CHECKING:
    from asyncsched._records import ActiveRun, ClusterState, Definition, Ending, JobRecord, NodeRecord, Note


class NameCell(NamedTuple):
    """A job's name, and what it is."""

    job: str
    url: str
    schedule: str
    code: str
    differs: bool


class StateCell(NamedTuple):
    """What a job does now."""

    state: str
    """``running``, ``paused``, ``waiting``, ``done``: no fire time is to come; ``nowhere``: no node has it."""
    note: Note | None
    nodes: tuple[tuple[str, int], ...]
    """That run it now, with their colours."""
    progress: str
    failing: bool


class LastCell(NamedTuple):
    """How a job has ended last."""

    ending: Ending | None
    colour: int
    url: str


class Banner(NamedTuple):
    """What has to be said above everything else."""

    trouble: str
    taken_at: datetime | None
    maintenance: Note | None


class Summary(NamedTuple):
    """The cluster in numbers."""

    jobs: int
    running: int
    failing: int
    paused: int
    differing: int
    nodes: int
    vanished: int
    hour: tuple[tuple[str, str, int], ...]
    """Of the last hour: class, words, number."""


class Variant(NamedTuple):
    """A definition of a job, and who has it."""

    definition: Definition
    nodes: tuple[str, ...]
    words: str
    differing: frozenset[str]
    """Fields in which the variants differ."""


class Controls(NamedTuple):
    """What can be done with a job."""

    job: str
    paused: bool
    nodes: tuple[str, ...]
    active: tuple[tuple[str, str], ...]
    """Run id and node."""


def job_url(job: str) -> str:
    """Return the address of a job's page, relative to the other pages. In the query: a name may be ``..`` or have
    slashes."""
    return f"job?name={quote(job, safe='')}"


def name_cell(record: JobRecord) -> NameCell:
    """Return a job's name and schedule."""
    code = "" if record.definition is None else record.definition.schedule
    words = "no node has it" if record.definition is None else in_words(code)
    return NameCell(record.job, job_url(record.job), words, code, record.differs)


def state_of(record: JobRecord) -> str:
    """Return the one word for what a job does."""
    if record.active:
        return "running"
    if record.paused is not None:
        return "paused"
    if not record.definitions:
        return "nowhere"
    return "done" if record.next_fire_time is None else "waiting"


def is_failing(record: JobRecord) -> bool:
    """Return whether a job's last run went wrong, or its last tick was missed."""
    return record.last is not None and (record.last.outcome in BAD or record.last.outcome == "missed")


def state_cell(record: JobRecord, colours: Mapping[str, int]) -> StateCell:
    """Return what a job does now."""
    nodes = tuple((run.node, colour(colours, run.node)) for run in record.active[:3])
    progress = next((run.progress for run in record.active if run.progress), "")
    return StateCell(state_of(record), record.paused, nodes, progress, is_failing(record))


def colour(colours: Mapping[str, int], node: str) -> int:
    """Return the number of a node's colour."""
    return colours.get(node, 0) % COLOURS


def summary_of(state: ClusterState, hour: Counter[str]) -> Summary:
    """Return the cluster in numbers."""
    bad = sum(number for outcome, number in hour.items() if outcome in BAD)
    return Summary(
        jobs=len(state.jobs),
        running=sum(len(record.active) for record in state.jobs),
        failing=sum(map(is_failing, state.jobs)),
        paused=sum(record.paused is not None for record in state.jobs),
        differing=sum(record.differs for record in state.jobs),
        nodes=sum(node.state != "vanished" for node in state.nodes),
        vanished=sum(node.state == "vanished" for node in state.nodes),
        hour=(
            ("ok", "succeeded", hour["succeeded"]),
            ("bad", "failed", bad),
            ("skipped", "skipped", hour["skipped"]),
            ("missed", "missed", hour["missed"]),
        ),
    )


def variants_of(record: JobRecord) -> tuple[Variant, ...]:
    """Return the different definitions of a job, that of most nodes first."""
    nodes: dict[str, list[str]] = {}
    found: dict[str, Definition] = {}
    for node, definition in record.definitions.items():
        nodes.setdefault(definition.digest, []).append(node)
        found[definition.digest] = definition
    fields = ("schedule", "policies", "timezone", "lock_ttl", "misfire_grace")
    differing = frozenset(
        name for name in fields if len({getattr(definition, name) for definition in found.values()}) > 1
    )
    ordered = sorted(found, key=lambda digest: -len(nodes[digest]))
    return tuple(
        Variant(found[digest], tuple(sorted(nodes[digest])), in_words(found[digest].schedule), differing)
        for digest in ordered
    )


def controls_of(record: JobRecord) -> Controls:
    """Return what can be done with a job."""
    active = tuple((run.run_id, run.node) for run in record.active if run.run_id)
    return Controls(record.job, record.paused is not None, tuple(sorted(record.definitions)), active)


class NodeCell(NamedTuple):
    """A node, and what does not change while it lives."""

    node: str
    colour: int
    host: str
    pid: int
    state: str
    environment: str
    started_at: datetime
    version: str
    python: str
    is_odd: bool
    """Whether its version is not that of most nodes."""


def node_cell(node: NodeRecord, colours: Mapping[str, int], usual: str) -> NodeCell:
    """Return a node. ``usual``: the version that most nodes have."""
    return NodeCell(
        node.node,
        colour(colours, node.node),
        node.host,
        node.pid,
        node.state,
        node.environment,
        node.started_at,
        node.version,
        node.python,
        node.version != usual,
    )


def usual_version(nodes: Sequence[NodeRecord]) -> str:
    """Return the version that most nodes have."""
    counts = Counter(node.version for node in nodes if node.state != "vanished")
    return counts.most_common(1)[0][0] if counts else ""


def runs_cell(active: Sequence[ActiveRun]) -> tuple[tuple[str, str, datetime], ...]:
    """Return what a node runs: job, its address, since when."""
    return tuple((run.job, job_url(run.job), run.started_at or run.fire_time) for run in active)
