"""A hundred thousand plain jobs: no timing, but no work that grows with the square of their number either."""

from __future__ import annotations

import asyncio
import gc
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from _engine_doubles import counted, quick, running

from asyncsched import Outcome, Scheduler
from asyncsched._instants import EPOCH
from asyncsched._run import Run
from asyncsched.testing import FakeClock
from asyncsched.triggers import Every

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Calls:
    """Counts the Python calls made while it is entered: a measure of work that no busy machine disturbs."""

    def __init__(self) -> None:
        self.count = 0

    def _profile(self, _frame: FrameType, event: str, _arg: object) -> None:
        self.count += event == "call"

    def __enter__(self) -> Calls:
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


async def calls_for(number: int) -> float:
    """Return the calls per job that it takes to add, start, fire once and stop ``number`` plain jobs."""
    clock = FakeClock()
    scheduler = Scheduler(clock=clock)
    scheduler._logger.logger.disabled = True
    try:
        with Calls() as calls:
            for index in range(number):
                scheduler.add_job(f"job{index}", quick).per_seconds(10)
            async with running(scheduler, clock):
                await clock.advance(10)
    finally:
        scheduler._logger.logger.disabled = False
    assert counted(scheduler) == {Outcome.SUCCEEDED: number}
    return calls.count / number


async def test_the_work_for_a_job_does_not_grow_with_their_number() -> None:
    few, many = await calls_for(250), await calls_for(4000)
    assert many < few * 1.2


async def test_a_hundred_thousand_plain_jobs(make: Callable[..., Scheduler], clock: FakeClock) -> None:
    scheduler = make(None)
    scheduler._logger.logger.disabled = True
    total = 100_000
    fired = 0

    async def handler() -> None:
        nonlocal fired
        fired += 1

    try:
        minutes = [Every(3600, anchor=EPOCH + timedelta(minutes=number)) for number in range(1, 21)]
        for index in range(total):
            scheduler.add_job(f"job{index}", handler).schedule(minutes[index % len(minutes)])
        async with running(scheduler, clock):
            await clock.advance(1200)
            assert fired == total
            engine = scheduler._engine
            assert engine is not None
            assert len(engine._ticker.plain) == total
            assert not engine.executor.active
        assert scheduler._ledger.tally == {Outcome.SUCCEEDED: total}
    finally:
        scheduler._logger.logger.disabled = False


@pytest.mark.parametrize("guarded", [False, True])
async def test_nothing_grows_from_tick_to_tick(make: Callable[..., Scheduler], clock: FakeClock, guarded: bool) -> None:
    scheduler = make()
    for index in range(20):
        job = scheduler.add_job(f"job{index}", quick).per_seconds(1)
        if guarded:
            job.on_one_server().without_overlapping()
    async with running(scheduler, clock):
        sizes = []
        for _ in range(4):
            await clock.advance(10)
            engine = scheduler._engine
            assert engine is not None
            sizes.append(
                (
                    len(engine._ticker.plain._instants) + len(engine._ticker.guarded._instants),
                    len(clock._walls._heap),
                    len(clock._monotonics._heap),
                    len(engine.executor.active),
                    len(asyncio.all_tasks()),
                )
            )
    assert sizes[1:] == sizes[1:2] * 3


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_run_that_has_ended_is_freed_without_the_garbage_collector(
    make: Callable[..., Scheduler], clock: FakeClock, guarded: bool
) -> None:
    scheduler = make()
    job = scheduler.add_job("a", quick).per_seconds(1)
    if guarded:
        job.on_one_server().without_overlapping()
    async with running(scheduler, clock):
        gc.collect()
        gc.disable()
        try:
            before = sum(isinstance(one, Run) for one in gc.get_objects())
            await clock.advance(100)
            after = sum(isinstance(one, Run) for one in gc.get_objects())
        finally:
            gc.enable()
    assert after - before < 10  # other tests' runs may still be held by what pytest keeps of them
