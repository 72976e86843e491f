"""Owns one observation: a cluster is started, faults are made by their schedule, and what came of it is collected.

Two lanes of faults go on side by side, so that a node dies while Redis is away, or thaws into a bad network.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _file_faults
import _network_faults
import _node_faults
import _redis_faults
from _cluster import Cluster
from _history import Fault, History, read_records_of_dead
from _schedule import steps

MakeFault = Callable[[Cluster, random.Random], Awaitable[Fault]]

OF_NODES: dict[str, MakeFault] = {
    make.__name__: make
    for make in (
        *(_node_faults.kill, _node_faults.restart, _node_faults.freeze, _node_faults.block),
        *(_node_faults.clock_forward, _node_faults.clock_back),
    )
}
OF_THE_STORE: dict[str, MakeFault] = {
    make.__name__: make
    for make in (
        *(_redis_faults.redis_killed, _redis_faults.redis_emptied, _redis_faults.client_kill),
        *(_redis_faults.client_pause, _redis_faults.redis_sleeps, _redis_faults.script_flush),
        *(_redis_faults.out_of_memory, _redis_faults.keys_deleted, _redis_faults.keys_stolen),
        *(_redis_faults.keys_foreign, _network_faults.delayed, _network_faults.stalled, _network_faults.cut_off),
        *(_network_faults.half_closed, _network_faults.replies_cut, _network_faults.replies_lost),
    )
}
OF_THE_FILE: dict[str, MakeFault] = {
    make.__name__: make
    for make in (
        *(_file_faults.file_locked, _file_faults.file_deleted, _file_faults.rows_deleted, _file_faults.rows_foreign),
    )
}
OF_STORES = {"redis": OF_THE_STORE, "sqlite": OF_THE_FILE}
ABSENT, CALM = "redis_absent_at_start", "calm"
SCENARIOS = (CALM, ABSENT, *OF_NODES, *OF_THE_STORE, *OF_THE_FILE)
"""What ``--only`` takes. All have nodes whose clocks are skewed; ``calm`` has nothing else."""

SETTLE = 4.0
"""Seconds after the nodes' start, and after the last fault, in which a cluster comes to rest."""
ABSENT_FOR = 3.0
"""Seconds between the nodes' start and that of Redis."""


@dataclass(frozen=True)
class Plan:
    """What to observe."""

    seconds: float
    """For how long faults are made."""
    nodes: int = 4
    jobs: int = 99
    store: str = "redis"
    """One of ``OF_STORES``."""
    seed: int = 1
    only: str | None = None
    """One of ``SCENARIOS``; ``None``: all of them mixed."""
    pauses: tuple[float, float] = (0.5, 3.0)
    """Bounds of the seconds between two faults of a lane."""

    @property
    def redis_is_absent_at_start(self) -> bool:
        return self.store == "redis" and self.only in (None, ABSENT)

    def lanes(self) -> dict[str, dict[str, MakeFault]]:
        """Return the faults of each lane."""
        lanes = {"nodes": OF_NODES, "store": OF_STORES[self.store]}
        if self.only is None:
            return lanes
        return {lane: {self.only: faults[self.only]} for lane, faults in lanes.items() if self.only in faults}


async def observe(plan: Plan, folder: Path, tell: Callable[[str], None] = lambda _: None) -> History:
    """Carry out the plan and return what happened. ``tell`` hears of each fault."""
    cluster = Cluster(folder, nodes=plan.nodes, jobs=plan.jobs, store=plan.store)
    try:
        faults, since = await _start(cluster, plan)
        lanes = plan.lanes().items()
        until = time.monotonic() + plan.seconds
        made = await asyncio.gather(*(_make(cluster, plan, lane, pool, until, tell) for lane, pool in lanes))
        await asyncio.sleep(max(0.0, until - time.monotonic()) + SETTLE)
        observed_until = time.time()
        await asyncio.sleep(SETTLE)
        await cluster.stop()
        faults += [fault for of_lane in made for fault in of_lane]
        records = await asyncio.to_thread(read_records_of_dead, cluster.log, cluster.deaths)
        return History(
            jobs=cluster.jobs,
            records=records,
            since=since,
            until=observed_until,
            faults=sorted(faults, key=lambda fault: fault.since),
            deaths=cluster.deaths,
            stops=cluster.stops,
            writes=cluster.table.history(),
            complaints=cluster.complaints,
        )
    finally:
        await cluster.close()


async def _start(cluster: Cluster, plan: Plan) -> tuple[list[Fault], float]:
    """Start everything; return what was done by that already, and since when ticks must be accounted for."""
    if not plan.redis_is_absent_at_start:
        await cluster.start_store()
        await cluster.start_nodes()
        await asyncio.sleep(SETTLE)
        return [], time.time()
    absent_since = time.time()
    await cluster.start_nodes()
    since = time.time() + SETTLE
    await asyncio.sleep(SETTLE + ABSENT_FOR)
    await cluster.start_redis()
    return [cluster.fault(ABSENT, absent_since)], since


async def _make(
    cluster: Cluster,
    plan: Plan,
    lane: str,
    pool: dict[str, MakeFault],
    until: float,
    tell: Callable[[str], None],
) -> Sequence[Fault]:
    """Make the faults of one lane, one after the other."""
    made = []
    for step in steps(plan.seed, lane, list(pool), plan.pauses):
        if time.monotonic() + step.pause >= until:
            break
        await asyncio.sleep(step.pause)
        fault = await pool[step.fault](cluster, random.Random(step.seed))
        made.append(fault)
        tell(f"{fault.name} {fault.node or 'all'} for {fault.until - fault.since:.1f} s")
    return made
