"""``Job``: the fluent description of one job, and what it takes from its scheduler."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from asyncsched import ConfigurationError, Job, Scheduler
from asyncsched.triggers import Cron, Daily, Every, Once, Union

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def work() -> None:
    """A handler that does nothing."""


def test_the_decorator_returns_the_function_unchanged(scheduler: Scheduler) -> None:
    async def cleanup() -> None: ...

    job = scheduler.job("cleanup").per_seconds(1)
    assert job(cleanup) is cleanup
    assert job.handler is cleanup
    assert scheduler.get_job("cleanup") is job


def test_the_decorator_takes_a_class(scheduler: Scheduler) -> None:
    @scheduler.job("cleanup").immediate()
    class Cleanup:
        async def exec(self, ctx: object) -> None: ...
        async def error(self) -> Exception: ...
        async def done(self) -> None: ...

    assert isinstance(Cleanup, type)
    assert scheduler.get_job("cleanup").handler is Cleanup


@pytest.mark.parametrize("make", [lambda s: s.add_job("cleanup", work), lambda s: s.job("cleanup")])
def test_a_second_handler_is_refused(scheduler: Scheduler, make: Callable[[Scheduler], Job]) -> None:
    job = make(scheduler)
    if job.handler is None:
        job(work)
    with pytest.raises(ConfigurationError, match="job 'cleanup': handler: it already has the handler"):
        job(work)
    assert job.handler is work


def test_one_function_may_serve_two_jobs(scheduler: Scheduler) -> None:
    @scheduler.job("a").per_seconds(1)
    @scheduler.job("b").per_seconds(2)
    async def both() -> None: ...

    assert scheduler.get_job("a").handler is scheduler.get_job("b").handler is both


SCHEDULES = [
    pytest.param(lambda job: job.per_seconds(30), Every(30), id="per_seconds"),
    pytest.param(lambda job: job.per_minutes(15), Every(900), id="per_minutes"),
    pytest.param(lambda job: job.per_hours(2), Every(7200), id="per_hours"),
    pytest.param(lambda job: job.every(timedelta(minutes=1)), Every(60), id="every"),
    pytest.param(lambda job: job.every(60, anchor=NOON), Every(60, anchor=NOON), id="every with an anchor"),
    pytest.param(lambda job: job.daily_at("18:00", "09:00:00"), Daily("09:00", "18:00"), id="daily_at"),
    pytest.param(lambda job: job.cron("*/5 * * * *"), Cron("*/5 * * * *"), id="cron"),
    pytest.param(lambda job: job.cron("@daily", "@hourly"), Union(Cron("@daily"), Cron("@hourly")), id="two crons"),
    pytest.param(lambda job: job.at(NOON), Once(NOON), id="at"),
    pytest.param(lambda job: job.schedule(Every(7) | Every(11)), Union(Every(7), Every(11)), id="schedule"),
]


@pytest.mark.parametrize(("schedule", "trigger"), SCHEDULES)
def test_a_schedule_makes_its_trigger(schedule: Callable[[Job], Job], trigger: object) -> None:
    job = Job("j", work)
    assert schedule(job) is job, "every method returns the job"
    assert job.trigger == trigger
    assert repr(job) == f"<Job 'j' {trigger!r}>"


PROPERTIES = [
    # call, property, before, after, policies
    pytest.param(lambda j: j.immediate(), "runs_immediately", False, True, ("immediate",), id="immediate"),
    pytest.param(lambda j: j.on_one_server(), "is_on_one_server", False, True, ("on_one_server",), id="on_one_server"),
    pytest.param(
        lambda j: j.on_one_server(), "is_guarded", False, True, ("on_one_server",), id="guarded by one server"
    ),
    pytest.param(
        lambda j: j.without_overlapping(), "is_without_overlapping", False, True, ("without_overlapping",), id="overlap"
    ),
    pytest.param(
        lambda j: j.without_overlapping(), "is_guarded", False, True, ("without_overlapping",), id="guarded by overlap"
    ),
    pytest.param(
        lambda j: j.random_delay(0.5, timedelta(seconds=9)),
        "delay",
        None,
        (0.5, 9.0),
        ("random_delay(0.5, 9)",),
        id="delay",
    ),
    pytest.param(lambda j: j.per_seconds(1), "trigger", None, Every(1), (), id="trigger"),
    pytest.param(lambda j: j.rerun_on_crash(), "max_attempts", 0, 2, ("rerun_on_crash(2)",), id="rerun_on_crash"),
    pytest.param(lambda j: j.rerun_on_crash(5), "max_attempts", 0, 5, ("rerun_on_crash(5)",), id="five attempts"),
    pytest.param(
        lambda j: j.catch_up(timedelta(hours=1)), "catch_up_within", None, 3600.0, ("catch_up(3600)",), id="catch_up"
    ),
    pytest.param(
        lambda j: j.catch_up(60, mode="all"), "catch_up_most", 0, 100, ("catch_up(60, mode='all', most=100)",), id="all"
    ),
    pytest.param(
        lambda j: j.catch_up(60, mode="all", most=7),
        "catch_up_most",
        0,
        7,
        ("catch_up(60, mode='all', most=7)",),
        id="at most 7",
    ),
    pytest.param(lambda j: j.catch_up(0), "catch_up_within", None, 0.0, ("catch_up(0)",), id="catch_up with now"),
    pytest.param(
        lambda j: j.when_store_unavailable("run"),
        "runs_without_store",
        False,
        True,
        ("when_store_unavailable('run')",),
        id="run without the store",
    ),
    pytest.param(lambda j: j.when_store_unavailable("skip"), "runs_without_store", False, False, (), id="skip"),
    pytest.param(
        lambda j: j.when_store_unavailable("run"),
        "is_guarded",
        False,
        False,
        ("when_store_unavailable('run')",),
        id="that is no guard",
    ),
    pytest.param(lambda j: j.lock_ttl(5), "delay", None, None, (), id="lock_ttl changes nothing else"),
]


@pytest.mark.parametrize(("call", "name", "before", "after", "policies"), PROPERTIES)
def test_a_policy_shows(call: Callable[[Job], Job], name: str, before: Any, after: Any, policies: Any) -> None:
    job = Job("j", work)
    assert getattr(job, name) == before
    assert call(job) is job, "every method returns the job"
    assert getattr(job, name) == after
    assert job.policies == policies


def test_the_repr_tells_everything() -> None:
    job = Job("j").per_seconds(30).immediate().on_one_server().without_overlapping().random_delay(0, 5)
    assert repr(job) == "<Job 'j' Every(30) immediate on_one_server without_overlapping random_delay(0, 5)>"
    job.rerun_on_crash(3).catch_up(1.5).when_store_unavailable("run")
    assert repr(job).endswith(" random_delay(0, 5) rerun_on_crash(3) catch_up(1.5) when_store_unavailable('run')>")
    assert job.handler is None
    assert repr(Job("bare", work)) == "<Job 'bare'>"


BERLIN = ZoneInfo("Europe/Berlin")
ZONED = [
    pytest.param(lambda j: j.timezone("Europe/Berlin").daily_at("09:00"), Daily("09:00", timezone=BERLIN), id="before"),
    pytest.param(lambda j: j.daily_at("09:00").timezone(BERLIN), Daily("09:00", timezone=BERLIN), id="after"),
    pytest.param(lambda j: j.timezone(BERLIN).cron("0 9 * * *"), Cron("0 9 * * *", timezone=BERLIN), id="cron, before"),
    pytest.param(lambda j: j.cron("0 9 * * *").timezone(BERLIN), Cron("0 9 * * *", timezone=BERLIN), id="cron, after"),
    pytest.param(lambda j: j.daily_at("09:00"), Daily("09:00", timezone="Asia/Tokyo"), id="the scheduler's"),
    pytest.param(lambda j: j.cron("0 9 * * *"), Cron("0 9 * * *", timezone="Asia/Tokyo"), id="cron, the scheduler's"),
    pytest.param(lambda j: j.schedule(Daily("09:00")).timezone(BERLIN), Daily("09:00"), id="a trigger keeps its own"),
]


@pytest.mark.parametrize(("describe", "trigger"), ZONED)
async def test_the_time_zone_of_a_job(
    make_scheduler: Callable[..., Scheduler], describe: Callable[[Job], Job], trigger: Daily | Cron
) -> None:
    scheduler = make_scheduler(timezone="Asia/Tokyo")
    job = describe(scheduler.add_job("report", work))
    for _ in range(2):  # a second life of the scheduler reads the same
        async with scheduler:
            assert job.trigger == trigger
            (shown,) = scheduler.snapshot().jobs
            expected = trigger.next_fire_time(datetime(2026, 1, 1, tzinfo=UTC))
            assert shown.next_fire_time == expected


async def test_fire_times_stand_in_the_jobs_time_zone(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock
) -> None:
    scheduler = make_scheduler(timezone="Asia/Tokyo")
    seen: dict[str, list[str]] = {}

    async def handler(ctx: Any) -> None:
        seen[ctx.job] = [ctx.fire_time.isoformat(), ctx.started_at.isoformat()]

    scheduler.add_job("own", handler).per_hours(1).timezone(BERLIN)
    scheduler.add_job("default", handler).per_hours(1)
    async with scheduler:
        await clock.advance(3600)
    assert seen == {"own": ["2026-01-01T02:00:00+01:00"] * 2, "default": ["2026-01-01T10:00:00+09:00"] * 2}


@pytest.mark.parametrize(("own", "expected"), [(None, 600.0), (20, 20.0)])
async def test_a_lock_ttl_of_its_own(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, flaky_store: Any, own: int | None, expected: float
) -> None:
    asked: list[float] = []
    decide = flaky_store.claim

    async def claim(requests: Any) -> Any:
        asked.extend(request.lock_ttl for request in requests)
        return await decide(requests)

    flaky_store.claim = claim
    job = make_scheduler(flaky_store, lock_ttl=600)
    described = job.add_job("locked", work).immediate().without_overlapping()
    if own is not None:
        described.lock_ttl(own)
    async with job:
        await clock.settle()
    assert asked == [expected]


GRACES = [
    pytest.param(60, "unset", {"missed": 1}, id="the scheduler's, too short"),
    pytest.param(None, "unset", {"succeeded": 1}, id="the scheduler's, however late"),
    pytest.param(60, 600, {"succeeded": 1}, id="its own is longer"),
    pytest.param(60, None, {"succeeded": 1}, id="its own: however late"),
    pytest.param(600, 60, {"missed": 1}, id="its own is shorter"),
    pytest.param(None, 60, {"missed": 1}, id="its own, where the scheduler has none"),
]


@pytest.mark.parametrize(("of_scheduler", "own", "counters"), GRACES)
async def test_a_misfire_grace_of_its_own(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, of_scheduler: Any, own: Any, counters: dict[str, int]
) -> None:
    scheduler = make_scheduler(misfire_grace=of_scheduler)
    job = scheduler.add_job("late", work).per_hours(1)
    if own != "unset":
        job.misfire_grace(own)
    async with scheduler:
        await clock.advance(1)
        clock.shift(3600 + 300)  # the machine slept: the tick is noticed 301 s late
        await clock.advance(1)
    assert scheduler.snapshot().counters == counters


async def test_the_random_delay_lies_within_its_bounds(scheduler: Scheduler, clock: FakeClock) -> None:
    delays: list[float] = []

    async def handler(ctx: Any) -> None:
        delays.append((ctx.started_at - ctx.fire_time).total_seconds())

    scheduler.add_job("jitter", handler).per_seconds(10).random_delay(1, 5)
    async with scheduler:
        await clock.advance(1006)
    assert len(delays) == 100
    assert all(1 <= delay <= 5.000001 for delay in delays)
    assert len(set(delays)) > 90, "drawn for each run"


async def test_a_trigger_that_breaks_ends_only_its_own_job(
    scheduler: Scheduler, clock: FakeClock, lines: Callable[..., list[str]]
) -> None:
    class Broken:
        def next_fire_time(self, after: datetime) -> datetime | None:
            if after > datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC):
                raise ZeroDivisionError
            return after + timedelta(seconds=2)

    scheduler.add_job("broken", work).schedule(Broken())
    scheduler.add_job("fine", work).per_seconds(1)
    async with scheduler:
        await clock.advance(5)
        await asyncio.sleep(0)
    counted = {job.name: dict(job.counters) for job in scheduler.snapshot().jobs}
    assert scheduler.snapshot().counters == {"succeeded": 6}, counted
    assert lines("job=broken gets no more fire times: its trigger failed")
