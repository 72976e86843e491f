"""Real time and the calls that wait for it; the machine's clocks are replaced by ones that tests can step."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncsched import _clock
from asyncsched._clock import CallQueue, SystemClock, boottime, make_calls, now_us, sleep, wait_until_set
from asyncsched.testing import FakeClock


class At:
    """A clock that only shows one time."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now


@given(st.floats(0, 4e9) | st.floats(1.6e9, 1.9e9) | st.integers(16 * 10**14, 19 * 10**14).map(lambda us: us / 1e6))
def test_now_us_is_the_largest_instant_that_has_been_reached(now: float) -> None:
    us = now_us(At(now))  # type: ignore[arg-type]

    assert us / 1e6 <= now
    assert (us + 1) / 1e6 > now


@given(st.integers(0, 4 * 10**15))
@example(249)  # these three come out below themselves when they are simply multiplied back
@example(1_101_503_376_710_486)
@example(2_229_139_729_486_047)
def test_an_instant_is_due_once_the_clock_shows_it(us: int) -> None:
    assert now_us(At(us / 1e6)) == us  # type: ignore[arg-type]


class TestCallQueue:
    def test_cancelled_calls_do_not_pile_up(self) -> None:
        queue, made = CallQueue(), []
        kept = {number: queue.push(number, lambda number=number: made.append(number)) for number in range(0, 5000, 50)}
        for number in range(100_000):
            queue.push(9000 + number, lambda: None).cancel()
        assert len(queue._heap) <= 2 * len(kept)
        make_calls(queue.pop_due(200_000))
        assert made == list(kept)

    def test_calls_come_in_order_of_their_instants_and_then_of_their_asking(self) -> None:
        queue, made = CallQueue(), []
        for when, name in [(3.0, "c"), (1.0, "a"), (2.0, "b1"), (2.0, "b2"), (9.0, "z")]:
            queue.push(when, lambda name=name: made.append(name))

        make_calls(queue.pop_due(3.0))

        assert made == ["a", "b1", "b2", "c"]
        assert queue.next_at() == 9.0

    def test_cancelled_calls_are_passed_over(self) -> None:
        queue, made = CallQueue(), []
        first = queue.push(1.0, lambda: made.append(1))
        queue.push(2.0, lambda: made.append(2))
        first.cancel()
        first.cancel()

        assert queue.next_at() == 2.0
        make_calls(queue.pop_due(5.0))
        assert made == [2]
        assert queue.next_at() is None

    def test_a_call_may_cancel_a_later_one_of_the_same_instant(self) -> None:
        queue, made = CallQueue(), []
        queue.push(1.0, lambda: second.cancel())
        second = queue.push(1.0, lambda: made.append(2))

        make_calls(queue.pop_due(1.0))

        assert made == []


