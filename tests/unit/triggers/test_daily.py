"""``Daily``: strict times of day, and Debian's rule where a local clock jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Daily


def fires(trigger: Daily, after: str, until: str) -> list[str]:
    """Return the fire times in (after, until] as ISO strings with the local offset."""
    found, instant = [], trigger.next_fire_time(datetime.fromisoformat(after))
    while instant is not None and instant.astimezone(UTC) <= datetime.fromisoformat(until).astimezone(UTC):
        found.append(instant.isoformat())
        instant = trigger.next_fire_time(instant)
    return found


def test_times_are_sorted_and_collapsed() -> None:
    daily = Daily("18:00", "09:00:00", "18:00:00")
    assert fires(daily, "2026-03-01T09:00:00Z", "2026-03-02T10:00:00Z") == [
        "2026-03-01T18:00:00+00:00",
        "2026-03-02T09:00:00+00:00",
    ]
    assert daily == Daily("09:00", "18:00")


# Each row: zone, time of day, first and last instant looked at, and all fire times between them.
TRANSITIONS = [
    pytest.param(
        "Europe/Berlin", ["02:30"], "2026-03-28T12:00Z", "2026-03-30T12:00Z",
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"], id="gap: fires at its end",
    ),
    pytest.param(
        "Europe/Berlin", ["02:00", "02:59:59", "03:00"], "2026-03-28T12:00Z", "2026-03-29T12:00Z",
        ["2026-03-29T03:00:00+02:00"], id="gap: all of its times are one fire",
    ),
    pytest.param(
        "Europe/Berlin", ["01:59:59", "03:00:01"], "2026-03-28T12:00Z", "2026-03-29T12:00Z",
        ["2026-03-29T01:59:59+01:00", "2026-03-29T03:00:01+02:00"], id="gap: its neighbours are untouched",
    ),
    pytest.param(
        "Europe/Berlin", ["02:30"], "2026-10-24T12:00Z", "2026-10-26T12:00Z",
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"], id="repeated hour: first pass only",
    ),
    pytest.param(
        "Europe/Berlin", ["02:00", "03:00"], "2026-10-24T12:00Z", "2026-10-25T12:00Z",
        ["2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"], id="repeated hour: its two edges",
    ),
    pytest.param(
        "America/New_York", ["01:30"], "2025-11-02T06:15Z", "2025-11-03T12:00Z",
        ["2025-11-03T01:30:00-05:00"], id="asked within the second pass: the next day",
    ),
    pytest.param(
        "Australia/Lord_Howe", ["02:10", "02:30"], "2026-10-03T00:00Z", "2026-10-04T00:00Z",
        ["2026-10-04T02:30:00+11:00"], id="gap of half an hour",
    ),
    pytest.param(
        "Australia/Lord_Howe", ["01:45", "02:00"], "2026-04-04T00:00Z", "2026-04-05T00:00Z",
        ["2026-04-05T01:45:00+11:00", "2026-04-05T02:00:00+10:30"], id="repeated half hour",
    ),
    pytest.param(
        "America/Sao_Paulo", ["00:00", "23:30"], "2018-11-03T12:00Z", "2018-11-05T04:00Z",
        ["2018-11-03T23:30:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-04T23:30:00-02:00",
         "2018-11-05T00:00:00-02:00"], id="gap at midnight",
    ),
    pytest.param(
        "America/Sao_Paulo", ["23:30"], "2018-02-17T12:00Z", "2018-02-19T12:00Z",
        ["2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"], id="repeated hour before midnight",
    ),
    pytest.param(
        "Africa/Cairo", ["00:30"], "2024-04-25T12:00Z", "2024-04-26T23:00Z",
        ["2024-04-26T01:00:00+03:00", "2024-04-27T00:30:00+03:00"], id="gap at midnight, Cairo",
    ),
    pytest.param(
        "Asia/Beirut", ["00:00"], "2024-03-30T12:00Z", "2024-03-31T12:00Z",
        ["2024-03-31T01:00:00+03:00"], id="gap at midnight, Beirut",
    ),
    pytest.param(
        "Pacific/Apia", ["09:00", "17:00"], "2011-12-29T20:00-10:00", "2011-12-31T12:00+14:00",
        ["2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"], id="skipped day: fires at its end",
    ),
    pytest.param(
        "Pacific/Kwajalein", ["09:00"], "1969-09-30T12:00+11:00", "1969-10-02T12:00-12:00",
        ["1969-10-01T09:00:00-12:00", "1969-10-02T09:00:00-12:00"], id="clock put back by 23 hours",
    ),
    pytest.param(
        "Antarctica/Troll", ["01:15", "02:45"], "2026-03-28T12:00Z", "2026-03-29T12:00Z",
        ["2026-03-29T03:00:00+02:00"], id="gap of two hours",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("key", "times", "after", "until", "expected"), TRANSITIONS)
def test_transitions(key: str, times: list[str], after: str, until: str, expected: list[str]) -> None:
    assert fires(Daily(*times, timezone=key), after, until) == expected


def test_clock_put_back_by_23_hours_repeats_nothing() -> None:
    """Kwajalein's 30 September 1969 came twice; asked within its second pass, the day is over."""
    within_second_pass = datetime(1969, 9, 30, 20, tzinfo=ZoneInfo("Pacific/Kwajalein"), fold=1)
    answer = Daily("21:00", timezone="Pacific/Kwajalein").next_fire_time(within_second_pass)
    assert answer is not None
    assert answer.isoformat() == "1969-10-01T21:00:00-12:00"


