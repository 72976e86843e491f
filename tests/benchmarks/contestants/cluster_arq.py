"""arq: each job a unique ``cron`` of every second, at its very beginning, polled every 100 ms instead of every 500."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from arq import cron
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.node import Node

POLL = 0.1


def _job(handler: Callable[[], Awaitable[None]]) -> Callable[[dict[Any, Any]], Awaitable[None]]:
    async def job(_: dict[Any, Any]) -> None:
        await handler()

    return job


async def serve(node: Node) -> None:
    seconds = set(range(60))
    jobs = [
        cron(_job(node.handler(job)), name=f"job-{job}", second=seconds, microsecond=0)
        for job in range(len(node.phases))
    ]
    worker = Worker(
        cron_jobs=jobs,
        redis_settings=RedisSettings.from_dsn(node.url),
        handle_signals=False,
        max_jobs=max(100, len(jobs)),
        poll_delay=POLL,
        log_results=False,
    )
    node.ready()
    await worker.async_run()
