"""Several nodes: schedulers that share a store are one cluster. Here the store is in memory; with a URL it is Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from asyncsched import MemoryStore, RunContext, Scheduler

if TYPE_CHECKING:
    from asyncsched.testing import FakeClock


@pytest.fixture
def nodes(clock: FakeClock) -> list[Scheduler]:
    """Three nodes of one cluster."""
    store = MemoryStore(clock)
    return [Scheduler(store, clock=clock, node=f"node-{n}") for n in (1, 2, 3)]


async def test_each_tick_runs_on_exactly_one_node(nodes: list[Scheduler], clock: FakeClock) -> None:
    ran: list[str] = []

    async def report(ctx: RunContext) -> None:
        ran.append(f"{ctx.fire_time:%H:%M:%S}")

    for node in nodes:
        node.add_job("report", report).per_seconds(20).on_one_server()
    async with AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(node)
        await clock.advance(60)
    assert ran == ["00:00:20", "00:00:40", "00:01:00"]
    counters: Counter[str] = Counter()
    for node in nodes:
        counters.update(node.snapshot().counters)
    assert counters == {"succeeded": 3, "elsewhere": 6}, "every node accounts for every tick"


async def test_without_the_policy_each_node_runs_it(nodes: list[Scheduler], clock: FakeClock) -> None:
    ran: list[str] = []

    async def refresh_cache(ctx: RunContext) -> None:
        ran.append(ctx.node)

    async with AsyncExitStack() as stack:
        for node in nodes:
            node.add_job("refresh_cache", refresh_cache).per_seconds(20)
            await stack.enter_async_context(node)
        await clock.advance(20)
    assert sorted(ran) == ["node-1", "node-2", "node-3"]


async def test_an_immediate_job_runs_once_in_the_cluster(nodes: list[Scheduler], clock: FakeClock) -> None:
    ran: list[str] = []

    async def migrate(ctx: RunContext) -> None:
        ran.append(ctx.node)

    async with AsyncExitStack() as stack:
        for node in nodes:
            node.add_job("migrate", migrate).immediate().on_one_server()
            await stack.enter_async_context(node)
        await clock.settle()
    assert len(ran) == 1


async def test_runs_never_overlap_in_the_cluster(nodes: list[Scheduler], clock: FakeClock) -> None:
    active: set[str] = set()
    most = runs = 0

    async def slow(ctx: RunContext) -> None:
        nonlocal most, runs
        active.add(ctx.run_id)
        most, runs = max(most, len(active)), runs + 1
        over = asyncio.Event()
        clock.call_later(15, over.set)
        await over.wait()
        active.discard(ctx.run_id)

    async with AsyncExitStack() as stack:
        for node in nodes:
            node.add_job("slow", slow).per_seconds(10).without_overlapping()
            await stack.enter_async_context(node)
        await clock.advance(106)
    assert runs == 5
    assert most == 1


async def test_a_pause_is_for_all_nodes(nodes: list[Scheduler], clock: FakeClock) -> None:
    ran: list[str] = []

    async def poll(ctx: RunContext) -> None:
        ran.append(ctx.node)

    async with AsyncExitStack() as stack:
        for node in nodes:
            node.add_job("poll", poll).per_seconds(10)
            await stack.enter_async_context(node)
        await nodes[0].pause("poll")
        await clock.advance(30)
        assert ran == []
        await nodes[2].resume("poll")
        await clock.advance(10)
    assert sorted(ran) == ["node-1", "node-2", "node-3"]


async def test_another_node_takes_over(nodes: list[Scheduler], clock: FakeClock) -> None:
    ran: list[str] = []

    async def report(ctx: RunContext) -> None:
        ran.append(ctx.node)

    first, second, _ = nodes
    for node in (first, second):
        node.add_job("report", report).per_seconds(10).on_one_server()
    async with second:
        async with first:
            await clock.advance(20)
        await clock.advance(20)
    assert len(ran) == 4, "no tick was lost when a node left"
    assert ran[2:] == ["node-2", "node-2"]
