"""The clock that stands still until it is told to move."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from asyncsched._clock import sleep
from asyncsched.exceptions import ConfigurationError
from asyncsched.testing import FakeClock


async def test_it_stands_still() -> None:
    clock = FakeClock(datetime(2026, 5, 4, 3, 2, 1, 500, tzinfo=UTC))
    await asyncio.sleep(0.005)

    assert clock.now() == datetime(2026, 5, 4, 3, 2, 1, 500, tzinfo=UTC)
    assert clock.monotonic() == 0.0


async def test_waiters_are_woken_each_at_its_own_instant_and_in_order() -> None:
    clock, woken = FakeClock(), []
    start = clock.time()
    for name, delay in [("b", 2.0), ("c", 3.0), ("a", 1.0), ("z", 10.5)]:
        clock.call_later(delay, lambda name=name: woken.append((name, clock.monotonic(), clock.time() - start)))
    clock.call_at(start + 2.5, lambda: woken.append(("wall", clock.monotonic(), clock.time() - start)))
    await clock.advance(10)

    assert woken == [("a", 1.0, 1.0), ("b", 2.0, 2.0), ("wall", 2.5, 2.5), ("c", 3.0, 3.0)]
    assert clock.monotonic() == 10.0


async def test_a_chain_of_waits_passes_within_one_advance() -> None:
    clock, seen = FakeClock(), []

    async def walk() -> None:
        for _ in range(5):
            await sleep(clock, 1)
            for _ in range(8):
                await asyncio.sleep(0)
            seen.append(clock.monotonic())

    walker = asyncio.ensure_future(walk())
    await clock.advance(timedelta(seconds=5))

    assert seen == [1, 2, 3, 4, 5]
    assert walker.done()


async def test_a_call_at_the_very_end_is_made() -> None:
    clock, made = FakeClock(), []
    for _ in range(10):
        clock.call_later(clock.monotonic() + 0.1, lambda: made.append(1))
        await clock.advance(0.1)
    await clock.advance(1)

    assert len(made) == 10


async def test_a_wall_call_finds_its_time_reached() -> None:
    clock, seen = FakeClock(), []
    when = clock.time() + 1 / 3
    clock.call_at(when, lambda: seen.append(clock.time()))
    await clock.advance(1)

    assert seen[0] >= when


async def test_the_wall_alone_can_be_stepped() -> None:
    clock, made = FakeClock(), []
    clock.call_at(clock.time() + 60, lambda: made.append("wall"))
    clock.call_later(60, lambda: made.append("monotonic"))
    clock.shift(60)
    await clock.advance(0)
    assert made == ["wall"]

    clock.shift(-3600)
    assert clock.monotonic() == 0.0
    clock.call_at(clock.time() + 10, lambda: made.append("back"))
    await clock.advance(60)
    assert made == ["wall", "back", "monotonic"]


async def test_advance_to_an_instant() -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    await clock.advance_to(datetime(2026, 1, 2, tzinfo=UTC))

    assert clock.now() == datetime(2026, 1, 2, tzinfo=UTC)
    assert clock.monotonic() == 86_400.0


async def test_settle_waits_for_chains_of_new_waits() -> None:
    clock, seen = FakeClock(), []

    async def work() -> None:
        for _ in range(30):
            clock.call_later(1, lambda: None)
            for _ in range(5):
                await asyncio.sleep(0)
        seen.append("settled")

    worker = asyncio.ensure_future(work())
    await clock.settle()

    assert seen == ["settled"]
    assert clock.monotonic() == 0.0
    await worker


async def test_it_refuses_what_is_no_time() -> None:
    clock = FakeClock()
    with pytest.raises(ConfigurationError, match=r"advance\(\)"):
        await clock.advance(-1)
    with pytest.raises(ConfigurationError, match=r"advance"):
        await clock.advance_to(datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(ConfigurationError, match=r"naive"):
        await clock.advance_to(datetime(2027, 1, 1))
    with pytest.raises(ConfigurationError, match=r"naive"):
        FakeClock(datetime(2026, 1, 1))


@pytest.mark.parametrize("by", [float("nan"), float("inf"), True, "1", None])
def test_it_refuses_a_step_that_is_no_number(by: object) -> None:
    clock = FakeClock()
    with pytest.raises(ConfigurationError, match=r"shift\(\)"):
        clock.shift(by)  # type: ignore[arg-type]

    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
