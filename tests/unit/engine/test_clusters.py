"""Clusters in one process, on one memory store: nodes whose clocks disagree, runs of a millisecond, nodes that die."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from _engine_doubles import ScriptedStore, Skewed, answer_lost, down

from asyncsched import MemoryStore, Outcome, RunContext, Scheduler, SkipReason
from asyncsched._clock import sleep
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncsched import Job, Store

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400.0


class Cluster:
    """Nodes that share a store, each with a clock of its own; every run is written down."""

    def __init__(self, clock: FakeClock, skews: Sequence[float], *, store: Store | None = None) -> None:
        self.clock = clock
        self.store = MemoryStore(clock) if store is None else store
        self.runs: list[tuple[str, datetime, int, str]] = []
        self.going: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.nodes = [
            Scheduler(self.store, clock=Skewed(clock, skew), node=f"node{number}", shutdown_timeout=5)
            for number, skew in enumerate(skews)
        ]
        self.duration = 0.001

    def add(self, name: str, describe: object) -> None:
        for node in self.nodes:
            describe(node.add_job(name, self.handler))  # type: ignore[operator]

    async def handler(self, ctx: RunContext) -> None:
        self.runs.append((ctx.job, ctx.fire_time, ctx.fence, ctx.node))
        self.going[ctx.job] += 1
        self.most[ctx.job] = max(self.most[ctx.job], self.going[ctx.job])
        try:
            await sleep(self.clock, self.duration)
        finally:
            self.going[ctx.job] -= 1

    async def __aenter__(self) -> Cluster:
        for node in self.nodes:
            await node.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        leaving = asyncio.gather(*(node.__aexit__(None, None, None) for node in self.nodes))
        while not leaving.done():
            await self.clock.advance(0.5)
        await leaving

    def ticks(self, job: str) -> list[datetime]:
        return [tick for name, tick, _, _ in self.runs if name == job]

    def fences(self, job: str) -> list[int]:
        return [fence for name, _, fence, _ in self.runs if name == job]

    def total(self, what: str) -> int:
        return sum(node.snapshot().counters.get(what, 0) for node in self.nodes)


def both(job: Job) -> Job:
    return job.on_one_server().without_overlapping()


SKEWS = pytest.mark.parametrize(
    "skews",
    [(0, 0, 0), (0, 2, -2), (0, 0.04, -0.3, 2.3), (0, DAY, -DAY), (2, -2, DAY, -DAY)],
    ids=["none", "two seconds", "uneven", "a day", "all of them"],
)


@SKEWS
async def test_each_tick_once_and_none_lost(clock: FakeClock, skews: tuple[float, ...]) -> None:
    cluster = Cluster(clock, skews)
    cluster.add("one", lambda job: job.per_seconds(1).on_one_server())
    cluster.add("both", lambda job: both(job.per_seconds(1)))
    async with cluster:
        await clock.advance(300.5)
    for job in ("one", "both"):
        ticks = [tick for tick in cluster.ticks(job) if tick > START]
        assert ticks == [START + timedelta(seconds=number) for number in range(1, len(ticks) + 1)]
        assert len(ticks) >= 295  # the newest ones may be those of a node that is behind
        fences = cluster.fences(job)
        assert all(earlier < later for earlier, later in pairwise(fences))
        assert len(set(cluster.ticks(job))) == len(cluster.ticks(job))
    assert cluster.most == {"one": 1, "both": 1}


@SKEWS
async def test_nothing_starts_before_its_time_by_the_stores_clock(clock: FakeClock, skews: tuple[float, ...]) -> None:
    cluster = Cluster(clock, skews)
    early: list[float] = []

    async def handler(ctx: RunContext) -> None:
        early.append((ctx.fire_time - clock.now()).total_seconds())

    for node in cluster.nodes:
        node.add_job("a", handler).per_seconds(0.5).on_one_server()
    async with cluster:
        await clock.advance(50)
    assert max(early) <= 0.005


@SKEWS
async def test_runs_of_a_guarded_job_never_overlap(clock: FakeClock, skews: tuple[float, ...]) -> None:
    cluster = Cluster(clock, skews)
    cluster.duration = 2.5
    cluster.add("alone", lambda job: job.per_seconds(1).without_overlapping())
    cluster.add("both", lambda job: both(job.per_seconds(1)))
    async with cluster:
        await clock.advance(120)
    assert cluster.most["alone"] == cluster.most["both"] == 1
    assert len(cluster.ticks("alone")) > 35
    assert len(cluster.ticks("both")) > 35
    assert cluster.total(SkipReason.OVERLAP) > 0


async def test_one_server_alone_lets_runs_be_joined_by_the_next(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0, 0))
    cluster.duration = 2.5
    cluster.add("a", lambda job: job.per_seconds(1).on_one_server())
    async with cluster:
        await clock.advance(60.5)
    assert len(cluster.ticks("a")) == len(set(cluster.ticks("a"))) == 60
    assert cluster.most["a"] == 3


@pytest.mark.parametrize("skew", [0, 2, -2, DAY, -DAY])
async def test_a_single_node_runs_its_jobs_whatever_its_clock(clock: FakeClock, skew: float) -> None:
    cluster = Cluster(clock, (skew,))
    cluster.add("a", lambda job: job.per_seconds(5).on_one_server())
    cluster.add("plain", lambda job: job.per_seconds(5))
    async with cluster:
        await clock.advance(101)
    for job in ("a", "plain"):
        assert len(set(cluster.ticks(job))) == len(cluster.ticks(job)) == 20


async def test_each_other_node_accounts_for_the_tick_as_elsewhere(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0, 0, 0))
    cluster.add("a", lambda job: job.per_seconds(1).on_one_server())
    async with cluster:
        await clock.advance(50.5)
    assert cluster.total(Outcome.SUCCEEDED) == 50
    assert cluster.total(SkipReason.ELSEWHERE) == 150
    assert cluster.total("missed") == 0


@SKEWS
async def test_an_immediate_job_runs_once_in_the_cluster_per_lock_ttl(
    clock: FakeClock, skews: tuple[float, ...]
) -> None:
    cluster = Cluster(clock, skews)
    cluster.add("a", lambda job: job.immediate().on_one_server().lock_ttl(30))
    async with cluster:
        await clock.advance(1)
    assert len(cluster.runs) == 1
    async with cluster:  # a rolling restart
        await clock.advance(1)
    assert len(cluster.runs) == 1
    await clock.advance(30)
    async with cluster:
        await clock.advance(1)
    assert len(cluster.runs) == 2


async def test_an_immediate_run_leaves_the_ticks_alone(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0))
    cluster.add("a", lambda job: job.immediate().per_seconds(1).on_one_server())
    async with cluster:
        await clock.advance(10.5)
    assert len(cluster.runs) == 11
    assert cluster.fences("a") == sorted(set(cluster.fences("a")))


async def test_a_trigger_leaves_the_ticks_alone(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0))
    cluster.add("a", lambda job: job.per_seconds(1).on_one_server())
    async with cluster:
        for node in cluster.nodes * 3:
            await clock.advance(0.7)
            await node.trigger("a")
        await clock.advance(1)
    ticks = [tick for tick in cluster.ticks("a") if tick.microsecond == 0]
    assert [tick.second for tick in ticks] == [1, 2, 3, 4, 5]
    assert len(cluster.runs) == 5 + 6


async def test_a_pause_is_the_clusters_and_survives_restarts(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0))
    cluster.add("guarded", lambda job: job.per_seconds(1).on_one_server())
    cluster.add("plain", lambda job: job.per_seconds(1))
    async with cluster:
        await clock.advance(2.5)
        for job in ("guarded", "plain"):
            await cluster.nodes[0].pause(job)
        before = len(cluster.runs)
        await clock.advance(5)
        assert len(cluster.runs) == before
    async with cluster:
        await clock.advance(5)
        assert len(cluster.runs) == before
        for job in ("guarded", "plain"):
            await cluster.nodes[1].resume(job)
        await clock.advance(2)
    assert len(cluster.runs) > before


async def test_a_crash_does_not_stop_one_server_jobs(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0))
    cluster.duration = 1000
    cluster.add("a", lambda job: job.per_seconds(1).on_one_server())
    async with cluster:
        await clock.advance(5.5)
        assert len(cluster.ticks("a")) == 5  # each claimed at once although no run has ended


async def test_a_crashed_run_frees_an_overlap_job_when_its_lease_ends(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    cluster = Cluster(clock, (0, 0), store=store)
    cluster.duration = 1000
    cluster.add("a", lambda job: job.per_seconds(1).without_overlapping().lock_ttl(10))
    async with cluster:
        await clock.advance(2.5)
        assert len(cluster.runs) == 1
        holder = next(node for node in cluster.nodes if node.snapshot().active)
        holder._engine.keeper.close()  # type: ignore[union-attr] - it renews no more, as if it were dead
        await clock.advance(15)
        assert len(cluster.runs) == 2


async def test_a_clean_stop_hands_over_at_once(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0))
    cluster.duration = 1000
    cluster.add("a", lambda job: both(job.per_seconds(1)))
    async with cluster:
        await clock.advance(1.5)
        first = next(node for node in cluster.nodes if node.snapshot().active)
        stopping = asyncio.ensure_future(first.stop())
        await clock.advance(5.1)
        assert stopping.done()
        await clock.advance(1)
        assert len(cluster.runs) == 2


@pytest.mark.parametrize("acts", [[down], [answer_lost], [answer_lost, down, answer_lost], [down] * 5])
async def test_lost_answers_neither_repeat_nor_lose_a_tick(clock: FakeClock, acts: list[object]) -> None:
    store = ScriptedStore(clock)
    cluster = Cluster(clock, (0, 2, -2), store=store)
    cluster.add("a", lambda job: both(job.per_seconds(10)))
    async with cluster:
        for _ in range(20):
            await clock.advance(9.5)
            store.on("claim", *acts)  # type: ignore[arg-type]
            await clock.advance(0.5)
        store.forget_script("claim")
        await clock.advance(9)
    ticks = [tick for tick in cluster.ticks("a") if tick > START]  # a node that is behind may find an older one
    assert ticks == [START + timedelta(seconds=10 * number) for number in range(1, 21)]
    assert cluster.fences("a") == sorted(set(cluster.fences("a")))


async def test_a_store_that_comes_back_empty_repeats_nothing(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    cluster = Cluster(clock, (0, 2, -2), store=store)
    cluster.add("a", lambda job: job.per_seconds(1).on_one_server())
    async with cluster:
        for _ in range(10):
            await clock.advance(7.3)
            store._jobs.clear()
        await clock.advance(5)
    ticks = cluster.ticks("a")
    assert len(ticks) == len(set(ticks))
    assert len(ticks) >= 78 - 10 - 2  # at most one tick for each loss
    assert cluster.fences("a") == sorted(set(cluster.fences("a")))


async def test_nodes_that_come_and_go(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 2, -2, 0.5))
    cluster.add("a", lambda job: both(job.per_seconds(1)))
    async with cluster:
        for number in range(12):
            node = cluster.nodes[number % 4]
            stopping = asyncio.ensure_future(node.stop())
            await clock.advance(3.3)
            assert stopping.done()
            await node.__aenter__()
        await clock.advance(5)
    ticks = cluster.ticks("a")
    assert ticks == sorted(set(ticks))
    assert len(ticks) >= 42


async def test_wall_steps_of_one_node_change_nothing_for_the_cluster(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0, 0))
    cluster.add("a", lambda job: job.per_seconds(1).on_one_server())
    skewed = cluster.nodes[1]._clock
    assert isinstance(skewed, Skewed)
    async with cluster:
        for step in (5, -5, 3600, -7200, DAY, -DAY, 0.2, -0.2):
            await clock.advance(5.25)
            skewed.skew += step
        await clock.advance(5)
    ticks = [tick for tick in cluster.ticks("a") if tick > START]
    assert ticks == [START + timedelta(seconds=number) for number in range(1, len(ticks) + 1)]
    assert len(ticks) >= 45
