"""The beat of the event loop: nothing until it is wanted, one a second, and how late each was."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asyncsched._pulse import BEAT, KEPT, Pulse
from asyncsched.testing import FakeClock


class CountingClock(FakeClock):
    """Knows how often it was asked to call back."""

    calls = 0

    def call_later(self, delay, callback):  # type: ignore[no-untyped-def]
        self.calls += 1
        return super().call_later(delay, callback)


async def test_nothing_beats_until_somebody_asks() -> None:
    clock = CountingClock()
    pulse = Pulse(clock)
    await clock.advance(60)
    assert (clock.calls, pulse.silent_for, pulse.lag) == (0, 0.0, 0.0)


async def test_it_beats_once_a_second_however_often_it_is_wanted() -> None:
    clock = CountingClock()
    pulse = Pulse(clock)
    for _ in range(3):
        pulse.want()
    await clock.advance(10)
    assert clock.calls == 11  # the first one, and one for each second
    assert pulse.silent_for == pulse.lag == 0.0
    pulse.close()
    await clock.advance(10)
    assert clock.calls == 11


async def test_a_loop_that_stands_still_is_seen_from_another_thread() -> None:
    clock = FakeClock()
    pulse = Pulse(clock)
    pulse.want()
    await clock.advance(5)
    clock.elapsed += BEAT + 7.5  # time passes, and the loop does not turn
    seen = []
    thread = threading.Thread(target=lambda: seen.append((pulse.silent_for, pulse.lag)))
    thread.start()
    thread.join()
    assert seen == [(7.5, 7.5)]
    await clock.advance(0)
    assert pulse.silent_for == 0.0


async def test_the_longest_delay_is_told_for_a_minute() -> None:
    clock = FakeClock()
    pulse = Pulse(clock)
    pulse.want()
    await clock.advance(0)
    clock.elapsed += BEAT + 0.25
    await clock.advance(0)
    assert pulse.lag == pytest.approx(0.25)
    await clock.advance(BEAT * (KEPT - 1))
    assert pulse.lag == pytest.approx(0.25)
    await clock.advance(BEAT)
    assert pulse.lag == 0.0


def test_the_first_question_about_a_loop_that_is_gone_is_answered_by_its_silence() -> None:
    async def make() -> Pulse:
        return Pulse(clock)

    clock = FakeClock()
    pulse = asyncio.run(make())
    pulse.want()
    clock.elapsed += 3
    assert pulse.silent_for == 3
