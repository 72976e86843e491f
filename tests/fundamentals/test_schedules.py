"""When a job runs: a schedule for each purpose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from asyncsched import RunContext, Scheduler
from asyncsched.triggers import Daily, Every

if TYPE_CHECKING:
    from asyncsched.testing import FakeClock


class Diary:
    """A handler that notes at which minute and second of which hour it ran."""

    def __init__(self) -> None:
        self.times: list[str] = []

    async def __call__(self, ctx: RunContext) -> None:
        self.times.append(f"{ctx.fire_time:%H:%M:%S}")


async def test_every_so_many_seconds_minutes_or_hours(scheduler: Scheduler, clock: FakeClock) -> None:
    seconds, minutes, hours = Diary(), Diary(), Diary()
    scheduler.add_job("poll", seconds).per_seconds(30)
    scheduler.add_job("sync", minutes).per_minutes(15)
    scheduler.add_job("report", hours).per_hours(2)
    async with scheduler:
        await clock.advance(timedelta(hours=2))
    assert seconds.times[:3] == ["00:00:30", "00:01:00", "00:01:30"]
    assert minutes.times[:3] == ["00:15:00", "00:30:00", "00:45:00"]
    assert hours.times == ["02:00:00"]


async def test_intervals_lie_on_a_fixed_grid(scheduler: Scheduler, clock: FakeClock) -> None:
    """All nodes and all restarts see the same ticks, whenever the scheduler was started."""
    diary = Diary()
    scheduler.add_job("sync", diary).per_minutes(15)
    await clock.advance(timedelta(minutes=7))
    async with scheduler:
        await clock.advance(timedelta(minutes=30))
    assert diary.times == ["00:15:00", "00:30:00"]


async def test_the_grid_can_be_moved(scheduler: Scheduler, clock: FakeClock) -> None:
    diary = Diary()
    scheduler.add_job("sync", diary).every(timedelta(hours=1), anchor=datetime(2026, 1, 1, 0, 5, tzinfo=UTC))
    async with scheduler:
        await clock.advance(timedelta(hours=2))
    assert diary.times == ["00:05:00", "01:05:00"]


async def test_once_at_the_start(scheduler: Scheduler, clock: FakeClock) -> None:
    """``immediate`` goes together with one other schedule."""
    diary = Diary()
    scheduler.add_job("warm_up", diary).immediate().per_hours(1)
    async with scheduler:
        await clock.advance(timedelta(hours=1))
    assert diary.times == ["00:00:00", "01:00:00"]


async def test_at_times_of_day(clock: FakeClock) -> None:
    """In the scheduler's time zone, or in the job's own."""
    scheduler, berlin, tokyo = Scheduler(clock=clock, timezone="Europe/Berlin"), Diary(), Diary()
    scheduler.add_job("open", berlin).daily_at("09:00:00", "18:00")
    scheduler.add_job("close", tokyo).daily_at("15:00").timezone("Asia/Tokyo")
    async with scheduler:
        await clock.advance(timedelta(days=1))
    assert berlin.times == ["09:00:00", "18:00:00"]
    assert tokyo.times == ["15:00:00"]


async def test_by_cron_expressions(scheduler: Scheduler, clock: FakeClock) -> None:
    """Five fields, or six with seconds first; several are joined."""
    diary = Diary()
    scheduler.add_job("mixed", diary).cron("0 6 * * MON-FRI", "30 59 23 * * *", "@daily")
    async with scheduler:
        await clock.advance(timedelta(days=1))
    assert diary.times == ["06:00:00", "23:59:30", "00:00:00"]


async def test_at_single_instants(scheduler: Scheduler, clock: FakeClock) -> None:
    diary = Diary()
    scheduler.add_job("launch", diary).at(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 2, 8, tzinfo=UTC))
    async with scheduler:
        await clock.advance(timedelta(days=30))
    assert diary.times == ["12:00:00", "08:00:00"]


async def test_by_a_trigger_of_ones_own(scheduler: Scheduler, clock: FakeClock) -> None:
    """Any object with ``next_fire_time`` is a trigger, and ``|`` joins triggers."""

    class NewMoon:
        def next_fire_time(self, after: datetime) -> datetime | None:
            moon = datetime(2026, 1, 18, 19, 52, tzinfo=UTC)
            return moon if after < moon else None

    diary = Diary()
    scheduler.add_job("tide", diary).schedule(Daily("12:00") | Every(timedelta(days=30)) | NewMoon())
    async with scheduler:
        await clock.advance_to(datetime(2026, 1, 19, tzinfo=UTC))
    assert diary.times.count("12:00:00") == 18
    assert "19:52:00" in diary.times


async def test_ticks_that_were_slept_through_run_once(scheduler: Scheduler, clock: FakeClock) -> None:
    """A laptop that was closed for ten minutes does not make up for every one of them."""
    diary = Diary()
    scheduler.add_job("poll", diary).per_minutes(1)
    async with scheduler:
        await clock.advance(30)
        clock.shift(600)
        await clock.advance(1)
    assert diary.times == ["00:10:00"], "the newest tick runs, late"
    assert scheduler.snapshot().counters == {"missed": 9, "succeeded": 1}
