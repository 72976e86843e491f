"""Owns the fixtures of the fundamentals: a clock that stands still until a test moves it, and a scheduler on it."""

from __future__ import annotations

import pytest

from asyncsched import Scheduler
from asyncsched.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Midnight of 1 January 2026, UTC."""
    return FakeClock()


@pytest.fixture
def scheduler(clock: FakeClock) -> Scheduler:
    """A scheduler without a server, on the test's clock."""
    return Scheduler(clock=clock)
