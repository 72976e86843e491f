"""How time moves within one turn of the event loop, and what comes in between all the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncsched import Scheduler
from asyncsched._clock import sleep
from asyncsched.testing import FakeClock
from asyncsched.testing._drive import TURNS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Beat:
    """Beats each second of the clock, and calls back with how often it has."""

    def __init__(self, clock: FakeClock, then: Callable[[int], object] = lambda _: None) -> None:
        self.count = 0
        self._clock = clock
        self._then = then
        self.beat()

    def beat(self) -> None:
        self._clock.call_later(1, self.beat)
        self._then(self.count)
        self.count += 1


@pytest.mark.parametrize("debug", [False, True], ids=["in place", "by the loop, which is being debugged"])
async def test_each_chain_of_turns_ends_at_its_instant(clock: FakeClock, debug: bool) -> None:
    ended: list[tuple[int, float]] = []

    async def walk(name: int) -> None:
        for _ in range(3):
            await sleep(clock, 1)
            for _ in range(TURNS_AT_ONCE * name):
                await asyncio.sleep(0)
            ended.append((name, clock.monotonic()))

    asyncio.get_running_loop().set_debug(debug)
    walkers = [asyncio.ensure_future(walk(name)) for name in (3, 2, 1)]
    await clock.advance(3)
    assert ended == [(name, second) for second in (1, 2, 3) for name in (1, 2, 3)]
    await asyncio.gather(*walkers)


async def test_what_a_call_raises_is_raised_where_time_was_moved(clock: FakeClock) -> None:
    def fail() -> None:
        raise LookupError("of a call")

    clock.call_later(5, fail)
    with pytest.raises(LookupError, match="of a call"):
        await clock.advance(10)
    assert clock.monotonic() == 5
    await clock.advance(10)
    assert clock.monotonic() == 15


async def test_what_a_condition_raises_is_raised(clock: FakeClock) -> None:
    beat = Beat(clock)
    with pytest.raises(ZeroDivisionError):
        await clock.run_until(lambda: 1 / (7 - beat.count) < 0)
    assert beat.count == 7


@pytest.mark.parametrize("by", ["a call", "the condition"])
async def test_who_moves_time_may_be_cancelled_by_what_happens(clock: FakeClock, by: str) -> None:
    def look(count: int) -> bool:
        if count == 1000:
            driver.cancel()
        return False

    beat = Beat(clock, look if by == "a call" else lambda _: None)
    driver = asyncio.ensure_future(clock.run_until(lambda: by == "the condition" and look(beat.count)))
    with pytest.raises(asyncio.CancelledError):
        await driver
    assert 1000 <= beat.count <= 1001
    await asyncio.sleep(0)
    assert beat.count <= 1001, "time stands still again"


async def test_the_loops_own_timers_come_in_between(clock: FakeClock) -> None:
    beat = Beat(clock)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await clock.advance("366 days")
    assert beat.count < 366 * 86_400


async def test_a_task_that_runs_may_move_time_itself(clock: FakeClock) -> None:
    told: list[tuple[str, float]] = []

    async def traveller() -> None:
        await sleep(clock, 10)
        await clock.advance(5)
        told.append(("traveller", clock.monotonic()))

    async def sleeper() -> None:
        for _ in range(3):
            await sleep(clock, 6)
            told.append(("sleeper", clock.monotonic()))

    tasks = [asyncio.ensure_future(traveller()), asyncio.ensure_future(sleeper())]
    await clock.advance(20)
    assert told == [("sleeper", 6), ("sleeper", 12), ("traveller", 15), ("sleeper", 18)]
    await asyncio.gather(*tasks)


async def test_a_timer_that_is_due_when_it_is_set_is_called_before_time_moves(clock: FakeClock) -> None:
    called: list[tuple[str, float]] = []
    scheduler = Scheduler(clock=clock)

    @scheduler.job("work").per_seconds(10)
    async def work() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.5)
        timer = loop.call_later(0, lambda: called.append(("later", clock.monotonic())))
        loop.call_at(loop.time() - 3, lambda: called.append(("before", clock.monotonic())))
        cancelled = loop.call_later(0, called.append, ("cancelled", clock.monotonic()))
        cancelled.cancel()
        assert (cancelled.cancelled(), timer.cancelled(), timer.when()) == (True, False, clock.monotonic())

    Beat(clock)  # there is always somewhere for time to move on to
    with clock.patch_asyncio():
        async with scheduler:
            await clock.advance(11)
            second = clock.monotonic() - 0.5  # a tick, half a second after which both are set
            assert called == [("later", second), ("before", second)]
            assert scheduler.snapshot().jobs[0].counters == {"succeeded": 1}
