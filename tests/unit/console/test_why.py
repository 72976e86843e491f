"""Why a tick did, or did not, run: from what nodes have written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from asyncsched import ConfigurationError, RunContext, Scheduler, UnknownJobError
from asyncsched.console import Console, Explanation
from asyncsched.testing import Cluster

Make = Callable[..., Cluster]
ConsoleOf = Callable[[Cluster], Console]
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def said(explanation: Explanation, verdict: str) -> str:
    assert explanation.verdict == verdict, explanation
    return explanation.because[0]


async def test_it_ran(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        await cluster.advance(25)
        console = console_of(cluster)
        newest = await console.why("work")
        assert newest.tick == at(20)
        assert newest == await console.why("work", at(20))
        assert [ending.fire_time for ending in newest.endings] == [at(20)]
        node = newest.endings[0].node
        because = said(newest, "ran")
    assert because == f"{node} ran it, from 2026-01-01T00:00:20+00:00 on; it succeeded after 3 s."


async def test_it_failed(make: Make, console_of: ConsoleOf) -> None:
    async def fail() -> None:
        raise ValueError("no such table")

    async with make(lambda s: s.add_job("bad", fail).per_minutes(1), nodes=1) as cluster:
        await cluster.advance(61)
        because = said(await console_of(cluster).why("bad"), "ran")
    assert because.endswith("it failed after 0 s: ValueError: no such table.")


async def test_it_runs(make: Make, console_of: ConsoleOf) -> None:
    async def work(ctx: RunContext) -> None:
        ctx.progress(3, 10, "files")
        await asyncio.sleep(20)

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("work", work).per_minutes(1)
        scheduler.add_job("delayed", work).per_minutes(1).random_delay(30, 40)

    async with make(declare, nodes=1) as cluster:
        await cluster.advance(61)
        console = console_of(cluster)
        assert "and says of it: 3 of 10 files" in said(await console.why("work"), "running")
        assert "waits with its run" in said(await console.why("delayed"), "running")


async def test_it_was_paused(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        console = console_of(cluster)
        await cluster.advance(5)
        await console.pause("work", why="the disk is full")
        await cluster.advance(27)
        first = await console.why("work", at(10))
        assert len(first.endings) == 2
        assert said(first, "skipped").endswith(
            "skipped it: the job was paused since 2026-01-01T00:00:05+00:00 by ada@desk (the disk is full)."
        )
        later = said(await console.why("work"), "paused")
        assert later == "The job is paused since 2026-01-01T00:00:05+00:00 by ada@desk (the disk is full)."
        assert said(await console.why("work", at(40)), "paused") == later, "nor will the next one run"


async def test_it_was_in_maintenance(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        console = console_of(cluster)
        await console.maintenance(True, why="a new database")
        await cluster.advance(27)
        assert "skipped it: the cluster was in maintenance" in said(await console.why("work", at(10)), "skipped")
        assert "by ada@desk (a new database)" in said(await console.why("work"), "maintenance")


async def test_another_run_was_in_the_way(make: Make, console_of: ConsoleOf) -> None:
    async def work() -> None:
        await asyncio.sleep(15)

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("long", work).per_seconds(10).on_one_server().without_overlapping()

    async with make(declare) as cluster:
        console = console_of(cluster)
        await cluster.advance(21)
        (run,) = (await console.state()).active
        now = said(await console.why("long"), "skipped")
        assert now.endswith(
            f": run {run.run_id} on {run.node}, of 2026-01-01T00:00:10+00:00, was in progress (still in progress)."
        )
        await cluster.advance(8)
        assert "was in progress (until 2026-01-01T00:00:25+00:00)" in said(await console.why("long"), "skipped")


async def test_a_condition_kept_it_back(make: Make, console_of: ConsoleOf) -> None:
    async def work() -> None: ...

    async with make(lambda s: s.add_job("picky", work).per_minutes(1).when(lambda: False), nodes=1) as cluster:
        await cluster.advance(61)
        assert "a condition of the job kept it back" in said(await console_of(cluster).why("picky"), "skipped")


async def test_the_store_was_away(make: Make, console_of: ConsoleOf) -> None:
    def declare(scheduler: Scheduler) -> None:
        async def work() -> None: ...

        scheduler.add_job("work", work).per_minutes(1).on_one_server().misfire_grace(20)

    async with make(declare, nodes=1) as cluster:
        await cluster.advance(30)
        cluster.nodes[0].partition()
        await cluster.advance(60)
        cluster.nodes[0].heal()
        because = said(await console_of(cluster).why("work"), "skipped")
    assert "the store did not decide in time" in because


async def test_it_was_missed(make: Make, console_of: ConsoleOf) -> None:
    async def work() -> None: ...

    async with make(lambda s: s.add_job("work", work).per_minutes(1), nodes=1) as cluster:
        await cluster.advance(30)
        cluster.nodes[0].freeze()
        await cluster.advance(300)
        await cluster.nodes[0].thaw()
        console = console_of(cluster)
        assert "missed it, with 3 others" in said(await console.why("work", at(120)), "missed")
        assert ", 30.0 s late; it succeeded" in said(await console.why("work"), "ran")


async def test_it_is_not_due_yet(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        await cluster.advance(3600)
        because = said(await console_of(cluster).why("nightly", at(3 * 3600)), "waiting")
    assert because == "It is not due yet, for 7200 s more; the job's next fire time is 2026-01-01T03:00:00+00:00."


async def test_there_is_no_such_tick(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        await cluster.advance(60)
        because = said(await console_of(cluster).why("work", at(25)), "unknown")
    assert because == (
        "There is no such tick in Every(10): the last before it is 2026-01-01T00:00:20+00:00, "
        "the next is 2026-01-01T00:00:30+00:00."
    )


async def test_its_node_vanished(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        console = console_of(cluster)
        await cluster.advance(21)
        (run,) = (await console.state()).active
        await {node.name: node for node in cluster.nodes}[run.node].crash()
        await cluster.advance(5)
        assert said(await console.why("work", at(20)), "running"), "as far as it was heard last"
        await cluster.advance(2)
        next(node for node in cluster.nodes if node.name != run.node).scheduler.remove_job("work")
        await cluster.advance(20)
        because = said(await console.why("work", at(20)), "vanished")
    assert because == f"{run.node} was granted it, as run {run.run_id}, and has vanished before it said how that ended."


async def test_no_node_has_the_job(make: Make, console_of: ConsoleOf) -> None:
    async with make(nodes=1) as cluster:
        console = console_of(cluster)
        await cluster.advance(25)
        await console.history("work")
        cluster.nodes[0].scheduler.remove_job("work")
        await cluster.advance(100)
        assert (
            said(await console.why("work", at(60)), "unknown")
            == "None of the 1 nodes that are there has the job 'work'."
        )
        with pytest.raises(UnknownJobError):
            await console.why("wrok")


async def test_no_node_was_up(make: Make, console_of: ConsoleOf) -> None:
    async with make(nodes=1, starts=0) as cluster:
        await cluster.advance(3600 * 5)
        await cluster.nodes[0].start()
        because = said(await console_of(cluster).why("nightly"), "unknown")
    assert (
        because == "No node that is there was up then: the first that has the job started at 2026-01-01T05:00:00+00:00."
    )


async def test_it_is_older_than_the_history(make: Make, console_of: ConsoleOf) -> None:
    async with make(history=2) as cluster:
        console = console_of(cluster)
        for _ in range(6):
            await cluster.advance(10)
            await console.history("work")
        because = said(await console.why("work", at(10)), "unknown")
    assert because.startswith("It is older than what is kept of the job")


async def test_it_came_due_just_now(make: Make, console_of: ConsoleOf) -> None:
    async with make(nodes=1) as cluster:
        await cluster.advance(9.5)
        console = console_of(cluster)
        await console.state()
        cluster.nodes[0].freeze()
        await cluster.advance(1.5)
        assert said(await console.why("work"), "waiting").startswith("It came due 1.0 s ago")
        await cluster.nodes[0].thaw()


async def test_nodes_that_differ_are_said_to_differ(make: Make, console_of: ConsoleOf) -> None:
    interval = 10

    async def work() -> None: ...

    async with make(lambda s: s.add_job("work", work).per_seconds(interval)) as cluster:
        interval = 20
        await cluster.advance(1)
        await cluster.nodes[0].restart()
        await cluster.advance(21)
        explanation = await console_of(cluster).why("work")
    assert explanation.because[-1] == (
        "Nodes declare the job differently (n1: Every(10), n0: Every(20)): they run different versions of the service."
    )


async def test_a_job_without_a_schedule_has_no_ticks(make: Make, console_of: ConsoleOf) -> None:
    async def work() -> None: ...

    async with make(lambda s: s.add_job("once", work).immediate(), nodes=1) as cluster:
        await cluster.advance(1)
        explanation = await console_of(cluster).why("once")
        assert (explanation.tick, explanation.verdict) == (None, "unknown")
        assert explanation.because[0].startswith("The job has no schedule")
        with pytest.raises(ConfigurationError, match="is naive"):
            await console_of(cluster).why("once", datetime(2026, 1, 1))


async def test_what_a_stranger_has_written_is_no_account(make: Make, console_of: ConsoleOf) -> None:
    async with make(nodes=1) as cluster:
        console, board = console_of(cluster), cluster.store.board
        await cluster.advance(15)
        await console.state()
        await board.set_note("work", "][")
        await cluster.store.set_paused("work", True)
        await cluster.advance(10)
        assert said(await console.why("work"), "skipped").endswith("skipped it: the job was paused.")
