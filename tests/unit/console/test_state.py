"""What a console shows of a cluster: its nodes, its jobs, and how their ticks have ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from asyncsched import ConfigurationError, MemoryStore, Scheduler, UnknownJobError
from asyncsched.console import Console
from asyncsched.testing import Cluster

Make = Callable[..., Cluster]
ConsoleOf = Callable[[Cluster], Console]
START = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_state_has_all_nodes_and_what_they_run(make: Make, console_of: ConsoleOf) -> None:
    async with make(environment="production") as cluster:
        await cluster.advance(11)
        state = await console_of(cluster).state()
    assert [(node.node, node.state, node.jobs) for node in state.nodes] == [
        ("n0", "running", ("nightly", "work")),
        ("n1", "running", ("nightly", "work")),
    ]
    assert {node.environment for node in state.nodes} == {"production"}
    assert state.taken_at == START + timedelta(seconds=11)
    (run,) = state.active
    assert (run.job, run.kind, run.fire_time) == ("work", "tick", START + timedelta(seconds=10))
    assert run.started_at is not None
    assert run.run_id


async def test_a_job_tells_its_declaration_its_next_tick_and_its_last_ending(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        await cluster.advance(25)
        console = console_of(cluster)
        job = await console.job("work")
        assert {each.job: each for each in (await console.state()).jobs}["work"] == job
    assert set(job.definitions) == {"n0", "n1"}
    assert not job.differs
    assert job.definition is not None
    assert job.definition.schedule == "Every(10)"
    assert job.definition.policies == ("on_one_server", "without_overlapping")
    assert job.next_fire_time == START + timedelta(seconds=30)
    assert job.last is not None
    assert job.last.outcome == "succeeded"
    assert job.last_success_at == job.last.at == START + timedelta(seconds=23)


async def test_the_history_is_of_all_nodes_newest_first(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        await cluster.advance(60)
        console = console_of(cluster)
        endings = await console.history("work")
        two = await console.history(most=2)
        some = await console.history(since=endings[3].at, until=endings[1].at)
    assert [ending.fire_time for ending in endings] == [START + timedelta(seconds=s) for s in (50, 40, 30, 20, 10)]
    assert all(ending.outcome == "succeeded" and ending.fence > 0 and ending.duration == 3 for ending in endings)
    assert two == endings[:2]
    assert some == endings[1:4]


async def test_a_node_that_leaves_is_gone_and_one_that_dies_has_vanished(make: Make, console_of: ConsoleOf) -> None:
    async with make(nodes=3) as cluster:
        await cluster.advance(11)
        console = console_of(cluster)
        assert len((await console.state()).nodes) == 3
        await cluster.nodes[0].stop()
        await cluster.nodes[1].crash()
        await cluster.advance(16)
        state = await console.state()
        assert [(node.node, node.state) for node in state.nodes] == [("n1", "vanished"), ("n2", "running")]
        assert set(state.jobs[0].definitions) == {"n2"}
        await cluster.advance(3600)
        assert [node.node for node in (await console.state()).nodes] == ["n2"]


async def test_a_rolling_deployment_shows_that_nodes_differ(make: Make, console_of: ConsoleOf) -> None:
    interval = 10

    async def work() -> None: ...

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("work", work).per_seconds(interval)
        scheduler.add_job("same", work).per_seconds(1)

    async with make(declare) as cluster:
        await cluster.advance(5)
        interval = 20
        await cluster.nodes[0].restart()
        state = await console_of(cluster).state()
        assert {job.job: job.differs for job in state.jobs} == {"same": False, "work": True}
        work_of = {job.job: job for job in state.jobs}["work"]
        assert {node: each.schedule for node, each in work_of.definitions.items()} == {
            "n0": "Every(20)",
            "n1": "Every(10)",
        }
        assert work_of.definition is not None
        assert work_of.definition.schedule == "Every(20)", "that of the node that started last"
        await cluster.nodes[1].restart()
        assert not any(job.differs for job in (await console_of(cluster).state()).jobs)


async def test_jobs_come_and_go_with_their_scheduler(make: Make, console_of: ConsoleOf) -> None:
    async def work() -> None: ...

    async with make(nodes=1) as cluster:
        scheduler, console = cluster.nodes[0].scheduler, console_of(cluster)
        scheduler.add_job("late", work).per_seconds(5)
        await cluster.advance(6)
        assert (await console.job("late")).last is not None
        scheduler.remove_job("late")
        with pytest.raises(UnknownJobError, match="'late'"):
            await console.job("late")
        assert await console.history("late"), "its history is kept"
        assert {ending.job for ending in await console.history()} == {"late"}
    assert {ending.job for ending in await console.history()} == {"late"}, "also after all nodes have left"


async def test_what_a_console_refuses(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="would be a new, empty store"):
        Console(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="by: 1 is not a string"):
        Console(MemoryStore(), by=1)  # type: ignore[arg-type]
    console = Console(MemoryStore())
    for most in (0, 10_001, True, "5"):
        with pytest.raises(ConfigurationError, match="is not a whole number in 1-10000"):
            await console.history(most=most)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="is naive"):
        await console.history(since=datetime(2026, 1, 1))
    with pytest.raises(ConfigurationError, match=r"maintenance\(1\)"):
        await console.maintenance(1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="why: 3 is not a string"):
        await console.maintenance(True, why=3)  # type: ignore[arg-type]


async def test_an_empty_cluster_has_a_state(make: Make) -> None:
    console = Console(MemoryStore())
    state = await console.state()
    assert (state.nodes, state.jobs, state.active, state.maintenance) == ((), (), (), None)
    assert await console.history() == ()
    assert await console.locks() == ()
    assert [finding.level for finding in await console.check()] == ["ok"]
