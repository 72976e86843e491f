"""The simulated cluster: what happens to its nodes, and that the same seed gives the same history."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncsched import RunContext, Scheduler, StoreUnavailableError
from asyncsched.testing import Cluster, FakeClock, Node, RecordedRun

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def once(scheduler: Scheduler) -> None:
    """Declare a job whose ticks run once, ten seconds each."""

    @scheduler.job("work").per_minutes(1).on_one_server().without_overlapping().lock_ttl(30)
    async def work() -> None:
        await asyncio.sleep(10)


def again(scheduler: Scheduler) -> None:
    """Declare the same job, to be run again where a run was interrupted."""
    once(scheduler)
    scheduler.get_job("work").rerun_on_crash()


def at_work(cluster: Cluster) -> Node:
    (node,) = (node for node in cluster.nodes if node.is_at_work)
    return node


async def test_each_tick_once_for_a_day_in_no_time() -> None:
    async with Cluster(once, nodes=3, skew=0.5) as cluster:
        await cluster.advance("1 day")
        cluster.ran_once_per_tick("work", until=cluster.clock.now() - timedelta(seconds=1))
        cluster.never_overlapped("work")
        assert len(cluster.history.runs) >= 1439
        assert {run.node for run in cluster.history.runs} <= {"n0", "n1", "n2"}
        assert all(run.outcome == "succeeded" for run in cluster.history.runs[:-1])


async def test_a_crash_gives_nothing_back_and_takes_no_time() -> None:
    async with Cluster(once) as cluster:
        await cluster.advance(65)
        dead, before = at_work(cluster), cluster.clock.now()
        await dead.crash()
        assert cluster.clock.now() == before
        assert not dead.is_up
        (run,) = cluster.history.runs
        assert (run.node, run.started_at, run.ended_at, run.outcome) == (dead.name, at(60), at(65), "crashed")
        await cluster.advance("1 minute")
        assert len(cluster.history.runs) == 2, "the lease of 30 s has ended by the next tick"
        cluster.ran_once_per_tick("work")


async def test_a_lease_of_a_node_that_crashed_stands_until_it_ends() -> None:
    def short(scheduler: Scheduler) -> None:
        @scheduler.job("work").per_seconds(10).without_overlapping().lock_ttl(60)
        async def work() -> None:
            await asyncio.sleep(5)

    async with Cluster(short) as cluster:
        await cluster.advance(12)
        await at_work(cluster).crash()
        await cluster.advance(100)
    starts = [(run.started_at - START).total_seconds() for run in cluster.history.runs]
    assert starts[:2] == pytest.approx([10, 70], abs=0.1)


async def test_a_stop_takes_time_and_gives_everything_back() -> None:
    async with Cluster(again) as cluster:
        await cluster.advance(62)
        stopped = at_work(cluster)
        await stopped.stop()
        assert cluster.clock.now() >= at(70), "the stop has waited for the run"
        assert not stopped.is_up
        await cluster.advance(60)
        cluster.ran_once_per_tick("work")


async def test_a_tick_that_was_interrupted_is_run_again_and_counts_as_once() -> None:
    async with Cluster(again) as cluster:
        await cluster.advance(65)
        await at_work(cluster).crash()
        await cluster.advance(50)
        assert [(run.fire_time, run.attempt) for run in cluster.history.runs] == [(at(60), 1), (at(60), 2)]
        cluster.ran_once_per_tick("work")
        cluster.never_overlapped("work")


async def test_a_restart_is_a_new_process_with_the_same_name() -> None:
    declared: list[Scheduler] = []

    def declare(scheduler: Scheduler) -> None:
        declared.append(scheduler)
        once(scheduler)

    async with Cluster(declare, nodes=1) as cluster:
        (node,) = cluster.nodes
        first = node.scheduler
        await node.crash()
        await cluster.advance(130)
        await node.restart()
        assert node.scheduler is not first
        await node.restart()
        await cluster.advance(60)
    assert [run.node for run in cluster.history.runs] == ["n0"]
    assert len(declared) == 3


async def test_a_frozen_node_wakes_up_late_and_finds_its_tick_taken() -> None:
    async with Cluster(once, nodes=2) as cluster:
        frozen, other = cluster.nodes
        frozen.freeze()
        await cluster.advance(200)
        assert {run.node for run in cluster.history.runs} == {other.name}
        assert dict(frozen.scheduler.snapshot().counters) == {}
        await frozen.thaw()
        assert dict(frozen.scheduler.snapshot().counters) == {"missed": 2, "elsewhere": 1}
        cluster.ran_once_per_tick("work")


async def test_a_run_of_a_frozen_node_goes_on_afterwards_unless_its_lease_has_ended() -> None:
    async with Cluster(once, nodes=2) as cluster:
        await cluster.advance(61)
        frozen = at_work(cluster)
        frozen.freeze()
        await cluster.advance(100)
        assert cluster.history.runs[0].ended_at is None
        await frozen.thaw()
        assert cluster.history.runs[0].outcome == "lock_lost"
        with pytest.raises(
            AssertionError, match="overlapped"
        ):  # a frozen process cannot know: that is what fences are for
            cluster.never_overlapped("work")


async def test_a_partitioned_node_runs_nothing_guarded_and_joins_again() -> None:
    async with Cluster(once, nodes=2) as cluster:
        cut, other = cluster.nodes
        cut.partition()
        assert "partitioned" in repr(cluster)
        await cluster.advance(185)
        assert {run.node for run in cluster.history.runs} == {other.name}
        assert not cut.scheduler.snapshot().store_available
        with pytest.raises(StoreUnavailableError):
            await cut.scheduler.pause("work")
        cut.heal()
        await other.crash()
        await cluster.advance(60)
        assert cluster.history.runs[-1].node == cut.name
        cluster.ran_once_per_tick("work")


async def test_a_tick_that_was_won_unheard_is_run_by_nobody_and_said_to_be_so() -> None:
    async with Cluster(once, nodes=1) as cluster:
        cluster.nodes[0].partition(answers_only=True)
        await cluster.advance(125)
        cluster.nodes[0].heal()
        await cluster.advance(60)
        with pytest.raises(AssertionError, match=r"tick 2026-01-01 00:01:00Z did not run \(n0: store_unavailable\)"):
            cluster.ran_once_per_tick("work")


async def test_a_pause_is_heard_by_all_but_the_partitioned() -> None:
    def plain(scheduler: Scheduler) -> None:
        @scheduler.job("plain").per_seconds(10)
        async def work() -> None: ...

    async with Cluster(plain, nodes=2) as cluster:
        cut, other = cluster.nodes
        await cluster.advance(10)
        cut.partition()
        await other.scheduler.pause("plain")
        await cluster.advance(10)
        assert [(run.fire_time, run.node) for run in cluster.history.runs[2:]] == [(at(20), cut.name)]
        cut.heal()
        await cluster.advance(10)
        assert len(cluster.history.runs) == 3


async def test_a_partition_lasts_through_a_restart_and_nodes_may_join_later() -> None:
    async with Cluster(once, nodes=2, starts=1) as cluster:
        first, second = cluster.nodes
        first.partition()
        await first.restart()
        await cluster.advance(90)
        assert cluster.history.runs == []
        await second.start()
        await cluster.advance(60)
        assert [run.node for run in cluster.history.runs] == [second.name]


async def test_a_slow_store_lets_runs_start_later() -> None:
    async with Cluster(once, nodes=1) as cluster:
        cluster.nodes[0].latency = 0.4
        await cluster.advance(90)
        assert cluster.nodes[0].latency == 0.4
        assert [run.started_at for run in cluster.history.runs] == [at(60.4)]


async def test_skews_are_drawn_or_given_and_can_be_stepped() -> None:
    assert [node.skew for node in Cluster(once, nodes=2, skew=(0.5, -2)).nodes] == [0.5, -2]
    drawn = [node.skew for node in Cluster(once, nodes=9, skew=3, seed=1).nodes]
    assert all(-3 <= skew <= 3 for skew in drawn)
    assert len(set(drawn)) == 9
    async with Cluster(once, nodes=1) as cluster:
        node = cluster.nodes[0]
        node.skew = -5.0
        assert node.scheduler.snapshot().clock_skew == -5.0
        await cluster.advance(70)
        assert [run.started_at for run in cluster.history.runs] == [at(65)]


def shaky(scheduler: Scheduler) -> None:
    """Declare jobs with chance of all kinds in them."""

    @scheduler.job("delayed").per_seconds(20).on_one_server().rerun_on_crash().random_delay(0, 5).lock_ttl(15)
    async def delayed() -> None:
        await asyncio.sleep(random.uniform(0, 20))

    once(scheduler)


async def history_of(seed: int) -> tuple[list[RecordedRun], list[Any]]:
    async with Cluster(shaky, nodes=3, seed=seed, skew=2) as cluster:
        await cluster.advance_with_faults("40 minutes", every="2 minutes")
    return cluster.history.runs, cluster.history.skips


async def test_the_same_seed_gives_the_same_history_and_another_another() -> None:
    state = random.getstate()
    first = await history_of(7)
    assert random.getstate() == state
    assert first == await history_of(7)
    assert first != await history_of(8)
    assert {run.outcome for run in first[0]} >= {"succeeded", "crashed"}


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), nodes=st.integers(1, 4))
async def test_whatever_happens_no_attempt_of_a_tick_runs_twice(seed: int, nodes: int) -> None:
    def declare(scheduler: Scheduler) -> None:
        @scheduler.job("work").per_seconds(30).on_one_server().rerun_on_crash(3).lock_ttl(20)
        async def work() -> None:
            await asyncio.sleep(random.uniform(0, 25))

    async with Cluster(declare, nodes, seed=seed, skew=1) as cluster:
        await cluster.advance_with_faults("20 minutes", every="1 minute")
    runs = cluster.history.of("work")
    for tick in {run.fire_time for run in runs}:
        attempts = [run.attempt for run in runs if run.fire_time == tick]
        assert attempts == sorted(set(attempts))  # one may be left out: it was won unheard
        assert attempts[-1] <= 3
    assert len({run.fence for run in runs}) == len(runs)


async def test_a_plain_function_is_waited_for_and_may_wait_on_its_nodes_clock() -> None:
    from anyio import from_thread

    seen: list[datetime] = []

    def declare(scheduler: Scheduler) -> None:
        def work(ctx: RunContext) -> None:
            from_thread.run(asyncio.sleep, 5)
            seen.append(cluster.clock.now())

        scheduler.add_job("work", work).per_minutes(1).on_one_server()

    async with Cluster(declare, nodes=2) as cluster:
        await cluster.advance(130)
    assert seen == [at(65), at(125)]
    cluster.ran_at("work", [at(60), at(120)])


async def test_what_is_handed_over_is_heard_after_a_freeze_and_not_beyond_a_cut() -> None:
    def brief(scheduler: Scheduler) -> None:
        again(scheduler)
        scheduler.get_job("work").misfire_grace(300)

    async with Cluster(brief, shutdown_timeout=0) as cluster:
        await cluster.advance(65)
        stopped = at_work(cluster)
        frozen, cut = (node for node in cluster.nodes if node is not stopped)
        frozen.freeze()
        cut.partition()
        await stopped.stop()
        await cluster.advance(5)
        assert len(cluster.history.runs) == 1, "whoever might run it again has not heard"
        await frozen.thaw()
        await cluster.advance(1)
        assert [(run.node, run.attempt) for run in cluster.history.runs[1:]] == [(frozen.name, 2)]


async def test_time_passes_until_something_has_come() -> None:
    clock = FakeClock(at(30))
    async with Cluster(once, clock=clock) as cluster:
        await cluster.run_until(lambda: cluster.history.runs)
        assert cluster.clock.now() == at(60)
        await cluster.run_until(at(75))
        run = await cluster.run_until(at_least_one(cluster).trigger("work"))
        assert (run.kind, run.outcome) == ("trigger", None)


def at_least_one(cluster: Cluster) -> Scheduler:
    return cluster.nodes[0].scheduler
