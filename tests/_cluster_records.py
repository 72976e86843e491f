"""Owns a cluster made of records, for tests of what shows it: a console that answers with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncsched._records import (
    ActiveRun,
    ClusterState,
    Definition,
    Ending,
    JobRecord,
    NodeRecord,
    Note,
    OrderAnswer,
)
from asyncsched.exceptions import SchedulerError, UnknownJobError

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def definition(job: str, schedule: str = "Every(30)", **fields: Any) -> Definition:
    given: dict[str, Any] = {
        "policies": ("on_one_server", "without_overlapping"),
        "timezone": "UTC",
        "lock_ttl": 600.0,
        "misfire_grace": 3600.0,
        **fields,
    }
    digest = hashlib.sha256(repr((schedule, sorted(given.items()))).encode()).hexdigest()[:8]
    return Definition(job=job, digest=digest, schedule=schedule, **given)


def ending(job: str, at: datetime = NOON, outcome: str = "succeeded", **fields: Any) -> Ending:
    duration = fields.pop("duration", 0.0 if outcome in ("skipped", "missed") else 1.5)
    started = None if outcome in ("skipped", "missed") else at - timedelta(seconds=duration)
    given: dict[str, Any] = {
        "node": "web-1",
        "kind": "tick",
        "reason": "overlap" if outcome == "skipped" else "",
        "fire_time": at - timedelta(seconds=duration + 0.02),
        "last_fire_time": at if outcome == "missed" else None,
        "count": 1,
        "started_at": started,
        "run_id": "" if started is None else hashlib.sha256(f"{job}{at}".encode()).hexdigest()[:16],
        "trace_id": "" if started is None else hashlib.sha256(f"{at}{job}".encode()).hexdigest()[:32],
        "attempt": 1,
        "fence": 7,
        "error": "ValueError: no such table" if outcome == "failed" else "",
        "by": "",
        **fields,
    }
    return Ending(job=job, at=at, outcome=outcome, duration=duration, **given)


def running(job: str, node: str = "web-1", since: datetime = NOON, **fields: Any) -> ActiveRun:
    given: dict[str, Any] = {
        "run_id": f"run-of-{job}"[:16],
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "kind": "tick",
        "fire_time": since,
        "started_at": since,
        "attempt": 1,
        "fence": 8,
        "progress": "",
        **fields,
    }
    return ActiveRun(job=job, node=node, **given)


def record(job: str, *, nodes: Iterable[str] = ("web-1", "web-2"), **fields: Any) -> JobRecord:
    given: dict[str, Any] = {
        "definitions": {node: definition(job) for node in nodes},
        "next_fire_time": NOON + timedelta(seconds=30),
        "paused": None,
        "last": None,
        "last_success_at": None,
        "active": (),
        **fields,
    }
    return JobRecord(job=job, **given)


def node(name: str, *, active: tuple[ActiveRun, ...] = (), **fields: Any) -> NodeRecord:
    given: dict[str, Any] = {
        "host": f"{name}.internal",
        "pid": 4242,
        "version": "0.9.0",
        "python": "3.11.9",
        "environment": "production",
        "state": "running",
        "started_at": NOON - timedelta(hours=5),
        "seen_at": NOON,
        "clock_skew": 0.012,
        "jobs": (),
        **fields,
    }
    return NodeRecord(node=name, active=active, **given)


class CannedConsole:
    """A console whose cluster is what the test says. It notes what it is asked to do."""

    def __init__(self, *jobs: JobRecord, nodes: Iterable[NodeRecord] = (), taken_at: datetime = NOON) -> None:
        given = tuple(nodes) or (node("web-1"), node("web-2"))
        self.now = ClusterState(taken_at=taken_at, maintenance=None, nodes=given, jobs=tuple(jobs))
        self.endings: dict[str, list[Ending]] = {}
        self.trouble: Exception | None = None
        self.asked: list[str] = []
        self.done: list[tuple[Any, ...]] = []
        self.by = ""
        for job in jobs:
            if job.last is not None:
                self.endings[job.job] = [job.last]

    def ends(self, *endings: Ending) -> None:
        """Add endings, the newest last."""
        for one in endings:
            self.endings.setdefault(one.job, []).insert(0, one)
            self.change(one.job, last=one)

    def change(self, job: str, **fields: Any) -> None:
        """Change a job."""
        jobs = tuple(replace(each, **fields) if each.job == job else each for each in self.now.jobs)
        self.now = replace(self.now, jobs=jobs)

    def pass_time(self, seconds: float) -> None:
        """Let the store's clock go on."""
        self.now = replace(self.now, taken_at=self.now.taken_at + timedelta(seconds=seconds))

    def acting(self, by: str) -> CannedConsole:
        other = CannedConsole()
        other.__dict__ = self.__dict__ | {"by": by}
        return other

    async def state(self) -> ClusterState:
        self.asked.append("state")
        if self.trouble is not None:
            raise self.trouble
        return self.now

    async def history(
        self, job: str, *, most: int = 200, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Ending, ...]:
        self.asked.append(f"history {job}")
        if self.trouble is not None:
            raise self.trouble
        return tuple(one for one in self.endings.get(job, ()) if since is None or one.at >= since)[:most]

    async def pause(self, job: str, *, why: str = "") -> None:
        self._do("pause", job, why)
        self.change(job, paused=Note(by=self.by, why=why, at=self.now.taken_at))

    async def resume(self, job: str) -> None:
        self._do("resume", job)

    async def maintenance(self, on: bool, *, why: str = "") -> None:
        self._do("maintenance", on, why)

    async def trigger(self, job: str, *, node: str | None = None, why: str = "", within: float = 5.0) -> OrderAnswer:
        self._do("trigger", job, node, why)
        return OrderAnswer(node=node or "web-1", run_id="run-1", outcome="started", detail="")

    async def cancel(self, run_id: str, *, why: str = "", within: float = 5.0) -> OrderAnswer:
        self._do("cancel", run_id, why)
        raise SchedulerError(f"no node has a run {run_id!r}")

    def _do(self, what: str, *about: Any) -> None:
        self.done.append((what, self.by, *about))
        if what in ("pause", "resume", "trigger") and about[0] not in {job.job for job in self.now.jobs}:
            raise UnknownJobError(about[0], [job.job for job in self.now.jobs])
        if self.trouble is not None:
            raise self.trouble
