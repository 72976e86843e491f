"""Shared by the tests of the console: a cluster of two nodes in fake time, and a console from outside of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched.console import Console
from asyncsched.testing import Cluster

if TYPE_CHECKING:
    from asyncsched import RunContext, Scheduler

Declare = Callable[["Scheduler"], object]


@pytest.fixture
def ran() -> list[tuple[str, str]]:
    """Node and job of each run that has started."""
    return []


@pytest.fixture
def declare(ran: list[tuple[str, str]]) -> Declare:
    """The jobs of the service: one that works for 3 s of each 10, and one that is due at night."""

    async def work(ctx: RunContext) -> None:
        ran.append((ctx.node, ctx.job))
        await asyncio.sleep(3)

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("work", work).per_seconds(10).on_one_server().without_overlapping()
        scheduler.add_job("nightly", work).daily_at("03:00:00").on_one_server()

    return declare


@pytest.fixture
def make(declare: Declare) -> Callable[..., Cluster]:
    def make(other: Declare | None = None, **options: Any) -> Cluster:
        return Cluster(other or declare, **{"nodes": 2, **options})

    return make


@pytest.fixture
def console_of() -> Callable[[Cluster], Console]:
    return lambda cluster: Console(cluster.store, by="ada@desk", clock=cluster.clock)
