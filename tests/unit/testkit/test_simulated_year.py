"""A year of fifty varied jobs on three nodes whose clocks are wrong: each tick is accounted for, and runs once.

It prints how long that took: ``pytest -s tests/unit/testkit/test_simulated_year.py``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from asyncsched import Job, Scheduler
from asyncsched.testing import Cluster, FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 1, 1, 0, 40, tzinfo=UTC)
YEAR = timedelta(days=365)
MARCH, OCTOBER = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)
SKEWS = (0.0, 0.4, -0.3)
HOLIDAYS = {date(2026, 1, 1), date(2026, 4, 3), date(2026, 5, 1), date(2026, 12, 25)}
BERLIN, NEW_YORK, LORD_HOWE, KOLKATA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"

SCHEDULES: list[Callable[[Job], Job]] = [
    lambda job: job.daily_at("09:00"),
    lambda job: job.daily_at("02:30").timezone(BERLIN),
    lambda job: job.daily_at("02:30").timezone(BERLIN).dst("skip"),
    lambda job: job.daily_at("02:30").timezone(BERLIN).dst("both"),
    lambda job: job.daily_at("01:30", "13:30").timezone(NEW_YORK),
    lambda job: job.daily_at("01:45", "02:15").timezone(LORD_HOWE),
    lambda job: job.daily_at("23:59:59").timezone(KOLKATA).random_delay(0, 120, seed="tick"),
    lambda job: job.daily_at("06:00").weekdays(),
    lambda job: job.daily_at("10:00").business_days(HOLIDAYS),
    lambda job: job.daily_at("12:00").exclude(*HOLIDAYS),
    lambda job: job.daily_at("08:00").starting(MARCH).until(OCTOBER),
    lambda job: job.weekly_on("mon", "07:00"),
    lambda job: job.weekly_on("mon-fri", "18:00").timezone(NEW_YORK),
    lambda job: job.weekly_on("sat,sun", "00:00", "12:00").timezone(LORD_HOWE),
    lambda job: job.weekly_on("sun", "02:15").timezone(BERLIN).dst("both"),
    lambda job: job.monthly_on(1, "00:00"),
    lambda job: job.monthly_on(31, "23:00").timezone(BERLIN),
    lambda job: job.monthly_on((1, 15, "last"), "04:00").timezone(KOLKATA),
    lambda job: job.last_day_of_month("23:30").timezone(NEW_YORK),
    lambda job: job.yearly_on(2, 28, "12:00"),
    lambda job: job.yearly_on(12, 31, "23:59").timezone(BERLIN),
    lambda job: job.cron("0 8 * * mon-fri"),
    lambda job: job.cron("*/30 9 * * mon-fri").timezone(BERLIN),
    lambda job: job.cron("30 2 * * *").timezone(NEW_YORK),
    lambda job: job.cron("0 */6 * * *").timezone(LORD_HOWE),
    lambda job: job.cron("0 12 L * *"),
    lambda job: job.cron("0 9 * * mon#1", "0 9 * * fri#2"),
    lambda job: job.cron("15 30 5 * * *"),
    lambda job: job.cron("@daily").timezone(KOLKATA),
    lambda job: job.cron("@hourly").between("22:00", "01:00"),
    lambda job: job.cron("@weekly").random_delay(0, 300),
    lambda job: job.rrule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0", starting=START),
    lambda job: job.rrule("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;BYHOUR=3;BYMINUTE=0;BYSECOND=0", starting=START)
    .timezone(BERLIN),
    lambda job: job.rrule("FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU;BYHOUR=2;BYMINUTE=30;BYSECOND=0", starting=START)
    .timezone(BERLIN),
    lambda job: job.per_hours(3),
    lambda job: job.per_hours(6).phase(600).random_delay(0, 60),
    lambda job: job.per_hours(8).phase("spread"),
    lambda job: job.per_hours(4),
    lambda job: job.per_hours(6).weekdays(),
    lambda job: job.per_hours(12).random_delay(0, 120, seed="tick"),
    lambda job: job.per_hours(8),
    lambda job: job.per_hours(12),
    lambda job: job.per_hours(24).phase("spread"),
    lambda job: job.every(timedelta(days=3), anchor=datetime(2026, 1, 2, 5, tzinfo=UTC)),
    lambda job: job.every(timedelta(weeks=2)),
    lambda job: job.every(timedelta(hours=7, minutes=13)),
    lambda job: job.every(timedelta(hours=36)).exclude(*HOLIDAYS),
    lambda job: job.per_hours(2).days("sun").unless_between("12:00", "13:30"),
    lambda job: job.at(datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),
    lambda job: job.per_hours(5).timezone(NEW_YORK).weekends(),
]  # fmt: skip
GUARDS: list[Callable[[Job], Job]] = [
    lambda job: job.on_one_server(),
    lambda job: job.on_one_server().without_overlapping(),
    lambda job: job,
    lambda job: job.on_one_server().rerun_on_crash(),
]


async def quick() -> None: ...


async def lasting() -> None:
    await asyncio.sleep(30)


def declare(scheduler: Scheduler) -> None:
    for at, schedule in enumerate(SCHEDULES):
        handler = lasting if at % 5 == 0 else quick
        GUARDS[at % len(GUARDS)](schedule(scheduler.add_job(f"job{at:02}", handler)))


async def test_a_year_of_fifty_jobs_on_three_nodes() -> None:
    began_at, used_before = perf_counter(), process_time()
    async with Cluster(declare, nodes=3, skew=SKEWS, clock=FakeClock(START)) as cluster:
        await cluster.advance(YEAR)
        ticks = {name: _ticks(job, cluster) for name, job in cluster.nodes[0].scheduler.jobs.items()}
        for node in cluster.nodes:
            for job in node.scheduler.snapshot().jobs:
                assert sum(job.counters.values()) == ticks[job.name], (node.name, job)
                assert not {"missed", "store_unavailable", "failed"} & job.counters.keys(), (node.name, job)
    took, used = perf_counter() - began_at, process_time() - used_before
    assert len(ticks) == 50
    ran = Counter(run.job for run in cluster.history.runs)
    for name, job in cluster.nodes[0].scheduler.jobs.items():
        if job.is_on_one_server:
            cluster.ran_once_per_tick(name)
        assert ran[name] == ticks[name] * (1 if job.is_on_one_server else 3), job
    told = f"{len(ticks)} jobs, {sum(ticks.values())} ticks, {len(cluster.history.runs)} runs on 3 nodes"
    print(f"\na year of {told}: {took:.1f} s, of the processor {used:.1f} s")


def _ticks(job: Job, cluster: Cluster) -> int:
    """Return how many fire times the job has had by now."""
    assert job.trigger is not None
    count, tick = 0, job.trigger.next_fire_time(START)
    while tick is not None and tick <= cluster.clock.now():
        count, tick = count + 1, job.trigger.next_fire_time(tick)
    return count
