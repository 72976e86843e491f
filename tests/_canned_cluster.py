"""Owns one cluster as it stood at a fixed instant, as records and as a console that answers from them: for what shows
clusters. Its nodes, jobs and troubles are those that a page about the command line needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Self

from asyncsched import SchedulerError, StoreUnavailableError, UnknownJobError
from asyncsched._records import (
    ActiveRun,
    ClusterState,
    Definition,
    Ending,
    Explanation,
    Finding,
    JobRecord,
    LockRecord,
    NodeRecord,
    Note,
    OrderAnswer,
)
from asyncsched._why import explain

NOW = datetime(2026, 11, 28, 23, 41, 7, tzinfo=UTC)
JOBS = ("daily_cleanup", "health_check", "invoice_mails", "price_import", "sync_orders")


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def identity(digit: str) -> str:
    """Return the id of 32 digits that begins with one of them."""
    return digit + sha256(digit.encode()).hexdigest()[:31]


def definition(job: str, schedule: str, *policies: str, digest: str = "5e1d", lock_ttl: float = 600) -> Definition:
    return Definition(
        job=job,
        digest=digest,
        schedule=schedule,
        policies=policies,
        timezone="UTC",
        lock_ttl=lock_ttl,
        misfire_grace=3600,
    )


def ending(job: str, at: datetime, outcome: str = "succeeded", **more: Any) -> Ending:
    took = more.pop("duration", 1.2)
    started = more.pop("started_at", at - timedelta(seconds=took))
    values: dict[str, Any] = {
        "node": "web-1",
        "kind": "tick",
        "reason": "",
        "fire_time": at - timedelta(seconds=took) if started is None else started,
        "last_fire_time": None,
        "count": 1,
        "run_id": identity("a"),
        "trace_id": identity("b"),
        "attempt": 1,
        "fence": 1_795_909_267_000_000,
        "error": "",
        "by": "",
    }
    length = 0.0 if started is None else took
    return Ending(job=job, at=at, outcome=outcome, started_at=started, duration=length, **{**values, **more})


def run(job: str, node: str, digit: str, **more: Any) -> ActiveRun:
    values: dict[str, Any] = {
        "run_id": identity(digit),
        "trace_id": identity(digit)[::-1],
        "kind": "tick",
        "fire_time": ago(seconds=7),
        "started_at": ago(seconds=7),
        "attempt": 1,
        "fence": 1_795_909_260_000_000,
        "progress": "",
    }
    return ActiveRun(job=job, node=node, **{**values, **more})


SYNCING = run("sync_orders", "web-2", "4", progress="1840 of 5200 orders")
CHECKING = run("health_check", "web-1", "c", started_at=None)


def node(name: str, **more: Any) -> NodeRecord:
    values: dict[str, Any] = {
        "host": f"{name}.shop.example",
        "pid": 4012,
        "version": "0.9.0",
        "python": "3.12.4",
        "environment": "production",
        "state": "running",
        "started_at": ago(days=3, hours=2),
        "seen_at": ago(seconds=1),
        "clock_skew": 0.002,
        "jobs": JOBS,
        "active": (),
    }
    return NodeRecord(node=name, **{**values, **more})


NODES = (
    node("web-1", active=(CHECKING,)),
    node("web-2", active=(SYNCING,), clock_skew=2.4),
    node("web-3", state="vanished", seen_at=ago(minutes=4, seconds=11), pid=3970),
    node("web-4", state="draining", version="0.8.2", started_at=ago(days=41), jobs=("health_check", "price_import")),
)

CLEANED = ending("daily_cleanup", ago(minutes=11), fire_time=ago(minutes=11, seconds=7), duration=7.3)
UNMAILED = ending(
    "invoice_mails",
    ago(hours=17, minutes=40),
    "failed",
    node="web-2",
    fire_time=datetime(2026, 11, 28, 6, 0, tzinfo=UTC),
    duration=63.0,
    attempt=3,
    run_id=identity("e"),
    trace_id=identity("9"),
    error="SMTPServerDisconnected: Connection unexpectedly closed: timed out",
)
IMPORT_SKIPPED = ending(
    "price_import",
    ago(minutes=41, seconds=7),
    "skipped",
    reason="paused",
    started_at=None,
    fire_time=datetime(2026, 11, 28, 23, 0, tzinfo=UTC),
    run_id="",
    trace_id="",
)
SYNCED = ending(
    "sync_orders", ago(seconds=21), node="web-2", duration=16.1, fire_time=ago(seconds=37), run_id=identity("f")
)
SYNC_MISSED = ending(
    "sync_orders",
    ago(hours=3),
    "missed",
    started_at=None,
    node="web-3",
    count=4,
    fire_time=ago(hours=4, minutes=2),
    last_fire_time=ago(hours=4),
    run_id="",
    trace_id="",
)
CHECKED = ending("health_check", ago(seconds=12), duration=0.05, run_id=identity("d"))
TRIGGERED = ending(
    "daily_cleanup", ago(hours=2), kind="trigger", by="ann@ops-1", duration=5.0, run_id=identity("8"), node="web-2"
)
ENDINGS = (CHECKED, SYNCED, CLEANED, IMPORT_SKIPPED, TRIGGERED, SYNC_MISSED, UNMAILED)


def job(name: str, *, on: tuple[str, ...] = ("web-1", "web-2"), **more: Any) -> JobRecord:
    schedule, policies = SCHEDULES[name]
    values: dict[str, Any] = {
        "definitions": {where: definition(name, schedule, *policies) for where in on},
        "next_fire_time": None,
        "paused": None,
        "last": None,
        "last_success_at": None,
        "active": (),
    }
    return JobRecord(job=name, **{**values, **more})


SCHEDULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "daily_cleanup": ("Daily('23:30:00')", ("on_one_server", "without_overlapping")),
    "health_check": ("Every(30)", ("random_delay(10, 30)",)),
    "invoice_mails": ("Cron('0 6 * * mon-sat')", ("on_one_server", "retry(3, backoff=(1, 60))")),
    "price_import": ("Every(3600)", ("on_one_server", "timeout(900)")),
    "sync_orders": ("Every(60)", ("on_one_server", "without_overlapping", "rerun_on_crash")),
}
PAUSE = Note(by="ann@ops-1", why="the supplier sends broken files, #4711", at=ago(minutes=52))
OLDER = definition("price_import", "Every(7200)", "on_one_server", digest="c07a")
STATE = ClusterState(
    taken_at=NOW,
    maintenance=None,
    nodes=NODES,
    jobs=(
        job("daily_cleanup", next_fire_time=NOW + timedelta(hours=23, minutes=48, seconds=53), last=CLEANED),
        job(
            "health_check",
            on=("web-1", "web-2", "web-4"),
            next_fire_time=NOW + timedelta(seconds=23),
            last=CHECKED,
            active=(CHECKING,),
        ),
        job(
            "invoice_mails",
            next_fire_time=datetime(2026, 11, 30, 6, 0, tzinfo=UTC),
            last=UNMAILED,
            last_success_at=ago(days=1, hours=17, minutes=41),
        ),
        replace(
            job(
                "price_import",
                next_fire_time=NOW + timedelta(minutes=18, seconds=53),
                paused=PAUSE,
                last=IMPORT_SKIPPED,
            ),
            definitions={
                "web-4": OLDER,
                **{
                    where: definition("price_import", "Every(3600)", "on_one_server", "timeout(900)")
                    for where in ("web-1", "web-2")
                },
            },
        ),
        job("sync_orders", next_fire_time=NOW + timedelta(seconds=53), last=SYNCED, active=(SYNCING,)),
    ),
)
MAINTENANCE = replace(STATE, maintenance=Note(by="bob@ops-2", why="moving the database", at=ago(minutes=3)))
EMPTY = ClusterState(taken_at=NOW, maintenance=None, nodes=(), jobs=())

LOCKS = (
    LockRecord(
        job="sync_orders", lock_type="tick", node="web-2", run_id=SYNCING.run_id, tick=SYNCING.fire_time,
        fence=SYNCING.fence, ends_in=604_920.0,
    ),
    LockRecord(
        job="sync_orders", lock_type="server", node="web-2", run_id=SYNCING.run_id, tick=None,
        fence=SYNCING.fence, ends_in=593.0,
    ),
    LockRecord(
        job="sync_orders", lock_type="overlap", node="web-2", run_id=SYNCING.run_id, tick=None,
        fence=SYNCING.fence, ends_in=593.0,
    ),
)  # fmt: skip
FINDINGS = (
    Finding(level="ok", what="the store answers, in 0.4 ms", advice=""),
    Finding(
        level="warning",
        what="node web-2: its clock is 2.4 s ahead of the store's",
        advice="let it follow a time server",
    ),
    Finding(
        level="error",
        what="maxmemory-policy is allkeys-lru: locks may be evicted, and runs may overlap",
        advice="set it to noeviction, or give asyncsched a Redis of its own",
    ),
)


class CannedConsole:
    """Answers as a console would, and remembers what was asked of it."""

    def __init__(self, state: ClusterState = STATE, endings: tuple[Ending, ...] = ENDINGS) -> None:
        self._state, self.endings = state, endings
        self.kept_locks = LOCKS if state.nodes else ()
        self.asked: list[tuple[Any, ...]] = []
        self.answer: OrderAnswer | Exception = OrderAnswer(
            node="web-1", run_id=identity("2"), outcome="started", detail=""
        )
        self.findings: tuple[Finding, ...] = FINDINGS
        self.after_trigger: tuple[Ending, ...] = ()
        """Endings that are there once a run has been triggered."""
        self.fails: Exception | None = None
        self.is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_closed = True

    def _ask(self, *what: Any) -> None:
        self.asked.append(what)
        if self.fails is not None:
            raise self.fails

    def _known(self, name: str) -> JobRecord:
        for record in self._state.jobs:
            if record.job == name:
                return record
        raise UnknownJobError(name, [record.job for record in self._state.jobs])

    async def state(self) -> ClusterState:
        self._ask("state")
        return self._state

    async def history(
        self, job: str | None = None, *, most: int = 200, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Ending, ...]:
        self._ask("history", job, most, since, until)
        found = [
            one
            for one in self.endings
            if job in (None, one.job) and (since is None or one.at >= since) and (until is None or one.at <= until)
        ]
        return tuple(found[:most])

    async def locks(self, job: str | None = None) -> tuple[LockRecord, ...]:
        self._ask("locks", job)
        return tuple(lock for lock in self.kept_locks if job in (None, lock.job))

    async def pause(self, job: str, *, why: str = "") -> None:
        self._ask("pause", job, why)
        self._known(job)

    async def resume(self, job: str) -> None:
        self._ask("resume", job)
        self._known(job)

    async def maintenance(self, on: bool, *, why: str = "") -> None:
        self._ask("maintenance", on, why)
        note = Note(by="ann@ops-1", why=why, at=NOW)
        self._state = replace(self._state, maintenance=note if on else None)

    async def trigger(self, job: str, *, node: str | None = None, why: str = "", within: float = 5.0) -> OrderAnswer:
        self._ask("trigger", job, node, why)
        self._known(job)
        self.endings = (*self.after_trigger, *self.endings)
        return self._answer()

    async def cancel(self, run_id: str, *, why: str = "", within: float = 5.0) -> OrderAnswer:
        self._ask("cancel", run_id, why)
        return replace(self._answer(), outcome="cancelling", node="web-2", run_id=run_id)

    def _answer(self) -> OrderAnswer:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def why(self, job: str, at: datetime | None = None) -> Explanation:
        self._ask("why", job, at)
        endings = tuple(one for one in self.endings if one.job == job)
        locks = tuple(lock for lock in self.kept_locks if lock.job == job)
        return explain(self._state, self._known(job), at, endings, locks)

    async def check(self) -> tuple[Finding, ...]:
        self._ask("check")
        return self.findings


AWAY = StoreUnavailableError("redis://db:6379/0 could not read the cluster: no answer within 1 s")
NOBODY = SchedulerError("trigger('daily_cleanup'): no node took it within 5 s; it is withdrawn")
