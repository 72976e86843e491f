"""The pytest plugin of asyncsched: the fixtures ``asyncsched_clock`` and ``scheduler_factory``.

It is a package of its own, and imports asyncsched only when a test has one of them: every run of pytest loads it, also
those that have nothing to do with asyncsched, and those that measure asyncsched's coverage.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from asyncsched.testing import FakeClock, SchedulerFactory


@pytest.fixture
def asyncsched_clock() -> FakeClock:
    """A clock that stands still until told to move. Define a fixture of this name to start at another time."""
    from asyncsched.testing import FakeClock

    return FakeClock()


@pytest.fixture
def scheduler_factory(asyncsched_clock: FakeClock) -> Iterator[SchedulerFactory]:
    """Makes schedulers on ``asyncsched_clock``; the test fails if one of their engines does, or if it leaks a run."""
    from asyncsched.testing import SchedulerFactory

    factory = SchedulerFactory(asyncsched_clock)
    yield factory
    factory.check_closed()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Generator[None, object, object]:
    """Let an async test run where asyncio's timers of runs follow its clock, and stop its schedulers on its own event
    loop: whichever plugin runs it, a fixture's end may come when that is closed."""
    clock = getattr(item, "funcargs", {}).get("asyncsched_clock")
    if clock is None or not inspect.iscoroutinefunction(item.obj):
        return (yield)
    test, factory = item.obj, item.funcargs.get("scheduler_factory", nullcontext())

    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        with clock.patch_asyncio():
            async with factory:
                await test(*args, **kwargs)

    item.obj = run
    try:
        return (yield)
    finally:
        item.obj = test
