"""What a job is told about when it runs: schedules by the calendar, filters, limits, phases, rules for wall times."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import ConfigurationError, Job, RunContext, Scheduler
from asyncsched.triggers import (
    Between,
    Cron,
    Daily,
    Every,
    Excluding,
    Monthly,
    OnDays,
    Union,
    UnlessBetween,
    Weekly,
    Within,
    Yearly,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=9)
HOLIDAY = date(2026, 1, 6)
BERLIN = "Europe/Berlin"


async def work() -> None:
    """A handler that does nothing."""


def refused(call: Callable[[], object], *parts: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        call()
    message = str(caught.value)
    assert [part for part in ("job 'j': ", *parts) if part not in message] == [], message


SCHEDULES: list[Any] = [
    pytest.param(lambda j: j.weekly_on("mon", "09:00:00", "18:00"), Weekly("mon", "09:00", "18:00"), id="weekly_on"),
    pytest.param(lambda j: j.monthly_on(1, "00:05:00"), Monthly(1, "00:05"), id="monthly_on"),
    pytest.param(lambda j: j.monthly_on((1, "last"), "00:05"), Monthly((1, "last"), "00:05"), id="two days"),
    pytest.param(lambda j: j.last_day_of_month("23:00"), Monthly("last", "23:00"), id="last_day_of_month"),
    pytest.param(lambda j: j.yearly_on(12, 24, "18:00"), Yearly(12, 24, "18:00"), id="yearly_on"),
    pytest.param(lambda j: j.daily_at("09:00").weekdays(), OnDays(Daily("09:00"), "mon-fri"), id="weekdays"),
    pytest.param(lambda j: j.weekends().daily_at("09:00"), OnDays(Daily("09:00"), "sat,sun"), id="weekends, before"),
    pytest.param(lambda j: j.per_hours(1).days("mon", "wed-fri"), OnDays(Every(3600), "mon,wed-fri"), id="days"),
    pytest.param(
        lambda j: j.per_hours(1).between("09:00", "17:00"), Between(Every(3600), "09:00", "17:00"), id="between"
    ),
    pytest.param(
        lambda j: j.cron("5 * * * *").unless_between("23:00", "04:00"),
        UnlessBetween(Cron("5 * * * *"), "23:00", "04:00"),
        id="unless_between",
    ),
    pytest.param(lambda j: j.daily_at("09:00").exclude(HOLIDAY), Excluding(Daily("09:00"), HOLIDAY), id="exclude"),
    pytest.param(
        lambda j: j.exclude(iter([HOLIDAY])).daily_at("09:00"), Excluding(Daily("09:00"), HOLIDAY), id="of an iterator"
    ),
    pytest.param(
        lambda j: j.daily_at("09:00").business_days({HOLIDAY: "Epiphany"}),
        Excluding(OnDays(Daily("09:00"), "mon-fri"), {HOLIDAY: "Epiphany"}),
        id="business_days",
    ),
    pytest.param(
        lambda j: j.per_hours(1).starting(NOON).until(LATER),
        Within(Every(3600), starting=NOON, until=LATER), id="limits",
    ),
    pytest.param(lambda j: j.daily_at("02:30").dst("skip"), Daily("02:30", dst="skip"), id="dst"),
    pytest.param(lambda j: j.dst("both").weekly_on("sun", "02:30"), Weekly("sun", "02:30", dst="both"), id="dst first"),
    pytest.param(
        lambda j: j.cron("30 2 * * *", "0-59/15 1 * * *").dst("both"),
        Union(Cron("30 2 * * *", dst="both"), Cron("0-59/15 1 * * *", dst="both")),
        id="dst of crons",
    ),
    pytest.param(lambda j: j.cron("* * * * *").dst("once"), Cron("* * * * *"), id="dst as it is"),
    pytest.param(lambda j: j.per_minutes(1).phase(7.5), Every(60, anchor=NOON + timedelta(seconds=7.5)), id="phase"),
    pytest.param(
        lambda j: j.phase(timedelta(seconds=5)).every(60, anchor=NOON + timedelta(seconds=3)),
        Every(60, anchor=NOON.replace(second=8)), id="phase before, on an anchor",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("describe", "trigger"), SCHEDULES)
def test_a_call_makes_its_trigger(describe: Callable[[Job], Job], trigger: Any) -> None:
    job = Job("j", work)
    assert describe(job) is job, "every method returns the job"
    assert job.trigger is not None
    for instant in (NOON, datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
        assert job.trigger.next_fire_time(instant) == trigger.next_fire_time(instant)
    if "phase" not in repr(describe):
        assert repr(job.trigger) == repr(trigger) or isinstance(trigger, Every)


def test_the_order_of_the_calls_does_not_matter() -> None:
    calls: list[Callable[[Job], Job]] = [
        lambda j: j.per_minutes(30),
        lambda j: j.weekdays(),
        lambda j: j.exclude(HOLIDAY),
        lambda j: j.between("09:00", "17:00"),
        lambda j: j.until(LATER),
        lambda j: j.phase(60),
        lambda j: j.timezone(BERLIN),
    ]
    triggers = set()
    for turn in range(len(calls)):
        job = Job("j", work)
        for call in (*calls[turn:], *calls[:turn]):
            call(job)
        triggers.add(repr(job.trigger))
    expected = (
        "Within(Excluding(Between(OnDays(Every(1800, anchor=1970-01-01T00:01:00+00:00), 'mon-fri', "
        "timezone='Europe/Berlin'), '09:00:00', '17:00:00', timezone='Europe/Berlin'), 2026-01-06, "
        "timezone='Europe/Berlin'), until=2026-01-10T12:00:00+00:00)"
    )
    assert triggers == {expected}


@pytest.mark.parametrize("is_own", [True, False])
async def test_filters_and_wall_times_are_read_in_the_jobs_time_zone(
    make_scheduler: Callable[..., Scheduler], is_own: bool
) -> None:
    scheduler = make_scheduler(timezone="UTC" if is_own else "Asia/Tokyo")
    job = scheduler.add_job("j", work).per_hours(24).between("09:00", "10:00")  # 24:00 UTC is 09:00 in Tokyo
    other = scheduler.add_job("k", work).weekly_on("mon", "09:00").dst("skip")
    if is_own:
        job.timezone("Asia/Tokyo")
        other.timezone("Asia/Tokyo")
    async with scheduler:
        assert repr(job.trigger) == "Between(Every(86400), '09:00:00', '10:00:00', timezone='Asia/Tokyo')"
        assert other.trigger == Weekly("mon", "09:00", timezone="Asia/Tokyo", dst="skip")
    async with scheduler:
        assert repr(job.trigger) == "Between(Every(86400), '09:00:00', '10:00:00', timezone='Asia/Tokyo')"


async def test_excluded_fire_times_are_no_ticks(scheduler: Scheduler, clock: FakeClock) -> None:
    ran: list[int] = []

    async def note(ctx: RunContext) -> None:
        ran.append(ctx.fire_time.hour)

    scheduler.add_job("j", note).per_hours(1).between("03:00", "05:00")
    async with scheduler:
        await clock.advance(24 * 3600)
        counters = scheduler.snapshot().jobs[0].counters
    assert ran == [3, 4, 5]
    assert counters == {"succeeded": 3}


def test_phases_are_spread_by_the_name_alone() -> None:
    phases = [Job(f"job-{n}", work).per_seconds(60).phase("spread").trigger for n in range(400)]
    offsets = sorted(trigger.anchor_us for trigger in phases if isinstance(trigger, Every))
    assert len(set(offsets)) == 400
    assert 0 <= offsets[0] < 1_000_000
    assert 59_000_000 <= offsets[-1] < 60_000_000
    assert max(later - earlier for earlier, later in pairwise(offsets)) < 2_000_000


@pytest.mark.processes
def test_every_process_draws_the_same() -> None:
    program = (
        "import random; from asyncsched import Job; job = Job('j', print).per_seconds(60).phase('spread')"
        ".random_delay(0, 10, seed='tick'); print(job.trigger.anchor_us, job.drawn_delay(5, random.Random()))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {"24129047 1.5136228292585985\n"}


def test_a_seeded_delay_follows_from_the_name_and_the_tick() -> None:
    class NoDraw:
        """A random generator that must not be asked."""

    job, other = (Job(name, work).per_seconds(1).random_delay(2, 5, seed="tick") for name in ("j", "k"))
    delays = [job.drawn_delay(tick, NoDraw()) for tick in range(200)]  # type: ignore[arg-type]
    assert delays == [job.drawn_delay(tick, NoDraw()) for tick in range(200)]  # type: ignore[arg-type]
    assert delays != [other.drawn_delay(tick, NoDraw()) for tick in range(200)]  # type: ignore[arg-type]
    assert 2 <= min(delays) < 2.2
    assert 4.8 < max(delays) < 5
    assert (job.delay, job.is_delay_seeded, job.policies) == ((2, 5), True, ("random_delay(2, 5, seed='tick')",))


REFUSED: list[Any] = [
    (lambda j: j.weekly_on("monday", "09:00"), ("weekly_on('monday', '09:00'): day of week 'monday'", "mean 'mon'?")),
    (lambda j: j.weekly_on("mon"), ("weekly_on('mon'): weekly times: none given",)),
    (lambda j: j.monthly_on(31), ("monthly_on(31): monthly times: none given",)),
    (lambda j: j.monthly_on(32, "09:00"), ("monthly_on(32, '09:00'): day of month 32",)),
    (lambda j: j.last_day_of_month(), ("last_day_of_month(): monthly times: none given",)),
    (lambda j: j.yearly_on(2, 30, "09:00"), ("yearly_on(2, 30, '09:00'): day of month 30 never comes",)),
    (lambda j: j.per_seconds(1).weekly_on("mon", "09:00"), ("already has the schedule Every(1)",)),
    (lambda j: j.weekly_on("mon", "09:00").per_seconds(1), ("per_seconds(1): it already has the schedule Weekly",)),
    (lambda j: j.days(), ("day of week: none given",)),
    (lambda j: j.days("funday"), ("day of week 'funday' is not one of",)),
    (lambda j: j.between("9:00", "17:00"), ("time '9:00' is not HH:MM:SS", "did you mean '09:00'?")),
    (lambda j: j.between("09:00", "09:00"), ("has equal ends",)),
    (lambda j: j.unless_between("09:00", "24:00"), ("time '24:00' is not HH:MM:SS",)),
    (lambda j: j.exclude(), ("excluded dates: none given",)),
    (lambda j: j.exclude("2026-01-01"), ("excluded date '2026-01-01' is not a datetime.date",)),
    (lambda j: j.exclude(NOON), ("is not a datetime.date",)),
    (lambda j: j.business_days(None), ("excluded date None is not a datetime.date",)),
    (lambda j: j.starting(datetime(2026, 1, 1)), ("starting: datetime", "is naive; give it a time zone")),
    (lambda j: j.until("2026"), ("until: '2026' is not a datetime",)),
    (lambda j: j.starting(NOON).starting(LATER), ("starting(", "it was given before with the value")),
    (lambda j: j.per_hours(1).starting(LATER).until(NOON), ("until(", "is earlier than starting")),
    (lambda j: j.per_hours(1).dst("skip"), ("dst('skip') is for fixed wall times, which Every(3600) has not",)),
    (lambda j: j.dst("once").per_hours(1), ("per_hours(1): dst('once') is for fixed wall times",)),
    (lambda j: j.at(NOON).dst("both"), ("dst('both') is for fixed wall times",)),
    (lambda j: j.schedule(Daily("09:00")).dst("skip"), ("dst('skip') is for fixed wall times",)),
    (lambda j: j.cron("*/5 * * * *").dst("skip"), ("dst('skip'): cron '*/5 * * * *': dst 'skip' is for fixed times",)),
    (lambda j: j.cron("0 9 * * *", "@hourly").dst("both"), ("cron '@hourly': dst 'both' is for fixed times",)),
    (lambda j: j.daily_at("09:00").dst("never"), ("dst 'never' is not one of 'once', 'skip', 'both'",)),
    (lambda j: j.dst("once").dst("skip"), ("dst('skip'): it was given before with the value 'once'",)),
    (lambda j: j.daily_at("09:00").phase(5), ("phase(5.0) moves the grid of an interval, and Daily('09:00:00')",)),
    (lambda j: j.phase("spread").cron("@daily"), ("cron('@daily'): phase('spread') moves the grid of an interval",)),
    (lambda j: j.at(NOON).phase(5), ("phase(5.0) moves the grid of an interval",)),
    (lambda j: j.per_seconds(10).phase(10), ("phase(10.0) is not below the interval of Every(10)",)),
    (lambda j: j.phase(10).per_seconds(9), ("per_seconds(9): phase(10.0) is not below the interval of Every(9)",)),
    (lambda j: j.phase(-1), ("phase(-1): -1 is below the least value, 0 s",)),
    (lambda j: j.phase("random"), ("phase('random'): the rule is a number of seconds, a timedelta or 'spread'",)),
    (lambda j: j.phase(True), ("phase(True): True is neither a number of seconds nor a timedelta",)),
    (lambda j: j.phase(1).phase("spread"), ("phase('spread'): it was given before with the value 1.0",)),
    (lambda j: j.random_delay(0, 1, seed="job"), ("random_delay(0, 1, seed='job'): the rule is seed='tick', or none",)),
    (lambda j: j.random_delay(0, 1).random_delay(0, 1, seed="tick"), ("it was given before with the value",)),
    (
        lambda j: j.weekly_on("sat", "09:00").weekdays(),
        ("weekdays(): weekdays() lets none of the fire times of Weekly('sat', '09:00:00') pass",),
    ),
    (lambda j: j.weekdays().weekends().daily_at("09:00"), ("daily_at('09:00'): weekends() lets none of",)),
    (lambda j: j.daily_at("08:00").between("09:00", "17:00"), ("between('09:00', '17:00') lets none of",)),
    (
        lambda j: j.timezone("UTC").per_hours(24).between("09:00", "17:00"),
        ("between('09:00', '17:00') lets none of the fire times of Every(86400) pass",),
    ),
    (
        lambda j: j.per_hours(24).between("09:00", "17:00").timezone("UTC"),
        ("timezone('UTC'): between('09:00', '17:00') lets none of",),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "parts"), REFUSED)
def test_refused(call: Callable[[Job], Job], parts: tuple[str, ...]) -> None:
    refused(lambda: call(Job("j", work)), *parts)


def test_what_is_refused_changes_nothing() -> None:
    job = Job("j", work).daily_at("08:00").weekdays()
    before = repr(job)
    for call in (
        lambda: job.between("09:00", "17:00"),
        lambda: job.phase(5),
        lambda: job.days("sun"),
        lambda: job.business_days(3),
    ):
        refused(call)
    assert repr(job) == before
    assert job.dst("skip").trigger == OnDays(Daily("08:00", dst="skip"), "mon-fri")


@pytest.mark.parametrize(
    ("describe", "rule"),
    [
        (lambda j: j.immediate().weekdays(), "weekdays() needs a schedule, and immediate() is none"),
        (lambda j: j.immediate().starting(NOON), "starting(datetime.datetime(2026, 1, 1, 12, 0, tzinfo="),
        (lambda j: j.immediate().phase("spread"), "phase('spread') needs a schedule"),
        (lambda j: j.immediate().dst("skip"), "dst('skip') needs a schedule"),
        (lambda j: j.weekdays(), "it has no schedule; give it one"),
        (
            lambda j: j.per_hours(24).between("09:00", "17:00"),
            "between('09:00', '17:00') lets none of the fire times of",
        ),
    ],
)
def test_what_can_be_judged_only_when_the_scheduler_starts(
    scheduler: Scheduler, describe: Callable[[Job], Job], rule: str
) -> None:
    describe(scheduler.add_job("j", work))
    with pytest.raises(ConfigurationError, match="job 'j': ") as caught:
        scheduler._start()
    assert rule in str(caught.value)


async def test_a_job_that_is_added_to_a_running_scheduler_is_judged_too(
    scheduler: Scheduler, clock: FakeClock, lines: Callable[..., list[str]]
) -> None:
    async with scheduler:
        scheduler.add_job("j", work).per_hours(24).between("09:00", "17:00")
        await clock.settle()
        assert scheduler.snapshot().jobs[0].next_fire_time is None
    assert "between('09:00', '17:00') lets none of the fire times of Every(86400) pass" in lines("does not run")[0]


@pytest.mark.parametrize(
    "call", [lambda j: j.weekdays(), lambda j: j.until(NOON), lambda j: j.phase(1), lambda j: j.dst("skip")]
)
async def test_no_change_after_it_was_scheduled(scheduler: Scheduler, call: Callable[[Job], Job]) -> None:
    job = scheduler.add_job("j", work).per_hours(1)
    async with scheduler:
        refused(lambda: call(job), "it is already scheduled")


def test_a_users_trigger_may_be_filtered_and_is_not_asked_before_it_is_scheduled() -> None:
    class Own:
        def next_fire_time(self, after: datetime) -> datetime | None:
            raise AssertionError("asked")

    job = Job("j", work).schedule(Own()).weekdays().timezone(UTC).until(LATER)
    assert repr(job.trigger).startswith("Within(OnDays(<")


def test_an_instant_that_is_over_is_no_mistake() -> None:
    job = Job("j", work).timezone("UTC").per_hours(1).weekdays().until(datetime(1990, 1, 1, tzinfo=UTC))
    assert job.missing(UTC) is None
    assert job.trigger is not None
    assert job.trigger.next_fire_time(NOON) is None
