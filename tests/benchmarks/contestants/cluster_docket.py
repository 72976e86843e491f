"""docket: each job a ``Cron`` task of every second, on workers of 20 tasks that look for due ones every 20 ms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from docket import Cron, Docket, Worker

from benchmarks.node import Node

CHECK = timedelta(milliseconds=20)


def _task(handler: Callable[[], Awaitable[None]], name: str) -> Callable[..., Awaitable[None]]:
    async def task(cron: Cron = Cron("* * * * * *")) -> None:  # noqa: B008
        await handler()

    task.__name__ = task.__qualname__ = name
    return task


async def serve(node: Node) -> None:
    async with Docket(name="bench", url=node.url) as docket:
        for job in range(len(node.phases)):
            docket.register(_task(node.handler(job), f"job_{job}"))
        node.ready()
        async with Worker(
            docket,
            name=f"node-{node.index}",
            concurrency=20,
            minimum_check_interval=CHECK,
            scheduling_resolution=CHECK,
        ) as worker:
            await worker.run_forever()
