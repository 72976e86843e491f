"""Owns what people see of a cluster as it is: jobs, what comes next, runs in progress, nodes, locks. Records become
tables; nothing is asked, decided or printed here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from asyncsched.cli._layout import Piece, Row, Table
from asyncsched.cli._picks import BAD, held_by, needs_a_look
from asyncsched.cli._text import glued, listed, one_line
from asyncsched.cli._times import absolute, both, relative, since, span

if TYPE_CHECKING:
    from asyncsched._preview import FireTime
    from asyncsched._records import ActiveRun, ClusterState, JobRecord, LockRecord, NodeRecord, Note
    from asyncsched.cli._picks import Coming

SHORT = 12
"""Characters of a run's id that are shown where it stands beside others: enough to name it to ``cancel``."""
SKEWED = 1.0
"""Seconds of a node's clock from which on it is marked."""
SILENT = 10.0
"""Seconds since a node's last report from which on they are shown."""
STYLES = {
    "succeeded": "good",
    "running": "good",
    "failed": "bad",
    "timed_out": "bad",
    "lock_lost": "bad",
    "missed": "bad",
    "vanished": "bad",
    "skipped": "warn",
    "cancelled": "warn",
    "draining": "warn",
}


@dataclass(frozen=True, slots=True)
class View:
    """From where a table looks at times."""

    now: datetime
    zone: tzinfo | None
    """``None``: the machine's."""

    def when(self, instant: datetime) -> str:
        """Return an instant, relative and absolute."""
        return both(instant, self.now, self.zone)

    def since(self, instant: datetime) -> str:
        """Return from when on, and for how long."""
        return since(instant, self.now, self.zone)

    def ago(self, instant: datetime) -> str:
        """Return how far an instant is away."""
        return relative(instant, self.now)

    def clock(self, instant: datetime) -> str:
        """Return an instant as clocks show it."""
        return absolute(instant, self.now, self.zone)


def note_text(note: Note, view: View) -> str:
    """Return since when, by whom and why: of a pause that nobody has explained, that."""
    if note.at is None:
        return "and nobody has said why"
    by = f" by {one_line(note.by)}" if note.by else ""
    return f"since {view.since(note.at)}{by}: {one_line(note.why) or 'no reason given'}"


def banner(state: ClusterState, view: View) -> list[Piece]:
    """Return what is said above everything else: the maintenance, and nodes that vanished."""
    said = []
    if all(node.state == "vanished" for node in state.nodes):
        said.append(Piece("NO NODE is running, as far as this store knows", "bad"))
    if state.maintenance is not None:
        said.append(Piece(f"MAINTENANCE, no tick starts, {note_text(state.maintenance, view)}", "warn"))
    said += [
        Piece(f"VANISHED {one_line(node.node)}: no report since {view.since(node.seen_at)}", "bad")
        for node in state.nodes
        if node.state == "vanished"
    ]
    return said


# Jobs


def job_table(state: ClusterState, view: View, *, brief: bool = False) -> Table:
    """Return the jobs: below each one its policies, its runs, and what is wrong with it. Brief: in few lines, with only
    the last of these, and the jobs that have it first."""
    rows = []
    for job in sorted(state.jobs, key=needs_a_look, reverse=True) if brief else state.jobs:
        told = [] if brief else list(_job_facts(job, view))
        rows.append(Row(_job_cells(job, state, view, brief=brief), [*told, *_job_troubles(job, view)]))
    return Table(
        ["JOB", "SCHEDULE", "NEXT", "LAST", "NODES"], rows, none="no jobs are known", right=frozenset({"NODES"})
    )


def _job_cells(job: JobRecord, state: ClusterState, view: View, *, brief: bool) -> list[Piece]:
    nodes = str(len(job.definitions))
    return [
        Piece(one_line(job.job), "name"),
        Piece(_schedule(job)),
        _next_cell(job, state, view, brief=brief),
        _last_cell(job, view),
        Piece(nodes, "bad" if nodes == "0" else ""),
    ]


def _schedule(job: JobRecord) -> str:
    if job.definition is None:
        return ""
    return one_line(job.definition.schedule) or "at the start"


def _next_cell(job: JobRecord, state: ClusterState, view: View, *, brief: bool) -> Piece:
    if job.next_fire_time is None:
        return Piece("never" if job.definition is not None else "", "dim")
    held = held_by(job, state)
    if held:
        return Piece(f"held: {held}", "warn")
    if view.now - job.next_fire_time > timedelta(seconds=SILENT):
        return Piece(f"{glued('overdue ' + span((view.now - job.next_fire_time).total_seconds()))}", "bad")
    return Piece(glued(view.ago(job.next_fire_time)) if brief else view.when(job.next_fire_time))


def _last_cell(job: JobRecord, view: View) -> Piece:
    if job.last is None:
        return Piece("nothing yet", "dim")
    how = f"{job.last.outcome}: {job.last.reason}" if job.last.reason else job.last.outcome
    return Piece(f"{glued(how)} {glued(view.ago(job.last.at))}", STYLES.get(job.last.outcome, ""))


def _job_facts(job: JobRecord, view: View) -> Iterator[Piece]:
    if job.definition is not None and job.definition.policies:
        yield Piece(", ".join(glued(policy) for policy in job.definition.policies), "dim")
    for run in job.active:
        yield Piece(f"running on {one_line(run.node)}, {_since(run, view)}{_progress(run)}", "good")


