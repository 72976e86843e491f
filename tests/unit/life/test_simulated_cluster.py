"""Clusters in one process: schedulers that share a store and an instant, and agree on nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from _life_doubles import Book, Link, SkewedClock, locks, nothing, passing

from asyncsched import MemoryStore, Scheduler, current_run
from asyncsched._clock import sleep
from asyncsched.testing import FakeClock

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
SKEWS = pytest.mark.parametrize(
    "skews",
    [(0, 0, 0), (0, 2, -2), (0.04, -0.3, 2.3), (0, 86_400, -86_400), (0, 86_400, 3600, -7)],
    ids=["none", "seconds", "uneven", "a day", "four"],
)
POLICIES = pytest.mark.parametrize("policies", ["one", "overlap", "both"])


class Node:
    """One process: its own clock, its own link to the store, its own scheduler."""

    def __init__(self, name: str, clock: FakeClock, memory: MemoryStore, skew: float, **options: Any) -> None:
        self.clock = SkewedClock(clock, skew)
        self.link = Link(memory)
        self.link.time = lambda: memory.time()  # type: ignore[method-assign]
        self.scheduler = Scheduler(self.link, clock=self.clock, node=name, **options)
        self.book = Book(self.scheduler)

    def counters(self) -> Counter[str]:
        return Counter(dict(self.scheduler.snapshot().counters))


class Cluster:
    """Nodes, and what their handlers saw: ``runs`` as (seconds of the fire time, node, fence, began, ended)."""

    def __init__(self, clock: FakeClock, skews: Sequence[float], **options: Any) -> None:
        self.clock = clock
        self.memory = MemoryStore(clock)
        self.nodes = [Node(f"n{i}", clock, self.memory, skew, **options) for i, skew in enumerate(skews)]
        self.begun: list[tuple[float, str, int]] = []
        self.spans: list[tuple[float, float]] = []

    def add(self, policies: str, *, seconds: float = 10, lasting: float = 0.001, **more: Any) -> None:
        """Add the job ``a`` to every node."""

        async def work() -> None:
            run = current_run()
            assert run is not None
            began = self.clock.time()
            self.begun.append((run.fire_us / 1e6 - START, run.node, run.fence))
            try:
                await sleep(self.clock, lasting)
            finally:
                self.spans.append((began, self.clock.time()))

        for node in self.nodes:
            job = node.scheduler.add_job("a", work).per_seconds(seconds)
            if policies in ("one", "both"):
                job.on_one_server()
            if policies in ("overlap", "both"):
                job.without_overlapping()
            if "lock_ttl" in more:
                job.lock_ttl(more["lock_ttl"])

    @property
    def fires(self) -> list[float]:
        """Fire times since the start. (A node that is behind may run one that came due shortly before it, too.)"""
        assert len({fire for fire, _, _ in self.begun}) == len(self.begun)
        return [fire for fire, _, _ in self.begun if fire > 0]

    @property
    def fences(self) -> list[int]:
        return [fence for _, _, fence in self.begun]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Cluster]:
        for node in self.nodes:
            await node.scheduler.__aenter__()
        try:
            yield self
        finally:
            leaving = [node.scheduler.__aexit__(None, None, None) for node in self.nodes]
            await passing(self.clock, asyncio.gather(*leaving))


def overlapping(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    ordered = sorted(spans)
    return [later for earlier, later in pairwise(ordered) if later[0] < earlier[1]]


# Each tick once


@SKEWS
@pytest.mark.parametrize("policies", ["one", "both"])
async def test_every_tick_runs_exactly_once(clock: FakeClock, skews: tuple[float, ...], policies: str) -> None:
    cluster = Cluster(clock, skews)
    cluster.add(policies, seconds=3)
    async with cluster.running():
        await clock.advance(361)
    assert cluster.fires == [3.0 * tick for tick in range(1, 121)]
    assert cluster.fences == sorted(set(cluster.fences))
    assert locks(cluster.memory) == {}
    for node in cluster.nodes:  # each accounts for each tick that came due on it
        assert node.counters() == node.book.totals("a")
    assert sum(node.counters()["succeeded"] for node in cluster.nodes) == len(cluster.begun)


@SKEWS
async def test_nothing_starts_before_its_time_by_the_stores_clock(clock: FakeClock, skews: tuple[float, ...]) -> None:
    cluster = Cluster(clock, skews)
    cluster.add("one", seconds=1.5)
    async with cluster.running():
        await clock.advance(100)
    begun = [(fire, began - START) for (fire, _, _), (began, _) in zip(cluster.begun, cluster.spans, strict=True)]
    early = [began - fire for fire, began in begun if fire > 0]
    assert len(early) == 66
    assert min(early) >= -0.005  # the tolerance of the store
    assert max(early) <= 0.01


@SKEWS
@pytest.mark.parametrize("policies", ["overlap", "both"])
async def test_runs_without_overlapping_never_overlap(
    clock: FakeClock, skews: tuple[float, ...], policies: str
) -> None:
    cluster = Cluster(clock, skews)
    cluster.add(policies, seconds=3, lasting=7)
    async with cluster.running():
        await clock.advance(300)
    assert overlapping(cluster.spans) == []
    assert len(cluster.begun) >= 30
    assert cluster.fences == sorted(set(cluster.fences))
    assert locks(cluster.memory) == {}
    for node in cluster.nodes:
        assert node.counters() == node.book.totals("a")


async def test_on_one_server_alone_lets_the_next_tick_join(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 1, -1))
    cluster.add("one", seconds=3, lasting=7)
    async with cluster.running():
        await clock.advance(60)
    assert overlapping(cluster.spans) != []
    assert cluster.fires == [3.0 * tick for tick in range(1, 21)]
    assert locks(cluster.memory) == {}


@POLICIES
@pytest.mark.parametrize("skew", [86_400, 3600.5, 2, -2])
async def test_a_single_node_keeps_to_the_stores_time(clock: FakeClock, policies: str, skew: float) -> None:
    cluster = Cluster(clock, (skew,))
    cluster.add(policies)
    async with cluster.running():
        await clock.advance(100 + max(0.0, -skew))
    assert cluster.fires == [10.0 * tick for tick in range(1, 11)]
    late = max(0.0, -skew)
    began = [began - START for began, _ in cluster.spans[-10:]]
    assert began == pytest.approx([fire + late for fire in cluster.fires], abs=0.01)


@pytest.mark.parametrize("skews", [(0, 86_400, -86_400), (0, 2, -2)], ids=["a day", "seconds"])
async def test_wrong_clocks_burn_no_tick_even_while_the_stores_time_is_unknown(
    clock: FakeClock, skews: tuple[float, ...]
) -> None:
    cluster = Cluster(clock, skews)
    cluster.add("one")
    for node in cluster.nodes:
        node.link.time = lambda: None  # type: ignore[method-assign]
    async with cluster.running():
        await clock.advance(105)
        assert cluster.fires == [10.0 * tick for tick in range(1, 11)]
        assert all(began - START >= fire for (fire, _, _), (began, _) in zip(cluster.begun, cluster.spans, strict=True))


@POLICIES
@pytest.mark.parametrize("grace", [5, 3600])
async def test_a_node_a_day_ahead_that_starts_without_the_store_joins_when_it_is_back(
    clock: FakeClock, policies: str, grace: float
) -> None:
    cluster = Cluster(clock, (86_400,), misfire_grace=grace)
    cluster.add(policies, seconds=60)
    (node,) = cluster.nodes
    node.link.refresh_interval = 5
    node.link.down()
    node.link.time = lambda: cluster.memory.time() if node.link.cut("time") is None else None  # type: ignore[method-assign]
    async with cluster.running():
        await clock.advance(75)
        assert cluster.fires == []
        node.link.up()
        await clock.advance(240)
        assert cluster.fires[-3:] == [180, 240, 300]


@POLICIES
@pytest.mark.parametrize("step_at", [9.0, 10.0, 10.5])
async def test_a_clock_that_is_set_forward_passes_no_tick_over(clock: FakeClock, policies: str, step_at: float) -> None:
    """The turn of the loop that notices the step is the one in which a tick is due."""
    cluster = Cluster(clock, (0,))
    cluster.add(policies)
    (node,) = cluster.nodes
    async with cluster.running():
        await clock.advance(step_at)
        node.clock.skew = 5.0
        await clock.advance(35 - step_at)
        assert cluster.fires == [10, 20, 30]
        assert node.counters() == {"succeeded": 3}


async def test_three_nodes_each_account_for_every_tick(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0, 0))
    cluster.add("both")
    async with cluster.running():
        await clock.advance(1000)
    for node in cluster.nodes:
        assert node.counters().total() == 100
        assert set(node.counters()) <= {"succeeded", "elsewhere"}


# Nodes that die


async def test_a_partitioned_node_costs_no_tick_and_repeats_none(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 2, -2))
    cluster.add("one")
    async with cluster.running():
        for node in cluster.nodes:
            node.link.down()
            await clock.advance(200)
            node.link.up()
            await clock.advance(100)
    assert cluster.fires == [10.0 * tick for tick in range(1, 91)]


async def test_a_node_that_dies_in_mid_claim_costs_one_tick_at_most(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0))
    cluster.add("one")
    dead = cluster.nodes[0]
    dead.link.mute("claim")  # it wins, and never learns of it
    async with cluster.running():
        await clock.advance(10.01)
        dead.link.down()
        await clock.advance(90)
    assert set(cluster.fires) >= {10.0 * tick for tick in range(2, 11)}
    assert len(cluster.fires) == len(set(cluster.fires))


async def test_an_overlap_lease_of_a_dead_node_ends_with_its_ttl(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0), lock_ttl=60)
    cluster.add("overlap", lasting=500)
    old, new = cluster.nodes
    async with AsyncExitStack() as stack:
        await old.scheduler.__aenter__()
        await clock.advance(10)
        old.link.down()
        stack.push_async_callback(lambda: passing(clock, old.scheduler.__aexit__(None, None, None)))
        await new.scheduler.__aenter__()
        stack.push_async_callback(lambda: passing(clock, new.scheduler.__aexit__(None, None, None)))
        await clock.advance(57.9)
        assert old.book.outcomes("a") == []
        await clock.advance(0.2)  # the trust window: 60 s but 2, from when the claim was sent
        assert old.book.outcomes("a") == ["lock_lost"]
        assert [node for _, node, _ in cluster.begun] == ["n0"]
        await clock.advance(12)
        assert [node for _, node, _ in cluster.begun] == ["n0", "n1"]
        assert cluster.begun[1][0] in (70, 80)
        assert cluster.fences[0] < cluster.fences[1]
    assert overlapping(cluster.spans) == []


async def test_a_holder_whose_key_was_given_to_another_ends_at_its_renewal(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 0), lock_ttl=60)
    cluster.add("overlap", lasting=500)
    async with cluster.running():
        await clock.advance(10)
        holder = next(node for node in cluster.nodes if node.scheduler.snapshot().active)
        cluster.memory._job("a").locks.clear()
        await clock.advance(21)
        assert holder.book.outcomes("a") == ["lock_lost"]
        assert len(cluster.begun) == 2
        assert cluster.fences[0] < cluster.fences[1]


async def test_a_node_may_be_restarted_at_any_time(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 2, -2))
    cluster.add("both", seconds=1, lasting=0.3)
    async with cluster.running():
        for turn in range(60):
            node = cluster.nodes[turn % 3]
            await passing(clock, node.scheduler.stop(), step=0.05)
            await clock.advance(0.37)
            await node.scheduler.__aenter__()
            await clock.advance(1.1)
    ticks = int(clock.time() - START)
    assert len(cluster.fires) == len(set(cluster.fires))
    assert cluster.fences == sorted(set(cluster.fences))
    assert overlapping(cluster.spans) == []
    assert len(cluster.fires) >= ticks - 2
    assert locks(cluster.memory) == {}


# From another node


async def test_a_pause_on_one_node_holds_for_all_and_survives_restarts(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 2, -2))
    cluster.add("one")
    async with cluster.running():
        await clock.advance(25)
        await cluster.nodes[1].scheduler.pause("a")
        await clock.advance(50)
        await passing(clock, cluster.nodes[0].scheduler.stop())
        await cluster.nodes[0].scheduler.__aenter__()
        await clock.advance(20)
        assert cluster.fires == [10, 20]
        assert (await cluster.nodes[0].scheduler.trigger("a")).skip_reason == "paused"
        await cluster.nodes[2].scheduler.resume("a")
        await clock.advance(20)
    assert cluster.fires[2:] == [100, 110]
    assert len(cluster.fires) == len(set(cluster.fires))


async def test_a_trigger_respects_another_nodes_run_and_burns_no_tick(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 2))
    cluster.add("both", seconds=30, lasting=5)
    async with cluster.running():
        await clock.advance(31)
        refused = [await node.scheduler.trigger("a") for node in cluster.nodes]
        assert [run.skip_reason for run in refused] == ["overlap", "overlap"]
        await clock.advance(10)
        run = await cluster.nodes[1].scheduler.trigger("a")
        assert (run.outcome, run.node) == (None, "n1")
        await clock.advance(60)
    assert [fire for fire in cluster.fires if fire % 30 == 0] == [30, 60, 90]
    assert len(cluster.fires) == 4
    assert cluster.fences == sorted(set(cluster.fences))


async def test_fences_rise_when_the_wall_is_set_back(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0, 2))
    cluster.add("both")
    async with cluster.running():
        await clock.advance(31)
        for node in cluster.nodes:
            clock.shift(-3600)
            await clock.advance(1)
            assert (await node.scheduler.trigger("a")).outcome is None
            await clock.advance(1)
    assert len(cluster.begun) == 5
    assert cluster.fences == sorted(set(cluster.fences))


@SKEWS
async def test_an_immediate_job_starts_once_in_the_cluster_per_ttl(clock: FakeClock, skews: tuple[float, ...]) -> None:
    cluster = Cluster(clock, skews)
    for node in cluster.nodes:
        node.scheduler.add_job("once", nothing).immediate().on_one_server().lock_ttl(60)
    for when in (0, 30, 61, 100):
        await clock.advance(START + when - clock.time())
        async with cluster.running():
            await clock.settle()
        runs = sum(len(node.book.outcomes("once")) for node in cluster.nodes)
        assert runs == (1 if when < 60 else 2), when


# Faults of many kinds


@pytest.mark.parametrize("policies", ["one", "both"])
@pytest.mark.parametrize("kind", ["down", "mute"])
async def test_links_that_fail_now_and_then_lose_and_repeat_nothing(clock: FakeClock, policies: str, kind: str) -> None:
    cluster = Cluster(clock, (0, 0.7, -0.7))
    cluster.add(policies, seconds=2)
    async with cluster.running():
        for turn in range(150):
            node: Callable[..., None] = getattr(cluster.nodes[turn % 3].link, kind)
            node(*(("claim",), ("release", "renew"), ())[turn % 3 - turn % 2])
            await clock.advance(1.3)
            cluster.nodes[turn % 3].link.up()
    ticks = [2.0 * tick for tick in range(1, int((clock.time() - START) // 2) + 1)]
    assert cluster.fires == sorted(set(cluster.fires))
    assert cluster.fences == sorted(set(cluster.fences))
    if kind == "down":  # the others are there
        assert set(ticks) - set(cluster.fires) <= {ticks[-1]}
    else:  # a tick that was won unheard is given back, not run by another
        assert len(cluster.fires) >= len(ticks) * 0.9
    assert locks(cluster.memory) == {}
