"""Every trigger is a value: immutable, equal by what it says, hashable, picklable, with a useful ``repr``."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from asyncsched import triggers
from asyncsched.exceptions import ConfigurationError
from asyncsched.protocols import Trigger
from asyncsched.triggers import (
    Between,
    Cron,
    Daily,
    Every,
    Excluding,
    Monthly,
    Once,
    OnDays,
    RRule,
    Union,
    UnlessBetween,
    Weekly,
    Within,
    Yearly,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
PLUS_TWO = timezone(timedelta(hours=2))
CALENDAR = {date(2026, 5, 1): "May Day"}

REPRS: list[tuple[Trigger, str]] = [
    (Every(30), "Every(30)"),
    (Every(timedelta(hours=2)), "Every(7200)"),
    (Every(0.25), "Every(0.25)"),
    (Every(5, anchor=START.astimezone(PLUS_TWO)), "Every(5, anchor=2026-01-01T00:00:00+00:00)"),
    (Daily("09:00"), "Daily('09:00:00')"),
    (
        Daily("18:00", "09:00:30", timezone="Europe/Berlin"),
        "Daily('09:00:30', '18:00:00', timezone='Europe/Berlin')",
    ),
    (Daily("09:00", timezone=PLUS_TWO), f"Daily('09:00:00', timezone={PLUS_TWO!r})"),
    (Cron("*/5  *\t* * *"), "Cron('*/5 * * * *')"),
    (Cron("@daily", "Asia/Tokyo"), "Cron('@daily', timezone='Asia/Tokyo')"),
    (Once(START), "Once(2026-01-01T00:00:00+00:00)"),
    (
        Once(*(START + timedelta(days=n) for n in range(5))),
        "Once(2026-01-01T00:00:00+00:00, 2026-01-02T00:00:00+00:00, 2026-01-03T00:00:00+00:00, and 2 more)",
    ),
    (Every(30) | Cron("@daily"), "Union(Every(30), Cron('@daily'))"),
    (Daily("09:00", dst="skip"), "Daily('09:00:00', dst='skip')"),
    (Cron("30 2 * * *", "Asia/Tokyo", dst="both"), "Cron('30 2 * * *', timezone='Asia/Tokyo', dst='both')"),
    (Weekly("MON-fri,sun", "09:00"), "Weekly('mon-fri,sun', '09:00:00')"),
    (Weekly("sat-mon", "09:00", dst="both"), "Weekly('mon,sat,sun', '09:00:00', dst='both')"),
    (Monthly(1, "00:05"), "Monthly(1, '00:05:00')"),
    (Monthly("last", "00:05", timezone="Asia/Tokyo"), "Monthly('last', '00:05:00', timezone='Asia/Tokyo')"),
    (Monthly(("last", 15), "00:05"), "Monthly((15, 'last'), '00:05:00')"),
    (Yearly(12, 24, "18:00", "09:00"), "Yearly(12, 24, '09:00:00', '18:00:00')"),
    (Yearly(2, "last", "18:00"), "Yearly(2, 'last', '18:00:00')"),
    (
        RRule("FREQ=DAILY;BYHOUR=9", starting=START.astimezone(PLUS_TWO), timezone="Asia/Tokyo"),
        "RRule('FREQ=DAILY;BYHOUR=9', starting=2026-01-01T00:00:00+00:00, timezone='Asia/Tokyo')",
    ),
    (
        RRule("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=3", dst="skip"),
        "RRule('DTSTART:20260101T090000\\nRRULE:FREQ=DAILY;COUNT=3', dst='skip')",
    ),
    (OnDays(Every(30), "mon-fri", timezone="Asia/Tokyo"), "OnDays(Every(30), 'mon-fri', timezone='Asia/Tokyo')"),
    (Between(Every(30), "09:00", "17:00"), "Between(Every(30), '09:00:00', '17:00:00')"),
    (UnlessBetween(Every(30), "23:00", "04:00"), "UnlessBetween(Every(30), '23:00:00', '04:00:00')"),
    (
        Excluding(Every(30), date(2026, 12, 25), [date(2026, 1, 1)]),
        "Excluding(Every(30), 2026-01-01, 2026-12-25)",
    ),
    (
        Excluding(Every(30), [date(2026, 1, day) for day in range(1, 10)], CALENDAR),
        "Excluding(Every(30), 2026-01-01, 2026-01-02, 2026-01-03, 6 more dates, dict)",
    ),
    (Within(Every(30), starting=START), "Within(Every(30), starting=2026-01-01T00:00:00+00:00)"),
    (
        Within(Every(30), starting=START, until=START),
        "Within(Every(30), starting=2026-01-01T00:00:00+00:00, until=2026-01-01T00:00:00+00:00)",
    ),
]
TRIGGERS = [pytest.param(trigger, id=text) for trigger, text in REPRS]


def test_public_names_are_complete() -> None:
    assert {name for name in vars(triggers) if name[0] != "_"} - {"annotations"} == set(triggers.__all__)


@pytest.mark.parametrize(("trigger", "text"), REPRS)
def test_repr(trigger: Trigger, text: str) -> None:
    assert repr(trigger) == text


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_is_a_trigger(trigger: Trigger) -> None:
    assert isinstance(trigger, Trigger)


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_pickles_to_an_equal_value(trigger: Trigger, protocol: int) -> None:
    twin = pickle.loads(pickle.dumps(trigger, protocol))
    assert twin == trigger
    assert twin.next_fire_time(START) == trigger.next_fire_time(START)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_copies_and_hashes_by_value(trigger: Trigger) -> None:
    twin = copy.deepcopy(trigger)
    assert {trigger, twin, copy.copy(trigger)} == {trigger}
    assert hash(twin) == hash(trigger)


def test_no_two_are_equal() -> None:
    every = [trigger for trigger, _ in REPRS]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Every(60), Every(timedelta(minutes=1))),
        (Every(60, anchor=START), Every(60.0, anchor=START.astimezone(PLUS_TWO))),
        (Daily("09:00", "09:00:00"), Daily("09:00:00", timezone=UTC)),
        (Daily("09:00", timezone="Europe/Berlin"), Daily("09:00", timezone=ZoneInfo("Europe/Berlin"))),
        (Cron("0  9 * * *"), Cron(" 0 9 * * *\t", ZoneInfo("UTC"))),
        (Once(START, START), Once(START.astimezone(PLUS_TWO))),
        (Union(Every(1)), Union(Union(Every(1)))),
        (Weekly("mon,TUE,wed", "09:00"), Weekly("mon-wed", "09:00:00")),
        (Monthly(15, "09:00"), Monthly([15, 15], "09:00")),
        (OnDays(Every(1), "sat", "sun"), OnDays(Every(1), "sat-sun")),
        (Excluding(Every(1), date(2026, 1, 1)), Excluding(Every(1), iter([date(2026, 1, 1)]))),
        (Within(Every(1), until=START), Within(Every(1), until=START.astimezone(PLUS_TWO))),
    ],
)
def test_equal_by_value(one: Trigger, other: Trigger) -> None:
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_immutable(trigger: Trigger) -> None:
    for name in type(trigger).__slots__:  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            setattr(trigger, name, None)
    with pytest.raises((AttributeError, TypeError)):
        trigger.surprise = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize(
    ("after", "rule"),
    [
        (datetime(2026, 1, 1), "is naive; give it a time zone"),
        (None, "is not a datetime"),
        (0, "is not a datetime"),
    ],
)
def test_refused_questions(trigger: Trigger, after: datetime, rule: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        trigger.next_fire_time(after)
    assert str(caught.value).startswith(f"next_fire_time(): {after!r} {rule}")