def test_answer_is_in_the_zone_of_the_trigger() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    answer = Daily("09:00", timezone="Europe/Berlin").next_fire_time(datetime(2026, 7, 1, tzinfo=UTC))
    assert answer is not None
    assert (answer.tzinfo, answer.hour) == (berlin, 9)


@pytest.mark.parametrize("fold", [0, 1])
def test_a_wall_time_that_does_not_exist_may_be_asked_about(fold: int) -> None:
    """02:45 in the gap is 03:45 (fold 0) or 01:45 (fold 1): both are instants like any other."""
    after = datetime(2026, 3, 29, 2, 45, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)
    answer = Daily("03:15", timezone="Europe/Berlin").next_fire_time(after)
    assert answer is not None
    assert answer.isoformat() == ("2026-03-29T03:15:00+02:00" if fold else "2026-03-30T03:15:00+02:00")


def test_a_meaningless_fold_is_ignored() -> None:
    after = datetime(2026, 7, 1, 8, tzinfo=ZoneInfo("Europe/Berlin"))
    daily = Daily("09:00", timezone="Europe/Berlin")
    assert daily.next_fire_time(after.replace(fold=1)) == daily.next_fire_time(after)


def test_fixed_offsets_are_zones() -> None:
    answer = Daily("09:00", timezone=timezone(timedelta(hours=5, minutes=30))).next_fire_time(
        datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert answer is not None
    assert answer.isoformat() == "2026-01-01T09:00:00+05:30"


@pytest.mark.parametrize("key", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_nothing_fires_after_the_year_9999(key: str) -> None:
    daily = Daily("00:00", "23:30", timezone=key)
    assert daily.next_fire_time(datetime.max.replace(tzinfo=UTC)) is None
    assert daily.next_fire_time(datetime.max.replace(tzinfo=timezone(-timedelta(hours=14)))) is None
    before = datetime(9999, 12, 31, 0, 30, tzinfo=timezone.utc)  # noqa: UP017
    answers = []
    while (answer := daily.next_fire_time(before)) is not None:
        answers.append(answer.astimezone(UTC))
        before = answer
    assert answers == sorted(answers)
    assert len(answers) <= 2


def test_asked_from_before_the_year_1() -> None:
    earliest = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
    answer = Daily("09:00").next_fire_time(earliest)
    assert answer == datetime(1, 1, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("24:00:00", " (did you mean '00:00:00'?)"),
        ("24:00", " (did you mean '00:00'?)"),
        ("9:00", " (did you mean '09:00'?)"),
        ("9:00:00", " (did you mean '09:00:00'?)"),
        *((value, "") for value in ("09:60:00", "09:00:60", "25:00", "09", "0900", "09:00:00.5", "", "9", "noon")),
        *((value, "") for value in ("+9:00", "-09:00", " 09:00", "09:00 ", "09:00\n", "09: 0", "09:00:00Z")),
        *((value, "") for value in ("\u0660\u0669:\u0660\u0660", "\uff10\uff19:\uff10\uff10", "0\u096f:00")),
        *((value, "") for value in (None, 9, 9.5, b"09:00", ["09:00"], ("09:00",), datetime(2026, 1, 1).time())),
    ],
)
def test_refused_times(value: object, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Daily("10:00", value)  # type: ignore[arg-type]
    rule = "is not HH:MM:SS or HH:MM, two digits each, from 00:00:00 to 23:59:59"
    assert str(caught.value) == f"daily time {value!r} {rule}{hint}"


def test_no_time_at_all() -> None:
    with pytest.raises(ConfigurationError, match="daily times: none given; at least one"):
        Daily()


def test_unknown_zone() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'Europe/Berlin'"):
        Daily("09:00", timezone="Europe/Berln")
