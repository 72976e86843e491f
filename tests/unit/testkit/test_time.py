"""How the fake clock moves: by texts, until something comes, and never past work that takes real time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from anyio import from_thread, move_on_after

from asyncsched import ConfigurationError, RunContext, Scheduler, SchedulerError
from asyncsched._clock import sleep
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scheduler(clock: FakeClock) -> Scheduler:
    return Scheduler(clock=clock)


@pytest.mark.parametrize(
    ("by", "seconds"),
    [
        (1.5, 1.5),
        (timedelta(minutes=2), 120),
        ("0 s", 0),
        ("1 second", 1),
        ("1.5 seconds", 1.5),
        ("3 min", 180),
        ("1 minute", 60),
        ("90 minutes", 5400),
        ("2h", 7200),
        ("2 h", 7200),
        ("1 hour", 3600),
        ("24 hours", 86_400),
        ("1 day", 86_400),
        ("2 days", 172_800),
        ("1 week", 604_800),
        ("2 weeks", 1_209_600),
    ],
)
async def test_lengths(clock: FakeClock, by: Any, seconds: float) -> None:
    await clock.advance(by)
    assert clock.monotonic() == seconds


@pytest.mark.parametrize(
    "by",
    [
        "٣ days",
        "1\u00a0day",
        "1 day\n",
        "",
        "day",
        "1",
        "1 m",
        "1 month",
        "-1 day",
        "1  day",
        " 1 day",
        "1 day ",
        "1 Day",
        "1e3 s",
        ".5 h",
        "1. h",
        "1 day 2 h",
    ],
)
async def test_texts_that_are_no_lengths(clock: FakeClock, by: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"advance\(\): '.*' is no length of time: it must be a number and one of"
    ):
        await clock.advance(by)
    assert clock.monotonic() == 0


@pytest.mark.parametrize("by", ["36501 days", "9" * 400 + " s", None, True, -1, float("nan")])
async def test_lengths_that_cannot_be(clock: FakeClock, by: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"advance\(\)"):
        await clock.advance(by)


async def test_a_year_of_a_service_in_seconds(clock: FakeClock, scheduler: Scheduler) -> None:
    ran: Counter[str] = Counter()

    async def work(ctx: RunContext) -> None:
        await asyncio.sleep(1)  # really awaited, in fake time
        ran[ctx.job] += 1

    scheduler.add_job("hourly", work).per_hours(1).on_one_server()
    scheduler.add_job("workdays", work).cron("0 8 * * mon-fri").on_one_server().without_overlapping()
    scheduler.add_job("daily", work).daily_at("03:00").timezone("Europe/Berlin")
    began = time.process_time()
    await clock.run_until(datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC), scheduler)
    assert ran == {"hourly": 365 * 24, "workdays": 261, "daily": 365}
    assert time.process_time() - began < 60


# Until


async def test_until_an_instant_a_function_or_an_awaitable(clock: FakeClock) -> None:
    woken: list[float] = []
    for delay in (1, 2, 3, 400):
        clock.call_later(delay, lambda: woken.append(clock.monotonic()))
    await clock.run_until(START + timedelta(seconds=1.5))
    assert woken == [1]
    await clock.run_until(lambda: len(woken) == 3)
    assert clock.monotonic() == 3
    await clock.run_until(lambda: True)
    assert clock.monotonic() == 3

    async def answer() -> int:
        await sleep(clock, 4)
        return 42

    assert await clock.run_until(answer()) == 42
    assert clock.monotonic() == 7


async def test_what_does_not_come_is_told(clock: FakeClock) -> None:
    with pytest.raises(AssertionError, match=r"not come by 2026-01-01 00:00:00\+00:00, and nobody waits for the clock"):
        await clock.run_until(lambda: False)
    clock.call_later(61, lambda: None)
    with pytest.raises(AssertionError, match=r"not come by .*, and 60 s have passed"):
        await clock.run_until(lambda: False, limit="1 minute")
    waiting = asyncio.ensure_future(asyncio.Event().wait())
    with pytest.raises(AssertionError, match=r"Event\.wait"):
        await clock.run_until(waiting, limit=10)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ConfigurationError, match="'noon' is neither"):
        await clock.run_until("noon")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="limit"):
        await clock.run_until(lambda: True, limit="soon")


async def test_what_an_awaitable_raises_is_raised(clock: FakeClock) -> None:
    async def fails() -> None:
        await sleep(clock, 1)
        raise KeyError("no")

    with pytest.raises(KeyError):
        await clock.run_until(fails())


async def test_schedulers_run_until_then_and_drain_in_fake_time(clock: FakeClock, scheduler: Scheduler) -> None:
    ended: list[float] = []

    async def work() -> None:
        await asyncio.sleep(25)
        ended.append(clock.monotonic())

    scheduler.add_job("a", work).per_minutes(1)
    await clock.run_until(START + timedelta(seconds=70), scheduler)
    assert ended == [85]
    assert scheduler.snapshot().state == "idle"
    async with scheduler:
        with pytest.raises(SchedulerError, match="runs already"):
            await clock.run_until(START + timedelta(days=1), scheduler)


# Real time


@pytest.fixture
def finish() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_time_does_not_pass_by_a_plain_function(clock: FakeClock, scheduler: Scheduler) -> None:
    began, ended = [], []

    def work() -> None:
        began.append(clock.monotonic())
        time.sleep(0.02)
        ended.append(clock.monotonic())

    scheduler.add_job("a", work).per_seconds(10)
    async with scheduler:
        await clock.advance(35)
        assert ended == began == [10, 20, 30]
        assert scheduler.snapshot().counters == {"succeeded": 3}


async def test_a_plain_function_that_waits_for_the_clock_lets_time_pass(clock: FakeClock, scheduler: Scheduler) -> None:
    ended: list[float] = []

    def work() -> None:
        from_thread.run(asyncio.sleep, 15)
        from_thread.run(sleep, clock, 5)
        ended.append(clock.monotonic())

    scheduler.add_job("a", work).per_minutes(1)
    with clock.patch_asyncio():
        async with scheduler:
            await clock.advance(150)
    assert ended == [80, 140]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_thread_that_does_not_end_is_told_of_or_not_waited_for(
    waits: bool, finish: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncsched.testing._drive.THREAD_PATIENCE", 0.01)
    clock = FakeClock(waits_for_threads=waits)
    scheduler = Scheduler(clock=clock)
    scheduler.add_job("stuck", lambda: finish.wait(5)).per_minutes(1)
    async with scheduler:
        if waits:
            with pytest.raises(
                AssertionError, match=r"cannot move on: .* in threads that does not wait for it, of stuck"
            ):
                await clock.advance(100)
            assert clock.monotonic() == 60
        else:
            await clock.advance(100)
            assert clock.monotonic() == 100
        finish.set()


async def test_time_does_not_pass_by_an_executor(clock: FakeClock, scheduler: Scheduler) -> None:
    ended: list[float] = []

    async def work() -> None:
        await asyncio.to_thread(time.sleep, 0.02)
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.02)
        ended.append(clock.monotonic())

    scheduler.add_job("a", work).per_minutes(1)
    with clock.patch_asyncio():
        async with scheduler:
            await clock.advance(1000)
    assert ended == [60.0 * minute for minute in range(1, 17)]


async def test_asyncios_timers_follow_the_clock_in_runs_only(clock: FakeClock, scheduler: Scheduler) -> None:
    told: list[Any] = []

    async def work() -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 3)
        with move_on_after(3):
            await asyncio.Event().wait()
        await asyncio.create_task(asyncio.sleep(3))
        async with asyncio.timeout(3) as unused:  # one that is not used is taken back
            unused.reschedule(asyncio.get_running_loop().time() + 1)
        asyncio.get_running_loop().call_at(0, told.append, "past")
        await asyncio.sleep(0)
        await asyncio.sleep(1e-9)
        told.append((clock.monotonic(), asyncio.get_running_loop().time() - began))

    scheduler.add_job("a", work).at(START + timedelta(seconds=100))
    loop = asyncio.get_running_loop()
    real = loop.time()
    with clock.patch_asyncio():
        async with scheduler:
            await clock.advance(200)
            assert told == ["past", pytest.approx((112, 12))]
            assert 0 <= loop.time() - real < 60
            await asyncio.sleep(0.001)  # the test's own: real
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.001)
            assert await asyncio.to_thread(lambda: 1) == 1
    assert not {"time", "call_at", "call_later", "run_in_executor"} & vars(loop).keys()


async def test_patches_may_be_nested(clock: FakeClock) -> None:
    loop = asyncio.get_running_loop()
    with clock.patch_asyncio():
        outer = loop.call_at
        with FakeClock().patch_asyncio():
            assert loop.call_at is not outer
        assert loop.call_at is outer


async def test_without_the_patch_a_sleep_takes_real_time(clock: FakeClock, scheduler: Scheduler) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.05)
        ended.set()

    scheduler.add_job("a", work).at(START + timedelta(seconds=100))
    async with scheduler:
        await clock.advance("1 day")
        assert not ended.is_set()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_chain_of_turns_without_a_timer_is_settled(clock: FakeClock) -> None:
    turns = 0

    async def walk() -> None:
        nonlocal turns
        for _ in range(500):
            await asyncio.sleep(0)
            turns += 1

    walker = asyncio.ensure_future(walk())
    await clock.settle()
    assert turns == 500
    await walker


async def test_a_task_that_spins_does_not_stop_time(clock: FakeClock) -> None:
    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    spinner = asyncio.ensure_future(spin())
    await clock.advance(1)
    spinner.cancel()
    assert clock.monotonic() == 1


async def test_an_event_loop_that_does_not_tell_what_is_ready_is_given_some_turns(clock: FakeClock) -> None:
    ended: list[float] = []

    async def walk() -> None:
        for _ in range(4):
            await sleep(clock, 1)
            for _ in range(8):
                await asyncio.sleep(0)
            ended.append(clock.monotonic())

    walker = asyncio.ensure_future(walk())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asyncsched.testing._drive._ready_calls", lambda: None)
        await clock.advance(4)
    await walker
    assert ended == [1, 2, 3, 4]
