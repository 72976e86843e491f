"""Schedulers whose servers fail over, or of whose servers one is away: no tick twice, and work goes on by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from _redis_sentinel import SERVICE

from asyncsched import RunContext, Scheduler, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from _redis_cluster import RedisCluster

pytestmark = [pytest.mark.redis, pytest.mark.processes]

PERIOD = 0.1
PATIENCE = 30.0
"""Seconds that a test waits for what must happen at last; on a quiet machine it takes one or two."""


class Nodes:
    """Schedulers that share jobs, and all that they ran and said."""

    def __init__(self, sources: list[Any], jobs: list[str], **options: Any) -> None:
        self.runs: list[tuple[str, datetime]] = []
        self.told: list[tuple[str, type[events.Event]]] = []
        self.schedulers = [self._node(number, source, jobs, options) for number, source in enumerate(sources)]

    def _node(self, number: int, source: Any, jobs: list[str], options: dict[str, Any]) -> Scheduler:
        scheduler = Scheduler(source, node=f"node{number}", lock_ttl=60, **options)
        for job in jobs:
            scheduler.add_job(job, self._work).per_seconds(PERIOD).on_one_server().without_overlapping()
        scheduler.subscribe(lambda event: self.told.append((event.node, type(event))), events.StoreLost)
        scheduler.subscribe(lambda event: self.told.append((event.node, type(event))), events.StoreRecovered)
        return scheduler

    async def _work(self, ctx: RunContext) -> None:
        self.runs.append((ctx.job, ctx.fire_time))

    async def __aenter__(self) -> Nodes:
        for scheduler in self.schedulers:
            await scheduler.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for scheduler in self.schedulers:
            await scheduler.stop()

    async def run_more(self, job: str, number: int = 5) -> None:
        """Wait until a job has run so many times more."""
        before = self.count(job)
        await self.until(lambda: self.count(job) >= before + number)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not is_so():
                await asyncio.sleep(0.02)

    def count(self, job: str) -> int:
        return sum(name == job for name, _ in self.runs)

    def count_told(self, kind: type[events.Event]) -> list[int]:
        return [self.told.count((f"node{number}", kind)) for number in range(len(self.schedulers))]

    def all_recovered(self) -> bool:
        """Whether each node has told the end of each outage that it told: a failover may be two to a node that meets
        the new primary before it is at its post."""
        return self.count_told(events.StoreLost) == self.count_told(events.StoreRecovered)

    def repeated(self) -> list[tuple[str, datetime]]:
        return [tick for tick, times in Counter(self.runs).items() if times > 1]


async def test_a_primary_that_dies_is_replaced_and_no_tick_runs_twice(make_sentinel_service: Any) -> None:
    service = make_sentinel_service(replicas=2)
    sentinel = redis.asyncio.Sentinel(service.addresses, socket_timeout=0.3)
    client = sentinel.master_for(SERVICE)
    clients = [client, *sentinel.sentinels]  # now: it may lose one of them while it changes their order
    async with Nodes([service.url, service.url, client], ["job"], replica_ack=1) as nodes:
        await nodes.run_more("job")
        service.primary.kill()
        await asyncio.to_thread(service.wait_failed_over)
        await nodes.run_more("job")
        await nodes.until(lambda: 0 not in nodes.count_told(events.StoreLost) and nodes.all_recovered())
    for each in clients:
        await each.connection_pool.disconnect()

    assert nodes.repeated() == []


async def test_a_primary_of_a_cluster_that_hangs_stops_its_own_jobs_only(
    make_redis_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncsched._outage.QUIET", 2.0)  # else the end of it is told five to ten seconds later
    cluster: RedisCluster = make_redis_cluster()
    away, there = (cluster.job_of(primary) for primary in cluster.primaries[:2])
    async with Nodes([cluster.url] * 2, [away, there]) as nodes:
        await nodes.run_more(away)
        cluster.primaries[0].freeze()
        await nodes.run_more(there)
        stopped_at = nodes.count(away)
        await nodes.run_more(there, 10)
        assert nodes.count(away) == stopped_at
        assert not nodes.schedulers[0].snapshot().store_available
        cluster.primaries[0].thaw()
        await nodes.run_more(away)
        await nodes.until(lambda: nodes.count_told(events.StoreRecovered) == [1, 1])

    assert nodes.repeated() == []
    assert nodes.count_told(events.StoreLost) == [1, 1]


async def test_a_primary_of_a_cluster_that_dies_is_replaced(make_redis_cluster: Any) -> None:
    cluster: RedisCluster = make_redis_cluster(replicas=2)
    job = cluster.job_of(cluster.primaries[0])
    async with Nodes([cluster.url] * 2, [job], replica_ack=1) as nodes:
        await nodes.run_more(job)
        cluster.primaries[0].kill()
        await nodes.run_more(job)

    assert nodes.repeated() == []
