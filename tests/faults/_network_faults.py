"""Owns the faults of the ways between nodes and Redis. Some are made to one node, some to all.

Each makes its fault, waits, undoes it and returns what it has done.
"""

from __future__ import annotations

import asyncio
import random
import time

from _cluster import Cluster
from _history import Fault
from _proxy import Proxy


async def delayed(cluster: Cluster, draw: random.Random) -> Fault:
    """Everything comes late, by up to half a second in each direction."""
    since, (node, proxies) = time.time(), _drawn(cluster, draw)
    for proxy in proxies:
        proxy.delay = draw.uniform(0.005, 0.5)
    return await _healed("delayed", cluster, node, proxies, since, draw.uniform(2.0, 4.0))


async def stalled(cluster: Cluster, draw: random.Random) -> Fault:
    """Nothing comes through, for longer than a lease lasts or shorter; then all of it at once."""
    since, (node, proxies) = time.time(), _drawn(cluster, draw)
    for proxy in proxies:
        proxy.stall()
    return await _healed("stalled", cluster, node, proxies, since, draw.uniform(0.3, 4.5))


async def cut_off(cluster: Cluster, draw: random.Random) -> Fault:
    """All connections end, and no new one is made, for longer than a lease lasts or shorter."""
    since, (node, proxies) = time.time(), _drawn(cluster, draw)
    for proxy in proxies:
        proxy.refusing = True
        await proxy.drop()
    return await _healed("cut_off", cluster, node, proxies, since, draw.uniform(0.3, 4.5))


async def half_closed(cluster: Cluster, draw: random.Random) -> Fault:
    """Connections end in one direction, again and again."""
    since, (node, proxies) = time.time(), _drawn(cluster, draw)
    for _ in range(draw.randint(3, 12)):
        for proxy in proxies:
            proxy.half_close()
        await asyncio.sleep(draw.uniform(0.0, 0.3))
    return await _healed("half_closed", cluster, node, proxies, since, 0.0)


async def replies_cut(cluster: Cluster, draw: random.Random) -> Fault:
    """The server carries out what it was asked, and its answer arrives in half."""
    since, (node, proxies) = time.time(), _drawn(cluster, draw)
    for _ in range(draw.randint(3, 12)):
        for proxy in proxies:
            proxy.replies_to_cut = draw.randint(1, 4)
        await asyncio.sleep(draw.uniform(0.1, 0.4))
    return await _healed("replies_cut", cluster, node, proxies, since, 0.0)


async def replies_lost(cluster: Cluster, draw: random.Random) -> Fault:
    """The server carries out what it was asked, and its answer does not arrive."""
    since, (node, proxies) = time.time(), _drawn(cluster, draw)
    for _ in range(draw.randint(3, 12)):
        for proxy in proxies:
            proxy.replies_to_lose = draw.randint(1, 4)
        await asyncio.sleep(draw.uniform(0.1, 0.4))
    return await _healed("replies_lost", cluster, node, proxies, since, 0.0)


def _drawn(cluster: Cluster, draw: random.Random) -> tuple[str, list[Proxy]]:
    """Return one node and its proxy, or no name and all proxies."""
    place = draw.choice([None, *cluster.places, *cluster.places])
    if place is None:
        return "", cluster.proxies
    return cluster.nodes[place].name, [cluster.proxies[place]]


async def _healed(name: str, cluster: Cluster, node: str, proxies: list[Proxy], since: float, seconds: float) -> Fault:
    await asyncio.sleep(seconds)
    for proxy in proxies:
        proxy.heal()
    return cluster.fault(name, since, node=node)
