"""taskiq with taskiq-redis: three workers on a stream, and the one scheduler process that its documentation asks for;
each job a task with an interval of one second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from taskiq import TaskiqScheduler
from taskiq.api import run_receiver_task, run_scheduler_task
from taskiq.schedule_sources import LabelScheduleSource
from taskiq_redis import RedisStreamBroker

from benchmarks.node import Node


def _task(handler: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def task() -> None:
        await handler()

    return task


async def serve(node: Node) -> None:
    broker = RedisStreamBroker(url=node.url)
    broker.is_worker_process = node.role == "node"
    broker.is_scheduler_process = not broker.is_worker_process
    for job in range(len(node.phases)):
        broker.register_task(
            _task(node.handler(job)), task_name=f"job-{job}", schedule=[{"interval": timedelta(seconds=1)}]
        )
    node.ready()
    if node.role == "node":
        await broker.startup()
        await run_receiver_task(broker)
    else:
        await asyncio.sleep(1.5)  # the workers have to make the stream's group first
        await run_scheduler_task(TaskiqScheduler(broker, [LabelScheduleSource(broker)]), run_startup=True)
