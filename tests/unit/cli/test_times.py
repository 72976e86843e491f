"""How times are read and shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._text import GLUE
from asyncsched.cli._times import absolute, both, iso, read_instant, relative, since, span

NOW = datetime(2026, 11, 28, 23, 41, 7, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (-0.25, "250 ms"),
        (1, "1 s"),
        (1.0, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (63, "1 min 3 s"),
        (599, "9 min 59 s"),
        (600, "10 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (15_120, "4 h 12 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (-100_000, "1 d 3 h"),
        (40 * 86_400, "40 d"),
    ],
)
def test_lengths(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "now"),
        (0.9, "now"),
        (-0.9, "now"),
        (1, "in 1 s"),
        (-1.5, "1 s ago"),
        (-200, "3 min 20 s ago"),
        (7200, "in 2 h"),
    ],
)
def test_relative(seconds: float, shown: str) -> None:
    assert relative(NOW + timedelta(seconds=seconds), NOW) == shown


@pytest.mark.parametrize(
    ("instant", "zone", "shown"),
    [
        (NOW, UTC, "23:41:07 UTC"),
        (NOW - timedelta(days=1), UTC, "27 Nov 23:41:07 UTC"),
        (NOW + timedelta(days=40), UTC, "2027-01-07 23:41:07 UTC"),
        (NOW, BERLIN, "00:41:07 CET"),  # and today is the 29th there
        (NOW - timedelta(hours=1), BERLIN, "28 Nov 23:41:07 CET"),
        (NOW - timedelta(days=100), BERLIN, "21 Aug 01:41:07 CEST"),
    ],
)
def test_absolute(instant: datetime, zone: ZoneInfo, shown: str) -> None:
    assert absolute(instant, NOW, zone) == shown


def test_an_instant_is_folded_between_its_two_forms_only() -> None:
    words = both(NOW + timedelta(hours=30), NOW, UTC).split(" ")
    assert [word.replace(GLUE, " ") for word in words] == ["in 1 d 6 h", "(30 Nov 05:41:07 UTC)"]
    assert since(NOW - timedelta(minutes=52), NOW, UTC).replace(GLUE, " ") == "22:49:07 UTC (52 min)"
    assert since(NOW - timedelta(seconds=0.9), NOW, UTC).replace(GLUE, " ") == "23:41:06 UTC (just now)"


def test_instants_for_machines_sort_as_they_follow_each_other() -> None:
    assert iso(datetime(2026, 11, 29, 0, 41, 7, 5, tzinfo=BERLIN)) == "2026-11-28T23:41:07.000005Z"
    assert iso(NOW) == "2026-11-28T23:41:07.000000Z"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("15min", NOW - timedelta(minutes=15)),
        ("1.5h", NOW - timedelta(minutes=90)),
        (" 3D ", NOW - timedelta(days=3)),
        ("1w", NOW - timedelta(days=7)),
        ("+2h", NOW + timedelta(hours=2)),
        ("2026-11-28T23:30", datetime(2026, 11, 28, 22, 30, tzinfo=UTC)),  # in the zone asked for
        ("2026-11-28 23:30:05Z", datetime(2026, 11, 28, 23, 30, 5, tzinfo=UTC)),
        ("2026-11-28T23:30+05:00", datetime(2026, 11, 28, 18, 30, tzinfo=UTC)),
    ],
)
def test_what_is_read_as_a_time(text: str, instant: datetime) -> None:
    assert read_instant(text, NOW, BERLIN, option="--since") == instant


def test_without_a_zone_the_machines_is_meant() -> None:
    read = read_instant("2026-11-28T23:30", NOW, None, option="--since")
    assert read == datetime(2026, 11, 28, 23, 30).astimezone(UTC)


NO_TIMES = ["", "2", "h", "2x", "-2h", "²h", "23:30", "tomorrow", "2026-13-01", "999999999w", "1e3s"]


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Refusal, match="is no time: give an instant such as") as refused:
        read_instant(text, NOW, UTC, option="--since")
    assert refused.value.code is Exit.USAGE
