"""The scheduler factory and its fixture, as users have them."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from asyncsched import MemoryStore
from asyncsched.testing import FakeClock, SchedulerFactory

if TYPE_CHECKING:
    from asyncsched import Scheduler
    from asyncsched._grants import ClaimAnswer


def declare(scheduler: Scheduler) -> None:
    @scheduler.job("work").per_minutes(1).on_one_server()
    async def work() -> None:
        await asyncio.sleep(5)


async def forever() -> None:
    await asyncio.Event().wait()


async def test_schedulers_of_one_store_are_a_cluster(
    scheduler_factory: SchedulerFactory, asyncsched_clock: FakeClock
) -> None:
    store = MemoryStore(asyncsched_clock)
    first, second = (scheduler_factory(declare, store=store, lock_ttl=60) for _ in range(2))
    await asyncsched_clock.run_until(datetime(2026, 1, 1, 1, tzinfo=UTC), first, second)
    scheduler_factory.history.ran_once_per_tick("work", until=datetime(2026, 1, 1, 1, tzinfo=UTC))
    scheduler_factory.history.never_overlapped("work")
    assert {run.node for run in scheduler_factory.history.runs} <= {"s0", "s1"}


async def test_a_run_that_ends_within_the_drain_is_no_leak() -> None:
    clock = FakeClock()
    with clock.patch_asyncio():
        async with SchedulerFactory(clock) as factory:
            await factory(declare).__aenter__()
            await clock.advance(61)
    assert [run.outcome for run in factory.history.runs] == ["succeeded"]
    assert clock.monotonic() == 65


async def test_it_does_not_matter_how_a_scheduler_was_started() -> None:
    clock = FakeClock()
    async with SchedulerFactory(clock) as factory:
        scheduler = factory(declare)
        serving = asyncio.ensure_future(scheduler.run(signals=()))
        await clock.advance(1)
    assert serving.done()
    assert scheduler.snapshot().state == "idle"


async def test_a_thread_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncsched.testing._drive.THREAD_PATIENCE", 0.01)
    finish = threading.Event()
    clock = FakeClock()
    factory = SchedulerFactory(clock)
    scheduler = factory(lambda it: it.add_job("stuck", lambda: finish.wait(5)).immediate())
    await scheduler.__aenter__()
    with pytest.raises(AssertionError, match=r"(?s)could not be stopped: .* of stuck.*leaked a run"):
        await factory.close()
    finish.set()
    await clock.run_until(scheduler.__aexit__(None, None, None))


async def test_an_engine_that_failed_is_named() -> None:
    class Broken(MemoryStore):
        async def claim(self, requests: object) -> list[ClaimAnswer]:
            raise KeyError("broken")

    clock = FakeClock()
    factory = SchedulerFactory(clock)
    await factory(declare, store=Broken(clock)).__aenter__()
    await clock.advance("1 minute")
    with pytest.raises(AssertionError, match=r"its engine failed: KeyError\('broken'\)"):
        await factory.close()


async def test_a_leak_is_named() -> None:
    clock = FakeClock()
    factory = SchedulerFactory(clock)
    await factory(lambda it: it.add_job("endless", forever).per_seconds(1), shutdown_timeout=3).__aenter__()
    await clock.advance(1.5)
    with pytest.raises(AssertionError, match=r"(?s)bad state:.*job 'endless' leaked a run.*on s0.*cancelled"):
        await factory.close()
    await factory.close()
    factory.check_closed()


async def test_the_tests_own_failure_comes_first() -> None:
    clock = FakeClock()
    with pytest.raises(ZeroDivisionError) as caught:  # noqa: PT012 - it is the end of the block that counts
        async with SchedulerFactory(clock) as factory:
            await factory(lambda it: it.add_job("endless", forever).immediate(), shutdown_timeout=0).__aenter__()
            await clock.settle()
            1 / 0  # noqa: B018
    assert "leaked a run" in caught.value.__notes__[0]


async def test_what_still_runs_is_named_where_it_cannot_be_stopped() -> None:
    clock = FakeClock()
    factory = SchedulerFactory(clock)
    factory(declare)
    factory.check_closed()
    scheduler = factory(declare)
    async with scheduler:
        with pytest.raises(AssertionError, match=r"<Scheduler running .* was not stopped"):
            factory.check_closed()
