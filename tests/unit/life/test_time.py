"""A running scheduler and its clocks: steps of the wall, stalls, grids and the two Sundays of a time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from _life_doubles import Book, Handler, Link, nothing

from asyncsched import MemoryStore, Scheduler, current_run, events
from asyncsched.testing import FakeClock

Make = Callable[..., Scheduler]
START = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
GUARDS = pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded"])


def add(scheduler: Scheduler, handler: object, guarded: bool, seconds: float = 10) -> None:
    job = scheduler.add_job("a", handler).per_seconds(seconds)
    if guarded:
        job.on_one_server().without_overlapping()


def offsets(handler: Handler) -> list[float]:
    return [(run.fire_time - START).total_seconds() for run in handler.runs]


@pytest.fixture
def handler() -> Handler:
    handler = Handler()
    handler.let_go()
    return handler


# Steps of the wall


@GUARDS
@pytest.mark.parametrize("by", [-3, -15, -3600, -86_400 * 3])
async def test_a_step_back_fires_nothing_twice(
    scheduler: Scheduler, clock: FakeClock, handler: Handler, guarded: bool, by: float
) -> None:
    add(scheduler, handler, guarded)
    async with scheduler:
        await clock.advance(55)
        clock.shift(by)
        await clock.advance(-by + 50)
    assert offsets(handler) == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert scheduler.snapshot().counters == {"succeeded": 10}


@GUARDS
async def test_a_step_forward_runs_the_newest_and_counts_the_others(
    scheduler: Scheduler, clock: FakeClock, handler: Handler, guarded: bool
) -> None:
    add(scheduler, handler, guarded)
    book = Book(scheduler)
    async with scheduler:
        await clock.advance(15)
        clock.shift(100)
        await clock.advance(0)
        assert offsets(handler) == [10, 110]
        await clock.advance(10)
    assert offsets(handler) == [10, 110, 120]
    (missed,) = book.of(events.TicksMissed)
    assert missed.count == 9
    assert (missed.first, missed.last) == (START + timedelta(seconds=20), START + timedelta(seconds=100))
    assert scheduler.snapshot().counters == {"succeeded": 3, "missed": 9}


@GUARDS
async def test_steps_to_and_fro_account_for_each_tick_once(
    scheduler: Scheduler, clock: FakeClock, handler: Handler, guarded: bool
) -> None:
    add(scheduler, handler, guarded)
    book = Book(scheduler)
    async with scheduler:
        await clock.advance(5)
        for by in (33, -27, 61, -90, 90, -1, 0.5, -45, 200):
            clock.shift(by)
            await clock.advance(7)
        until = clock.time() - START.timestamp()
    assert offsets(handler) == sorted(set(offsets(handler)))
    assert len(handler.runs) + book.missed("a") == until // 10


@pytest.mark.parametrize("by", [-0.3, -4, -45, -4000])
async def test_a_step_back_while_a_claim_is_undecided(
    scheduler: Scheduler, clock: FakeClock, handler: Handler, link: Link, by: float
) -> None:
    add(scheduler, handler, guarded=True)
    async with scheduler:
        await clock.advance(55)
        link.down("claim")
        await clock.advance(7)
        clock.shift(by)
        link.up()
        await clock.advance(-by + 30)
    assert offsets(handler) == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert scheduler.snapshot().counters == {"succeeded": 9}


# Late


@GUARDS
@pytest.mark.parametrize(
    ("grace", "late", "runs"),
    [(None, 86_399, True), (0, 0, True), (0, 0.001, False), (5, 5, True), (5, 5.001, False), (0.5, 0.5, True)],
)
async def test_the_misfire_grace(
    make: Make, clock: FakeClock, handler: Handler, guarded: bool, grace: float | None, late: float, runs: bool
) -> None:
    scheduler = make(misfire_grace=grace)
    add(scheduler, handler, guarded, seconds=86_400)
    async with scheduler:
        await clock.advance(100)
        clock.shift(86_300 + late)
        await clock.advance(0)
    assert offsets(handler) == ([86_400] if runs else [])
    assert scheduler.snapshot().counters == ({"succeeded": 1} if runs else {"missed": 1})


class StallingClock(FakeClock):
    """A clock under an event loop that stands still while time passes: a blocked loop, or a suspended machine."""

    def stall(self, seconds: float) -> None:
        self.elapsed += seconds


@GUARDS
async def test_after_a_stall_the_newest_tick_runs(make: Make, handler: Handler, guarded: bool) -> None:
    clock = StallingClock()
    scheduler = make(MemoryStore(clock), clock=clock)
    add(scheduler, handler, guarded)
    scheduler.add_job("daily", nothing).daily_at("00:30")
    book = Book(scheduler)
    async with scheduler:
        await clock.advance(15)
        clock.stall(2000)
        await clock.advance(0)
        assert offsets(handler) == [10, 2010]
        assert book.missed("a") == 199
        assert book.outcomes("daily") == ["succeeded"]  # 215 s late
        await clock.advance(5)
    assert offsets(handler) == [10, 2010, 2020]


async def test_after_a_year_asleep_the_loop_is_not_held_up(make: Make, handler: Handler) -> None:
    clock = StallingClock()
    scheduler = make(MemoryStore(clock), clock=clock)
    steps = 0

    class Minutely:
        def next_fire_time(self, after: datetime) -> datetime:
            nonlocal steps
            steps += 1
            return datetime.fromtimestamp((after.timestamp() // 60 + 1) * 60, UTC)

    scheduler.add_job("a", handler).schedule(Minutely())
    scheduler.add_job("b", nothing).per_seconds(60)
    book = Book(scheduler)
    async with scheduler:
        clock.stall(86_400)
        await clock.settle()
        await clock.advance(0)
        assert offsets(handler) == [86_400]
    assert book.missed("a") == book.missed("b") == 1439
    assert steps < 1450


# Grids


@pytest.mark.parametrize("started_at", [0, 0.3, 7.25, 59.999, 1234.5])
async def test_the_grid_is_anchored_to_the_epoch_whenever_it_starts(handler: Handler, started_at: float) -> None:
    clock = FakeClock(START + timedelta(seconds=started_at))
    scheduler = Scheduler(clock=clock)
    scheduler.add_job("a", handler).per_seconds(7)
    async with scheduler:
        await clock.advance(70)
    fires = [run.fire_time.timestamp() for run in handler.runs]
    assert len(fires) == 10
    assert {fire % 7 for fire in fires} == {0}
    assert fires[0] > clock.time() - 70


@GUARDS
@pytest.mark.parametrize("seconds", [0.001, 1 / 3, 0.1, 1.7])
async def test_no_run_starts_before_its_fire_time(
    scheduler: Scheduler, clock: FakeClock, guarded: bool, seconds: float
) -> None:
    late: list[float] = []

    async def note() -> None:
        run = current_run()
        assert run is not None
        late.append(clock.time() - run.fire_us / 1e6)

    add(scheduler, note, guarded, seconds)
    async with scheduler:
        for _ in range(60):
            await clock.advance(seconds * 0.77)
    assert len(late) in (45, 46, 47)
    assert min(late) >= 0
    assert max(late) < 1e-5


# Time zones


@GUARDS
@pytest.mark.parametrize(
    ("day", "local", "fires"),
    [
        # 2026-03-29: 02:00 -> 03:00; a time in the gap fires at its end
        ((2026, 3, 28), "02:30", ["28T02:30+0100", "29T03:00+0200", "30T02:30+0200"]),
        ((2026, 3, 28), "03:00", ["28T03:00+0100", "29T03:00+0200", "30T03:00+0200"]),
        ((2026, 3, 28), "01:59:59", ["28T01:59+0100", "29T01:59+0100", "30T01:59+0200"]),
        # 2026-10-25: 03:00 -> 02:00; a time in the repeated hour fires in its first pass only
        ((2026, 10, 24), "02:30", ["24T02:30+0200", "25T02:30+0200", "26T02:30+0100"]),
        ((2026, 10, 24), "03:00", ["24T03:00+0200", "25T03:00+0100", "26T03:00+0100"]),
    ],
)
async def test_daily_times_across_a_change_of_the_clocks(
    handler: Handler, guarded: bool, day: tuple[int, int, int], local: str, fires: list[str]
) -> None:
    clock = FakeClock(datetime(*day, tzinfo=BERLIN))
    scheduler = Scheduler(clock=clock, timezone="Europe/Berlin")
    job = scheduler.add_job("a", handler).daily_at(local)
    if guarded:
        job.on_one_server()
    async with scheduler:
        for _ in range(72):
            await clock.advance(3600)
    assert [run.fire_time.strftime("%dT%H:%M%z") for run in handler.runs] == fires
    assert [run.started_at for run in handler.runs] == [run.fire_time for run in handler.runs]
    assert scheduler.snapshot().counters == {"succeeded": 3}


async def test_a_step_over_the_gap_runs_the_tick_late(handler: Handler) -> None:
    clock = FakeClock(datetime(2026, 3, 29, 1, 50, tzinfo=BERLIN))
    scheduler = Scheduler(clock=clock, timezone="Europe/Berlin")
    scheduler.add_job("a", handler).daily_at("02:30")
    async with scheduler:
        await clock.advance(1)
        clock.shift(1200)
        await clock.advance(1)
        await clock.advance(86_400)
    assert [run.fire_time.strftime("%dT%H:%M%z") for run in handler.runs] == ["29T03:00+0200", "30T02:30+0200"]
