"""A handler's error is its run's; a mistake in a description is told at once, with the rule that it breaks."""

from __future__ import annotations

import pytest

from asyncsched import ConfigurationError, DuplicateJobError, Outcome, Scheduler, UnknownJobError
from asyncsched.testing import FakeClock


async def quick() -> None: ...


async def test_a_handler_that_raises_fails_its_run_and_the_next_tick_comes(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)

    async def bad() -> None:
        raise ConnectionError("no answer")

    scheduler.add_job("bad", bad).per_seconds(10)
    async with scheduler:
        run = await scheduler.trigger("bad")
        assert await run.wait() == Outcome.FAILED
        assert [str(error) for error in run.errors] == ["no answer"]
        await clock.advance(20)
    assert scheduler.snapshot().counters == {"failed": 3}


def test_a_bad_value_is_named_with_its_rule() -> None:
    with pytest.raises(ConfigurationError, match=r"job 'beat': per_seconds\(0\): .* below the least"):
        Scheduler().add_job("beat", quick).per_seconds(0)


def test_a_name_can_be_used_once() -> None:
    scheduler = Scheduler()
    scheduler.add_job("beat", quick)
    with pytest.raises(DuplicateJobError, match="job 'beat' exists already"):
        scheduler.add_job("beat", quick)


def test_a_job_has_one_schedule() -> None:
    with pytest.raises(
        ConfigurationError, match=r"job 'beat': per_hours\(1\): it already has the schedule Every\(10\)"
    ):
        Scheduler().add_job("beat", quick).per_seconds(10).per_hours(1)


async def test_a_job_without_a_schedule_does_not_start() -> None:
    scheduler = Scheduler()
    scheduler.add_job("beat", quick)
    with pytest.raises(ConfigurationError, match="job 'beat': it has no schedule"):
        await scheduler.run()


def test_an_unknown_name_gets_a_suggestion() -> None:
    scheduler = Scheduler()
    scheduler.add_job("cleanup", quick)
    with pytest.raises(UnknownJobError, match=r"no job is named 'claenup' \(did you mean 'cleanup'\?\)"):
        scheduler.get_job("claenup")
