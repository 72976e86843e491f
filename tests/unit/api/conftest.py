"""Owns what the tests of the public interface share: a clock that stands still, schedulers on it, a look at the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import MemoryStore, Scheduler, StoreUnavailableError
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def clock() -> FakeClock:
    """A clock that shows 2026-01-01 00:00:00 UTC."""
    return FakeClock()


@pytest.fixture
def make_scheduler(clock: FakeClock) -> Callable[..., Scheduler]:
    """Make schedulers on the fake clock; options as of ``Scheduler``."""

    def make(store: object = None, **options: Any) -> Scheduler:
        return Scheduler(store, **{"clock": clock, "node": "here", **options})  # type: ignore[arg-type]

    return make


@pytest.fixture
def scheduler(make_scheduler: Callable[..., Scheduler]) -> Scheduler:
    """A scheduler on the fake clock and a store in memory."""
    return make_scheduler()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Return the messages that the scheduler logged so far, of one level or of all, that contain a text."""
    caplog.set_level(logging.DEBUG, logger="asyncsched")

    def find(text: str = "", level: int | None = None) -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name == "asyncsched" and text in record.getMessage() and level in (None, record.levelno)
        ]

    return find


class FlakyStore(MemoryStore):
    """A store in memory whose waiting methods fail while ``down``, as a server that does not answer would."""

    down = False

    async def refresh(self) -> tuple[str, ...]:
        self._check()
        return ()

    async def set_paused(self, job: str, paused: bool) -> None:
        self._check()
        await super().set_paused(job, paused)

    async def claim(self, requests: Any) -> Any:
        self._check()
        return await super().claim(requests)

    async def renew(self, leases: Any) -> Any:
        self._check()
        return await super().renew(leases)

    async def release(self, leases: Any) -> Any:
        self._check()
        return await super().release(leases)

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailableError("no answer from the test's store")


@pytest.fixture
def flaky_store(clock: FakeClock) -> FlakyStore:
    """A store that stops answering while its attribute ``down`` is true."""
    return FlakyStore(clock)
