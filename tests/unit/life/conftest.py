"""Owns what the life-cycle tests share: a clock that stands still, a store on it, and a look at what is left over."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no folder of its own

from _life_doubles import Link

from asyncsched import MemoryStore, Scheduler
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def memory(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def link(memory: MemoryStore) -> Link:
    return Link(memory)


@pytest.fixture
def make(clock: FakeClock, link: Link) -> Callable[..., Scheduler]:
    """Return a scheduler on the test's clock and store, unless told otherwise."""

    def build(store: object = None, **options: Any) -> Scheduler:
        return Scheduler(store or link, **{"clock": clock, "node": "here", **options})  # type: ignore[arg-type]

    return build


@pytest.fixture
def scheduler(make: Callable[..., Scheduler]) -> Scheduler:
    return make()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> None:
    """Watch the tests that run on an event loop (the others make loops of their own, and look for themselves)."""
    if asyncio.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("clean_loop")


@pytest.fixture
async def clean_loop() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind, or an exception that nobody retrieved."""
    loop = asyncio.get_running_loop()
    complaints: list[str] = []
    loop.set_exception_handler(lambda _, context: complaints.append(repr(context)))
    yield
    for _ in range(20):
        await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    gc.collect(0)
    assert [repr(task) for task in left] == []
    assert complaints == []
