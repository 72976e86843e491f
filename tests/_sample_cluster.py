"""Owns a cluster to look at: a shop's jobs over the last hour, as records. The same each time, but for the instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from _cluster_records import CannedConsole, definition, ending, node, record, running

from asyncsched import Scheduler, triggers
from asyncsched._records import Ending, JobRecord, Note

JOBS: dict[str, tuple[str, float]] = {  # code, and how long a run takes
    "backup.verify": ("Cron('17 */2 * * *')", 48),
    "billing.invoices": ("Daily('06:00:00', timezone='Europe/Berlin')", 95),
    "carts.expire": ("Every(300)", 2.1),
    "crm.sync": ("UnlessBetween(Every(600), '02:00:00', '02:30:00')", 38),
    "feeds.import": ("Every(900)", 120),
    "fraud.rescore": ("Every(120)", 9.5),
    "mail.digest": ("Daily('08:00:00', timezone='Europe/Berlin')", 60),
    "mail.outbox": ("Every(30)", 0.8),
    "payments.settle": ("Every(600)", 22),
    "prices.refresh": ("Every(60)", 4.2),
    "search.reindex": ("Every(1200)", 210),
    "sessions.prune": ("Every(1800)", 1.2),
    "stock.levels": ("Every(180)", 6),
    "thumbnails": ("Every(240)", 31),
}
PERIODS = {"Cron('17 */2 * * *')": 7200, "UnlessBetween(Every(600), '02:00:00', '02:30:00')": 600}
NODES = ("shop-7c9f4-x2kq", "shop-7c9f4-lm8d", "shop-7c9f4-p0wz")


def sample_cluster(now: datetime) -> CannedConsole:
    """Return the cluster as it is at that instant."""
    random = Random(7)
    now = now.replace(microsecond=0)
    histories = {job: history_of(job, now, random) for job in JOBS}
    jobs = [job_of(job, now, histories[job]) for job in JOBS]
    nodes = [
        node(
            name,
            host=f"{name}.shop",
            started_at=now - timedelta(hours=3, minutes=12 * n),
            seen_at=now,
            clock_skew=(0.004, -0.02, 0.011)[n],
            jobs=tuple(JOBS),
            active=tuple(run for job in jobs for run in job.active if run.node == name),
        )
        for n, name in enumerate(NODES)
    ]
    gone = node(
        "shop-5d8b1-q7rt",
        host="shop-5d8b1-q7rt.shop",
        state="vanished",
        seen_at=now - timedelta(minutes=34),
        started_at=now - timedelta(days=2),
        version="0.8.2",
        jobs=tuple(JOBS),
    )
    console = CannedConsole(*jobs, nodes=[*nodes, gone], taken_at=now)
    console.endings = histories
    return console


def history_of(job: str, now: datetime, random: Random) -> list[Ending]:
    """Return how a job's ticks of the last three hours have ended, newest first."""
    code, takes = JOBS[job]
    period = period_of(code)
    newest = int(now.timestamp() // period * period)
    found = []
    for tick in range(newest, newest - 3 * 3600, -period):
        fire_time = datetime.fromtimestamp(tick, UTC)
        duration = max(0.05, random.gauss(takes, takes / 5))
        at = fire_time + timedelta(seconds=duration + random.uniform(0.004, 0.03))
        if at <= now:
            found.append(ended(job, fire_time, at, duration, random, now))
    return found


def ended(job: str, fire_time: datetime, at: datetime, duration: float, random: Random, now: datetime) -> Ending:
    fields: dict[str, Any] = {"fire_time": fire_time, "node": random.choice(NODES), "duration": duration}
    minutes = (now - at).total_seconds() / 60
    if 33 < minutes < 36 and job in ("mail.outbox", "prices.refresh"):
        return ending(job, at, "missed", fire_time=fire_time, node=fields["node"], count=2)
    if job == "payments.settle" and minutes < 24:
        return ending(job, at, "failed", **fields, error="GatewayTimeout: no answer from acquirer within 20 s")
    if job in ("fraud.rescore", "thumbnails") and random.random() < 0.12:
        return ending(job, fire_time, "skipped", fire_time=fire_time, node=fields["node"])
    if random.random() < 0.015:
        return ending(job, at, "failed", **fields, error="ConnectionResetError: peer closed the connection")
    return ending(job, at, **fields)


def period_of(code: str) -> int:
    if code in PERIODS:
        return PERIODS[code]
    return int(code[6:-1]) if code.startswith("Every(") else 86_400


def job_of(job: str, now: datetime, history: list[Ending]) -> JobRecord:
    code, _ = JOBS[job]
    period = period_of(code)
    next_at = datetime.fromtimestamp(now.timestamp() // period * period + period, UTC)
    given = {name: definition(job, code) for name in NODES}
    active: tuple[Any, ...] = ()
    if job == "stock.levels":
        given[NODES[2]] = definition(job, "Every(60)")
    if job == "search.reindex":
        active = (running(job, NODES[1], now - timedelta(seconds=95), progress="41 of 88"),)
    if job == "feeds.import":
        active = (running(job, NODES[0], now - timedelta(seconds=12)),)
    paused = Note(by="dana@ops", why="bank closed until Monday", at=now - timedelta(minutes=22))
    successes = [one.at for one in history if one.outcome == "succeeded"]
    return record(
        job,
        definitions=given,
        next_fire_time=next_at,
        paused=paused if job == "billing.invoices" else None,
        last=history[0] if history else None,
        last_success_at=successes[0] if successes else None,
        active=active,
    )


class SampleConsole(CannedConsole):
    """The sample cluster, as time goes on."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.__dict__.update(sample_cluster(now).__dict__)
        self._random = Random(8)

    async def state(self) -> Any:
        now = datetime.now(UTC)
        seen = (replace(node, seen_at=now) if node.state == "running" else node for node in self.now.nodes)
        self.now = replace(self.now, taken_at=now, nodes=tuple(seen))
        for job in self.now.jobs:
            self._go_on(job, now)
        return await super().state()

    def _go_on(self, job: JobRecord, now: datetime) -> None:
        """End the ticks that came due."""
        code, takes = JOBS[job.job]
        due = job.next_fire_time
        if due is not None and due + timedelta(seconds=min(takes, 3)) < now:
            if job.paused is None:
                duration = min(takes, 3)
                self.ends(ended(job.job, due, due + timedelta(seconds=duration), duration, self._random, now))
            self.change(job.job, next_fire_time=due + timedelta(seconds=period_of(code)))


def sample_scheduler(console: SampleConsole) -> Scheduler:
    """Return a scheduler that knows the triggers of the sample, and says that this is its cluster."""
    scheduler = Scheduler()

    async def work() -> None: ...

    names = {name: getattr(triggers, name) for name in triggers.__all__}
    for job, (code, _) in JOBS.items():
        scheduler.add_job(job, work).schedule(eval(code, names))
    scheduler.console = lambda by=None: console if by is None else console.acting(by)  # type: ignore[method-assign]
    return scheduler
