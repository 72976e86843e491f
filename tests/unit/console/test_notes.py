"""Who has paused a job, or begun the maintenance, and why, is seen from everywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from asyncsched import ConfigurationError, Scheduler, UnknownJobError
from asyncsched._records import Note
from asyncsched.console import Console
from asyncsched.testing import Cluster

Make = Callable[..., Cluster]
ConsoleOf = Callable[[Cluster], Console]
START = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_console_pauses_and_resumes(make: Make, console_of: ConsoleOf, ran: list[tuple[str, str]]) -> None:
    async with make() as cluster:
        console, inside = console_of(cluster), cluster.nodes[1].scheduler.console(by="bob")
        await cluster.advance(5)
        await console.pause("work", why="the disk is full")
        await cluster.advance(30)
        assert ran == []
        note = Note(by="ada@desk", why="the disk is full", at=START + timedelta(seconds=5))
        assert (await inside.job("work")).paused == note
        assert (await inside.job("nightly")).paused is None
        await inside.resume("work")
        await cluster.advance(6)
        assert len(ran) == 1
        assert (await console.job("work")).paused is None


async def test_a_node_pauses_in_its_own_name_or_in_somebody_elses(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        scheduler, console = cluster.nodes[1].scheduler, console_of(cluster)
        await scheduler.pause("work")
        assert (await console.job("work")).paused == Note(by="n1", why="", at=START)
        await scheduler.pause("nightly", why="holidays", by="the admin page")
        assert (await console.job("nightly")).paused == Note(by="the admin page", why="holidays", at=START)
        await scheduler.maintenance(True, why="a new database", by="carol")
        assert (await console.state()).maintenance == Note(by="carol", why="a new database", at=START)
        await console.maintenance(False)
        assert (await console.state()).maintenance is None
        for bad in ({"why": 1}, {"by": b"x"}):
            with pytest.raises(ConfigurationError, match="is not a string"):
                await scheduler.pause("work", **bad)


async def test_a_pause_of_which_nobody_has_said_anything_has_an_empty_note(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        await cluster.store.set_paused("work", True)
        assert (await console_of(cluster).job("work")).paused == Note(by="", why="", at=None)


async def test_a_job_that_is_paused_for_its_failures_says_so(make: Make, console_of: ConsoleOf) -> None:
    async def fail() -> None:
        raise ValueError("no such table")

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("bad", fail).per_seconds(10).pause_after_failures(2)

    async with make(declare, nodes=1) as cluster:
        await cluster.advance(40)
        note = (await console_of(cluster).job("bad")).paused
    assert note is not None
    assert (note.by, note.why) == ("n0", "2 of its runs in a row have failed: ValueError: no such table")


async def test_what_nobody_has_cannot_be_paused_while_nodes_report(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        console = console_of(cluster)
        with pytest.raises(UnknownJobError, match="'wrok'"):
            await console.pause("wrok")
        await cluster.store.set_paused("gone", True)
        await console.resume("gone")
        assert not cluster.store.is_paused("gone")
        with pytest.raises(UnknownJobError):
            await console.resume("gone")


async def test_a_paused_job_keeps_its_history(make: Make, console_of: ConsoleOf) -> None:
    async with make(history=10) as cluster:
        console = console_of(cluster)
        await cluster.advance(25)
        await console.pause("work")
        await cluster.advance(1000)
        endings = await console.history("work")
        assert {(ending.node, ending.reason) for ending in endings[:2]} == {("n0", "paused"), ("n1", "paused")}
        assert [ending.outcome for ending in endings[2:]] == ["succeeded"] * 2, "no more than one skip of each node"
        await console.resume("work")
        await cluster.advance(20)
        await console.pause("work")
        await cluster.advance(20)
        assert [ending.reason for ending in await console.history("work")].count("paused") > 2
