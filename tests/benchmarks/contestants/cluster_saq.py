"""SAQ: each job a unique ``CronJob`` of every second, looked for once a second, which is the least it can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from saq import CronJob, Queue, Worker

from benchmarks.node import Node


def _function(handler: Callable[[], Awaitable[None]], name: str) -> Callable[[Any], Awaitable[None]]:
    async def function(_: Any) -> None:
        await handler()

    function.__name__ = function.__qualname__ = name
    return function


async def serve(node: Node) -> None:
    functions = [_function(node.handler(job), f"job_{job}") for job in range(len(node.phases))]
    queue = Queue.from_url(node.url)
    worker = Worker(
        queue,
        functions=functions,
        cron_jobs=[CronJob(function, cron="* * * * * *") for function in functions],
        concurrency=100,
    )
    worker.SIGNALS = []
    node.ready()
    await worker.start()
