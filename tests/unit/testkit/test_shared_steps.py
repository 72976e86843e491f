"""What the nodes of a simulated cluster compute in common, and what each computes for itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from asyncsched import Scheduler
from asyncsched.testing import Cluster, FakeClock
from asyncsched.testing._shared_steps import MOST_ANSWERS, SharedSteps, remembering
from asyncsched.triggers import Cron, Daily

START = datetime(2026, 1, 1, tzinfo=UTC)


class Hourly:
    """A user's trigger, which notes each question."""

    def __init__(self) -> None:
        self.asked: list[datetime] = []

    def next_fire_time(self, after: datetime) -> datetime:
        self.asked.append(after)
        return after.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


class WithoutHash(Hourly):
    __hash__ = None  # type: ignore[assignment]


class Doubling:
    """A step that counts how often it is taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __call__(self, after_us: int) -> int | None:
        self.taken += 1
        if after_us < 0:
            raise ValueError(after_us)
        return None if after_us > 1000 else 2 * after_us


def test_a_step_is_taken_once_for_each_of_the_newest_questions() -> None:
    doubling = Doubling()
    step = remembering(doubling)
    assert [step(1), step(1), step(1001), step(1001), step(1)] == [2, 2, None, None, 2]
    assert doubling.taken == 2
    assert [step(after) for after in range(2, MOST_ANSWERS + 2)] == [2 * after for after in range(2, MOST_ANSWERS + 2)]
    taken = doubling.taken
    assert (step(1), doubling.taken) == (2, taken + 1), "the oldest answer was forgotten"


def test_what_a_step_raises_is_no_answer() -> None:
    doubling = Doubling()
    step = remembering(doubling)
    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            step(-1)
    assert doubling.taken == 2


def test_equal_triggers_share_a_step_and_others_do_not() -> None:
    steps, doubling = SharedSteps(), Doubling()
    first = steps.shared(Daily("09:00"), doubling)
    assert steps.shared(Daily("09:00"), Doubling()) is first
    assert steps.shared(Daily("09:00", timezone="Europe/Berlin"), doubling) is not first
    assert steps.shared(Cron("0 9 * * *"), doubling) is not first
    assert steps.shared(WithoutHash(), doubling) is doubling


@pytest.mark.parametrize("kind", [Hourly, WithoutHash])
async def test_nodes_that_are_given_the_same_trigger_ask_it_once_if_it_can_be_told_apart(kind: type[Hourly]) -> None:
    trigger = kind()

    def declare(scheduler: Scheduler) -> None:
        @scheduler.job("work").schedule(trigger).on_one_server()
        async def work() -> None: ...

    async with Cluster(declare, nodes=3, clock=FakeClock(START)) as cluster:
        trigger.asked.clear()
        await cluster.advance("5 hours")
        assert len(trigger.asked) == 5 * (3 if kind is WithoutHash else 1)
        cluster.ran_once_per_tick("work")
