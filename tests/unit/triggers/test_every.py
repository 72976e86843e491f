"""``Every``: a grid of integers, anchored for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from asyncsched._instants import to_us
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import EPOCH, Every

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("interval", "after", "expected"),
    [
        pytest.param(30, "12:00:00", "12:00:30", id="a fire time itself is not later than itself"),
        pytest.param(30, "12:00:29.999999", "12:00:30", id="one microsecond before"),
        pytest.param(30, "12:00:30.000001", "12:01:00", id="one microsecond after"),
        pytest.param(0.001, "12:00:00", "12:00:00.001000", id="shortest interval"),
        pytest.param(0.25, "12:00:00.300000", "12:00:00.500000", id="fraction of a second"),
        pytest.param(timedelta(minutes=15), "12:07:03", "12:15:00", id="timedelta"),
        pytest.param(11, "12:00:00", "12:00:09", id="grid hangs on the epoch, not on midnight"),
        pytest.param(1e-3 + 4e-7, "00:00:00", "00:00:00.001000", id="rounded to whole microseconds"),
    ],
)
def test_next_instant_of_the_grid(interval: float | timedelta, after: str, expected: str) -> None:
    day = "1970-01-01" if "00:00:00" in after[:8] else "2026-03-01"
    asked = datetime.fromisoformat(f"{day}T{after}+00:00")
    assert Every(interval).next_fire_time(asked) == datetime.fromisoformat(f"{day}T{expected}+00:00")


def test_anchor_moves_the_grid_in_both_directions() -> None:
    every = Every(3600, anchor=NOON + timedelta(minutes=20))
    assert every.next_fire_time(NOON - timedelta(days=400)) == NOON - timedelta(days=400) + timedelta(minutes=20)
    assert every.next_fire_time(NOON + timedelta(days=400)) == NOON + timedelta(days=400, minutes=20)


def test_fire_times_before_the_anchor_exist() -> None:
    assert Every(60).next_fire_time(datetime(1969, 12, 31, 23, 58, 30, tzinfo=UTC)) == EPOCH - timedelta(minutes=1)


def test_answer_is_in_utc_whatever_the_zone_of_the_question() -> None:
    answer = Every(86_400).next_fire_time(NOON.astimezone(ZoneInfo("Asia/Tokyo")))
    assert answer is not None
    assert (answer.tzinfo, answer) == (UTC, datetime(2026, 3, 2, tzinfo=UTC))


def test_long_grid_does_not_drift() -> None:
    """A float of 0.1 s is not exact; the grid of whole microseconds is."""
    every = Every(0.1)
    instant_us = to_us(NOON)
    for _ in range(10_000):
        instant_us = every.next_fire_us(instant_us) or 0
    assert instant_us == to_us(NOON) + 1_000_000_000


def test_nothing_fires_after_the_year_9999() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert Every(1).next_fire_time(last - timedelta(seconds=1)) == last
    assert Every(1).next_fire_time(last) is None
    assert Every(1).next_fire_us(10**18) is None


@pytest.mark.parametrize("interval", [1, 0.25, 7, timedelta(hours=5)])
@pytest.mark.parametrize("start_us", [-3_000_000, 0, 1, 1_764_000_000_123_456])
def test_count_between_counts_what_stepping_finds(interval: float | timedelta, start_us: int) -> None:
    every = Every(interval, anchor=EPOCH + timedelta(milliseconds=120))
    until_us = start_us + 40_000_000
    found, instant_us = 0, start_us
    while (instant_us := every.next_fire_us(instant_us) or 0) <= until_us:
        found += 1
    assert every.count_between(start_us, until_us) == found


@pytest.mark.parametrize(
    ("after_us", "until_us", "count"),
    [
        pytest.param(0, 10_000_000, 1, id="end belongs to it"),
        pytest.param(10_000_000, 19_999_999, 0, id="start does not"),
        pytest.param(10_000_000, 10_000_000, 0, id="empty"),
        pytest.param(20_000_000, 0, 0, id="backwards"),
        pytest.param(-10_000_001, 0, 2, id="before the epoch"),
        pytest.param(253_402_300_790_000_000, 10**30, 0, id="beyond the year 9999"),
    ],
)
def test_count_between_bounds(after_us: int, until_us: int, count: int) -> None:
    assert Every(10).count_between(after_us, until_us) == count


@pytest.mark.parametrize(
    ("interval", "rule"),
    [
        (0, "0 is below the least value, 0.001 s"),
        (0.0009, "0.0009 is below the least value, 0.001 s"),
        (-5, "-5 is below the least value, 0.001 s"),
        (timedelta(microseconds=999), "is below the least value, 0.001 s"),
        (float("nan"), "nan is not finite"),
        (float("inf"), "inf is not finite"),
        (10**400, "is not finite"),
        (True, "True is neither a number of seconds nor a timedelta"),
        ("30", "'30' is neither a number of seconds nor a timedelta"),
        (None, "None is neither a number of seconds nor a timedelta"),
        (36_501 * 86_400, "is longer than 36500 days"),
    ],
)
def test_refused_intervals(interval: object, rule: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Every(interval)  # type: ignore[arg-type]
    assert rule in str(caught.value)


def test_refused_anchors() -> None:
    with pytest.raises(ConfigurationError, match=r"Every\(anchor=\): .* is naive"):
        Every(1, anchor=datetime(2026, 1, 1))
    with pytest.raises(ConfigurationError, match=r"Every\(anchor=\): 'now' is not a datetime"):
        Every(1, anchor="now")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"Every\(anchor=\): .* is outside the years 1 to 9999 in UTC"):
        Every(1, anchor=datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))))
