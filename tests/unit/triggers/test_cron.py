"""``Cron``: what expressions mean, Debian's rules, and faults of cronsim 2.8 that must not reach users."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Cron


def fires(trigger: Cron, after: str, count: int) -> list[str]:
    """Return the next fire times, as ISO strings with the local offset."""
    found: list[str] = []
    instant: datetime | None = datetime.fromisoformat(after)
    while instant is not None and len(found) < count:
        instant = trigger.next_fire_time(instant)
        if instant is not None:
            found.append(instant.isoformat())
    return found


def days(expression: str, after: str, count: int) -> list[str]:
    return [instant[:10] for instant in fires(Cron(expression), after, count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/5 * * * *", "2026-03-01T12:05:00"),
        ("5/15 * * * *", "2026-03-01T12:05:00"),
        ("10-20/5 * * * *", "2026-03-01T12:10:00"),
        ("0 9 * * 1-5", "2026-03-02T09:00:00"),
        ("0 9 * * mon-Fri", "2026-03-02T09:00:00"),
        ("0 0 * jan,JUL *", "2026-07-01T00:00:00"),
        ("0 0 1 * *", "2026-04-01T00:00:00"),
        ("0 0 L * *", "2026-03-31T00:00:00"),
        ("0 0 LW 5 *", "2026-05-29T00:00:00"),
        ("0 0 * * 5L", "2026-03-27T00:00:00"),
        ("0 0 * * FRI#2", "2026-03-13T00:00:00"),
        ("0 0 * * 7", "2026-03-08T00:00:00"),
        ("0 0 * * 0", "2026-03-08T00:00:00"),
        ("0 0 * * 5-7", "2026-03-06T00:00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00:00"),
        ("*/10 * * * * *", "2026-03-01T12:00:10"),
        ("30 0 9 * * *", "2026-03-02T09:00:30"),
        ("\t0\t 13   * * * ", "2026-03-01T13:00:00"),
        ("@hourly", "2026-03-01T13:00:00"),
        ("@daily", "2026-03-02T00:00:00"),
        ("@midnight", "2026-03-02T00:00:00"),
        ("@weekly", "2026-03-08T00:00:00"),
        ("@monthly", "2026-04-01T00:00:00"),
        ("@yearly", "2027-01-01T00:00:00"),
        ("@Annually", "2027-01-01T00:00:00"),
    ],
)
def test_what_expressions_mean(expression: str, expected: str) -> None:
    assert fires(Cron(expression), "2026-03-01T12:00:00Z", 1) == [f"{expected}+00:00"]


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "*/7 3-5,22 * * *",
        "*/13 */7 */5 L * *",
        "15 30 5 * * *",
        "5/15 10/3 * feb-apr sun,3",
        "59 59 23 31 12 *",
        "0 0 29 2 mon",
        "0 0 13 * fri",
        "0 12 LW * *",
        "* * 1 1 sun#5",
    ],
)
def test_the_lookup_of_times_agrees_with_the_walk_of_cronsim(expression: str) -> None:
    start = datetime(2027, 12, 30, 22, 58, 59)
    walk = CronSim(" ".join(expression.split()), start)
    times = [start, *(next(walk) for _ in range(300))]
    trigger = Cron(expression)
    for shown, following in pairwise(times):
        assert trigger.next_wall(shown) == following
        assert trigger.next_wall(following - timedelta(microseconds=1)) == following
        assert trigger.next_wall(following - timedelta(seconds=1)) == following


@pytest.mark.parametrize("after", ["2026-03-01T11:59:59.000001Z", "2026-03-01T11:59:59.999999Z"])
def test_fractions_of_a_second_lose_nothing(after: str) -> None:
    assert fires(Cron("* * * * *"), after, 1) == ["2026-03-01T12:00:00+00:00"]


class TestDebianDayRule:
    """crontab(5): both day fields must match if one begins with a star, otherwise either will do."""

    def test_both_restricted_is_either(self) -> None:
        assert days("0 0 13 * 5", "2026-03-01T00:00Z", 5) == [
            "2026-03-06", "2026-03-13", "2026-03-20", "2026-03-27", "2026-04-03",
        ]  # fmt: skip

    def test_step_of_a_star_is_both(self) -> None:
        assert days("0 0 */2 * 5", "2026-03-01T00:00Z", 3) == ["2026-03-13", "2026-03-27", "2026-04-03"]
        assert days("0 0 13 * */5", "2026-03-01T00:00Z", 2) == ["2026-03-13", "2026-09-13"]

    def test_only_the_first_character_counts(self) -> None:
        assert days("0 0 13,* * 5", "2026-03-01T00:00Z", 3) == ["2026-03-02", "2026-03-03", "2026-03-04"]


class TestFixedTimes:
    """cron(8): neither minute nor hour begins with a star. Skipped: run late. Repeated: run once."""

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("30 2 * * *", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
            ("0,30 2,3 * * *", ["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]),
            ("0-59/30 2 * * *", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]),
            ("15 30 2 * * *", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:15+02:00"]),
            ("30 2 29 3 *", ["2026-03-29T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]),
        ],
    )
    def test_gap(self, expression: str, expected: list[str]) -> None:
        assert fires(Cron(expression, "Europe/Berlin"), "2026-03-28T12:00Z", 2) == expected

    @pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *", "30 2-2 * * *"])
    def test_repeated_hour(self, expression: str) -> None:
        assert fires(Cron(expression, "Europe/Berlin"), "2026-10-24T12:00Z", 2) == [
            "2026-10-25T02:30:00+02:00",
            "2026-10-26T02:30:00+01:00",
        ]

    def test_skipped_day_is_not_lost(self) -> None:
        """Debian takes three hours and more for a correction of the clock. A zone's rule is none."""
        yearly = Cron("0 9 30 12 *", "Pacific/Apia")
        assert fires(yearly, "2011-06-01T00:00Z", 1) == ["2011-12-31T00:00:00+14:00"]

    def test_six_fields_follow_the_same_rule_as_five(self) -> None:
        """cronsim takes any expression with seconds for a wildcard, since Debian has no seconds."""
        five, six = Cron("30 2 * * *", "Europe/Berlin"), Cron("0 30 2 * * *", "Europe/Berlin")
        for start in ("2026-03-28T12:00Z", "2026-10-24T12:00Z"):
            assert fires(six, start, 3) == fires(five, start, 3)

    @pytest.mark.parametrize("start", ["2018-11-03T12:00Z", "2018-11-04T02:00Z"])
    def test_midnight_gap_neither_loses_nor_doubles_a_day(self, start: str) -> None:
        assert fires(Cron("0 0 * * *", "America/Sao_Paulo"), start, 2) == [
            "2018-11-04T01:00:00-02:00",
            "2018-11-05T00:00:00-02:00",
        ]


