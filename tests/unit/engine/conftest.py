"""Owns what the engine's tests share: a clock that stands still, schedulers on it, and a look at what is left over."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no folder of its own

from _engine_doubles import Book, ScriptedStore

from asyncsched import Scheduler
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> ScriptedStore:
    return ScriptedStore(clock)


@pytest.fixture
def make(clock: FakeClock, store: ScriptedStore) -> Callable[..., Scheduler]:
    """Return a scheduler on the test's clock and store, unless told otherwise."""

    def build(given: object = store, **options: Any) -> Scheduler:
        return Scheduler(given, **{"clock": clock, "node": "here", **options})  # type: ignore[arg-type]

    return build


@pytest.fixture
def scheduler(make: Callable[..., Scheduler]) -> Scheduler:
    return make()


@pytest.fixture
def book(scheduler: Scheduler) -> Book:
    """Every event of the test's scheduler."""
    return Book(scheduler)


@pytest.fixture(autouse=True)
async def leftovers() -> AsyncIterator[None]:
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