class SteppedClock(SystemClock):
    """The system's clock, whose two times can be set forward or back."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_step = self.monotonic_step = 0.0

    def time(self) -> float:
        return super().time() + self.wall_step

    def monotonic(self) -> float:
        return super().monotonic() + self.monotonic_step


class TestSystemClock:
    @pytest.fixture(autouse=True)
    def _short_slices(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_clock, "SLICE", 0.003)

    @pytest.fixture
    def clock(self) -> SteppedClock:
        return SteppedClock()

    def test_it_shows_the_machines_clocks(self) -> None:
        clock = SystemClock()

        assert abs(clock.time() - time.time()) < 1
        assert abs(clock.monotonic() - boottime()) < 1

    def test_without_a_clock_that_goes_on_in_sleep_the_monotonic_one_serves(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)

        assert _clock.chosen_boottime() is time.monotonic

    async def test_no_call_is_early(self, clock: SteppedClock) -> None:
        started, wall = clock.monotonic(), clock.time()
        made: list[tuple[float, float]] = []
        for ms in (9, 1, 5):
            clock.call_later(ms / 1000, lambda ms=ms: made.append((started + ms / 1000, clock.monotonic())))
            clock.call_at(wall + ms / 1000, lambda ms=ms: made.append((wall + ms / 1000, clock.time())))
        await asyncio.sleep(0.018)

        assert len(made) == 6
        assert all(wanted <= at for wanted, at in made)

    async def test_a_step_forward_of_the_wall_clock_is_noticed_within_a_slice(self, clock: SteppedClock) -> None:
        made: list[str] = []
        clock.call_at(clock.time() + 3600, lambda: made.append("wall"))
        clock.call_later(3600, lambda: made.append("monotonic"))
        await asyncio.sleep(0.006)
        assert made == []

        clock.wall_step = 3600
        await asyncio.sleep(0.015)
        assert made == ["wall"]

    async def test_the_end_of_a_suspend_is_noticed_within_a_slice(self, clock: SteppedClock) -> None:
        made: list[str] = []
        clock.call_later(3600, lambda: made.append("monotonic"))
        clock.monotonic_step = 3600
        await asyncio.sleep(0.015)

        assert made == ["monotonic"]

    async def test_a_step_back_makes_wall_calls_wait_again(self, clock: SteppedClock) -> None:
        made: list[str] = []
        clock.call_at(clock.time() + 0.002, lambda: made.append("wall"))
        clock.wall_step = -60
        await asyncio.sleep(0.012)

        assert made == []

    async def test_cancelled_calls_are_not_made(self, clock: SteppedClock) -> None:
        made: list[int] = []
        gone = clock.call_later(0.001, lambda: made.append(1))
        clock.call_later(0.002, lambda: made.append(2))
        gone.cancel()
        await asyncio.sleep(0.012)

        assert made == [2]

    async def test_nobody_wakes_up_for_a_call_that_was_cancelled(
        self, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_clock, "SLICE", 10.0)
        later = clock.call_later(5, lambda: None)
        first = clock.call_later(1, lambda: None)
        first.cancel()
        assert clock._timer is not None
        assert 4 < clock._timer.when() - asyncio.get_running_loop().time() <= 5

        later.cancel()
        assert clock._timer is None

    async def test_a_call_may_be_cancelled_after_its_loop_has_ended(self, clock: SteppedClock) -> None:
        def ask() -> _clock.PendingCall:
            async def main() -> _clock.PendingCall:
                return clock.call_later(5, lambda: None)

            return asyncio.run(main())

        call = await asyncio.to_thread(ask)
        call.cancel()
        assert call.callback is None

    async def test_a_nearer_call_replaces_the_timer_of_a_further_one(
        self, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_clock, "SLICE", 10.0)
        made: list[int] = []
        clock.call_later(9, lambda: made.append(9))
        clock.call_later(0.001, lambda: made.append(1))
        clock.call_later(-5, lambda: made.append(0))
        await asyncio.sleep(0.015)

        assert made == [0, 1]

    async def test_a_call_that_raises_does_not_take_later_ones_with_it(self, clock: SteppedClock) -> None:
        made: list[int] = []
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        wrong = ZeroDivisionError()

        def fail() -> None:
            raise wrong

        clock.call_later(0.001, fail)
        clock.call_later(0.006, lambda: made.append(1))
        clock.call_at(clock.time() + 0.006, lambda: made.append(2))
        await asyncio.sleep(0.018)

        assert told == [wrong]
        assert sorted(made) == [1, 2]

    async def test_a_call_that_raises_does_not_take_those_of_its_own_instant_with_it(self, clock: SteppedClock) -> None:
        made: list[int] = []
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)

        def fail() -> None:
            raise ZeroDivisionError

        clock.call_later(0.0, fail)
        clock.call_later(0.0, lambda: made.append(1))
        await asyncio.sleep(0.012)

        assert made == [1]

    def test_calls_of_an_earlier_loop_are_forgotten(self, clock: SteppedClock) -> None:
        made: list[int] = []

        async def ask(number: int) -> None:
            clock.call_later(3600, lambda: made.append(number))
            clock.call_at(clock.time() + 3600, lambda: made.append(number))

        async def ask_and_pass_an_hour(number: int) -> None:
            await ask(number)
            clock.monotonic_step = clock.wall_step = 3600
            await asyncio.sleep(0.015)

        asyncio.run(ask(1))
        asyncio.run(ask_and_pass_an_hour(2))

        assert made == [2, 2]

    async def test_no_timer_is_left_when_nobody_waits(self, clock: SteppedClock) -> None:
        clock.call_later(0.001, lambda: None)
        await asyncio.sleep(0.012)

        assert clock._timer is None


class TestSleep:
    async def test_it_takes_its_time(self) -> None:
        clock = FakeClock()
        sleeper = asyncio.ensure_future(sleep(clock, 2.0))
        await clock.advance(1.999)
        assert not sleeper.done()
        await clock.advance(0.001)
        assert sleeper.done()

    async def test_a_cancelled_sleeper_leaves_no_call_behind(self) -> None:
        clock = FakeClock()
        sleeper = asyncio.ensure_future(sleep(clock, 2.0))
        await clock.settle()
        sleeper.cancel()
        await clock.settle()

        assert sleeper.cancelled()
        assert clock.next_due() is None

    async def test_a_sleeper_that_is_cancelled_as_it_is_woken_is_not_woken_twice(self) -> None:
        clock = FakeClock()
        sleeper = asyncio.ensure_future(sleep(clock, 2.0))
        await clock.settle()
        clock.call_later(1.0, sleeper.cancel)
        clock.shift(0)
        clock.elapsed = 5.0
        await clock.advance(0)

        assert sleeper.cancelled()


class TestWaitUntilSet:
    async def test_the_event_comes_in_time(self) -> None:
        clock, event = FakeClock(), asyncio.Event()
        waiter = asyncio.ensure_future(wait_until_set(clock, event, 5.0))
        await clock.advance(1)
        event.set()
        await clock.settle()

        assert waiter.result() is True
        assert clock.next_due() is None

    async def test_the_time_is_over_first(self) -> None:
        clock, event = FakeClock(), asyncio.Event()
        waiter = asyncio.ensure_future(wait_until_set(clock, event, 5.0))
        await clock.advance(4.999)
        assert not waiter.done()
        await clock.advance(0.001)

        assert waiter.result() is False
        assert not event.is_set()
        assert len(asyncio.all_tasks()) == 1

    @pytest.mark.parametrize(("is_set", "timeout"), [(True, 5.0), (False, 0.0), (False, -1.0), (True, 0.0)])
    async def test_nothing_to_wait_for(self, is_set: bool, timeout: float) -> None:
        event = asyncio.Event()
        if is_set:
            event.set()

        assert await wait_until_set(FakeClock(), event, timeout) is is_set

    async def test_cancelled(self) -> None:
        clock, event = FakeClock(), asyncio.Event()
        waiter = asyncio.ensure_future(wait_until_set(clock, event, 5.0))
        await clock.settle()
        waiter.cancel()
        await clock.settle()

        assert waiter.cancelled()
        assert len(asyncio.all_tasks()) == 1
