"""A node whose clock differs from the store's says so, once, and shows by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _engine_doubles import Book, ScriptedStore, Skewed, answering, quick, running

from asyncsched import Scheduler, events

if TYPE_CHECKING:
    from asyncsched.testing import FakeClock


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.fixture
def remote(clock: FakeClock) -> ScriptedStore:
    """A store that is refreshed each second."""
    return ScriptedStore(clock, refresh_interval=1.0)


@pytest.mark.parametrize("skew", [0.0, 2.0, -2.5])
async def test_the_snapshot_shows_it(clock: FakeClock, remote: ScriptedStore, skew: float) -> None:
    scheduler = Scheduler(remote, clock=Skewed(clock, skew))
    remote.knows_time = False
    assert scheduler.snapshot().clock_skew is None
    remote.knows_time = True
    async with running(scheduler, clock):
        assert scheduler.snapshot().clock_skew == pytest.approx(skew)


async def test_it_is_said_when_it_begins_and_after_it_was_right(
    clock: FakeClock, remote: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    skewed = Skewed(clock, 0.0)
    scheduler = Scheduler(remote, clock=skewed, node="here")
    book = Book(scheduler)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        for skew in (0.0, 2.0, 2.0, 0.0, -2.0):
            skewed.skew = skew
            await clock.advance(20)
    assert [(event.node, round(event.skew, 3)) for event in book.of(events.ClockSkewed)] == [
        ("here", 2.0),
        ("here", -2.0),
    ]
    said = [line for line in warnings(caplog) if "this node's clock is" in line]
    assert [line.split(":")[0] for line in said] == [
        "this node's clock is 2.0 s ahead of the store's",
        "this node's clock is 2.0 s behind the store's",
    ]


async def test_what_is_unsafe_about_the_store_is_said_at_the_start(
    clock: FakeClock, remote: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    remote.on("refresh", answering("it forgets"))
    async with running(Scheduler(remote, clock=clock), clock):
        await clock.advance(10)
    assert warnings(caplog) == ["the store is not safe: it forgets"]
    assert len(remote.requests("refresh")) == 11
