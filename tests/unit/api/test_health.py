"""``scheduler.health()``: live, ready, and the reasons, from any thread."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import ConfigurationError, Health, MemoryStore, Scheduler, StoreUnavailableError
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 1, 1, tzinfo=UTC)


class Remote(MemoryStore):
    """A store with a way to it, which can be cut."""

    is_down = False
    refresh_interval = 1.0  # type: ignore[assignment]
    is_known = False

    async def refresh(self) -> Sequence[str]:
        if self.is_down:
            raise StoreUnavailableError("nobody answers")
        self.is_known = True
        return ()

    def time(self) -> float | None:
        return super().time() if self.is_known else None


async def work() -> None: ...


def asked_elsewhere(scheduler: Scheduler, **options: Any) -> Health:
    """Ask from another thread."""
    answers: list[Health] = []
    thread = threading.Thread(target=lambda: answers.append(scheduler.health(**options)))
    thread.start()
    thread.join()
    return answers[0]


def test_before_the_start_it_is_live_and_not_ready() -> None:
    health = Scheduler().health()
    assert (health.live, health.ready, health.state) == (True, False, "idle")
    assert health.reasons == ("the scheduler does not run",)


async def test_a_running_scheduler_is_ready_and_a_draining_one_is_not() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock=clock)
    scheduler.add_job("long", lambda: gate.wait()).immediate()
    gate = threading.Event()
    async with scheduler:
        await asyncio.sleep(0)
        health = scheduler.health()
        assert (health.live, health.ready, health.reasons, health.state) == (True, True, (), "running")
        stopping = asyncio.ensure_future(scheduler.stop())
        await asyncio.sleep(0.01)
        health = scheduler.health()
        assert (health.live, health.ready, health.reasons) == (True, False, ("the scheduler is stopping",))
        gate.set()
        await stopping
    assert scheduler.health().state == "idle"


async def test_an_outage_is_told_with_its_beginning_and_ends() -> None:
    clock = FakeClock(START)
    store = Remote(clock=clock)
    scheduler = Scheduler(store, clock=clock)
    scheduler.add_job("a", work).per_seconds(30)
    async with scheduler:
        assert scheduler.health().reasons == ("the store has not answered yet",)
        await clock.advance(10.5)
        assert scheduler.health().ready
        store.is_down = True
        await clock.advance(4)
        health = scheduler.health()
        assert (health.live, health.ready) == (True, False)
        assert health.store_lost_at == START + timedelta(seconds=11)
        assert health.reasons == ("the store has not answered for 3.5 s",)
        store.is_down = False
        await clock.advance(2)
        assert scheduler.health().store_lost_at is None
        assert scheduler.health().ready


async def test_a_loop_that_stands_still_is_not_live_and_is_again_when_it_turns() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock=clock)
    scheduler.add_job("a", work).per_hours(1)
    async with scheduler:
        await clock.advance(1)
        assert asked_elsewhere(scheduler).live
        await clock.advance(1)
        clock.elapsed += 1 + 9.0  # time passes, and the loop does not turn
        assert asked_elsewhere(scheduler).live
        assert not asked_elsewhere(scheduler, stale_after=8).live
        clock.elapsed += 2.0
        health = asked_elsewhere(scheduler)
        assert (health.live, health.ready, health.loop_silent_for) == (False, False, 11.0)
        assert health.reasons == ("the event loop has not turned for 11.0 s",)
        await clock.advance(1)
        health = asked_elsewhere(scheduler)
        assert (health.live, health.ready, health.loop_silent_for) == (True, True, 0.0)
        assert health.loop_lag == 11.0


async def test_an_engine_that_failed_is_not_live_until_it_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    scheduler = Scheduler(store, clock=clock)
    scheduler.add_job("a", work).per_seconds(1).on_one_server()

    async def claim(requests: object) -> Any:
        raise ZeroDivisionError("a fault of the store's")

    monkeypatch.setattr(store, "claim", claim)
    with pytest.raises(ZeroDivisionError):
        async with scheduler:
            await clock.advance(2)
    health = scheduler.health()
    assert (health.live, health.ready, health.state) == (False, False, "idle")
    assert health.reasons == (
        "the engine failed: ZeroDivisionError: a fault of the store's",
        "the scheduler does not run",
    )
    monkeypatch.undo()
    async with scheduler:
        assert scheduler.health().ready


@pytest.mark.parametrize("limit", [0.5, 0, "10", None, True])
def test_a_limit_below_a_second_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="health\\(\\) stale_after"):
        Scheduler().health(stale_after=limit)
