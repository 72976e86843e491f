"""``stepper``: the integer form of triggers, and the check of what users' triggers answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from asyncsched._instants import from_us, to_us
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Cron, Daily, Every, Once, Union
from asyncsched.triggers._stepping import stepper

if TYPE_CHECKING:
    from asyncsched.protocols import Trigger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_US = to_us(NOON)


class Answers:
    """Answers the same whatever it is asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def next_fire_time(self, after: datetime) -> datetime | None:
        return self.answer  # type: ignore[return-value]

    def __repr__(self) -> str:
        return "Answers()"


class Late(Every):
    """A subclass that fires one second after the grid, and knows nothing of integers."""

    def next_fire_time(self, after: datetime) -> datetime | None:
        instant = super().next_fire_time(after - timedelta(seconds=1))
        return instant and instant + timedelta(seconds=1)


@pytest.mark.parametrize(
    "trigger",
    [
        Every(30),
        Every(0.25, anchor=NOON + timedelta(milliseconds=3)),
        Daily("09:00", "12:00:01", timezone="Asia/Kathmandu"),
        Cron("*/7 * * * *", "Europe/London"),
        Once(NOON + timedelta(seconds=90), NOON + timedelta(seconds=91)),
        Every(7) | Every(11),
        Every(7) | Daily("12:00:30") | Once(NOON + timedelta(seconds=8)),
        Answers(NOON + timedelta(days=3650)),
        Every(3600) | Answers(None),
    ],
    ids=repr,
)
def test_same_answers_as_through_datetimes(trigger: Trigger) -> None:
    step, after_us = stepper(trigger), NOON_US
    for _ in range(20):
        expected = trigger.next_fire_time(from_us(after_us))
        answer = step(after_us)
        assert answer == (expected and to_us(expected))
        if answer is None or isinstance(trigger, Answers):
            break
        after_us = answer


def test_never_is_none() -> None:
    assert stepper(Answers(None))(NOON_US) is None
    assert stepper(Once(NOON) | Once(NOON))(NOON_US) is None


def test_integer_paths_are_taken() -> None:
    every, once = Every(30), Once(NOON)
    assert stepper(every) == every.next_fire_us
    assert stepper(once) == once.next_fire_us
    assert stepper(every | Answers(None))(NOON_US) == NOON_US + 30_000_000


def test_union_of_one_is_that_one() -> None:
    every = Every(30)
    assert stepper(Union(every)) == every.next_fire_us


def test_subclass_that_overrides_next_fire_time_is_asked() -> None:
    assert stepper(Late(30))(NOON_US) == NOON_US + 1_000_000


def test_union_subclass_that_overrides_next_fire_time_is_asked() -> None:
    class First(Union):
        def next_fire_time(self, after: datetime) -> datetime | None:
            return NOON + timedelta(seconds=1)

    assert stepper(First(Every(30)))(NOON_US) == NOON_US + 1_000_000


@pytest.mark.parametrize("trigger", [Daily("09:00"), Every(60), Answers(NOON), Every(60) | Daily("09:00")])
def test_nothing_after_the_year_9999(trigger: Trigger) -> None:
    assert stepper(trigger)(10**18) is None


def test_answer_beyond_the_year_9999_in_utc_is_never() -> None:
    last = datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))
    assert stepper(Answers(last))(NOON_US) is None


def test_instants_before_the_year_1_are_asked_as_the_first() -> None:
    assert stepper(Daily("09:00"))(-(10**18)) == to_us(datetime(1, 1, 1, 9, tzinfo=UTC))


@pytest.mark.parametrize(
    ("answer", "shown", "rule"),
    [
        (NOON, "2026-03-01T12:00:00+00:00", "strictly later than `after`"),
        (NOON - timedelta(days=1), "2026-02-28T12:00:00+00:00", "strictly later than `after`"),
        (datetime(2027, 1, 1), "2027-01-01T00:00:00", "an aware datetime, or None"),
        (1_800_000_000, "1800000000", "an aware datetime, or None"),
        (NOON.date(), "datetime.date(2026, 3, 1)", "an aware datetime, or None"),
        ("2027-01-01T00:00Z", "'2027-01-01T00:00Z'", "an aware datetime, or None"),
    ],
)
def test_answers_against_the_rule(answer: object, shown: str, rule: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        stepper(Answers(answer))(NOON_US)
    asked = "next_fire_time(2026-03-01T12:00:00+00:00)"
    assert str(caught.value) == f"trigger Answers(): {asked} answered {shown}; the answer must be {rule}"


def test_second_pass_is_later_than_the_first() -> None:
    """Within one zone datetimes compare by wall time; the check looks at instants."""
    wall = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert stepper(Answers(wall.replace(fold=1)))(to_us(wall)) == to_us(wall) + 3_600_000_000


@pytest.mark.parametrize("value", [None, 30, "@daily", Every])
def test_what_is_no_trigger(value: Trigger) -> None:
    with pytest.raises(ConfigurationError, match="is not a trigger: it has no next_fire_time"):
        stepper(value)