class TestWildcards:
    """cron(8): minute or hour begins with a star. They follow the time that elapses."""

    def test_gap_has_no_fires(self) -> None:
        assert fires(Cron("*/30 * * * *", "Europe/Berlin"), "2026-03-29T00:00Z", 3) == [
            "2026-03-29T01:30:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T03:30:00+02:00",
        ]
        assert fires(Cron("*/30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00Z", 1) == ["2026-03-30T02:00:00+02:00"]

    def test_both_passes_fire(self) -> None:
        assert fires(Cron("*/30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00Z", 5) == [
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-26T02:00:00+01:00",
        ]

    def test_second_pass_is_found_from_a_wall_time_later_than_it(self) -> None:
        """At 02:45 of the first pass, 02:15 is both past and to come."""
        after = datetime(2026, 10, 25, 2, 45, tzinfo=ZoneInfo("Europe/Berlin"))
        assert fires(Cron("*/15 2 * * *", "Europe/Berlin"), after.isoformat(), 2) == [
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:15:00+01:00",
        ]
        assert fires(Cron("15-15 */2 25 * *", "Europe/Berlin"), after.isoformat(), 1) == ["2026-10-25T02:15:00+01:00"]

    def test_first_pass_is_found_from_another_season(self) -> None:
        assert fires(Cron("*/30 2 25 10 *", "Europe/Berlin"), "2026-01-01T00:00Z", 1) == ["2026-10-25T02:00:00+02:00"]

    def test_hourly_has_25_fires_on_a_day_of_25_hours(self) -> None:
        instants = fires(Cron("@hourly", "Europe/Berlin"), "2026-10-24T21:59Z", 26)
        assert (instants[0], instants[24]) == ("2026-10-25T00:00:00+02:00", "2026-10-25T23:00:00+01:00")

    def test_seconds_do_not_make_a_wildcard(self) -> None:
        """Every 20 s from 02:30:00 to 02:30:40 is a fixed time: once, in the first pass."""
        assert fires(Cron("*/20 30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00Z", 4)[3] == "2026-10-26T02:30:00+01:00"


class TestFaultsOfCronsim:
    """Each is a wrong answer of cronsim 2.8 stepping in a time zone, or something it should refuse."""

    @pytest.mark.parametrize(
        ("after", "expected"),
        [
            ("2026-04-04T15:30Z", ["2026-04-05T06:00:00+10:30", "2026-04-05T12:00:00+10:30"]),
            ("2026-10-03T14:00Z", ["2026-10-04T06:00:00+11:00", "2026-10-04T12:00:00+11:00"]),
        ],
    )
    def test_hour_steps_survive_a_shift_of_half_an_hour(self, after: str, expected: list[str]) -> None:
        assert fires(Cron("0 */6 * * *", "Australia/Lord_Howe"), after, 2) == expected

    @pytest.mark.parametrize("minute", range(0, 60, 5))
    def test_no_fire_in_the_past_from_the_second_pass(self, minute: int) -> None:
        after = datetime(2025, 11, 2, 6, minute, tzinfo=UTC)
        answer = Cron("30 1 * * *", "America/New_York").next_fire_time(after)
        assert answer is not None
        assert answer.isoformat() == "2025-11-03T01:30:00-05:00"

    def test_a_change_one_minute_past_the_hour_loses_nothing(self) -> None:
        """St John's changed its clocks at 00:01, so in steps of an hour from there no hour begins at :00."""
        assert fires(Cron("*/30 1 * * *", "America/St_Johns"), "2011-03-12T22:30Z", 2) == [
            "2011-03-13T01:30:00-02:30",
            "2011-03-14T01:00:00-02:30",
        ]

    def test_gap_that_ends_within_a_minute(self) -> None:
        """Monrovia went from 00:00:00 to 00:44:30; cronsim looks for the end of a gap in whole minutes."""
        assert fires(Cron("30 0 * * *", "Africa/Monrovia"), "1972-01-06T12:00Z", 2) == [
            "1972-01-07T00:44:30+00:00",
            "1972-01-08T00:30:00+00:00",
        ]

    @pytest.mark.parametrize("text", ["0 0 * * \u017fun", "0 0 * * fr\u0131", "*\u00a0* * * *", "*\x1f* * * *"])
    def test_odd_characters_are_refused(self, text: str) -> None:
        with pytest.raises(ConfigurationError, match="is not allowed; the rule is ASCII"):
            Cron(text)

    @pytest.mark.parametrize("digits", [20, 5000])
    def test_absurd_steps_are_refused(self, digits: int) -> None:
        """With 5 000 digits cronsim lets Python's own ``ValueError`` through."""
        with pytest.raises(ConfigurationError, match="is not in 1-60"):
            Cron(f"*/{'9' * digits} * * * *")

    def test_year_9999_is_an_end_and_no_error(self) -> None:
        assert fires(Cron("0 12 * * *"), "9999-12-31T11:00Z", 2) == ["9999-12-31T12:00:00+00:00"]
        assert fires(Cron("0 12 1 1 *"), "9999-06-01T00:00Z", 1) == []
        assert fires(Cron("* * * * * *"), "9999-12-31T23:59:59.5Z", 1) == []
        assert fires(Cron("0 23 * * *", "America/New_York"), "9999-12-31T12:00Z", 1) == []
        assert fires(Cron("* * * * *", "Asia/Tokyo"), "9999-12-31T23:00Z", 1) == []


def test_no_matching_date_is_none() -> None:
    """The 1st or 21st that is also the month's last Monday: cronsim gives up after 50 years."""
    assert Cron("* * */20 * 1L").next_fire_time(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_rarest_date_is_found() -> None:
    """29 February on a Monday, across 2100, which is no leap year: 40 years."""
    assert days("0 0 29 2 */7", "2080-01-01T00:00Z", 2) == ["2088-02-29", "2128-02-29"]


def test_one_trigger_answers_questions_in_any_order() -> None:
    cron = Cron("0 9 * * *", "Asia/Tehran")
    questions = [datetime(2020 + n % 7, 1 + n % 12, 3, tzinfo=UTC) + timedelta(hours=n) for n in range(40)]
    forwards = [cron.next_fire_time(question) for question in questions]
    assert [cron.next_fire_time(question) for question in reversed(questions)] == forwards[::-1]


@pytest.mark.parametrize("expression", ["*/15 2 * * *", "30 */2 * * *", "@hourly", "0 * 2 * * *"])
def test_a_policy_has_no_effect_where_the_time_that_elapses_is_followed(expression: str) -> None:
    assert Cron(expression, dst="once") == Cron(expression)
    for dst in ("skip", "both"):
        with pytest.raises(ConfigurationError, match=r"dst '\w+' is for fixed times; where minute or hour begins with"):
            Cron(expression, dst=dst)
