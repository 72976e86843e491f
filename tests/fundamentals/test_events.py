"""Whoever subscribes is told what happens, as frozen values."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import pytest

from asyncsched import Outcome, Scheduler, events

if TYPE_CHECKING:
    from asyncsched.testing import FakeClock


async def quick() -> None: ...


async def test_the_life_of_a_run_as_events(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock, node="web-1")
    told: list[events.Event] = []
    scheduler.subscribe(told.append)
    scheduler.add_job("beat", quick).per_seconds(10)
    async with scheduler:
        await clock.advance(10)
        scheduler.remove_job("beat")
    assert [type(event).__name__ for event in told] == [
        "SchedulerStarted",
        "JobAdded",
        "RunStarted",
        "RunEnded",
        "JobRemoved",
        "SchedulerStopped",
    ]
    ended = told[3]
    assert isinstance(ended, events.RunEnded)
    assert (ended.job, ended.outcome, ended.node) == ("beat", Outcome.SUCCEEDED, "web-1")
    with pytest.raises(FrozenInstanceError):
        ended.job = "other"  # type: ignore[misc]


async def test_only_the_types_that_were_asked_for_and_only_until_unsubscribed(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    told: list[events.RunEnded] = []
    unsubscribe = scheduler.subscribe(told.append, events.RunEnded)
    scheduler.add_job("beat", quick).per_seconds(10)
    async with scheduler:
        await clock.advance(20)
        assert len(told) == 2
        unsubscribe()
        await clock.advance(20)
    assert len(told) == 2


async def test_a_subscriber_may_be_async(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    told: list[str] = []

    async def note(event: events.RunEnded) -> None:
        told.append(event.job)

    scheduler.subscribe(note, events.RunEnded)
    scheduler.add_job("beat", quick).per_seconds(10)
    async with scheduler:
        await clock.advance(10)
    assert told == ["beat"]


async def test_a_subscriber_that_fails_is_logged_and_goes_on_being_called(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(clock=clock)
    calls: list[events.RunEnded] = []

    def bad(event: events.RunEnded) -> None:
        calls.append(event)
        raise RuntimeError("full disk")

    scheduler.subscribe(bad, events.RunEnded)
    scheduler.add_job("beat", quick).per_seconds(10)
    async with scheduler:
        with caplog.at_level(logging.ERROR):
            await clock.advance(30)
    assert len(calls) == 3
    assert caplog.text.count("failed on RunEnded; it goes on being called") == 3
