"""Clusters in one process: schedulers that share a store and an instant, and agree on nothing else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from _life_doubles import Book, locks, nothing

from asyncsched import MemoryStore, Scheduler
from asyncsched.testing import Cluster, FakeClock, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
SKEWS = pytest.mark.parametrize(
    "skews",
    [(0, 0, 0), (0, 2, -2), (0.04, -0.3, 2.3), (0, 86_400, -86_400), (0, 86_400, 3600, -7)],
    ids=["none", "seconds", "uneven", "a day", "four"],
)
POLICIES = pytest.mark.parametrize("policies", ["one", "overlap", "both"])


def describe(
    scheduler: Scheduler, policies: str, *, seconds: float = 10, lasting: float = 0.001, lock_ttl: float = 600
) -> None:
    """Declare the job ``a``."""

    async def work() -> None:
        await asyncio.sleep(lasting)

    job = scheduler.add_job("a", work).per_seconds(seconds).lock_ttl(lock_ttl)
    if policies in ("one", "both", "queue_one", "cancel_running"):
        job.on_one_server()
    if policies in ("overlap", "both"):
        job.without_overlapping()
    elif policies != "one":
        job.without_overlapping(policies)


class SkewedCluster(Cluster):
    """A cluster with the job ``a``, and what became of that; instants in seconds since the start."""

    def __init__(self, clock: FakeClock, skews: Sequence[float], policies: str = "one", **more: Any) -> None:
        self.books: list[Book] = []
        """Of every life of a node, in their order."""
        self._policies = policies
        self._job = {name: more.pop(name) for name in ("seconds", "lasting", "lock_ttl") if name in more}
        super().__init__(self._declare, len(skews), skew=skews, clock=clock, **more)

    def _declare(self, scheduler: Scheduler) -> None:
        self.books.append(Book(scheduler))
        describe(scheduler, self._policies, **self._job)

    @property
    def fires(self) -> list[float]:
        """Fire times since the start. (A node that is behind may run one that came due shortly before it, too.)"""
        fires = [run.fire_time.timestamp() - START for run in self.history.runs]
        assert len(set(fires)) == len(fires)
        return [fire for fire in fires if fire > 0]

    @property
    def begun(self) -> list[float]:
        return [run.started_at.timestamp() - START for run in self.history.runs]

    @property
    def fences(self) -> list[int]:
        return [run.fence for run in self.history.runs]

    def assert_accounted(self) -> None:
        """Assert that each node's counters say what its events did."""
        for node, book in zip(self.nodes, self.books, strict=True):
            assert counters(node) == book.totals("a")


def counters(node: Node) -> dict[str, int]:
    return dict(node.scheduler.snapshot().counters)


# Each tick once


@SKEWS
@pytest.mark.parametrize("policies", ["one", "both"])
async def test_every_tick_runs_exactly_once(clock: FakeClock, skews: tuple[float, ...], policies: str) -> None:
    async with SkewedCluster(clock, skews, policies, seconds=3) as cluster:
        await cluster.advance(361)
    assert cluster.fires == [3.0 * tick for tick in range(1, 121)]
    cluster.ran_once_per_tick("a", until=clock.now() - timedelta(seconds=1))
    assert cluster.fences == sorted(set(cluster.fences))
    assert locks(cluster.store) == {}
    cluster.assert_accounted()  # each accounts for each tick that came due on it
    assert sum(counters(node).get("succeeded", 0) for node in cluster.nodes) == len(cluster.history.runs)


@SKEWS
async def test_nothing_starts_before_its_time_by_the_stores_clock(clock: FakeClock, skews: tuple[float, ...]) -> None:
    async with SkewedCluster(clock, skews, seconds=1.5) as cluster:
        await cluster.advance(100)
    late = [
        (run.started_at - run.fire_time).total_seconds()
        for run in cluster.history.runs
        if run.fire_time.timestamp() > START
    ]
    assert len(late) == 66
    assert min(late) >= -0.005  # the tolerance of the store
    assert max(late) <= 0.01


@SKEWS
@pytest.mark.parametrize("policies", ["overlap", "both", "queue_one", "cancel_running"])
async def test_runs_without_overlapping_never_overlap(
    clock: FakeClock, skews: tuple[float, ...], policies: str
) -> None:
    async with SkewedCluster(clock, skews, policies, seconds=3, lasting=7) as cluster:
        await cluster.advance(300)
    cluster.never_overlapped("a")
    assert len(cluster.history.runs) >= 30
    assert cluster.fences == sorted(set(cluster.fences))
    assert locks(cluster.store) == {}
    cluster.assert_accounted()


