"""Jobs that are only for some environments."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, counted, quick, running

from asyncsched import ConfigurationError, Job, Scheduler, SchedulerError, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


@pytest.mark.parametrize(
    ("environment", "is_for_here"), [("production", True), ("staging", True), ("Production", False), ("test", False)]
)
async def test_a_job_has_ticks_in_its_environments_only(
    make: Callable[..., Scheduler], clock: FakeClock, environment: str, is_for_here: bool
) -> None:
    scheduler = make(environment=environment)
    book = Book(scheduler)
    scheduler.add_job("a", quick).per_seconds(10).immediate().environments("production", "staging")
    scheduler.add_job("b", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10)
        a, b = scheduler.snapshot().jobs
        assert (a.is_for_here, b.is_for_here) == (is_for_here, True)
        assert (a.next_fire_time is not None, dict(a.counters)) == (
            is_for_here,
            {"succeeded": 2} if is_for_here else {},
        )
        assert a.policies == ("immediate", "environments('production', 'staging')")
    assert [event.job for event in book.of(events.JobAdded)] == (["a", "b"] if is_for_here else ["b"])
    assert counted(scheduler) == {"succeeded": 3 if is_for_here else 1}


async def test_it_is_said_and_cannot_be_triggered(
    make: Callable[..., Scheduler], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asyncsched")
    scheduler = make(environment="test")
    scheduler.add_job("a", quick).per_seconds(10).environments("production")
    async with running(scheduler, clock):
        with pytest.raises(SchedulerError, match=r"trigger\('a'\): the job is not for this scheduler's environment"):
            await scheduler.trigger("a")
        await scheduler.pause("a")
        assert scheduler.snapshot().jobs[0].paused
        scheduler.remove_job("a")
    assert "job=a is not scheduled: it is not for the environment test" in caplog.messages


async def test_one_that_is_added_later(make: Callable[..., Scheduler], clock: FakeClock) -> None:
    scheduler = make(environment="test")
    async with running(scheduler, clock):
        scheduler.add_job("a", quick).per_seconds(10).environments("production")
        scheduler.add_job("b", quick).per_seconds(10).environments("test")
        await clock.advance(10)
        assert counted(scheduler) == {"succeeded": 1}


async def test_a_scheduler_without_one_refuses_to_start(scheduler: Scheduler) -> None:
    scheduler.add_job("a", quick).per_seconds(10).environments("production")
    rule = r"job 'a': environments\('production'\) needs a scheduler that has one: Scheduler\(environment=…\)"
    with pytest.raises(ConfigurationError, match=rule):
        await scheduler.run()


async def test_one_that_is_added_to_a_running_scheduler_without_one(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(scheduler, clock):
        scheduler.add_job("a", quick).per_seconds(10).environments("production")
        await clock.advance(10)
        with pytest.raises(ConfigurationError, match="needs a scheduler that has one"):
            await scheduler.trigger("a")
    assert "job=a was added to a running scheduler but does not run: environments('production') needs" in caplog.text
    assert counted(scheduler) == {}


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        ((), "at least one name is needed"),
        (("",), "environment '' has 0 characters; the rule is 1 to 200"),
        (("production", 3), "environment 3 is not a string"),
        (("my server",), "environment 'my server' contains ' '"),
        ((["production"],), r"environment \['production'\] is not a string"),
    ],
)
def test_bad_names_are_refused(names: tuple[Any, ...], rule: str) -> None:
    with pytest.raises(ConfigurationError, match=f"job 'a': .*{rule}"):
        Job("a").environments(*names)


@pytest.mark.parametrize("environment", ["", "my server", 3])
def test_a_bad_environment_is_refused(make: Callable[..., Scheduler], environment: Any) -> None:
    with pytest.raises(ConfigurationError, match="environment"):
        make(environment=environment)


def test_names_of_a_group_give_way_to_the_jobs_own(scheduler: Scheduler) -> None:
    group = scheduler.group(environments=("production", "staging"))
    assert group.add_job("a", quick).for_environments == ("production", "staging")
    assert group.add_job("b", quick).environments("test").for_environments == ("test",)
    assert scheduler.group(environments="test").add_job("c", quick).for_environments == ("test",)
    assert scheduler.add_job("d", quick).for_environments is None


def test_other_names_later_are_refused() -> None:
    job = Job("a").environments("production").environments("production")
    with pytest.raises(ConfigurationError, match=r"environments\('test'\): it was given before with the value"):
        job.environments("test")
