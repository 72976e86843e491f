"""The plain functions of the dashboard: schedules in words, lengths of time, lanes, charts, and what is kept."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from _cluster_records import NOON, ending, record, running

from asyncsched import Scheduler
from asyncsched.dashboard._archive import MOST_ENDINGS, Archive
from asyncsched.dashboard._charts import MOST_BARS, charts_of, quantile
from asyncsched.dashboard._coming import ASKED_AT_ONCE, Coming
from asyncsched.dashboard._lanes import SPAN, Ahead, lane_of
from asyncsched.dashboard._parts import Contents, Parts
from asyncsched.dashboard._schedule_words import in_words
from asyncsched.dashboard._texts import duration, moment, number
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

# Schedules in words


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (Every(1), "every second"),
        (Every(30), "every 30 seconds"),
        (Every(0.25), "every 0.25 seconds"),
        (Every(90), "every 90 seconds"),
        (Every(300), "every 5 minutes"),
        (Every(3600), "every hour"),
        (Every(timedelta(days=2)), "every 2 days"),
        (Every(60, anchor=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=7)),
         "every minute, counted from 2026-01-01 00:00:07 UTC"),
        (Daily("09:00"), "daily at 09:00"),
        (Daily("09:00", "12:00", "18:00:30", timezone="Europe/Berlin"),
         "daily at 09:00, 12:00 and 18:00:30 (Europe/Berlin)"),
        (Weekly("mon-fri", "08:00"), "on Monday to Friday at 08:00"),
        (Weekly("mon,thu", "08:00"), "on Monday and Thursday at 08:00"),
        (Monthly(15, "08:00"), "on day 15 of each month at 08:00"),
        (Monthly((1, 15), "08:00"), "on days 1 and 15 of each month at 08:00"),
        (Monthly("last", "08:00"), "on the last day of each month at 08:00"),
        (Yearly(12, 24, "08:00"), "on 24 December each year at 08:00"),
        (Yearly(2, "last", "08:00"), "on the last day of February each year at 08:00"),
        (Cron("*/5 * * * *"), "cron */5 * * * *"),
        (Cron("0 4 * * mon,fri", timezone="Asia/Tokyo"), "cron 0 4 * * mon,fri (Asia/Tokyo)"),
        (Once(datetime(2026, 1, 1, tzinfo=UTC)), "once, at 2026-01-01 00:00:00 UTC"),
        (RRule("FREQ=WEEKLY;BYDAY=MO", starting=datetime(2026, 1, 5, 8, tzinfo=UTC)),
         "by the rule FREQ=WEEKLY;BYDAY=MO"),
        (Union(Every(60), Daily("09:00")), "every minute; and daily at 09:00"),
        (OnDays(Every(60), "mon-fri"), "every minute, only Monday to Friday"),
        (Between(OnDays(Every(60), "sat"), "09:00", "17:00"), "every minute, only Saturday, between 09:00 and 17:00"),
        (UnlessBetween(Every(60), "22:00", "06:00"), "every minute, not between 22:00 and 06:00"),
        (Excluding(Every(60), date(2026, 12, 24)), "every minute, not on 2026-12-24"),
        (Within(Every(60), starting=datetime(2026, 1, 1, tzinfo=UTC)), "every minute, from 2026-01-01 00:00:00 UTC"),
    ],
    ids=repr,
)  # fmt: skip
def test_schedules_in_words(trigger: object, words: str) -> None:
    assert in_words(repr(trigger)) == words


@pytest.mark.parametrize(
    "code",
    ["MyTrigger()", "Every()", "Every(soon)", "every 3", "Weekly('x', '1')", "(" * 500, "Cron()",
     "Yearly(13, 1, '08:00')", "OnDays(" * 60 + "Every(1)" + ", 'mon')" * 60, "Union(Every(1), Mine())", "'", "Every(nan)"],
)  # fmt: skip
def test_what_is_not_known_is_left_alone(code: str) -> None:
    assert in_words(code) in ("", "every nan seconds")


def test_a_job_without_a_trigger() -> None:
    assert in_words("") == "only when a scheduler starts"


# Texts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0, "0 ms"), (0.0004, "0.4 ms"), (0.34, "340 ms"), (1, "1.0 s"), (9.96, "10.0 s"), (59, "59 s"),
        (60, "1 min"), (192, "3 min 12 s"), (3600, "1 h"), (7500, "2 h 5 min"), (200_000, "2 d 7 h"), (-1.4, "−1.4 s"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_instants_and_numbers() -> None:
    at = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
    assert ">2 Mar 07:00:00</time>" in moment(at)
    assert 'data-rel="ago">07:00:00' in moment(at, "ago")
    assert "data-rel" not in moment(at, "short")
    assert moment(None) == '<span class="none">–</span>'
    assert number(1234567) == "1\u202f234\u202f567"


# Lanes

ORIGIN = int(NOON.timestamp()) - SPAN


def lane(*endings: Any, **options: Any) -> dict[str, str]:
    given: dict[str, Any] = {
        "active": (), "ahead": Ahead(), "now": NOON, "origin": ORIGIN, "paused": False,
        "colours": {"web-1": 0, "web-2": 9}, **options,
    }  # fmt: skip
    return dict(lane_of(endings, given.pop("active"), given.pop("ahead"), **given).marks)


def test_a_mark_is_where_the_run_was_and_at_least_a_grain_wide() -> None:
    short = ending("a", NOON - timedelta(minutes=10))
    long = ending("a", NOON - timedelta(minutes=20), duration=600.0, node="web-2")
    assert lane(short) == {"ok": "M2970 3h30v11h-30z", "n0": "M2970 16h30v3h-30z"}
    assert lane(long) == {"ok": "M1800 3h600v11h-600z", "n1": "M1800 16h600v3h-600z"}, "nine nodes on, colours repeat"


def test_kinds_of_endings_differ_in_shape() -> None:
    at = NOON - timedelta(minutes=10)
    shapes = {
        outcome: next(iter(lane(ending("a", at, outcome)).values())).partition("h")[0].split(" ")[1]
        + next(iter(lane(ending("a", at, outcome)).values())).split("v")[1].split("h")[0]
        for outcome in ("succeeded", "failed", "skipped", "missed", "cancelled")
    }
    assert len(set(shapes.values())) == 5
    assert lane(ending("a", at, "timed_out")).keys() == lane(ending("a", at, "lock_lost")).keys() == {"bad", "n0"}


def test_thousands_of_runs_are_few_marks() -> None:
    endings = [ending("a", NOON - timedelta(seconds=n)) for n in range(3000)]
    marks = lane(*endings)
    assert marks["ok"].count("M") == 1
    every_minute = [ending("a", NOON - timedelta(minutes=n)) for n in range(300)]
    assert lane(*every_minute)["ok"].count("M") == 61, "an hour of them"


def test_what_is_to_come_what_runs_and_what_is_held_back() -> None:
    now_s = NOON.timestamp()
    ahead = Ahead((now_s + 600, now_s + 1200))
    assert lane(ahead=ahead) == {"coming": "M4200 6h30v5h-30zM4800 6h30v5h-30z"}
    assert lane(ahead=ahead, paused=True).keys() == {"paused"}
    assert lane(ahead=Ahead((now_s - 50,), dense=True)) == {"coming": "M3600 6h7200v5h-7200z"}
    assert lane(active=(running("a", since=NOON - timedelta(minutes=5)),)).keys() == {"running", "n0"}


# Charts


def test_charts_have_the_newest_runs_oldest_first() -> None:
    endings = [ending("a", NOON - timedelta(minutes=n), duration=float(n + 1)) for n in range(MOST_BARS + 50)]
    took, late = charts_of(endings)
    assert len(took.bars) == MOST_BARS
    assert took.bars[-1].height == pytest.approx(1.5)  # the newest took 1 s of at most 120
    assert took.bars[0].height == 100
    assert took.top == "2 min"
    assert late.median == "20 ms"
    assert charts_of([ending("a", outcome="skipped")]) == ()


@pytest.mark.parametrize(("part", "expected"), [(0.5, 2), (0.95, 4), (0.25, 1), (0.26, 2), (1.0, 4), (0.0, 1)])
def test_quantiles(part: float, expected: float) -> None:
    assert quantile([1, 2, 3, 4], part) == expected


# The archive


def test_the_archive_keeps_the_newest_endings_once() -> None:
    archive = Archive()
    endings = [ending("a", NOON + timedelta(seconds=n)) for n in range(MOST_ENDINGS + 20)]
    assert not archive.has("a")
    assert archive.add("a", endings[:150])
    assert archive.add("a", reversed(endings[100:]))
    kept = archive.of("a")
    assert kept == tuple(reversed(endings[20:]))
    assert not archive.add("a", endings[200:])
    assert archive.of("a") is kept
    assert not archive.add("a", [ending("b")]), "of another job"
    archive.retain(["b"])
    assert archive.of("a") == ()


def test_the_last_hour_is_counted_as_it_moves() -> None:
    archive = Archive()
    archive.add("a", [ending("a", NOON - timedelta(minutes=m)) for m in (0, 30, 59, 61)])
    archive.add("b", [ending("b", NOON, "missed", count=7)])
    assert archive.in_last_hour(NOON) == {"succeeded": 3, "missed": 7}
    assert archive.in_last_hour(NOON + timedelta(minutes=2)) == {"succeeded": 2, "missed": 7}
    archive.add("b", [ending("b", NOON + timedelta(minutes=2), "failed")])
    assert archive.in_last_hour(NOON + timedelta(minutes=2)) == {"succeeded": 2, "missed": 7, "failed": 1}
    archive.retain(["a"])
    assert archive.in_last_hour(NOON + timedelta(hours=2)) == {}


# What is to come


def coming_of(**jobs: Any) -> tuple[Coming, list[str]]:
    scheduler, asked = Scheduler(), []

    async def work() -> None: ...

    for name, trigger in jobs.items():
        scheduler.add_job(name, work).schedule(trigger)

    def preview(job: str, after: datetime, count: int) -> Any:
        asked.append(job)
        return scheduler.preview(job, count, after)

    coming = Coming(preview)
    coming.begin()
    return coming, asked


def test_fire_times_within_the_hour_are_asked_for_now_and_then() -> None:
    coming, asked = coming_of(a=Every(600), b=Every(10), c=Daily("03:00"))
    first = NOON + timedelta(minutes=10)
    ahead = coming.of("a", first, NOON)
    assert ahead.times == tuple(first.timestamp() + 600 * n for n in range(6))
    assert not ahead.dense
    calls = len(asked)
    assert coming.of("a", first + timedelta(minutes=10), NOON + timedelta(seconds=200)).times == ahead.times[1:]
    assert len(asked) == calls
    coming.of("a", first + timedelta(seconds=1), NOON)
    assert len(asked) > calls, "the schedule is another now"
    assert coming.of("b", NOON + timedelta(seconds=10), NOON).dense
    night = NOON + timedelta(hours=15)
    assert coming.of("c", night, NOON) == Ahead((night.timestamp(),))
    assert asked.count("c") == 0, "it is not within the hour"
    assert coming.of("c", None, NOON) == Ahead()
    coming.retain(["b"])
    calls = len(asked)
    coming.of("a", first, NOON)
    assert len(asked) > calls


def test_not_all_triggers_are_asked_at_once() -> None:
    coming, asked = coming_of(**{f"j{n}": Every(600) for n in range(ASKED_AT_ONCE + 5)})
    first = NOON + timedelta(minutes=10)
    for n in range(ASKED_AT_ONCE + 5):
        assert coming.of(f"j{n}", first, NOON).times[0] == first.timestamp()
    assert len(set(asked)) == ASKED_AT_ONCE
    coming.begin()
    coming.of(f"j{ASKED_AT_ONCE + 1}", first, NOON)
    assert len(set(asked)) == ASKED_AT_ONCE + 1


def test_without_triggers_the_next_one_is_all() -> None:
    coming = Coming(lambda job, after, count: ())
    coming.begin()
    assert coming.of("a", NOON, NOON) == Ahead((NOON.timestamp(),))


# Parts


def test_parts_are_rendered_only_when_they_differ() -> None:
    rendered: list[str] = []

    def render(name: str, value: object) -> Any:
        from markupsafe import Markup

        rendered.append(name)
        return Markup("<b>{}</b>").format(value)

    parts = Parts(render)
    parts.update(1, Contents({"a": 1, "b": 2, "c": "<"}, {"list": ("row",)}, {"row": ("a", "b")}))
    assert parts.listed("list") == '<tr id="row" role="row"><b>1</b><b>2</b></tr>'
    assert parts.html("c") == "<b>&lt;</b>"
    assert parts.since(0).lists == {"list": ("row",)}
    assert set(parts.since(0).parts) == {"row", "c"}
    assert not parts.since(1)
    rendered.clear()
    parts.update(2, Contents({"a": 1, "b": 3}, {"list": ("row",)}, {"row": ("a", "b")}))
    assert rendered == ["b"]
    assert parts.since(1) == ({"b": "<b>3</b>"}, {})
    assert parts.since(1) is parts.since(1)
    parts.update(3, Contents({"a": 1.0, "b": 3}, {"list": ()}, {}))
    assert parts.since(2) == ({}, {"list": ()}), "an equal value is none that changed"


def test_a_record_of_nobody_is_shown_as_that() -> None:
    from asyncsched.dashboard._cells import name_cell, state_of

    gone = record("a", nodes=(), next_fire_time=None)
    assert (name_cell(gone).schedule, state_of(gone)) == ("no node has it", "nowhere")
    assert state_of(record("a", next_fire_time=None)) == "done"
