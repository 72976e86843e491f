"""``without_overlapping("queue_one")`` and ``("cancel_running")``: the newest tick waits for the run in progress."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, Work, answer_lost, counted, down, quick, running

from asyncsched import ConfigurationError, Job, Outcome, RunContext, Scheduler, events
from asyncsched._clock import sleep
from asyncsched.testing import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

QUEUE, CANCEL = "queue_one", "cancel_running"


class Lasting:
    """A handler whose runs take so many seconds each, the last number again and again; it notes when they began and
    how many are in progress."""

    def __init__(self, *seconds: float, clean_up: float = 0.0) -> None:
        self._seconds = list(seconds)
        self._clean_up = clean_up
        self.ticks: list[int] = []
        self.most = self._now = 0

    async def __call__(self, ctx: RunContext) -> None:
        self.ticks.append(ctx.fire_time.minute * 60 + ctx.fire_time.second)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0])
        except asyncio.CancelledError:
            await asyncio.sleep(self._clean_up)
            raise
        finally:
            self._now -= 1


def declare(work: object, policy: str, *more: Callable[[Job], object], one: bool = True) -> Callable[[Scheduler], None]:
    def add(scheduler: Scheduler) -> None:
        job = scheduler.add_job("a", work).per_seconds(10).without_overlapping(policy)
        for each in (*([Job.on_one_server] if one else []), *more):
            each(job)

    return add


def total(cluster: Cluster) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in cluster.nodes:
        for what, number in node.scheduler.snapshot().counters.items():
            found[what] = found.get(what, 0) + number
    return found


@pytest.mark.parametrize("one", [True, False], ids=["one", "alone"])
async def test_the_newest_tick_waits(one: bool) -> None:
    work = Lasting(35, 1)
    async with Cluster(declare(work, QUEUE, one=one), nodes=1) as cluster:
        await cluster.advance(65)
        assert work.ticks == [10, 40, 50, 60]  # that of 40 began when the one of 10 had ended, at 45
        assert total(cluster) == {"succeeded": 4, "overlap": 2}
        assert [run.started_at.second for run in cluster.history.of("a")][:2] == [10, 45]  # type: ignore[union-attr]


async def test_a_tick_runs_right_after_the_one_before(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    declare(work, QUEUE)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(24)
        work.finish()
        await clock.settle()
        assert [ctx.fire_time.second for ctx in work.contexts] == [10, 20]
        assert counted(scheduler) == {"succeeded": 2}


@pytest.mark.parametrize("policy", [QUEUE, CANCEL])
@pytest.mark.parametrize("seed", range(4))
async def test_a_cluster_runs_each_tick_once_and_never_two_at_once(policy: str, seed: int) -> None:
    work = Lasting(35, 4, 12, 25, 1, clean_up=3)
    async with Cluster(declare(work, policy), nodes=3, seed=seed, skew=0.5) as cluster:
        await cluster.advance(200)
        assert work.most == 1
        assert len(set(work.ticks)) == len(work.ticks)
        assert work.ticks == sorted(work.ticks)
        assert len(work.ticks) > (7 if policy == QUEUE else 15)
        fences = [run.fence for run in cluster.history.of("a")]
        assert fences == sorted(set(fences))


@pytest.mark.parametrize("policy", [QUEUE, CANCEL])
async def test_what_waits_follows_within_about_a_second_elsewhere(policy: str) -> None:
    work = Lasting(25, 0.1)
    async with Cluster(declare(work, policy), nodes=3) as cluster:
        await cluster.advance(45)
        first, second = cluster.history.of("a")[:2]
        end = first.ended_at
        assert end is not None
        assert second.started_at is not None
        assert 0 <= (second.started_at - end).total_seconds() <= 1.1
        if policy == CANCEL:
            assert (first.outcome, (end - first.started_at).total_seconds() <= 11.1) == ("cancelled", True)  # type: ignore[operator]


async def test_the_grace_bounds_the_wait(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    scheduler.add_job("a", work).per_minutes(10).on_one_server().without_overlapping(QUEUE).misfire_grace(60)
    async with running(scheduler, clock):
        await clock.advance(1200 + 59)
        assert counted(scheduler) == {}
        await clock.advance(2)
        assert counted(scheduler) == {"overlap": 1}
        work.finish()


async def test_the_grace_bounds_the_wait_for_another_node(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    from asyncsched._grants import LockType

    scheduler.add_job("a", quick).per_minutes(10).on_one_server().without_overlapping(QUEUE).misfire_grace(60)
    async with running(scheduler, clock):
        await clock.advance(590)
        store.take("a", LockType.OVERLAP)
        await clock.advance(10 + 59)
        assert counted(scheduler) == {}
        asked = len(store.claims)
        assert 55 <= asked <= 130  # once a second, more often at first
        await clock.advance(3)
        assert counted(scheduler) == {"overlap": 1}


async def test_a_running_one_is_cancelled(
    scheduler: Scheduler, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    work = Work()
    declare(work, CANCEL)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(30)
        assert [ctx.fire_time.second for ctx in work.contexts] == [10, 20, 30]
        work.finish()
    cancelled = [event for event in book.of(events.RunEnded) if event.outcome is Outcome.CANCELLED]
    assert [repr(event.errors) for event in cancelled] == ["(SchedulerError('a newer tick has taken its place'),)"] * 2
    assert caplog.text.count("is being cancelled: a newer tick takes its place") == 2
    assert counted(scheduler) == {"cancelled": 2, "succeeded": 1}


async def test_a_deaf_one_is_waited_for(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work(deaf=True)
    declare(work, CANCEL)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(45)
        assert (len(work.contexts), work.cancelled) == (1, 1)
        work.finish()
        await clock.settle()
        assert [ctx.fire_time.second for ctx in work.contexts] == [10, 40]
    assert counted(scheduler) == {"cancelled": 1, "overlap": 2, "succeeded": 1}


async def test_a_thread_is_waited_for(scheduler: Scheduler, clock: FakeClock) -> None:
    ended: list[float] = []

    def block() -> None:
        time.sleep(0.05)
        ended.append(clock.time())

    scheduler.add_job("a", block).per_seconds(10).on_one_server().without_overlapping(CANCEL)
    async with running(scheduler, clock):
        await clock.advance(30)
    assert len(ended) == 3


async def test_one_that_sleeps_its_delay_never_starts(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    declare(work, CANCEL, lambda job: job.random_delay(15, 15))(scheduler)
    async with running(scheduler, clock):
        await clock.advance(34)
        assert work.contexts == []
        assert counted(scheduler) == {"overlap": 2}


@pytest.mark.parametrize("policy", [QUEUE, CANCEL])
async def test_triggered_runs_do_not_wait(scheduler: Scheduler, clock: FakeClock, policy: str) -> None:
    work = Work(deaf=True)
    declare(work, policy)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(15)
        assert (await scheduler.trigger("a")).skip_reason == "overlap"
        await clock.advance(10)  # a tick waits now
        assert (await scheduler.trigger("a")).skip_reason == "overlap"
        work.finish()
        await clock.settle()
    assert [ctx.fire_time.second for ctx in work.contexts] == [10, 20]


async def test_a_triggered_run_is_waited_for(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    declare(work, QUEUE)(scheduler)
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        await clock.advance(15)
        work.finish()
        assert await run.wait() == "succeeded"
        await clock.settle()
    assert counted(scheduler) == {"succeeded": 2}


@pytest.mark.parametrize("policy", [QUEUE, CANCEL])
async def test_a_stop_skips_what_waits(scheduler: Scheduler, clock: FakeClock, policy: str) -> None:
    work = Work(deaf=True)
    declare(work, policy)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(25)
    assert counted(scheduler)["shutting_down"] == 1
    work.finish()
    await clock.settle()
    assert len(work.contexts) == 1


async def test_a_removed_job_runs_no_more(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    declare(work, QUEUE)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(25)
        scheduler.remove_job("a")
        work.finish()
        await clock.advance(2)
    assert counted(scheduler) == {"succeeded": 1, "shutting_down": 1}


@pytest.mark.parametrize("steer", ["pause", "maintenance"])
async def test_a_job_that_is_paused_meanwhile_does_not_run(scheduler: Scheduler, clock: FakeClock, steer: str) -> None:
    work = Work()
    declare(work, QUEUE)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(25)
        await (scheduler.pause("a") if steer == "pause" else scheduler.maintenance(True))
        work.finish()
        await clock.advance(1)
    assert counted(scheduler) == {"succeeded": 1, "paused" if steer == "pause" else "maintenance": 1}


@pytest.mark.parametrize("policy", [QUEUE, CANCEL])
async def test_lost_answers_run_nothing_twice(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, policy: str
) -> None:
    ticks, now, most = [], 0, 0

    async def work(ctx: RunContext) -> None:
        nonlocal now, most
        ticks.append(ctx.fire_time.second)
        now += 1
        most = max(now, most)
        try:
            await sleep(clock, 15 if len(ticks) == 1 else 1)
        finally:
            now -= 1

    declare(work, policy)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(12)
        store.on("claim", answer_lost, answer_lost, down, answer_lost)
        await clock.advance(43)
    assert (most, ticks) == (1, [10, 20, 30, 40, 50])


async def test_a_node_that_dies_is_waited_for_until_its_lease_ends() -> None:
    work = Lasting(1000, 1)
    async with Cluster(declare(work, CANCEL, lambda job: job.lock_ttl(15)), nodes=2) as cluster:
        await cluster.advance(12)
        (run,) = cluster.history.of("a")
        await next(node for node in cluster.nodes if node.name == run.node).crash()
        work._now = 0
        await cluster.advance(30)
        assert work.ticks[:2] == [10, 20]  # that of 20 waited for the end of the lease


async def test_one_that_waits_to_be_tried_again_is_cancelled(scheduler: Scheduler, clock: FakeClock) -> None:
    ticks = []

    async def fail(ctx: RunContext) -> None:
        ticks.append((ctx.fire_time.second, ctx.attempt))
        raise ValueError("no")

    declare(fail, CANCEL, lambda job: job.retry(2, backoff=15))(scheduler)
    async with running(scheduler, clock):
        await clock.advance(22)
        assert counted(scheduler) == {"cancelled": 1}
    assert ticks == [(10, 1), (20, 1)]


async def test_a_clock_that_steps_back_forgets_nothing(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    declare(work, QUEUE)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(25)
        clock.shift(-8)
        await clock.advance(20)
        work.finish()
        await clock.settle()
        assert not scheduler._engine.claimer._queue.claims  # type: ignore[union-attr]
        assert len({ctx.fire_time for ctx in work.contexts}) == len(work.contexts) == 2


@pytest.mark.parametrize("policy", ["queue", "", None, True, 1])
def test_bad_policies_are_refused(scheduler: Scheduler, policy: Any) -> None:
    with pytest.raises(ConfigurationError, match="the rule is 'skip' or 'queue_one' or 'cancel_running'"):
        scheduler.add_job("a", quick).without_overlapping(policy)


@pytest.mark.parametrize(
    ("put_together", "rule"),
    [
        (lambda job: job.without_overlapping(CANCEL), "needs on_one_server()"),
        (lambda job: job.without_overlapping(CANCEL).on_one_server().rerun_on_crash(), "rerun_on_crash() exclude"),
        (lambda job: job.without_overlapping(QUEUE).when_store_unavailable("run"), "exclude each other"),
    ],
)
def test_wrong_combinations_are_refused(scheduler: Scheduler, put_together: Callable[[Job], Job], rule: str) -> None:
    assert rule in (put_together(scheduler.add_job("a", quick).per_seconds(1)).missing() or "")


def test_it_is_a_policy(scheduler: Scheduler) -> None:
    job = scheduler.add_job("a", quick).without_overlapping(QUEUE)
    assert (job.is_without_overlapping, job.waits_for_running, job.cancels_running) == (True, True, False)
    assert job.policies == ("without_overlapping('queue_one')",)
    with pytest.raises(ConfigurationError, match="given before"):
        job.without_overlapping()
    group = scheduler.group(without_overlapping=CANCEL)
    assert group.add_job("b", quick).cancels_running
    assert not group.add_job("c", quick).without_overlapping().waits_for_running