def _job_troubles(job: JobRecord, view: View) -> Iterator[Piece]:
    if job.definition is None:
        yield Piece("NO NODE has this job now", "bad")
    if job.paused is not None:
        yield Piece(f"PAUSED {note_text(job.paused, view)}", "warn")
    if job.differs:
        yield Piece(f"DIFFERS: {_versions(job)}; the one that started last is shown", "warn")
    if job.last is not None and job.last.outcome in BAD:
        if job.last.error:
            yield Piece(f"last error: {one_line(job.last.error)}", "bad")
        good = "never, as far as is known" if job.last_success_at is None else view.when(job.last_success_at)
        yield Piece(f"last success: {good}", "bad")


def _versions(job: JobRecord) -> str:
    nodes = defaultdict(list)
    for node, definition in job.definitions.items():
        nodes[definition.digest].append(one_line(node))
    return f"{len(nodes)} versions of the job, on " + " / ".join(listed(names) for names in nodes.values())


def coming_table(coming: Sequence[Coming], view: View) -> Table:
    """Return what fires next."""
    rows = []
    for one in coming:
        is_late = one.wait < -SILENT
        style = "warn" if one.held_by else "bad" if is_late else ""
        remark = f"held: {one.held_by}" if one.held_by else "overdue" if is_late else ""
        cells = [view.ago(one.at), view.clock(one.at), one_line(one.job), remark]
        rows.append(Row([Piece(glued(cell) if n < 2 else cell, style) for n, cell in enumerate(cells)]))
    return Table(["NEXT", "AT", "JOB", "REMARK"], rows, none="no job has a fire time to come")


def preview_table(times: Sequence[FireTime], view: View) -> Table:
    """Return the fire times of a job, each also in its own time zone, with what brought it there."""
    rows = []
    for time in times:
        delay = "" if time.delay is None else f"+{time.delay:g} s"
        cells = [view.ago(time.at), f"{time.local:%a %Y-%m-%d %H:%M:%S %Z}", _utc(time), delay]
        rows.append(Row([Piece(glued(cell)) for cell in cells], [Piece(one_line(note), "dim") for note in time.notes]))
    return Table(["", "IN THE JOB'S TIME ZONE", "UTC", "DELAY"], rows, none="it never fires")


def _utc(time: FireTime) -> str:
    return "" if time.local.utcoffset() == timedelta(0) else f"{time.at:%Y-%m-%d %H:%M:%S}"


# Runs, nodes, locks


def run_table(state: ClusterState, view: View, *, brief: bool = False) -> Table:
    """Return the runs in progress; brief: without trace ids."""
    rows = []
    for run in sorted(state.active, key=lambda run: (run.job, run.fire_time, run.run_id)):
        kind = run.kind if run.attempt < 2 else f"{run.kind}, attempt {run.attempt}"
        cells = [one_line(run.run_id[:SHORT]), one_line(run.job), one_line(run.node), _since(run, view), kind]
        styles = ["name", "", "", "" if run.started_at else "dim", "dim"]
        notes = [Piece(f"trace {one_line(run.trace_id)}", "dim")] * bool(run.trace_id and not brief)
        notes += [Piece(one_line(run.progress))] * bool(run.progress)
        rows.append(Row([Piece(*cell) for cell in zip(cells, styles, strict=True)], notes))
    return Table(["RUN", "JOB", "NODE", "STARTED", "KIND"], rows, none="no run is in progress")


def _since(run: ActiveRun, view: View) -> str:
    return "in its random delay" if run.started_at is None else view.when(run.started_at)


def _progress(run: ActiveRun) -> str:
    return f": {one_line(run.progress)}" if run.progress else ""


def node_table(state: ClusterState, view: View) -> Table:
    """Return the nodes: below each one what it is made of, and what is wrong with it."""
    rows = [Row(_node_cells(node, view), list(_node_notes(node, view))) for node in state.nodes]
    right = frozenset({"JOBS", "RUNS"})
    return Table(["NODE", "STATE", "UP SINCE", "JOBS", "RUNS"], rows, none="no node is running", right=right)


def _node_cells(node: NodeRecord, view: View) -> list[Piece]:
    return [
        Piece(one_line(node.node), "name"),
        Piece(node.state, STYLES.get(node.state, "")),
        Piece(view.since(node.started_at)),
        Piece(str(len(node.jobs))),
        Piece(str(len(node.active))),
    ]


def _node_notes(node: NodeRecord, view: View) -> Iterator[Piece]:
    parts = [f"{node.host} pid {node.pid}", f"asyncsched {node.version}", f"Python {node.python}"]
    parts += [f"environment {node.environment}"] * bool(node.environment)
    yield Piece(", ".join(glued(part) for part in parts), "dim")
    if (view.now - node.seen_at).total_seconds() >= SILENT:
        yield Piece(f"last report {view.when(node.seen_at)}", STYLES.get(node.state, "warn"))
    if node.clock_skew is not None and abs(node.clock_skew) >= SKEWED:
        direction = "ahead of" if node.clock_skew > 0 else "behind"
        yield Piece(f"its clock is {span(node.clock_skew)} {direction} the store's", "warn")


def lock_table(locks: Sequence[LockRecord], view: View) -> Table:
    """Return locks and tick records."""
    rows = []
    for lock in locks:
        ends = "never" if lock.ends_in is None else f"in {span(int(lock.ends_in))}"
        cells = [one_line(lock.job), lock.lock_type, one_line(lock.node), one_line(lock.run_id[:SHORT]), glued(ends)]
        facts = [f"tick {view.clock(lock.tick)}"] if lock.tick is not None else []
        facts += [f"fence {lock.fence}"] * bool(lock.fence)
        notes = [Piece(", ".join(map(glued, facts)), "dim")] * bool(facts)
        rows.append(Row([Piece(cell) for cell in cells], notes))
    return Table(["JOB", "LOCK", "NODE", "RUN", "ENDS"], rows, none="there are no locks")
