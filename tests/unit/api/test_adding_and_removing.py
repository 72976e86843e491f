"""Jobs that come and go while the scheduler runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import Job, Scheduler, SchedulerError, UnknownJobError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


async def work() -> None:
    """A handler that does nothing."""


@pytest.fixture
def ran() -> list[str]:
    """The jobs of the runs so far, in order."""
    return []


@pytest.fixture
def note(ran: list[str]) -> Callable[[Any], Any]:
    """A handler that notes its job."""

    async def handler(ctx: Any) -> None:
        ran.append(ctx.job)

    return handler


async def test_a_chain_is_scheduled_with_all_of_its_policies(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]
) -> None:
    async with scheduler:
        await clock.advance(3)
        job = scheduler.add_job("late", note).per_seconds(10).on_one_server().lock_ttl(60)
        assert scheduler.snapshot().jobs[0].next_fire_time is None, "not before the loop's next turn"
        await clock.advance(7)
        assert ran == ["late"]
        assert job.is_guarded
        with pytest.raises(ValueError, match="already scheduled"):
            job.without_overlapping()


@pytest.mark.parametrize("order", ["schedule first", "policy first"])
async def test_the_order_of_a_chain_does_not_matter(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str], order: str
) -> None:
    async with scheduler:
        job = scheduler.add_job("late", note)
        if order == "schedule first":
            job.immediate().per_seconds(10).random_delay(2, 2)
        else:
            job.random_delay(2, 2).per_seconds(10).immediate()
        await clock.advance(1.9)
        assert ran == []
        await clock.advance(0.2)
        assert ran == ["late"]


async def test_a_decorator_on_a_running_scheduler(scheduler: Scheduler, clock: FakeClock) -> None:
    ran: list[str] = []
    async with scheduler:

        @scheduler.job("late").immediate()
        async def late() -> None:
            ran.append("late")

        await clock.settle()
        assert ran == ["late"]
        assert scheduler.get_job("late").handler is late


async def test_a_job_that_is_completed_later(
    scheduler: Scheduler, clock: FakeClock, lines: Callable[..., list[str]], note: Any, ran: list[str]
) -> None:
    async with scheduler:
        job = scheduler.add_job("slow", note)
        await clock.advance(5)
        assert lines("job=slow was added to a running scheduler but does not run", logging.ERROR) == [
            (
                "job=slow was added to a running scheduler but does not run: "
                "it has no schedule; give it one, such as per_seconds(30) or immediate()"
            )
        ], "said once"
        job.per_seconds(10)
        await clock.advance(5)
        assert ran == ["slow"]


async def test_a_decorator_that_comes_later(
    scheduler: Scheduler, clock: FakeClock, lines: Callable[..., list[str]], note: Any, ran: list[str]
) -> None:
    async with scheduler:
        job = scheduler.job("slow").immediate()
        await clock.advance(1)
        assert lines("job=slow was added to a running scheduler but does not run: it has no handler", logging.ERROR)
        job(note)
        await clock.settle()
        assert ran == ["slow"]


async def test_an_incomplete_job_does_not_keep_others_from_running(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]
) -> None:
    async with scheduler:
        scheduler.add_job("half", note)
        scheduler.add_job("whole", note).immediate()
        await clock.settle()
        assert ran == ["whole"]
        scheduler.remove_job("half")
        await clock.settle()
    async with scheduler:
        await clock.settle()
    assert ran == ["whole", "whole"]


async def test_a_job_that_stays_incomplete_keeps_the_next_start_from_beginning(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]
) -> None:
    async with scheduler:
        job = scheduler.add_job("half", note)
        await clock.settle()
    with pytest.raises(ValueError, match="job 'half': it has no schedule"):
        await scheduler.run(signals=())
    job.immediate()
    async with scheduler:
        await clock.settle()
    assert ran == ["half"]


async def test_a_job_that_is_removed_runs_no_more(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]
) -> None:
    scheduler.add_job("gone", note).per_seconds(1)
    scheduler.add_job("stays", note).per_seconds(1)
    async with scheduler:
        await clock.advance(1)
        scheduler.remove_job("gone")
        assert list(scheduler.jobs) == ["stays"]
        with pytest.raises(UnknownJobError, match="no job is named 'gone'"):
            scheduler.get_job("gone")
        await clock.advance(2)
    assert ran.count("gone") == 1
    assert ran.count("stays") == 3


async def test_a_job_that_is_removed_in_the_turn_that_added_it(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]
) -> None:
    async with scheduler:
        scheduler.add_job("brief", note).immediate()
        scheduler.remove_job("brief")
        await clock.settle()
    assert ran == []


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_job_that_is_removed_during_its_run(scheduler: Scheduler, clock: FakeClock, guarded: bool) -> None:
    over = asyncio.Event()
    ended: list[str] = []

    async def long(ctx: Any) -> None:
        await over.wait()
        ended.append(ctx.job)

    job = scheduler.add_job("long", long).immediate()
    if guarded:
        job.on_one_server().without_overlapping()
    async with scheduler:
        await clock.settle()
        scheduler.remove_job("long")
        assert [run.job for run in scheduler.snapshot().active] == ["long"], "its active run goes on"
        over.set()
        await clock.settle()
        assert ended == ["long"]
        assert scheduler.snapshot().counters == {"succeeded": 1}


async def test_a_job_that_is_removed_and_added_again(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]
) -> None:
    scheduler.add_job("again", work).per_seconds(1)
    async with scheduler:
        await clock.advance(2)
        scheduler.remove_job("again")
        scheduler.add_job("again", note).per_seconds(5).without_overlapping()
        await clock.advance(8)
        assert ran == ["again", "again"]
        (job,) = scheduler.snapshot().jobs
        assert (job.schedule, dict(job.counters)) == ("Every(5)", {"succeeded": 2}), "it starts from nothing"
        assert scheduler.snapshot().counters == {"succeeded": 4}


async def test_overlap_is_still_guarded_against_a_removed_jobs_run(scheduler: Scheduler, clock: FakeClock) -> None:
    over = asyncio.Event()
    active: list[int] = [0, 0]

    async def long() -> None:
        active[0] += 1
        active[1] = max(active)
        await over.wait()
        active[0] -= 1

    scheduler.add_job("long", long).immediate().without_overlapping()
    async with scheduler:
        await clock.settle()
        scheduler.remove_job("long")
        scheduler.add_job("long", long).immediate().without_overlapping()
        await clock.settle()
        over.set()
    assert active[1] == 1, "two runs were in progress at once"
    assert scheduler.snapshot().counters == {"overlap": 1, "succeeded": 1}


async def test_a_job_may_add_and_remove_jobs(scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]) -> None:
    async def rearrange() -> None:
        scheduler.remove_job("rearrange")
        scheduler.add_job("child", note).per_seconds(1)

    scheduler.add_job("rearrange", rearrange).per_seconds(1)
    async with scheduler:
        await clock.advance(3)
    assert ran == ["child", "child"]
    assert list(scheduler.jobs) == ["child"]


async def test_a_job_that_was_added_is_triggered_at_once(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]
) -> None:
    async with scheduler:
        scheduler.add_job("now", note).per_hours(1)
        run = await scheduler.trigger("now")
        assert await run.wait() == "succeeded"
    assert ran == ["now"]


async def test_a_job_that_is_added_while_the_scheduler_stops_waits_for_the_next_start(
    scheduler: Scheduler, clock: FakeClock, note: Any, ran: list[str]
) -> None:
    over = asyncio.Event()

    async def long() -> None:
        await over.wait()

    scheduler.add_job("long", long).immediate()
    async with scheduler:
        await clock.settle()
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.settle()
        scheduler.add_job("late", note).immediate()
        with pytest.raises(SchedulerError, match=r"trigger\('late'\): the scheduler does not run"):
            await scheduler.trigger("late")
        await clock.settle()
        scheduler.get_job("late").lock_ttl(60)  # it is not scheduled yet, so it may still be changed
        over.set()
        await stopping
    assert ran == []
    async with scheduler:
        await clock.settle()
    assert ran == ["late"]


FROM_OUTSIDE: list[Callable[[Scheduler], Job]] = [
    lambda scheduler: scheduler.add_job("foreign", work),
    lambda scheduler: scheduler.job("foreign"),
]


@pytest.mark.parametrize("add", FROM_OUTSIDE)
async def test_adding_from_another_thread(scheduler: Scheduler, add: Callable[[Scheduler], Job]) -> None:
    async with scheduler:
        with pytest.raises(SchedulerError, match="must be added on its event loop"):
            await asyncio.to_thread(add, scheduler)
        assert not scheduler.jobs, "a refused job was kept"


@pytest.mark.parametrize("add", FROM_OUTSIDE)
async def test_adding_from_another_event_loop(scheduler: Scheduler, add: Callable[[Scheduler], Job]) -> None:
    async def there() -> None:
        add(scheduler)

    async with scheduler:
        with pytest.raises(SchedulerError, match="must be added on its event loop"):
            await asyncio.to_thread(asyncio.run, there())
        assert not scheduler.jobs, "a refused job was kept"


async def test_adding_from_another_thread_before_the_start(scheduler: Scheduler, clock: FakeClock) -> None:
    await asyncio.to_thread(lambda: scheduler.add_job("early", work).immediate())
    async with scheduler:
        await clock.settle()
    assert scheduler.snapshot().counters == {"succeeded": 1}
