"""asyncsched on Redis: ``Scheduler(url)`` as it comes, jobs ``on_one_server()``."""

from __future__ import annotations

from datetime import UTC, datetime

from asyncsched import Scheduler
from benchmarks.node import Node


async def serve(node: Node) -> None:
    await serve_on(node.url, node)


async def serve_on(url: str, node: Node) -> None:
    """Serve with the store of this URL."""
    scheduler = Scheduler(url, node=f"node-{node.index}")
    for job, phase in enumerate(node.phases):
        added = scheduler.add_job(f"job-{job}", node.handler_with_context(job)).on_one_server()
        if phase:
            added.every(1, anchor=datetime.fromtimestamp(phase, UTC))
        else:
            added.per_seconds(1)
    node.ready()
    await scheduler.run(signals=())
