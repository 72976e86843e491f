"""Owns the faults of nodes: killed, frozen, stopped, blocked, with a clock that steps.

Each makes its fault, waits, undoes it and returns what it has done.
"""

from __future__ import annotations

import asyncio
import random
import time

from _cluster import Cluster
from _history import Fault


async def kill(cluster: Cluster, draw: random.Random) -> Fault:
    """kill -9, and a new node in its place: at once, or a while later."""
    place = draw.choice(cluster.places)
    name, since = cluster.nodes[place].name, time.time()
    cluster.kill_node(place)
    done = cluster.fault("kill", since, node=name)
    await asyncio.sleep(draw.choice([0.0, 2.0]))
    cluster.start_node(place)
    await cluster.wait_until_born()
    return done


async def restart(cluster: Cluster, draw: random.Random) -> Fault:
    """SIGTERM, the drain, and a new node."""
    place = draw.choice(cluster.places)
    name, since = cluster.nodes[place].name, time.time()
    await cluster.stop_node(place)
    cluster.start_node(place)
    await cluster.wait_until_born()
    return cluster.fault("restart", since, node=name)


async def freeze(cluster: Cluster, draw: random.Random) -> Fault:
    """SIGSTOP for longer than any lock_ttl, then SIGCONT."""
    place = draw.choice(cluster.places)
    await cluster.freeze_node(place)
    since = time.time()
    await asyncio.sleep(draw.uniform(3.2, 5.0))
    done = cluster.fault("freeze", since, node=cluster.nodes[place].name)
    cluster.thaw_node(place)
    return done


async def block(cluster: Cluster, draw: random.Random) -> Fault:
    """A handler that blocks the event loop for longer than its lease lasts. The node itself writes down when."""
    place = draw.choice(cluster.places)
    seconds = draw.uniform(3.2, 4.5)
    node, since = cluster.nodes[place], time.time()
    node.program.tell(f"block {seconds}")
    await asyncio.sleep(seconds + 2.0)
    return cluster.fault("block", since, node=node.name)


async def clock_forward(cluster: Cluster, draw: random.Random) -> Fault:
    """The wall clock of a node is set forward, and later back to what it was."""
    return await _step("clock_forward", cluster, draw, 1.0)


async def clock_back(cluster: Cluster, draw: random.Random) -> Fault:
    """The wall clock of a node is set back, and later forward to what it was."""
    return await _step("clock_back", cluster, draw, -1.0)


async def _step(name: str, cluster: Cluster, draw: random.Random, sign: float) -> Fault:
    place = draw.choice(cluster.places)
    node, since = cluster.nodes[place], time.time()
    node.program.tell(f"clock {cluster.skew(place) + sign * draw.uniform(0.2, 5.0)}")
    await asyncio.sleep(draw.uniform(2.0, 5.0))
    node.program.tell(f"clock {cluster.skew(place)}")
    return cluster.fault(name, since, node=node.name)
