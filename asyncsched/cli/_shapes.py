"""Owns what ``--json`` prints: records as plain values, one stable shape for each command. Decides nothing.

The names are those of the records, plus what can be computed of them only; ``docs/cli.md`` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asyncsched.cli._times import iso

if TYPE_CHECKING:
    from asyncsched._records import ClusterState, Ending, Explanation, JobRecord
    from asyncsched.cli._picks import Coming


def plain(value: object) -> Any:
    """Return a record as what JSON has: fields by name, instants in UTC, tuples as arrays."""
    if isinstance(value, datetime):
        return iso(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def ending_shape(ending: Ending) -> dict[str, Any]:
    """Return an ending, with how late it began."""
    return {**plain(ending), "late_by": ending.late_by}


def job_shape(job: JobRecord) -> dict[str, Any]:
    """Return a job, with the declaration of the node that started last, and whether others' differ."""
    chosen = job.definition
    return {
        "job": job.job,
        "schedule": "" if chosen is None else chosen.schedule,
        "policies": [] if chosen is None else list(chosen.policies),
        "timezone": "" if chosen is None else chosen.timezone,
        "lock_ttl": None if chosen is None else chosen.lock_ttl,
        "misfire_grace": None if chosen is None else chosen.misfire_grace,
        "next_fire_time": plain(job.next_fire_time),
        "paused": plain(job.paused),
        "last": None if job.last is None else ending_shape(job.last),
        "last_success_at": plain(job.last_success_at),
        "active": plain(job.active),
        "nodes": {node: definition.digest for node, definition in job.definitions.items()},
        "differs": job.differs,
    }


def state_shape(state: ClusterState) -> dict[str, Any]:
    """Return a whole cluster."""
    return {
        "taken_at": plain(state.taken_at),
        "maintenance": plain(state.maintenance),
        "nodes": plain(state.nodes),
        "jobs": [job_shape(job) for job in state.jobs],
    }


def coming_shape(coming: Coming) -> dict[str, Any]:
    """Return a fire time to come."""
    return {"job": coming.job, "next_fire_time": plain(coming.at), "in": coming.wait, "held_by": coming.held_by}


def explanation_shape(explanation: Explanation) -> dict[str, Any]:
    """Return why a tick did, or did not, run."""
    return {**plain(explanation), "endings": [ending_shape(ending) for ending in explanation.endings]}