async def test_on_one_server_alone_lets_the_next_tick_join(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 1, -1), seconds=3, lasting=7) as cluster:
        await cluster.advance(60)
    with pytest.raises(AssertionError, match="pairs of runs overlapped"):
        cluster.never_overlapped("a")
    assert cluster.fires == [3.0 * tick for tick in range(1, 21)]
    assert locks(cluster.store) == {}


@POLICIES
@pytest.mark.parametrize("skew", [86_400, 3600.5, 2, -2])
async def test_a_single_node_keeps_to_the_stores_time(clock: FakeClock, policies: str, skew: float) -> None:
    late = max(0.0, -skew)
    async with SkewedCluster(clock, (skew,), policies) as cluster:
        await cluster.advance(100 + late)
    assert cluster.fires == [10.0 * tick for tick in range(1, 11)]
    assert cluster.begun[-10:] == pytest.approx([fire + late for fire in cluster.fires], abs=0.01)


@pytest.mark.parametrize("skews", [(0, 86_400, -86_400), (0, 2, -2)], ids=["a day", "seconds"])
async def test_wrong_clocks_burn_no_tick_even_while_the_stores_time_is_unknown(
    clock: FakeClock, skews: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SkewedCluster(clock, skews)
    monkeypatch.setattr(cluster.store, "time", lambda: None)
    async with cluster:
        await cluster.advance(105)
        assert cluster.fires == [10.0 * tick for tick in range(1, 11)]
        assert all(run.started_at >= run.fire_time for run in cluster.history.runs)


@POLICIES
@pytest.mark.parametrize("grace", [5, 3600])
async def test_a_node_a_day_ahead_that_starts_without_the_store_joins_when_it_is_back(
    clock: FakeClock, policies: str, grace: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SkewedCluster(clock, (86_400,), policies, seconds=60, misfire_grace=grace)
    (node,) = cluster.nodes
    real_time = cluster.store.time
    monkeypatch.setattr(MemoryStore, "refresh_interval", 5)
    monkeypatch.setattr(cluster.store, "time", lambda: None)
    node.partition()
    async with cluster:
        await cluster.advance(75)
        assert cluster.fires == []
        monkeypatch.setattr(cluster.store, "time", real_time)
        node.heal()
        await cluster.advance(240)
        assert cluster.fires[-3:] == [180, 240, 300]


@POLICIES
@pytest.mark.parametrize("step_at", [9.0, 10.0, 10.5])
async def test_a_clock_that_is_set_forward_passes_no_tick_over(clock: FakeClock, policies: str, step_at: float) -> None:
    """The turn of the loop that notices the step is the one in which a tick is due."""
    async with SkewedCluster(clock, (0,), policies) as cluster:
        (node,) = cluster.nodes
        await cluster.advance(step_at)
        node.skew = 5.0
        await cluster.advance(35 - step_at)
        assert cluster.fires == [10, 20, 30]
        assert counters(node) == {"succeeded": 3}


async def test_three_nodes_each_account_for_every_tick(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 0, 0), "both") as cluster:
        await cluster.advance(1000)
    for node in cluster.nodes:
        assert sum(counters(node).values()) == 100
        assert set(counters(node)) <= {"succeeded", "elsewhere"}


# Nodes that die


async def test_a_partitioned_node_costs_no_tick_and_repeats_none(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 2, -2)) as cluster:
        for node in cluster.nodes:
            node.partition()
            await cluster.advance(200)
            node.heal()
            await cluster.advance(100)
    assert cluster.fires == [10.0 * tick for tick in range(1, 91)]


async def test_a_node_that_dies_in_mid_claim_costs_one_tick_at_most(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 0)) as cluster:
        dead = cluster.nodes[0]
        dead.partition(answers_only=True)  # it wins, and never learns of it
        await cluster.advance(10.01)
        await dead.crash()
        await cluster.advance(90)
    assert set(cluster.fires) >= {10.0 * tick for tick in range(2, 11)}


async def test_an_overlap_lease_of_a_cut_off_node_ends_with_its_ttl(clock: FakeClock) -> None:
    cluster = SkewedCluster(clock, (0, 0), "overlap", lasting=500, lock_ttl=60, starts=1)
    old, new = cluster.nodes
    async with cluster:
        await cluster.advance(10)
        old.partition()
        await new.start()
        await cluster.advance(57.9)
        assert cluster.books[0].outcomes("a") == []
        await cluster.advance(0.2)  # the trust window: 60 s but 2, from when the claim was sent
        assert cluster.books[0].outcomes("a") == ["lock_lost"]
        assert [run.node for run in cluster.history.runs] == ["n0"]
        await cluster.advance(12)
        assert [run.node for run in cluster.history.runs] == ["n0", "n1"]
        assert cluster.fires[1] in (70, 80)
        assert cluster.fences[0] < cluster.fences[1]
    cluster.never_overlapped("a")


