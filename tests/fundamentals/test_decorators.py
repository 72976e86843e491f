"""A job may be described above its function, which stays what it is."""

from __future__ import annotations

from asyncsched import Scheduler
from asyncsched.testing import FakeClock


async def test_the_decorated_function_is_the_handler_and_unchanged(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    calls: list[str] = []

    @scheduler.job("cleanup").daily_at("23:30:00").on_one_server().without_overlapping()
    async def cleanup() -> None:
        calls.append("cleaned")

    await cleanup()
    assert calls == ["cleaned"]
    assert scheduler.get_job("cleanup").handler is cleanup
    async with scheduler:
        await clock.advance(86_400)
    assert calls == ["cleaned", "cleaned"]
