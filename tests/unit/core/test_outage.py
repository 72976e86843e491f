"""An outage is said once when it begins and once when it ends."""

from __future__ import annotations

import pytest

from asyncsched._outage import QUIET, Outage
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.testing import FakeClock

AWAY = StoreUnavailableError("away")


class Told:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: list[object] = []
        self.outage = Outage(self.clock, self.said.append, lambda lasted: self.said.append(round(lasted, 6)))


@pytest.fixture
def told() -> Told:
    return Told()


async def test_once_each(told: Told) -> None:
    for _ in range(3):
        told.outage.noticed("claim", AWAY)
        await told.clock.advance(1)
    assert told.outage.is_on
    assert told.said == [AWAY]

    told.outage.ended("claim")
    told.outage.ended("claim")
    assert not told.outage.is_on
    assert told.said == [AWAY, 3.0]


def test_nothing_is_said_of_a_store_that_answers(told: Told) -> None:
    told.outage.ended("claim")

    assert told.said == []
    assert not told.outage.is_on


async def test_another_kind_that_is_answered_does_not_end_it(told: Told) -> None:
    for _ in range(10):
        told.outage.noticed("claim", AWAY)
        told.outage.ended("refresh")
        await told.clock.advance(1)

    assert told.said == [AWAY]
    assert told.outage.is_on


async def test_it_lasts_until_every_kind_that_failed_is_answered(told: Told) -> None:
    told.outage.noticed("claim", AWAY)
    await told.clock.advance(1)
    told.outage.noticed("renew", AWAY)
    told.outage.ended("claim")
    assert told.outage.is_on
    await told.clock.advance(1)
    told.outage.ended("renew")

    assert told.said == [AWAY, 2.0]


@pytest.mark.parametrize(("later", "is_on"), [(QUIET - 0.01, True), (QUIET, False), (60.0, False)])
async def test_a_kind_that_is_not_asked_again_does_not_keep_it_on(told: Told, later: float, is_on: bool) -> None:
    told.outage.noticed("claim", AWAY)
    await told.clock.advance(later)
    told.outage.ended("refresh")

    assert told.outage.is_on is is_on
    assert told.said == ([AWAY] if is_on else [AWAY, later])


async def test_the_next_outage_is_said_again_and_timed_from_its_own_begin(told: Told) -> None:
    for lasted in (2.0, 3.0):
        told.outage.noticed("claim", AWAY)
        await told.clock.advance(lasted)
        told.outage.ended("claim")
        await told.clock.advance(100)

    assert told.said == [AWAY, 2.0, AWAY, 3.0]
