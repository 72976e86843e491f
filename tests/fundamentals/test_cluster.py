"""Several nodes: schedulers that share a store are one cluster. Here the store is in memory; with a URL it is Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from asyncsched import Scheduler
from asyncsched.testing import Cluster

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def at(*seconds: float) -> list[datetime]:
    return [MIDNIGHT + timedelta(seconds=second) for second in seconds]


async def nothing() -> None: ...


async def test_each_tick_runs_on_exactly_one_node() -> None:
    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("report", nothing).per_seconds(20).on_one_server()

    async with Cluster(declare, nodes=3) as cluster:
        await cluster.advance(60)
    cluster.ran_at("report", at(20, 40, 60))
    counters: Counter[str] = Counter()
    for node in cluster.nodes:
        counters.update(node.scheduler.snapshot().counters)
    assert counters == {"succeeded": 3, "elsewhere": 6}, "every node accounts for every tick"


async def test_without_the_policy_each_node_runs_it() -> None:
    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("refresh_cache", nothing).per_seconds(20)

    async with Cluster(declare, nodes=3) as cluster:
        await cluster.advance(20)
    assert sorted(run.node for run in cluster.history.runs) == ["n0", "n1", "n2"]


async def test_an_immediate_job_runs_once_in_the_cluster() -> None:
    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("migrate", nothing).immediate().on_one_server()

    async with Cluster(declare, nodes=3) as cluster:
        assert len(cluster.history.of("migrate")) == 1


async def test_runs_never_overlap_in_the_cluster() -> None:
    def declare(scheduler: Scheduler) -> None:
        @scheduler.job("slow").per_seconds(10).without_overlapping()
        async def slow() -> None:
            await asyncio.sleep(15)  # of the cluster's fake time

    async with Cluster(declare, nodes=3) as cluster:
        await cluster.advance(106)
        cluster.never_overlapped("slow")
        assert len(cluster.history.of("slow")) == 5


async def test_a_pause_is_for_all_nodes() -> None:
    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("poll", nothing).per_seconds(10)

    async with Cluster(declare, nodes=3) as cluster:
        first, _, third = cluster.nodes
        await first.scheduler.pause("poll")
        await cluster.advance(30)
        assert cluster.history.of("poll") == []
        await third.scheduler.resume("poll")
        await cluster.advance(10)
    assert sorted(run.node for run in cluster.history.runs) == ["n0", "n1", "n2"]


async def test_another_node_takes_over() -> None:
    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("report", nothing).per_seconds(10).on_one_server()

    async with Cluster(declare, nodes=2) as cluster:
        stopped, crashed = cluster.nodes
        await cluster.advance(20)
        await stopped.stop()
        await cluster.advance(20)
        await stopped.start()
        await crashed.crash()
        await cluster.advance(20)
        cluster.ran_once_per_tick("report")  # no tick was lost when a node left, and none ran twice
    assert [run.node for run in cluster.history.runs][2:] == ["n1", "n1", "n0", "n0"]
