"""streaq: each job a unique ``cron`` of every second."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from streaq import Worker

from benchmarks.node import Node


def _task(handler: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def task() -> None:
        await handler()

    return task


async def serve(node: Node) -> None:
    worker = Worker(redis_url=node.url, concurrency=100, handle_signals=False, id=f"node-{node.index}")
    for job in range(len(node.phases)):
        worker.cron("* * * * * * *", name=f"job-{job}", silent=True)(_task(node.handler(job)))
    node.ready()
    await worker.run_async()
