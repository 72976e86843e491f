"""Shared by the tests of the dashboard: a cluster made of records, and the app that shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from _cluster_records import NOON, CannedConsole, ending, record, running
from _dashboard_browser import browser

from asyncsched.dashboard import dashboard
from asyncsched.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def console() -> CannedConsole:
    """Three jobs: one that has failed, one that runs, one that has done nothing yet."""
    console = CannedConsole(record("cleanup"), record("mail", active=(running("mail"),)), record("report"))
    console.ends(ending("cleanup", outcome="failed"))
    return console


@pytest.fixture
def make(console: CannedConsole, clock: FakeClock) -> Callable[..., Any]:
    """Make the app of the console."""
    return lambda **options: dashboard(console, clock=clock, **options)


@pytest.fixture
async def page(make: Callable[..., Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that looks at the read-only app."""
    async with browser(make()) as client:
        yield client
