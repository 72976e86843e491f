"""``RRule``: RFC 5545 as dateutil expands it, from a start that is moved, in wall time; and what is refused."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncsched import Job
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import RRule

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def fires(trigger: RRule, after: str, count: int) -> list[str]:
    found, instant = [], datetime.fromisoformat(after)
    for _ in range(count):
        answer = trigger.next_fire_time(instant)
        if answer is None:
            break
        instant = answer
        found.append(answer.strftime("%a %Y-%m-%d %H:%M:%S %Z"))
    return found


TABLE = [
    pytest.param(
        RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0", starting=START), "2026-01-01T00:00Z",
        ["Fri 2026-01-30 09:00:00 UTC", "Fri 2026-02-27 09:00:00 UTC"], id="the last Friday",
    ),
    pytest.param(
        RRule("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", starting=START), "2026-01-01T00:00Z",
        ["Mon 2026-01-12 09:30:00 UTC", "Mon 2026-01-26 09:30:00 UTC"], id="every other week, counted from the start",
    ),
    pytest.param(
        RRule("FREQ=DAILY", starting=START), "2020-01-01T00:00Z",
        ["Thu 2026-01-01 09:30:00 UTC", "Fri 2026-01-02 09:30:00 UTC"], id="the start itself, and nothing before it",
    ),
    pytest.param(
        RRule("FREQ=DAILY;COUNT=2", starting=START), "2020-01-01T00:00Z",
        ["Thu 2026-01-01 09:30:00 UTC", "Fri 2026-01-02 09:30:00 UTC"], id="counted",
    ),
    pytest.param(
        RRule("FREQ=DAILY;UNTIL=20260102T093000", starting=START, timezone=BERLIN), "2025-01-01T00:00Z",
        ["Thu 2026-01-01 10:30:00 CET"], id="until a wall time",
    ),
    pytest.param(
        RRule("FREQ=DAILY;UNTIL=20260102T093000Z", starting=START, timezone=BERLIN), "2025-01-01T00:00Z",
        ["Thu 2026-01-01 10:30:00 CET", "Fri 2026-01-02 10:30:00 CET"], id="until an instant, itself included",
    ),
    pytest.param(
        RRule("DTSTART:20260101T090000\nRRULE:FREQ=MONTHLY;BYSETPOS=-1;BYDAY=MO,TU,WE,TH,FR", timezone=BERLIN),
        "2026-01-01T00:00Z", ["Fri 2026-01-30 09:00:00 CET", "Fri 2026-02-27 09:00:00 CET"], id="a start in the rule",
    ),
    pytest.param(
        RRule("RRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30", starting=START, timezone=BERLIN), "2026-03-28T12:00Z",
        ["Sun 2026-03-29 03:00:00 CEST", "Mon 2026-03-30 02:30:00 CEST"], id="inside a gap: its end",
    ),
    pytest.param(
        RRule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", starting=START, timezone=BERLIN, dst="skip"), "2026-03-28T12:00Z",
        ["Mon 2026-03-30 02:30:00 CEST"], id="inside a gap: left out",
    ),
    pytest.param(
        RRule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", starting=START, timezone=BERLIN), "2026-10-24T12:00Z",
        ["Sun 2026-10-25 02:30:00 CEST", "Mon 2026-10-26 02:30:00 CET"], id="repeated: the first pass",
    ),
    pytest.param(
        RRule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", starting=START, timezone=BERLIN, dst="both"), "2026-10-24T12:00Z",
        ["Sun 2026-10-25 02:30:00 CEST", "Sun 2026-10-25 02:30:00 CET"], id="repeated: both",
    ),
    pytest.param(
        RRule("freq=yearly;bymonth=2;bymonthday=29", starting=START), "2097-01-01T00:00Z",
        ["Fri 2104-02-29 09:30:00 UTC"], id="29 February, in lower case",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("trigger", "after", "expected"), TABLE)
def test_next(trigger: RRule, after: str, expected: list[str]) -> None:
    assert fires(trigger, after, len(expected)) == expected


def test_ends() -> None:
    assert fires(RRule("FREQ=DAILY;COUNT=2", starting=START), "2020-01-01T00:00Z", 9)[-1][:14] == "Fri 2026-01-02"
    assert len(fires(RRule("FREQ=DAILY;UNTIL=20260103T000000", starting=START), "2020-01-01T00:00Z", 9)) == 2
    assert RRule("FREQ=DAILY", starting=START).next_fire_time(datetime(9999, 12, 31, 12, tzinfo=UTC)) is None


def test_a_start_has_no_microseconds() -> None:
    start = START.replace(microsecond=999_999)
    assert fires(RRule("FREQ=DAILY", starting=start), "2025-01-01T00:00Z", 1) == ["Thu 2026-01-01 09:30:00 UTC"]


RULES = [
    "FREQ=YEARLY", "FREQ=YEARLY;INTERVAL=3", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "FREQ=YEARLY;BYWEEKNO=1,53",
    "FREQ=YEARLY;BYYEARDAY=1,-1;INTERVAL=2", "FREQ=YEARLY;BYDAY=20MO", "FREQ=YEARLY;BYMONTH=1,6;BYDAY=1MO,-1FR",
    "FREQ=MONTHLY", "FREQ=MONTHLY;INTERVAL=5", "FREQ=MONTHLY;BYMONTHDAY=31,-1", "FREQ=MONTHLY;BYDAY=2TU;INTERVAL=2",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-2", "FREQ=WEEKLY", "FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,SU",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=MO,SU", "FREQ=WEEKLY;BYDAY=TU,TH,SA;BYSETPOS=2", "FREQ=DAILY;INTERVAL=10",
    "FREQ=DAILY;BYMONTH=1,12;BYHOUR=8,20", "FREQ=DAILY;BYHOUR=8,9;BYMINUTE=0,30;BYSETPOS=-1", "FREQ=HOURLY;INTERVAL=7",
    "FREQ=HOURLY;BYDAY=SU;BYMINUTE=0,20", "FREQ=MINUTELY;INTERVAL=45;BYHOUR=9,10,11", "FREQ=MINUTELY;INTERVAL=1441",
    "FREQ=SECONDLY;INTERVAL=86399", "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR",
    "FREQ=DAILY;INTERVAL=2;UNTIL=20190101T000000",
]  # fmt: skip


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(RULES),
    st.datetimes(datetime(2015, 1, 1), datetime(2017, 1, 1)).map(lambda wall: wall.replace(microsecond=0)),
    st.timedeltas(timedelta(days=-9), timedelta(days=1500)),
)
def test_against_dateutil_from_the_start(rule: str, start: datetime, ahead: timedelta) -> None:
    asked = start + ahead
    whole = rrulestr(rule, dtstart=start)
    expected = [wall.replace(tzinfo=UTC) for wall in islice((wall for wall in whole if wall > asked), 3)]
    trigger, instant, found = RRule(rule, starting=start.replace(tzinfo=UTC)), asked.replace(tzinfo=UTC), []
    for _ in range(3):
        answer = trigger.next_fire_time(instant)
        if answer is None:
            break
        instant = answer
        found.append(answer)
    assert found == expected


ONE_LINE = "the rule is one line, below a line DTSTART or alone; for more, join triggers with |"
REFUSED = [
    (5, "rrule 5 is not a string such as"),
    ("", "'' is no part of a rule; they are FREQ, UNTIL,"),
    ("FREQ", "'FREQ' is no part of a rule"),
    ("FREQ=", "'FREQ=' is no part of a rule"),
    ("FREQ=DAILY;", "'' is no part of a rule"),
    ("BYHOUR=9", "FREQ= is not one of YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY"),
    ("FREQ=OFTEN", "FREQ=OFTEN is not one of YEARLY"),
    ("FREQ=DAILY;BYEASTER=0", "'BYEASTER=0' is no part of a rule"),
    ("FREQ=DAILY;BYHOUR=1;BYHOUR=2", "BYHOUR is given twice"),
    ("FREQ=DAILY;BYHOUR=24", "BYHOUR=24 is not in 0-23"),
    ("FREQ=DAILY;BYHOUR=-1", "BYHOUR=-1 is not in 0-23"),
    ("FREQ=DAILY;BYHOUR=9,", "BYHOUR= is not in 0-23"),
    ("FREQ=DAILY;BYHOUR=nine", "BYHOUR=NINE is not in 0-23"),
    ("FREQ=DAILY;BYMINUTE=60", "BYMINUTE=60 is not in 0-59"),
    ("FREQ=DAILY;BYMONTH=13", "BYMONTH=13 is not in 1-12"),
    ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0 is not in 1-31 or -31 to -1"),
    ("FREQ=MONTHLY;BYMONTHDAY=-32", "BYMONTHDAY=-32 is not in 1-31 or -31 to -1"),
    ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0 is not in 1-1000000"),
    ("FREQ=DAILY;INTERVAL=-1", "INTERVAL=-1 is not in 1-1000000"),
    ("FREQ=DAILY;COUNT=1001", "COUNT=1001 is not in 1-1000"),
    ("FREQ=DAILY;COUNT=3;UNTIL=20270101T000000", "COUNT and UNTIL exclude each other"),
    ("FREQ=DAILY;UNTIL=20270101", "UNTIL '20270101' is not YYYYMMDDTHHMMSS, also with Z for UTC"),
    ("FREQ=DAILY;UNTIL=20271301T000000", "UNTIL '20271301T000000' is not YYYYMMDDTHHMMSS"),
    ("FREQ=WEEKLY;BYDAY=MON", "BYDAY=MON is not a day such as MO, or the nth such as 2MO or -1FR"),
    ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY=1MO: the nth day is for MONTHLY and YEARLY only"),
    ("FREQ=MONTHLY;BYDAY=6MO", "BYDAY=6MO: 6 is not in 1-5 or -5 to -1"),
    ("FREQ=YEARLY;BYDAY=0MO", "BYDAY=0MO: 0 is not in 1-53 or -53 to -1"),
    ("FREQ=WEEKLY;WKST=MON", "WKST=MON is not one of MO, TU, WE, TH, FR, SA, SU"),
    ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS needs another BY part to choose from"),
    ("FREQ=DAILY;BYHOUR=1,2;BYSETPOS=3", "BYSETPOS=3 is never reached: a period has 2 times"),
    ("FREQ=SECONDLY;BYHOUR=1;BYSETPOS=-2", "BYSETPOS=-2 is never reached: a period has 1 times"),
    ("FREQ=DAILY\nEXDATE:20270101T000000", ONE_LINE),
    ("DTSTART:20260101T000000\nFREQ=DAILY\nEXDATE:20270101T000000", ONE_LINE),
    ("DTSTART:20260101T000000Z\nFREQ=DAILY", "DTSTART '20260101T000000Z' is not YYYYMMDDTHHMMSS; an instant in UTC"),
    ("DTSTART;TZID=Europe/Berlin:20260101T000000\nFREQ=DAILY", "or another zone is given as starting="),
    ("DTSTART:20260101T000000\nFREQ=DAILY", "the rule is one start, either a line DTSTART or starting="),
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
    ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
    ("FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
    ("FREQ=HOURLY;INTERVAL=24;BYHOUR=5", "never fires"),
    ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6", "never fires"),
]


@pytest.mark.parametrize(("rule", "message"), REFUSED)
def test_refused(rule: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RRule(rule, starting=START)
    assert str(caught.value).startswith(f"rrule {rule!r}")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RRule("FREQ=DAILY"), "the rule is one start, either a line DTSTART or starting="),
        (
            lambda: RRule("FREQ=DAILY", starting=datetime(2026, 1, 1)),
            "starting: datetime.datetime(2026, 1, 1, 0, 0) is",
        ),
        (lambda: RRule("FREQ=DAILY", starting="2026"), "starting: '2026' is not a datetime"),  # type: ignore[arg-type]
        (lambda: RRule("FREQ=DAILY", starting=START, timezone="Berlin"), "time zone 'Berlin'"),
        (lambda: RRule("FREQ=DAILY", starting=START, dst="never"), "dst 'never' is not one of"),
    ],
)
def test_a_bad_start_zone_or_policy(make: Callable[[], RRule], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert message in str(caught.value)


def test_without_dateutil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dateutil.rrule", None)
    with pytest.raises(
        ConfigurationError, match=r"job 'j': rrule\('FREQ=DAILY'\): .*pip install 'asyncsched\[rrule\]'"
    ):
        Job("j", print).rrule("FREQ=DAILY", starting=START)


def test_on_a_job() -> None:
    job = Job("j", print).rrule("FREQ=DAILY;BYHOUR=2", starting=START).dst("both").timezone(BERLIN).weekends()
    inner = "RRule('FREQ=DAILY;BYHOUR=2', starting=2026-01-01T09:30:00+00:00, timezone='Europe/Berlin', dst='both')"
    assert repr(job.trigger) == f"OnDays({inner}, 'sat,sun', timezone='Europe/Berlin')"
    with pytest.raises(
        ConfigurationError, match=r"job 'j': rrule\('FREQ=DAILY;BYHOUR=25'\): rrule 'FREQ=DAILY;BYHOUR=25'"
    ):
        Job("j", print).rrule("FREQ=DAILY;BYHOUR=25", starting=START)
