"""Owns the fixtures of the fundamentals, made of those that users have: a clock that stands still until a test moves
it, and a scheduler on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asyncsched import Scheduler
    from asyncsched.testing import FakeClock, SchedulerFactory


@pytest.fixture
def clock(asyncsched_clock: FakeClock) -> FakeClock:
    """Midnight of 1 January 2026, UTC."""
    return asyncsched_clock


@pytest.fixture
def scheduler(scheduler_factory: SchedulerFactory) -> Scheduler:
    """A scheduler without a server, on the test's clock."""
    return scheduler_factory()
