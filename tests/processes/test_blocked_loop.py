"""A handler that blocks the event loop, in real time: it is named while it lasts, and its length afterwards."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from asyncsched import Scheduler, events

pytestmark = pytest.mark.processes

AT_LEAST, AT_MOST = 0.6, 20.0
"""Seconds: more than a third of the lease's; and when to give up waiting for the report."""


class Listener(logging.Handler):
    """Keeps what is said, and by which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[logging.LogRecord] = []
        self.was_told = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "the event loop" in record.getMessage():
            self.said.append(record)
            self.was_told.set()


@pytest.fixture
def logger() -> Any:
    made = logging.getLogger("asyncsched.test.blocked")
    made.propagate = False
    listener = Listener()
    made.addHandler(listener)
    made.listener = listener  # type: ignore[attr-defined]
    yield made
    made.removeHandler(listener)


async def test_a_blocked_loop_is_reported_with_its_job_and_line(logger: Any) -> None:
    listener: Listener = logger.listener
    blocked: list[events.LoopBlocked] = []
    over = asyncio.Event()

    async def greedy() -> None:
        began = time.monotonic()
        while time.monotonic() - began < (AT_LEAST if listener.was_told.is_set() else AT_MOST):
            time.sleep(0.005)
        listener.lasted = time.monotonic() - began  # type: ignore[attr-defined]

    def note(event: events.LoopBlocked) -> None:
        blocked.append(event)
        over.set()

    scheduler = Scheduler(logger=logger, lock_ttl=1)
    scheduler.subscribe(note, events.LoopBlocked)
    scheduler.add_job("greedy", greedy).immediate().without_overlapping()
    async with scheduler:
        await asyncio.wait_for(over.wait(), 30)

    during, afterwards = listener.said
    assert during.threadName == "asyncsched-loop-watch"
    assert during.getMessage().startswith("the event loop is blocked by job=greedy, for ")
    assert f" s so far, at {__file__}:" in during.getMessage()
    assert afterwards.threadName == threading.current_thread().name
    assert "the event loop was blocked for " in afterwards.getMessage()
    assert " by job=greedy; run code that does not await as a plain function" in afterwards.getMessage()
    (event,) = blocked
    assert event.job == "greedy"
    assert 1 / 3 < event.blocked_for < AT_MOST
    assert not [thread for thread in threading.enumerate() if thread.name == "asyncsched-loop-watch"]
