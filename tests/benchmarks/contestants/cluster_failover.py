"""What exactness and failover cost together: the bare loop of ``cluster_protocol``, whose nodes tell once a second that
they are there, hear what the others have claimed, and claim 20 ms late what they have not heard of, so that no tick is
lost with a node. Still nothing is supervised, renewed, accounted for or written down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asyncsched.stores.redis import RedisStore
from benchmarks.contestants.cluster_bare import each_batch, grouped
from benchmarks.contestants.cluster_protocol import Won, claiming, of_node, running
from benchmarks.node import Node

INTERVAL = 1.0
"""Seconds between two refreshes: who is there, what is paused."""
STEP = 0.02
"""Seconds after which a node claims what it has not heard of."""


async def serve(node: Node) -> None:
    await claim_with_failover(node, RedisStore(node.url), running(node))


async def claim_with_failover(
    node: Node, store: RedisStore, carry_out: Callable[[Won], Awaitable[None]], *beside: Awaitable[None]
) -> None:
    """Claim for ever; ``beside``: what else is done meanwhile."""
    newest: dict[str, int] = {}
    attendance = store.attend(
        lambda: f"0|node-{node.index}", lambda jobs, tick_us: newest.update(dict.fromkeys(jobs, tick_us))
    )
    assert attendance is not None
    claim = claiming(store, node, carry_out)
    loop = asyncio.get_running_loop()

    def claim_rest(at: float, jobs: list[int]) -> None:
        tick_us = round(at * 1e6)
        rest = [job for job in jobs if newest.get(f"job-{job}", 0) < tick_us]
        if rest:
            claim(at, rest)

    def due(at: float, jobs: list[int]) -> None:
        own = of_node(jobs, node)
        claim(at, own)
        loop.call_later(STEP, claim_rest, at, [job for job in jobs if job % node.nodes != node.index])

    node.ready()
    await asyncio.gather(
        for_ever(store.refresh, INTERVAL), for_ever(attendance.hear, INTERVAL), each_batch(grouped(node), due), *beside
    )


async def for_ever(act: Callable[[], Awaitable[object]], interval: float) -> None:
    """Act again and again, with pauses in between."""
    while True:
        await act()
        await asyncio.sleep(interval)
