"""``preview``: what is to come, and why; without side effects, and before the scheduler runs."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import ConfigurationError, Job, RunContext, Scheduler, UnknownJobError
from asyncsched.triggers import Cron, Daily, Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

START = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = "Europe/Berlin"
MARCH, OCTOBER = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
FRIDAY = datetime(2026, 3, 6, 12, tzinfo=UTC)
LIMITS = "2026-03-08T12:00:00+00:00, until=2026-03-09T12:00:00+00:00"


async def work() -> None:
    """A handler that does nothing."""


def test_it_lists_the_next_fire_times_before_the_scheduler_runs(scheduler: Scheduler) -> None:
    scheduler.add_job("j", work).per_hours(1).timezone("Asia/Tokyo")
    fire_times = scheduler.preview("j")
    assert [fire.at for fire in fire_times] == [START + timedelta(hours=n) for n in range(1, 11)]
    assert str(fire_times[0].local) == "2026-01-01 10:00:00+09:00"
    assert (fire_times[0].at.tzinfo, fire_times[0].delay, fire_times[0].notes) == (UTC, None, ())
    with pytest.raises(dataclasses.FrozenInstanceError):
        fire_times[0].delay = 1.0  # type: ignore[misc]


def test_the_zone_is_the_one_that_the_job_will_have(make_scheduler: Callable[..., Scheduler]) -> None:
    scheduler = make_scheduler(timezone=BERLIN)
    job = scheduler.job("j").daily_at("09:00")  # its handler is yet to come
    assert [str(fire.local) for fire in scheduler.preview("j", 1)] == ["2026-01-01 09:00:00+01:00"]
    assert job.trigger == Daily("09:00"), "a preview changed the job"
    job.weekends()
    assert [str(fire.local) for fire in scheduler.preview("j", 1)] == ["2026-01-03 09:00:00+01:00"]


def test_after_and_count(scheduler: Scheduler) -> None:
    scheduler.add_job("j", work).at(START + timedelta(1), START + timedelta(2))
    scheduler.add_job("now", work).immediate()
    scheduler.add_job("bare", work)
    assert [fire.at.day for fire in scheduler.preview("j", 5)] == [2, 3]
    assert [fire.at.day for fire in scheduler.preview("j", 1, after=START + timedelta(1))] == [3]
    assert scheduler.preview("j", after=START + timedelta(2)) == ()
    assert scheduler.preview("now") == scheduler.preview("bare") == ()


@pytest.mark.parametrize("count", [0, -1, True, 1.0, "3", None, 10_001])
def test_a_count_against_the_rule(scheduler: Scheduler, count: Any) -> None:
    scheduler.add_job("j", work).per_hours(1)
    with pytest.raises(ConfigurationError, match=rf"preview\('j'\): count {count!r} is not a whole number in 1-10000"):
        scheduler.preview("j", count)


def test_other_bad_input(scheduler: Scheduler) -> None:
    scheduler.add_job("j", work).per_hours(24).between("09:00", "17:00")
    with pytest.raises(UnknownJobError, match="did you mean 'j'"):
        scheduler.preview("jj")
    with pytest.raises(ConfigurationError, match=r"preview\('j'\): after: datetime.* is naive"):
        scheduler.preview("j", after=datetime(2026, 1, 1))
    with pytest.raises(ConfigurationError, match=r"job 'j': between\('09:00', '17:00'\) lets none"):
        scheduler.preview("j")


async def test_a_running_job_is_what_its_preview_says(scheduler: Scheduler, clock: FakeClock) -> None:
    ran: list[datetime] = []

    async def note(ctx: RunContext) -> None:
        ran.append(ctx.fire_time.astimezone(UTC))

    scheduler.add_job("j", note).per_minutes(20).phase("spread").between("01:00", "02:00").timezone(BERLIN)
    before = scheduler.preview("j", 7)
    async with scheduler:
        await clock.advance(60)
        assert scheduler.preview("j", 7) == before
        await clock.advance(3 * 86_400)
    assert ran[:7] == [fire.at for fire in before]


async def test_a_seeded_delay_is_the_one_that_is_slept(scheduler: Scheduler, clock: FakeClock) -> None:
    started: list[datetime] = []

    async def note(ctx: RunContext) -> None:
        started.append(ctx.started_at)

    scheduler.add_job("j", note).per_minutes(1).random_delay(5, 50, seed="tick")
    fire_times = scheduler.preview("j", 5)
    async with scheduler:
        await clock.advance(6 * 60)
    delays = [fire.delay for fire in fire_times]
    assert len(set(delays)) == 5
    assert all(fire.notes == () for fire in fire_times)
    slept = [(at - fire.at).total_seconds() for at, fire in zip(started, fire_times, strict=False)]
    assert slept == pytest.approx(delays, abs=1e-5)


def lines(scheduler: Scheduler, after: datetime, count: int) -> list[tuple[str, tuple[str, ...]]]:
    return [(f"{fire.local:%a %d %H:%M}", fire.notes) for fire in scheduler.preview("j", count, after)]


NOTES: list[Any] = [
    pytest.param(
        lambda j: j.daily_at("02:30"), MARCH,
        [
            ("Sun 29 03:00", ("the clock skips 2026-03-29 02:30:00, which fires at the end of the gap",)),
            ("Mon 30 02:30", ()),
        ],
        id="skipped, and moved",
    ),
    pytest.param(
        lambda j: j.daily_at("02:30").dst("skip"), MARCH,
        [("Mon 30 02:30", ("the clock skips 2026-03-29 02:30:00, which does not fire",)), ("Tue 31 02:30", ())],
        id="skipped, and left out",
    ),
    pytest.param(
        lambda j: j.daily_at("02:30").dst("both"), OCTOBER,
        [
            ("Sun 25 02:30", ("the clock shows 02:30:00 twice; this is the first time",)),
            ("Sun 25 02:30", ("the clock shows 02:30:00 twice; this is the second time",)),
            ("Mon 26 02:30", ()),
        ],
        id="repeated",
    ),
    pytest.param(
        lambda j: j.cron("*/30 2 * * *"), MARCH, [("Mon 30 02:00", ()), ("Mon 30 02:30", ())],
        id="a wildcard misses nothing",
    ),
    pytest.param(
        lambda j: j.cron("30 2 * * *", "0 3 * * *"), MARCH,
        [
            ("Sun 29 03:00", ("the clock skips 2026-03-29 02:30:00, which fires at the end of the gap",)),
            ("Mon 30 02:30", ()),
        ],
        id="one of two",
    ),
    pytest.param(
        lambda j: j.schedule(Daily("02:30", timezone=BERLIN) | Every(3600) | Cron("5 * * * *")),
        MARCH.replace(day=29, hour=0, minute=30),
        [
            ("Sun 29 03:00", ("the clock skips 2026-03-29 02:30:00, which fires at the end of the gap",)),
            ("Sun 29 03:05", ()),
        ],
        id="a member of a union",
    ),
    pytest.param(
        lambda j: j.daily_at("09:00").weekdays(), FRIDAY,
        [
            ("Mon 09 09:00", (
                "OnDays('mon-fri') keeps back what comes before it, from 2026-03-07T09:00:00+01:00 on",
            )),
            ("Tue 10 09:00", ()),
        ],
        id="kept back",
    ),
    pytest.param(
        lambda j: j.per_hours(12).weekdays().exclude(date(2026, 3, 9)), FRIDAY,
        [
            ("Tue 10 01:00", (
                "Excluding(2026-03-09) keeps back what comes before it, from 2026-03-09T00:00:00+00:00 on",
                "OnDays('mon-fri') keeps back what comes before it, from 2026-03-07T00:00:00+00:00 on",
            )),
            ("Tue 10 13:00", ()),
        ],
        id="kept back by two",
    ),
    pytest.param(
        lambda j: j.per_hours(24).starting(FRIDAY + timedelta(2)).until(FRIDAY + timedelta(3)), FRIDAY,
        [
            ("Mon 09 01:00", (
                f"Within(starting={LIMITS}) keeps back what comes before it, from 2026-03-07T00:00:00+00:00 on",
            )),
        ],
        id="limits",
    ),
    pytest.param(
        lambda j: j.per_hours(24).random_delay(0, 2.5), FRIDAY,
        [("Sat 07 01:00", ("a delay of 0 to 2.5 s is drawn when it runs",))], id="a delay that is not known",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("describe", "after", "expected"), NOTES)
def test_notes(
    scheduler: Scheduler, describe: Callable[[Job], Job], after: datetime, expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    describe(scheduler.add_job("j", work).timezone(BERLIN))
    assert lines(scheduler, after, len(expected)) == expected


def test_the_end_of_time(scheduler: Scheduler) -> None:
    scheduler.add_job("j", work).yearly_on(12, 31, "23:00")
    assert [fire.local.year for fire in scheduler.preview("j", after=datetime(9998, 1, 1, tzinfo=UTC))] == [9998, 9999]
