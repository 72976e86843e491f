"""Clusters on one memory store whose nodes take turns: how often they ask, and what a node that is dead costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, Skewed, counted, down, ghost, quick, running, steps

from asyncsched import MemoryStore, RunContext, Scheduler, events
from asyncsched._clock import sleep
from asyncsched._turns import LAST, STEP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from _engine_doubles import Method

    from asyncsched.testing import FakeClock

EVERY = 10
MOMENT = 1e-4
VIEWS = [(0, 1, 2, 3), (1, 2), (1, 2, 3), (0, 3)]
"""Which nodes each node sees."""


class Cluster:
    """Nodes on one store, and when each tick was started, in seconds after its fire time."""

    def __init__(self, clock: FakeClock, skews: tuple[float, ...] = (0.0,) * 4) -> None:
        self.clock = clock
        self.store = ScriptedStore(clock)
        self.late: dict[float, list[float]] = {}
        self.nodes = [
            Scheduler(self.store, clock=Skewed(clock, skew), node=f"n{number}") for number, skew in enumerate(skews)
        ]
        self.books = [Book(node) for node in self.nodes]
        for node in self.nodes:
            self.add(node)
        self._stack = AsyncExitStack()

    def add(self, node: Scheduler, *, without_overlapping: bool = False) -> None:
        job = node.add_job("a", self.work).per_seconds(EVERY).on_one_server()
        if without_overlapping:
            job.without_overlapping()

    async def work(self, ctx: RunContext) -> None:
        fire_time = ctx.fire_time.timestamp()
        self.late.setdefault(fire_time, []).append(self.clock.time() - fire_time)

    async def ticks(self, count: int) -> list[float]:
        """Let so many ticks pass; return how late each was started, and check that it was started once."""
        self.late.clear()
        first = self.clock.time() // EVERY * EVERY + EVERY
        await self.clock.advance(first + (count - 1) * EVERY + 2 * LAST - self.clock.time())
        late = [self.late.get(first + number * EVERY, []) for number in range(count)]
        assert [len(starts) for starts in late] == [1] * count
        return [starts for (starts,) in late]

    @property
    def questions(self) -> int:
        return len(self.store.claims)


@pytest.fixture
async def cluster(clock: FakeClock) -> AsyncIterator[Cluster]:
    made = Cluster(clock)
    async with AsyncExitStack() as stack:
        for node in made.nodes:
            await stack.enter_async_context(running(node, clock))
        yield made


def group_of(cluster: Cluster) -> str:
    return cluster.store.memory._attendances[0].name().partition("|")[0]


async def test_a_tick_is_asked_for_once_whatever_the_size(cluster: Cluster) -> None:
    late = await cluster.ticks(60)

    assert max(late) < MOMENT
    assert cluster.questions == len(late)
    for node in cluster.nodes:
        tally = counted(node)
        assert tally["succeeded"] + tally["elsewhere"] == len(late)
        assert tally["succeeded"] >= 1, "every node has its share"
    assert sum(counted(node)["succeeded"] for node in cluster.nodes) == len(late)


@pytest.mark.parametrize("dead", [1, 2, 3, 6])
async def test_dead_nodes_delay_a_tick_within_the_bound(cluster: Cluster, dead: int) -> None:
    ghosts = [ghost(cluster.store.memory, group_of(cluster), number) for number in range(dead)]
    late = await cluster.ticks(30)

    assert max(late) <= (dead * STEP if dead <= 3 else LAST) + 2 * MOMENT
    assert max(late) >= STEP - MOMENT, "a dead node was first at least once"
    assert min(late) < MOMENT
    assert cluster.questions == len(late)
    for each in ghosts:
        await each.leave()
    assert max(await cluster.ticks(10)) < MOMENT


async def test_without_news_every_node_asks_within_the_bound(cluster: Cluster) -> None:
    cluster.store.spreads_news = False
    late = await cluster.ticks(10)

    assert max(late) < MOMENT
    assert cluster.questions == len(late) * len(cluster.nodes)
    assert [sum(counted(node).values()) for node in cluster.nodes] == [len(late)] * 4


async def test_where_all_are_late_all_but_the_first_wait_all_the_same(cluster: Cluster, clock: FakeClock) -> None:
    async def slowly(method: Method, items: Sequence[Any]) -> Sequence[Any]:
        await sleep(clock, STEP / 2)
        return await method(items)

    cluster.store.on("claim", slowly)
    clock.shift(EVERY + 1)
    await clock.advance(2 * LAST)
    assert cluster.questions == 1
    assert [len(starts) for starts in cluster.late.values()] == [1]


async def test_late_nodes_ask_for_what_a_dead_one_does_not(cluster: Cluster, clock: FakeClock) -> None:
    for number in range(3):
        ghost(cluster.store.memory, group_of(cluster), number)
    clock.shift(EVERY + 1)
    await clock.advance(2 * LAST)
    (starts,) = cluster.late.values()
    assert len(starts) == 1
    assert 1.0 <= starts[0] <= 1.0 + LAST + 2 * MOMENT


async def test_views_that_differ_cost_a_question_or_a_moment(cluster: Cluster) -> None:
    places = [node._engine.turns._attendance for node in cluster.nodes]  # type: ignore[union-attr]
    names = sorted(places[0].nodes)  # type: ignore[union-attr]

    class Partial:
        def __init__(self, place: Any, nodes: tuple[str, ...]) -> None:
            self.nodes, self.hears, self.leave, self.hear = nodes, True, place.leave, place.hear

    for number, (node, seen) in enumerate(zip(cluster.nodes, VIEWS, strict=True)):
        view = tuple(names[other] for other in seen)
        node._engine.turns._attendance = Partial(places[number], view)  # type: ignore[union-attr, assignment]
    late = await cluster.ticks(30)

    assert max(late) <= 2 * STEP + 2 * MOMENT
    assert len(late) <= cluster.questions < 4 * len(late)


async def test_a_clean_stop_leaves_the_order(cluster: Cluster, clock: FakeClock) -> None:
    stopping = asyncio.ensure_future(cluster.nodes[0].stop())
    await clock.advance(1)
    await stopping
    late = await cluster.ticks(20)

    assert max(late) < MOMENT
    assert cluster.questions == len(late)


async def test_a_paused_job_is_skipped_as_paused_on_every_node(cluster: Cluster, clock: FakeClock) -> None:
    await cluster.nodes[0].pause("a")
    await clock.advance(EVERY)
    await clock.advance(LAST + MOMENT)

    assert [counted(node) for node in cluster.nodes] == [{"paused": 1}] * 4


@pytest.mark.parametrize("skews", [(0.0, 0.0, -0.3, -2.0), (0.0, 0.04, 2.3, -1.1)])
async def test_wrong_clocks_delay_nothing(clock: FakeClock, skews: tuple[float, ...]) -> None:
    cluster = Cluster(clock, skews)
    async with AsyncExitStack() as stack:
        for node in cluster.nodes:
            await stack.enter_async_context(running(node, clock))
        late = await cluster.ticks(20)
        assert max(late) < 0.005


async def test_jobs_that_not_all_nodes_have_are_not_delayed(clock: FakeClock) -> None:
    cluster = Cluster(clock, (0.0,) * 2)
    strangers = [Scheduler(cluster.store, clock=clock, node=f"s{number}") for number in range(3)]
    for stranger in strangers:
        stranger.add_job("of_theirs", quick).per_seconds(7).on_one_server()
    async with AsyncExitStack() as stack:
        for node in [*cluster.nodes, *strangers]:
            await stack.enter_async_context(running(node, clock))
        assert max(await cluster.ticks(20)) < MOMENT


async def test_one_that_runs_without_the_store_runs_when_its_turn_found_nobody(clock: FakeClock) -> None:
    store = ScriptedStore(clock)
    nodes = [Scheduler(store, clock=clock, node=f"n{number}") for number in range(2)]
    for node in nodes:
        job = node.add_job("a", quick).per_seconds(EVERY).on_one_server()
        job.when_store_unavailable("run")
    async with running(nodes[0], clock), running(nodes[1], clock):
        await clock.advance(EVERY - 1)
        store.on("claim", *[down] * 50)
        await clock.advance(6)
        assert [counted(node).get("succeeded") for node in nodes] == [1, 1]
        store.forget_script("claim")


async def test_ticks_that_come_faster_than_turns_all_have_one(clock: FakeClock) -> None:
    store = ScriptedStore(clock)
    nodes = [Scheduler(store, clock=clock, node=f"n{number}") for number in range(2)]
    seen: Counter[Any] = Counter()
    for node in nodes:
        node.add_job("a", quick).every(0.05).on_one_server()
        node.subscribe(lambda event: seen.update([(event.node, event.fire_time)]), events.RunEnded, events.TickSkipped)
    async with running(nodes[0], clock), running(nodes[1], clock):
        for number in range(4):
            ghost(store.memory, store.memory._attendances[0].name().partition("|")[0], number)
        await steps(clock, 2.0, 0.005)
        ran = sum(counted(node).get("succeeded", 0) for node in nodes)
    assert ran >= 35
    assert set(seen.values()) == {1}
    assert sum(counted(node).get("store_unavailable", 0) for node in nodes) == 0


async def test_a_lone_scheduler_asks_at_once_and_tells_nobody(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    scheduler = Scheduler(store, clock=clock)
    scheduler.add_job("a", quick).per_seconds(EVERY).on_one_server()
    async with running(scheduler, clock):
        (attendance,) = store._attendances
        assert not attendance.hears
        assert len(attendance.nodes) == 1
    assert store._attendances == []
