"""Laws that hold for every trigger and every question."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncsched._instants import from_us, to_us
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
from asyncsched.triggers._stepping import stepper

if TYPE_CHECKING:
    from asyncsched.protocols import Trigger

KEYS = [
    "UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia",
    "America/Sao_Paulo", "Africa/Casablanca", "Asia/Kathmandu", "Asia/Tehran", "America/St_Johns",
    "Pacific/Chatham", "Africa/Cairo", "America/Havana", "Antarctica/Troll", "Europe/Dublin",
]  # fmt: skip
FIELDS = [
    ["*", "*/7", "0", "30", "10-20", "0,30", "5/20"],
    ["*", "*/3", "2", "0", "1-3", "0,12", "23"],
    ["*", "*/5", "1", "L", "LW", "13"],
    ["*", "3", "OCT", "*/4"],
    ["*", "1-5", "SUN", "5L", "MON#1", "*/2"],
]
RULES = [
    "FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY;BYDAY=SU,MO;BYHOUR=1,2;BYMINUTE=30", "FREQ=HOURLY;INTERVAL=5",
    "FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=2,3", "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU", "FREQ=DAILY;COUNT=20",
    "FREQ=MINUTELY;INTERVAL=37;UNTIL=20300101T000000",
]  # fmt: skip
FIRST_US, END_US = to_us(datetime(1985, 1, 1, tzinfo=UTC)), to_us(datetime(2045, 1, 1, tzinfo=UTC))

# Half of the instants lie near a change of some clock, where all that is difficult happens.
CHANGES = [
    "2025-11-02T06:00Z", "2026-03-29T01:00Z", "2026-10-25T01:00Z", "2026-04-04T15:00Z", "2026-10-03T15:30Z",
    "2011-12-30T10:00Z", "2018-11-04T03:00Z", "2026-02-15T02:00Z", "1985-12-31T18:30Z", "2022-03-21T20:30Z",
]  # fmt: skip
instants_us = st.one_of(
    st.integers(FIRST_US, END_US),
    st.builds(
        lambda change, offset_s, fraction_us: (
            to_us(datetime.fromisoformat(change)) + offset_s * 1_000_000 + fraction_us
        ),
        st.sampled_from(CHANGES),
        st.integers(-100_000, 100_000),
        st.sampled_from([0, 0, 1, 999_999]),
    ),
)
keys = st.sampled_from(KEYS)
zones: st.SearchStrategy[tzinfo] = st.one_of(
    keys.map(ZoneInfo),
    st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-840, 840)),
)
times = st.builds("{:02}:{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59), st.sampled_from([0, 0, 59]))
some_times = st.lists(times, min_size=1, max_size=4)
policies = st.sampled_from(["once", "skip", "both"])
day_names = st.lists(st.sampled_from(["mon", "tue", "sat", "sun", "wed-thu", "fri-sun"]), min_size=1, max_size=3)
month_days = st.lists(st.sampled_from([1, 15, 29, 30, 31, "last"]), min_size=1, max_size=3).map(tuple)
calendar: st.SearchStrategy[Trigger] = st.one_of(
    st.builds(lambda day, key, dst: Daily(*day, timezone=key, dst=dst), some_times, keys, policies),
    st.builds(
        lambda days, day, key, dst: Weekly(",".join(days), *day, timezone=key, dst=dst),
        day_names, some_times, keys, policies,
    ),
    st.builds(
        lambda days, day, key, dst: Monthly(days, *day, timezone=key, dst=dst),
        month_days, some_times, keys, policies,
    ),
    st.builds(
        lambda month, day_of, day, key, dst: Yearly(month, day_of, *day, timezone=key, dst=dst),
        st.sampled_from([2, 3, 10, 12]), st.sampled_from([1, 29, "last"]), some_times, keys, policies,
    ),
    st.builds(lambda dst, key: Cron("0-59/20 1-3 * * *", key, dst=dst), policies, keys),
    st.builds(
        lambda rule, start_us, key, dst: RRule(rule, starting=from_us(start_us), timezone=key, dst=dst),
        st.sampled_from(RULES), instants_us, keys, policies,
    ),
)  # fmt: skip
simple: st.SearchStrategy[Trigger] = st.one_of(
    calendar,
    st.builds(Every, st.integers(1, 10**6), anchor=instants_us.map(from_us)),
    st.builds(Every, st.floats(0.001, 10**6)),
    st.builds(lambda day, key: Daily(*day, timezone=key), st.lists(times, min_size=1, max_size=4), keys),
    st.builds(lambda fields, key: Cron(" ".join(fields), key), st.tuples(*map(st.sampled_from, FIELDS)), keys),
    st.builds(lambda given: Once(*map(from_us, given)), st.lists(instants_us, min_size=1, max_size=4)),
)
windows = st.tuples(times, times).filter(lambda ends: ends[0] != ends[1])
excluded = st.dates(date(1985, 1, 1), date(2045, 1, 1))


def filtered(inner: st.SearchStrategy[Trigger]) -> st.SearchStrategy[Trigger]:
    return st.one_of(
        st.builds(lambda trigger, days, key: OnDays(trigger, *days, timezone=key), inner, day_names, keys),
        st.builds(lambda trigger, ends, key: Between(trigger, *ends, timezone=key), inner, windows, keys),
        st.builds(lambda trigger, ends, key: UnlessBetween(trigger, *ends, timezone=key), inner, windows, keys),
        st.builds(
            lambda trigger, days, key: Excluding(trigger, days, timezone=key),
            inner,
            st.lists(excluded, max_size=9),
            keys,
        ),
        st.builds(
            lambda trigger, ends: Within(trigger, starting=from_us(min(ends)), until=from_us(max(ends))),
            inner,
            st.tuples(instants_us, instants_us),
        ),
    )


# What passes, passes often: a filter that is asked in vain looks through 50 years, which is not what is tested here.
frequent: st.SearchStrategy[Trigger] = st.one_of(
    st.builds(Every, st.sampled_from([60, 600, 1800.5]), anchor=instants_us.map(from_us)),
    st.builds(lambda key: Cron("*/20 * * * *", key), keys),
)
triggers: st.SearchStrategy[Trigger] = st.one_of(
    simple,
    filtered(frequent),
    filtered(filtered(frequent)),
    st.builds(lambda members: Union(*members), st.lists(simple, min_size=1, max_size=3)),
)
lawful = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@lawful
@given(triggers, instants_us)
def test_strictly_later_and_aware(trigger: Trigger, after_us: int) -> None:
    answer = trigger.next_fire_time(from_us(after_us))
    assert answer is None or (answer.utcoffset() is not None and to_us(answer) > after_us)


@lawful
@given(triggers, instants_us, instants_us)
def test_monotone(trigger: Trigger, one_us: int, other_us: int) -> None:
    step = stepper(trigger)
    earlier, later = (step(instant_us) for instant_us in sorted((one_us, other_us)))
    assert later is None or (earlier is not None and earlier <= later)


@lawful
@given(triggers, instants_us, st.floats(0, 1, exclude_max=True))
def test_nothing_between(trigger: Trigger, after_us: int, part: float) -> None:
    step = stepper(trigger)
    answer_us = step(after_us)
    if answer_us is not None:
        for between_us in (after_us + int((answer_us - after_us) * part), answer_us - 1):
            assert step(between_us) == answer_us


@lawful
@given(triggers, instants_us, zones)
def test_same_answer_for_a_question_in_any_zone(trigger: Trigger, after_us: int, tz: tzinfo) -> None:
    in_utc, in_zone = trigger.next_fire_time(from_us(after_us)), trigger.next_fire_time(from_us(after_us, tz))
    assert (in_utc and to_us(in_utc)) == (in_zone and to_us(in_zone))


@lawful
@given(triggers, instants_us)
def test_integers_and_datetimes_agree(trigger: Trigger, after_us: int) -> None:
    answer = trigger.next_fire_time(from_us(after_us))
    assert stepper(trigger)(after_us) == (answer and to_us(answer))


@lawful
@given(simple, instants_us)
def test_the_clock_shows_what_the_trigger_says(trigger: Trigger, after_us: int) -> None:
    """An answer is a wall time that exists, in its first or second pass: it survives the way through UTC."""
    answer = trigger.next_fire_time(from_us(after_us))
    if answer is not None:
        again = answer.astimezone(UTC).astimezone(answer.tzinfo)
        assert (again.replace(tzinfo=None), again.fold) == (answer.replace(tzinfo=None), answer.fold)


@lawful
@given(st.floats(0.001, 10**5), instants_us, st.integers(0, 10**9))
def test_count_between_is_additive(interval: float, after_us: int, length_us: int) -> None:
    every, middle_us, until_us = Every(interval), after_us + length_us // 3, after_us + length_us
    parts = every.count_between(after_us, middle_us) + every.count_between(middle_us, until_us)
    assert every.count_between(after_us, until_us) == parts
