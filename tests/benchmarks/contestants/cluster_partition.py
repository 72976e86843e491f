"""The limit of all: each node owns a fixed share of the jobs and asks nobody. A node that dies takes its jobs along."""

from __future__ import annotations

import asyncio

from benchmarks.contestants.cluster_bare import each_batch, grouped
from benchmarks.node import Node


async def serve(node: Node) -> None:
    handlers = [node.handler(job) for job in range(len(node.phases))]
    own = [(phase, [job for job in jobs if job % node.nodes == node.index]) for phase, jobs in grouped(node)]
    create_task = asyncio.get_running_loop().create_task

    def due(_: float, jobs: list[int]) -> None:
        for job in jobs:
            create_task(handlers[job]())

    node.ready()
    await each_batch(own, due)
