"""Owns what the commands decide: which run is meant, what comes next, which endings are wanted. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from asyncsched._run import Outcome
from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._text import listed, plural
from asyncsched.exceptions import UnknownJobError

if TYPE_CHECKING:
    from asyncsched._records import ActiveRun, ClusterState, Ending, Finding, JobRecord

WHOLE_ID = 32
"""Characters of a run's id."""
OUTCOMES = (*(str(outcome) for outcome in Outcome), "missed")
EVEN_IN_MAINTENANCE = "even_in_maintenance"


@dataclass(frozen=True, slots=True)
class Coming:
    """The next fire time of one job."""

    job: str
    at: datetime
    wait: float
    """Seconds until then; below 0: it is overdue."""
    held_by: str
    """``paused``, ``maintenance``: it will not run unless that ends before; else empty."""


def coming(state: ClusterState, limit: int) -> list[Coming]:
    """Return the next fire time of each job that has one, soonest first, at most ``limit``."""
    found = [
        Coming(job.job, job.next_fire_time, (job.next_fire_time - state.taken_at).total_seconds(), held_by(job, state))
        for job in state.jobs
        if job.next_fire_time is not None
    ]
    return sorted(found, key=lambda one: (one.at, one.job))[:limit]


def held_by(job: JobRecord, state: ClusterState) -> str:
    """Return what keeps a job from running."""
    if job.paused is not None:
        return "paused"
    policies = () if job.definition is None else job.definition.policies
    is_exempt = any(policy.startswith(EVEN_IN_MAINTENANCE) for policy in policies)
    return "maintenance" if state.maintenance is not None and not is_exempt else ""


def meant_run(text: str, active: Sequence[ActiveRun]) -> str:
    """Return the id of the one run in progress whose id begins with ``text``.

    A whole id is returned as it is: the run may be younger than what nodes have reported.

    Raises:
        Refusal: none begins so, or several.
    """
    found = sorted({run.run_id for run in active if run.run_id.startswith(text.lower())}) if text else []
    if len(found) == 1:
        return found[0]
    if found:
        raise Refusal(f"{text!r} is the beginning of {len(found)} runs' ids: {listed(found)}; give more of it")
    if len(text) >= WHOLE_ID:
        return text
    raise Refusal(f"no run in progress has an id that begins with {text!r}; `asyncsched runs` lists them")


def checked_outcomes(texts: Iterable[str]) -> frozenset[str]:
    """Return the outcomes that a user asks for, given one by one or with commas between them.

    Raises:
        Refusal: there is no such outcome.
    """
    wanted = [word.strip() for text in texts for word in text.split(",")]
    for word in wanted:
        if word not in OUTCOMES:
            raise Refusal(f"--outcome {word!r} is none of {', '.join(OUTCOMES)}", Exit.USAGE)
    return frozenset(wanted)


def of_outcomes(endings: Iterable[Ending], outcomes: frozenset[str], limit: int) -> list[Ending]:
    """Return the first ``limit`` endings with one of the outcomes; none given: with any."""
    return [ending for ending in endings if not outcomes or ending.outcome in outcomes][:limit]


def known_job(state: ClusterState, name: str) -> JobRecord:
    """Return a job of the cluster.

    Raises:
        UnknownJobError: there is none of this name.
    """
    for job in state.jobs:
        if job.job == name:
            return job
    raise UnknownJobError(name, [job.job for job in state.jobs])


def ending_of(run_id: str, endings: Iterable[Ending]) -> Ending | None:
    """Return how a run has ended; ``None``: not yet, as far as is known."""
    return next((ending for ending in endings if ending.run_id == run_id), None)


def is_lost(node: str, state: ClusterState) -> bool:
    """Tell whether a node is no longer there."""
    return all(record.node != node or record.state == "vanished" for record in state.nodes)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Tell whether something is wrong, not only unwise."""
    return any(finding.level == "error" for finding in findings)


def needs_a_look(job: JobRecord) -> bool:
    """Tell whether somebody should look at a job."""
    is_bad = job.last is not None and job.last.outcome in BAD
    return is_bad or job.paused is not None or job.differs or job.definition is None


def summary(state: ClusterState) -> str:
    """Return a cluster in a line."""
    gone = sum(node.state == "vanished" for node in state.nodes)
    words = [plural(len(state.nodes) - gone, "node"), plural(len(state.jobs), "job")]
    words += [f"{plural(len(state.active), 'run')} in progress"]
    words += [f"{gone} vanished"] * bool(gone)
    failing = sum(job.last is not None and job.last.outcome in BAD for job in state.jobs)
    words += [f"{failing} failing"] * bool(failing)
    paused = sum(job.paused is not None for job in state.jobs)
    words += [f"{paused} paused"] * bool(paused)
    return ", ".join(words)


BAD = frozenset({"failed", "timed_out", "lock_lost", "missed"})
"""Outcomes that somebody should look at."""
