"""Owns the words for what a cluster keeps of itself for people: nodes, jobs, endings, runs in progress, orders.

Nothing rests on it: no decision about a tick looks at any of this. Knows neither how it is kept nor who reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Who has paused a job, or put the cluster into maintenance, and why."""

    by: str
    why: str
    """Empty: nothing was said."""
    at: datetime | None
    """``None``, with the rest empty: nobody has noted anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A job as a node has declared it."""

    job: str
    digest: str
    """Short, and the same for equal definitions: nodes with different ones run different versions of the job."""
    schedule: str
    """The trigger as code, such as ``Every(30)``; empty for a job that only runs immediately."""
    policies: tuple[str, ...]
    timezone: str
    lock_ttl: float
    """Seconds."""
    misfire_grace: float | None
    """Seconds; ``None``: however late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRun:
    """One run in progress on some node, as of its last report."""

    job: str
    node: str
    run_id: str
    trace_id: str
    kind: str
    """``tick``, ``start``, ``trigger``, ``rerun``."""
    fire_time: datetime
    started_at: datetime | None
    """``None`` while it sleeps its random delay."""
    attempt: int
    fence: int
    progress: str
    """What the handler has said of it, in words; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """One node, as of its last report."""

    node: str
    host: str
    pid: int
    version: str
    """Of asyncsched."""
    python: str
    environment: str
    """Empty: none."""
    state: str
    """``running``, ``draining``; ``vanished``: it reports no more and has not said that it leaves."""
    started_at: datetime
    seen_at: datetime
    """When it reported last."""
    clock_skew: float | None
    """Seconds by which its wall clock is ahead of the store's."""
    jobs: tuple[str, ...]
    """Names of the jobs that it runs, sorted."""
    active: tuple[ActiveRun, ...]
    """At most ``MOST_ACTIVE``."""


MOST_ACTIVE = 100
"""Runs in progress that a node reports; of more, the oldest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a tick, or a run that was asked for, has ended: ran, skipped with a reason, or missed.

    That a node has skipped a tick as ``elsewhere`` is not kept: the node that has it says what became of it.
    """

    job: str
    node: str
    at: datetime
    """When it ended."""
    kind: str
    """``tick``, ``start``, ``trigger``, ``rerun``."""
    outcome: str
    """``succeeded``, ``failed``, ``timed_out``, ``cancelled``, ``lock_lost``, ``skipped``, ``missed``."""
    reason: str
    """Of a skip; else empty."""
    fire_time: datetime
    """Of ``missed``: the first one's."""
    last_fire_time: datetime | None
    """Of ``missed``: the last one's."""
    count: int
    """Ticks: 1, but for ``missed``."""
    started_at: datetime | None
    """``None``: its handler never started."""
    duration: float
    """Seconds from the handler's start; 0 if it never started."""
    run_id: str
    """Empty: it had none."""
    trace_id: str
    attempt: int
    fence: int
    error: str
    """Type and message of the last error, at most ``LONGEST_ERROR`` characters; empty: none."""
    by: str
    """Of a run that was ordered, or cancelled by order: who did it; else empty."""
    why: str = ""
    """What was said of that."""

    @property
    def late_by(self) -> float | None:
        """Seconds between fire time and start; ``None``: it never started."""
        return None if self.started_at is None else (self.started_at - self.fire_time).total_seconds()


LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job of the cluster, as its nodes declare it and as it has ended."""

    job: str
    definitions: Mapping[str, Definition]
    """By node that has it. More than one digest among them: versions of a service differ."""
    next_fire_time: datetime | None
    paused: Note | None
    """``None``: it is not. Of a pause of which nobody has said anything, the note is empty."""
    last: Ending | None
    """The newest ending."""
    last_success_at: datetime | None
    active: tuple[ActiveRun, ...]

    @property
    def differs(self) -> bool:
        """Whether nodes declare it differently."""
        return len({definition.digest for definition in self.definitions.values()}) > 1

    @property
    def definition(self) -> Definition | None:
        """The declaration of the node that started last; ``None``: no node that is there has the job."""
        return tuple(self.definitions.values())[-1] if self.definitions else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """A cluster at one instant."""

    taken_at: datetime
    """By the store's clock, where it has one."""
    maintenance: Note | None
    """``None``: there is none."""
    nodes: tuple[NodeRecord, ...]
    """By name; those that vanished within the last hour among them."""
    jobs: tuple[JobRecord, ...]
    """By name."""

    @property
    def active(self) -> tuple[ActiveRun, ...]:
        """All runs in progress, on nodes that are there."""
        return tuple(run for node in self.nodes if node.state != "vanished" for run in node.active)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRecord:
    """One lock, or tick record, of a job, as it stands in the store."""

    job: str
    lock_type: str
    """``server``, ``overlap``, ``start``, ``tick``, ``open``, ``run``."""
    node: str
    """Its owner's; empty: it has none."""
    run_id: str
    tick: datetime | None
    """Of ``tick`` and ``run``, and of each ``open`` one."""
    fence: int
    """0: not known."""
    ends_in: float | None
    """Seconds until it ends by itself; ``None``: it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAnswer:
    """What became of an order."""

    node: str
    """The node that took it."""
    run_id: str
    """Of the run that was started, or asked to end; empty: none."""
    outcome: str
    """``started``, ``cancelling``, ``skipped``, ``failed``."""
    detail: str
    """Why it was skipped, or has failed; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at in the set-up of a store."""

    level: str
    """``ok``, ``warning``, ``error``."""
    what: str
    advice: str
    """What to do; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a tick did, or did not, run."""

    job: str
    tick: datetime | None
    """The fire time that it is about; ``None``: none could be found."""
    verdict: str
    """One word: ``ran``, ``running``, ``skipped``, ``missed``, ``waiting`` (it is not due yet, or not decided),
    ``paused``, ``maintenance``, ``vanished`` (granted to a node that has not said how it ended), ``unknown``."""
    because: tuple[str, ...]
    """Sentences, the most telling first."""
    endings: tuple[Ending, ...] = field(default=())
    """What is known of that tick."""


# What passes between the engine and a store's board, and between that and those who read it: texts, all of them. The
# board knows no more of them than stands here; how they are made and read is `_record_texts`'.


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What a node has to write down now."""

    node: str
    report: str
    """The node as it is, and its runs in progress; JSON. The same text as long as nothing has changed."""
    catalogue: tuple[str, str] | None
    """Digest and JSON of the definitions of all its jobs: when they have changed, and each 5 minutes; else ``None``."""
    fire_times: Mapping[str, int]
    """By job: the next fire time in microseconds since the epoch, where it has changed; 0: never again."""
    endings: Mapping[str, Sequence[str]]
    """By job: JSON texts, the newest last, each at most ``LONGEST_ENDING`` characters and beginning ``{"at":<us>,``."""
    successes: Mapping[str, int]
    """By job: when a run last ended well, in microseconds since the epoch."""
    history: int
    """Endings that are kept of each job."""
    history_for: float
    """Seconds for which they are kept."""


LONGEST_ENDING = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardText:
    """What a board shows, as it was written down. Anyone may have written it."""

    now: float
    """The store's time, in seconds since the epoch."""
    reports: Mapping[str, tuple[str, float]]
    """By node: its newest report, and the age of that in seconds, by the store's clock."""
    catalogues: Mapping[str, str]
    """By digest."""
    fire_times: Mapping[str, int]
    successes: Mapping[str, int]
    notes: Mapping[str, str]
    """By job, or ``*``: who has paused it, and why."""
    paused: frozenset[str]
    """Jobs, and ``*``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody asks the nodes to do, once."""

    order_id: str
    kind: str
    """``trigger``, ``cancel``."""
    job: str
    """To run now; empty with ``cancel``."""
    node: str
    """Which is to do it; empty: any that can."""
    run_id: str
    """To cancel; empty with ``trigger``."""
    by: str
    why: str
    until_us: int
    """By the store's time, in microseconds since the epoch: nobody begins with it afterwards."""
