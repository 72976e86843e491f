"""In an ASGI app the scheduler runs while the app does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched import Scheduler

if TYPE_CHECKING:
    from asyncsched.testing import FakeClock


async def quick() -> None: ...


async def test_it_runs_while_the_app_does(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.add_job("beat", quick).per_seconds(10)
    app = object()  # FastAPI(lifespan=scheduler.lifespan) calls it with the app
    async with scheduler.lifespan(app) as state:
        assert state == {"scheduler": scheduler}
        await clock.advance(20)
        assert scheduler.snapshot().state == "running"
    assert scheduler.snapshot().state == "idle"
    assert scheduler.snapshot().counters == {"succeeded": 2}
