"""Conditions of plain jobs beside what else keeps a tick back: maintenance, pauses and a number of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _engine_doubles import counted, quick, running

if TYPE_CHECKING:
    from asyncsched import Scheduler
    from asyncsched.testing import FakeClock


async def test_in_maintenance_nobody_is_asked(scheduler: Scheduler, clock: FakeClock) -> None:
    asked: list[int] = []

    async def door() -> bool:
        asked.append(1)
        return True

    scheduler.add_job("a", quick).per_seconds(10).when(door)
    async with running(scheduler, clock):
        await scheduler.maintenance(True)
        await clock.advance(25)
        assert (counted(scheduler), asked) == ({"maintenance": 2}, [])
        await scheduler.maintenance(False)
        await clock.advance(10)
    assert (counted(scheduler), asked) == ({"maintenance": 2, "succeeded": 1}, [1])


async def test_maintenance_that_begins_while_a_condition_is_asked_counts(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    async def door() -> bool:
        await scheduler.maintenance(True)
        return True

    scheduler.add_job("a", quick).per_seconds(10).when(door)
    async with running(scheduler, clock):
        await clock.advance(15)
        assert counted(scheduler) == {"maintenance": 1}
        await scheduler.maintenance(False)


async def test_only_ticks_that_start_are_counted_as_runs(scheduler: Scheduler, clock: FakeClock) -> None:
    answers = iter([False, True, False, True, True, True])

    async def door() -> bool:
        return next(answers)

    scheduler.add_job("a", quick).per_seconds(10).when(door).max_runs(2)
    async with running(scheduler, clock):
        await clock.advance(100)
        assert scheduler.snapshot().jobs[0].next_fire_time is None
        assert counted(scheduler) == {"condition": 2, "succeeded": 2}


async def test_a_guarded_jobs_runs_are_counted_behind_its_condition(scheduler: Scheduler, clock: FakeClock) -> None:
    answers = iter([False, True, False, True])

    async def door() -> bool:
        return next(answers, True)

    scheduler.add_job("a", quick).per_seconds(10).on_one_server().when(door).max_runs(2)
    async with running(scheduler, clock):
        await clock.advance(100)
    assert counted(scheduler) == {"condition": 2, "succeeded": 2, "finished": 1}
