"""Owns the sentences that explain a tick. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._records import Ending

if TYPE_CHECKING:
    from datetime import datetime

    from asyncsched._records import ActiveRun, ClusterState, JobRecord, LockRecord, Note

REASONS = {
    "store_unavailable": ": the store did not decide in time, so it did not run rather than perhaps run twice",
    "shutting_down": ": the node was stopping",
    "finished": ": the job has had all its max_runs",
    "condition": ": a condition of the job kept it back",
    "condition_failed": ": a condition of the job failed, or did not answer in time; the log of the node has more",
}
_OUTCOMES = {
    "failed": "failed",
    "timed_out": "was cancelled, because its time was over",
    "cancelled": "was cancelled",
    "lock_lost": "lost its lock, and was cancelled",
}


def ran(ending: Ending) -> str:
    """Say how a run ended."""
    why = f" ({ending.why})" if ending.why else ""
    by = f" by order of {ending.by}{why}" if ending.by else ""
    again = f" (attempt {ending.attempt})" if ending.attempt > 1 else ""
    if ending.started_at is None:
        return f"{ending.node} had it{again}, and before its handler began it was cancelled{by}."
    took = f" after {ending.duration:.3g} s"
    late = "" if ending.late_by is None or ending.late_by < 1 else f", {ending.late_by:.1f} s late"
    error = f": {ending.error}" if ending.error else ""
    how = "succeeded" if ending.outcome == "succeeded" else _OUTCOMES.get(ending.outcome, ending.outcome)
    return f"{ending.node} ran it{again}, from {_at(ending.started_at)} on{late}; it {how}{by}{took}{error}."


def running(run: ActiveRun) -> str:
    """Say which run is in progress."""
    if run.started_at is None:
        return f"{run.node} has it, and waits with its run {run.run_id} for the random delay."
    progress = f", and says of it: {run.progress}" if run.progress else ""
    return f"{run.node} runs it since {_at(run.started_at)}, as run {run.run_id}{progress}."


def skipped(ending: Ending, why: str) -> str:
    """Say that a tick was skipped."""
    return f"{ending.node} skipped it{why}."


def missed(ending: Ending) -> str:
    """Say that a tick was missed."""
    many = f", with {ending.count - 1} others" if ending.count > 1 else ""
    return (
        f"{ending.node} missed it{many}: it noticed them at {_at(ending.at)}, later than misfire_grace allows, "
        "or newer ones took their place."
    )


def was_paused(note: Note | None) -> str:
    """Say why a tick was skipped; ``note``: of the pause, if it is known."""
    return f": the job was paused{noted(note)}"


def was_maintained(note: Note | None) -> str:
    """Say why a tick was skipped; ``note``: of the maintenance, if it is known."""
    return f": the cluster was in maintenance{noted(note)}"


def noted(note: Note | None) -> str:
    """Say, behind what was done, since when, by whom and why."""
    if note is None:
        return ""
    at = "" if note.at is None else f" since {_at(note.at)}"
    by = f" by {note.by}" if note.by else ""
    return f"{at}{by}{f' ({note.why})' if note.why else ''}"


def overlapped(other: ActiveRun | Ending | None) -> str:
    """Say which run was in the way."""
    if other is None:
        return ": another run of the job was in progress"
    until = f"until {_at(other.at)}" if isinstance(other, Ending) else "still in progress"
    named = f" {other.run_id}" if other.run_id else ""
    return f": run{named} on {other.node}, of {_at(other.fire_time)}, was in progress ({until})"


def granted(lock: LockRecord) -> str:
    """Say who has a tick."""
    return f"{lock.node} was granted it, and has not said yet how it ended."


def granted_and_silent(lock: LockRecord) -> str:
    """Say that nobody knows more."""
    return f"{lock.node} was granted it, as run {lock.run_id}; that it ended is not in its history."


def granted_to_vanished(lock: LockRecord) -> str:
    """Say that the node is gone."""
    return f"{lock.node} was granted it, as run {lock.run_id}, and has vanished before it said how that ended."


def overtaken(lock: LockRecord) -> str:
    """Say that nobody can have it any more."""
    return f"No node has given an account of it, and a newer one, {_at(lock.tick)}, was decided."


def not_in_schedule(record: JobRecord, before: datetime | None, after: datetime | None) -> str:
    """Say that there is no such tick."""
    assert record.definition is not None
    named = [f"the {word} is {_at(at)}" for word, at in (("last before it", before), ("next", after)) if at is not None]
    return f"There is no such tick in {record.definition.schedule}: {', '.join(named) or 'it has none near it'}."


def no_node_has_it(record: JobRecord, state: ClusterState) -> str:
    """Say that nobody could have run it."""
    nodes = sum(node.state != "vanished" for node in state.nodes)
    return f"None of the {nodes} nodes that are there has the job {record.job!r}."


def no_node_then(first: datetime) -> str:
    """Say that nobody was there."""
    return f"No node that is there was up then: the first that has the job started at {_at(first)}."


def not_due(record: JobRecord, tick: datetime, now: datetime) -> str:
    """Say when it will be."""
    next_at = "" if record.next_fire_time is None else f"; the job's next fire time is {_at(record.next_fire_time)}"
    return f"It is not due yet, for {(tick - now).total_seconds():.0f} s more{next_at}."


def settling(tick: datetime, now: datetime) -> str:
    """Say that it is too early to tell."""
    return f"It came due {(now - tick).total_seconds():.1f} s ago: what became of it may not be written down yet."


def too_old(oldest: Ending) -> str:
    """Say that it is too late to tell."""
    return f"It is older than what is kept of the job: the oldest account is of {_at(oldest.fire_time)}."


def nothing_known(record: JobRecord) -> str:
    """Say that there is nothing to say."""
    return f"No node has given an account of it, though {', '.join(record.definitions)} had the job."


def no_tick(record: JobRecord) -> str:
    """Say that none has come due."""
    if record.definition is not None and not record.definition.schedule:
        return "The job has no schedule: it runs only immediately, or when it is triggered."
    next_at = "" if record.next_fire_time is None else f"; the next one is at {_at(record.next_fire_time)}"
    return f"No tick of the job that has come due is known{next_at}."


def differs(record: JobRecord) -> str:
    """Say that nodes do not agree."""
    named = ", ".join(f"{node}: {each.schedule or 'no schedule'}" for node, each in record.definitions.items())
    return f"Nodes declare the job differently ({named}): they run different versions of the service."


def _at(instant: datetime | None) -> str:
    return "?" if instant is None else instant.isoformat(timespec="milliseconds" if instant.microsecond else "seconds")
