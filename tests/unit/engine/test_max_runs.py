"""``max_runs``: so many ticks of a job run, and then it is finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, answer_lost, counted, down, quick, running

from asyncsched import ConfigurationError, Job, MemoryStore, RunContext, Scheduler, events
from asyncsched.testing import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

LOCAL: list[Any] = [
    lambda job: job.per_seconds(10),
    lambda job: job.cron("*/10 * * * * *"),
    lambda job: job.per_seconds(10).random_delay(1, 2),
]
GUARDED: list[Any] = [
    lambda job: job.per_seconds(10).on_one_server(),
    lambda job: job.per_seconds(10).without_overlapping(),
    lambda job: job.per_seconds(10).on_one_server().without_overlapping().rerun_on_crash(),
]


@pytest.mark.parametrize("plan", LOCAL, ids=["interval", "cron", "delayed"])
async def test_a_plain_job_counts_for_itself(
    scheduler: Scheduler, clock: FakeClock, plan: Callable[[Job], Job], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plan(scheduler.add_job("a", quick)).max_runs(3)
    scheduler.add_job("other", quick).per_seconds(10)
    async with running(scheduler, clock):
        await clock.advance(65)
        first, other = scheduler.snapshot().jobs
        assert (dict(first.counters), first.next_fire_time) == ({"succeeded": 3}, None)
        assert dict(other.counters) == {"succeeded": 6}
        run = await scheduler.trigger("a")
        assert await run.wait() == "succeeded"
    assert caplog.messages.count("job=a gets no more fire times: it has had its 3 runs") == 1


@pytest.mark.parametrize("plan", GUARDED, ids=["one", "alone", "rerun"])
async def test_a_guarded_job_is_finished(
    scheduler: Scheduler, clock: FakeClock, plan: Callable[[Job], Job], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plan(scheduler.add_job("a", quick)).max_runs(3)
    async with running(scheduler, clock):
        await clock.advance(100)
        (job,) = scheduler.snapshot().jobs
        assert (dict(job.counters), job.next_fire_time) == ({"succeeded": 3, "finished": 1}, None)
        assert await (await scheduler.trigger("a")).wait() == "succeeded"
    assert caplog.messages.count("job=a gets no more fire times: it has had its 3 runs") == 1
    assert "job=a tick=2026-01-01T00:00:40+00:00 outcome=skipped reason=finished" not in caplog.messages  # DEBUG


async def test_a_skipped_tick_is_no_run(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("plain", quick).per_seconds(10).max_runs(2)
    scheduler.add_job("guarded", quick).per_seconds(10).on_one_server().max_runs(2)
    async with running(scheduler, clock):
        await scheduler.maintenance(True)
        await clock.advance(20)
        await scheduler.maintenance(False)
        for name in ("plain", "guarded"):
            await scheduler.pause(name)
        await clock.advance(20)
        for name in ("plain", "guarded"):
            await scheduler.resume(name)
        await clock.advance(60)
        plain, guarded = (dict(job.counters) for job in scheduler.snapshot().jobs)
    assert plain == {"maintenance": 2, "paused": 2, "succeeded": 2}
    assert guarded == plain | {"finished": 1}


async def test_coalesced_ticks_are_one_run(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("plain", quick).per_seconds(10).max_runs(2)
    async with running(scheduler, clock):
        clock.shift(35)
        await clock.advance(100)
    assert counted(scheduler) == {"missed": 2, "succeeded": 2}


async def test_a_lost_answer_is_one_run(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    scheduler.add_job("a", quick).per_seconds(10).on_one_server().max_runs(2)
    store.on("claim", answer_lost, answer_lost, down)
    async with running(scheduler, clock):
        await clock.advance(60)
    assert counted(scheduler) == {"succeeded": 2, "finished": 1}


async def test_a_failed_run_is_a_run(scheduler: Scheduler, clock: FakeClock) -> None:
    attempts: list[int] = []

    async def fail(ctx: RunContext) -> None:
        attempts.append(ctx.attempt)
        raise ValueError("no")

    scheduler.add_job("a", fail).per_seconds(10).max_runs(2).retry(2, backoff=1)
    async with running(scheduler, clock):
        await clock.advance(60)
    assert (counted(scheduler), attempts) == ({"failed": 2}, [1, 2, 1, 2])


async def test_a_cluster_counts_together_and_over_restarts() -> None:
    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("a", quick).per_seconds(10).on_one_server().max_runs(5)

    async with Cluster(declare, nodes=3) as cluster:
        await cluster.advance(25)
        await cluster.nodes[0].crash()
        await cluster.advance(10)
        await cluster.nodes[0].restart()
        await cluster.advance(100)
        assert len(cluster.history.of("a")) == 5
        finished = [node.scheduler.snapshot().counters["finished"] for node in cluster.nodes]
    assert finished == [1, 1, 1]


async def test_a_scheduler_that_starts_again_counts_by_the_store(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    counters = []
    for _ in range(2):
        scheduler = Scheduler(store, clock=clock)
        scheduler.add_job("plain", quick).per_seconds(10).max_runs(2)
        scheduler.add_job("guarded", quick).per_seconds(10).on_one_server().max_runs(2)
        async with running(scheduler, clock):
            await clock.advance(50)
        counters.append(counted(scheduler))
    assert counters == [{"succeeded": 4, "finished": 1}, {"succeeded": 2, "finished": 1}]


async def test_a_removed_job_is_forgotten(scheduler: Scheduler, clock: FakeClock, book: Book) -> None:
    async with running(scheduler, clock):
        for _ in range(2):
            scheduler.add_job("a", quick).per_seconds(10).max_runs(2)
            await clock.advance(20)
            scheduler.remove_job("a")
    assert len(book.of(events.RunEnded)) == 4


@pytest.mark.parametrize("runs", [0, -1, True, 1.5, "3", None, 10**12 + 1])
def test_bad_values_are_refused(scheduler: Scheduler, runs: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"job 'a': max_runs\(.*whole number from 1 to"):
        scheduler.add_job("a", quick).max_runs(runs)


@pytest.mark.parametrize(
    ("put_together", "rule"),
    [
        (lambda job: job.immediate(), "max_runs() needs a schedule"),
        (lambda job: job.per_seconds(1).on_one_server().when_store_unavailable("run"), "exclude each other"),
    ],
)
def test_wrong_combinations_are_refused(scheduler: Scheduler, put_together: Callable[[Job], Job], rule: str) -> None:
    job = put_together(scheduler.add_job("a", quick).max_runs(3))
    assert rule in (job.missing() or "")


def test_it_is_a_policy(scheduler: Scheduler) -> None:
    job = scheduler.add_job("a", quick).max_runs(3)
    assert (job.run_limit, job.policies) == (3, ("max_runs(3)",))
    assert scheduler.add_job("b", quick).run_limit == 0
    with pytest.raises(ConfigurationError, match="given before with the value 3"):
        job.max_runs(4)
