"""What a simulated cluster refuses, and how it ends where the library or a declaration is at fault."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import ConfigurationError, Scheduler, SchedulerError
from asyncsched.testing import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable


def once(scheduler: Scheduler) -> None:
    """Declare a job whose ticks run once."""

    @scheduler.job("work").per_minutes(1).on_one_server()
    async def work() -> None: ...


async def test_a_job_that_is_not_complete_ends_the_start() -> None:
    declared: list[Scheduler] = []

    def declare(scheduler: Scheduler) -> None:
        declared.append(scheduler)
        if len(declared) == 2:
            scheduler.job("hollow").per_seconds(1)

    with pytest.raises(ConfigurationError, match="hollow"):
        async with Cluster(declare):
            pass
    assert [scheduler.snapshot().state for scheduler in declared] == ["idle"] * 3
    assert "call_at" not in vars(asyncio.get_running_loop())


async def test_what_cannot_be_is_refused() -> None:
    cluster = Cluster(once, nodes=2)
    node = cluster.nodes[0]
    for wrong in (node.stop, node.crash, node.thaw):
        with pytest.raises(SchedulerError, match="'n0' is down"):
            await wrong()
    with pytest.raises(SchedulerError, match="'n0' is down"):
        node.freeze()
    with pytest.raises(ConfigurationError, match="latency: 1 "):
        node.latency = 1
    async with cluster:
        with pytest.raises(SchedulerError, match="up already"):
            await node.start()
        node.freeze()
        assert "frozen" in repr(node)
        with pytest.raises(SchedulerError, match="frozen"):
            await node.stop()
        await node.crash()
    assert repr(cluster) == "<Cluster <Node n0 down> <Node n1 down>>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": 0}, "nodes: 0"),
        ({"nodes": True}, "nodes: True"),
        ({"nodes": 2.0}, "nodes: 2.0"),
        ({"skew": (1, 2)}, r"\(1, 2\) has not one number for each of 3 nodes"),
        ({"skew": -1}, "skew: -1"),
        ({"starts": 4}, "starts: 4 is not from 0 to 3"),
        ({"starts": -1}, "starts: -1"),
        ({"node": "a"}, "node is the cluster's own"),
    ],
)
def test_a_cluster_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Cluster(once, **arguments)


class _Broken(Exception):
    pass


async def test_a_scheduler_that_fails_fails_the_stop_too(monkeypatch: Any) -> None:
    async def broken(_: object) -> Any:
        raise _Broken

    async with Cluster(once, nodes=1) as cluster:
        monkeypatch.setattr(cluster.store, "claim", broken)
        await cluster.clock.advance(60)
        with pytest.raises(_Broken):
            await cluster.nodes[0].stop()


@pytest.mark.parametrize("end", [lambda cluster: cluster.advance(60), lambda cluster: cluster.run_until(lambda: False)])
async def test_a_scheduler_that_fails_ends_the_test(end: Callable[[Cluster], Any], monkeypatch: Any) -> None:
    async def broken(_: object) -> Any:
        raise _Broken

    cluster = Cluster(once, nodes=2)
    with pytest.raises(_Broken):  # noqa: PT012 - it is the end of the block that raises
        async with cluster:
            monkeypatch.setattr(cluster.store, "claim", broken)
            with pytest.raises(AssertionError, match=r"node 'n\d' has ended by itself|nobody waits"):
                await end(cluster)