async def test_a_holder_whose_key_was_given_to_another_ends_at_its_renewal(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 0), "overlap", lasting=500, lock_ttl=60) as cluster:
        await cluster.advance(10)
        (holder,) = (number for number, node in enumerate(cluster.nodes) if node.is_at_work)
        cluster.store._job("a").locks.clear()
        await cluster.advance(21)
        assert cluster.books[holder].outcomes("a") == ["lock_lost"]
        assert cluster.fences == sorted(set(cluster.fences))
        assert len(cluster.fences) == 2


async def test_a_node_may_be_restarted_at_any_time(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 2, -2), "both", seconds=1, lasting=0.3) as cluster:
        for turn in range(60):
            node = cluster.nodes[turn % 3]
            await node.stop()
            await cluster.advance(0.37)
            await node.start()
            await cluster.advance(1.1)
        ticks = int(clock.time() - START)
    assert cluster.fences == sorted(set(cluster.fences))
    cluster.never_overlapped("a")
    assert len(cluster.fires) >= ticks - 2
    assert locks(cluster.store) == {}


# From another node


async def test_a_pause_on_one_node_holds_for_all_and_survives_restarts(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 2, -2)) as cluster:
        first, second, third = cluster.nodes
        await cluster.advance(25)
        await second.scheduler.pause("a")
        await cluster.advance(50)
        await first.restart()
        await cluster.advance(20)
        assert cluster.fires == [10, 20]
        assert (await first.scheduler.trigger("a")).skip_reason == "paused"
        await third.scheduler.resume("a")
        await cluster.advance(20)
    assert cluster.fires[2:] == [100, 110]


async def test_a_trigger_respects_another_nodes_run_and_burns_no_tick(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 2), "both", seconds=30, lasting=5) as cluster:
        await cluster.advance(31)
        refused = [await node.scheduler.trigger("a") for node in cluster.nodes]
        assert [run.skip_reason for run in refused] == ["overlap", "overlap"]
        await cluster.advance(10)
        run = await cluster.nodes[1].scheduler.trigger("a")
        assert (run.outcome, run.node) == (None, "n1")
        await cluster.advance(60)
    assert [fire for fire in cluster.fires if fire % 30 == 0] == [30, 60, 90]
    assert len(cluster.fires) == 4
    assert cluster.fences == sorted(set(cluster.fences))


async def test_fences_rise_when_the_wall_is_set_back(clock: FakeClock) -> None:
    async with SkewedCluster(clock, (0, 2), "both") as cluster:
        await cluster.advance(31)
        for node in cluster.nodes:
            clock.shift(-3600)
            cluster.nodes[0].skew, cluster.nodes[1].skew = 0, 2
            await cluster.advance(1)
            assert (await node.scheduler.trigger("a")).outcome is None
            await cluster.advance(1)
    assert len(cluster.history.runs) == 5
    assert cluster.fences == sorted(set(cluster.fences))


@SKEWS
async def test_an_immediate_job_starts_once_in_the_cluster_per_ttl(clock: FakeClock, skews: tuple[float, ...]) -> None:
    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("once", nothing).immediate().on_one_server().lock_ttl(60)

    async with Cluster(declare, len(skews), skew=skews, clock=clock) as cluster:
        for when in (0, 30, 61, 100):
            await cluster.advance(START + when - clock.time())
            for node in cluster.nodes:
                await node.restart()
            assert len(cluster.history.runs) == (1 if when < 60 else 2), when


# Faults of many kinds


@pytest.mark.parametrize("policies", ["one", "both"])
@pytest.mark.parametrize("answers_only", [False, True])
async def test_links_that_fail_now_and_then_lose_and_repeat_nothing(
    clock: FakeClock, policies: str, answers_only: bool
) -> None:
    async with SkewedCluster(clock, (0, 0.7, -0.7), policies, seconds=2) as cluster:
        for turn in range(150):
            node = cluster.nodes[turn % 3]
            node.partition(answers_only=answers_only)
            await cluster.advance(1.3)
            node.heal()
        ticks = [2.0 * tick for tick in range(1, int((clock.time() - START) // 2) + 1)]
    assert cluster.fires == sorted(set(cluster.fires))
    assert cluster.fences == sorted(set(cluster.fences))
    if answers_only:  # a tick that was won unheard is given back, not run by another
        assert len(cluster.fires) >= len(ticks) * 0.9
    else:  # the others are there
        assert set(ticks) - set(cluster.fires) <= {ticks[-1]}
    assert locks(cluster.store) == {}
