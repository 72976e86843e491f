"""What is written down reads back as it was; what somebody else has written, and is none of it, is left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsched import _record_texts as texts
from asyncsched._records import LONGEST_ENDING, LONGEST_ERROR, Ending, Order, OrderAnswer
from asyncsched._schedule_texts import is_fire_time, newest_until, trigger_of
from asyncsched.triggers import Between, Cron, Daily, Every, Monthly, Once, OnDays, Union, UnlessBetween, Weekly, Yearly

AT = datetime(2026, 1, 1, tzinfo=UTC)
AT_US = 1_767_225_600_000_000

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
names = (
    "at",
    "node",
    "outcome",
    "fire_us",
    "count",
    "duration",
    "active",
    "started_us",
    "job",
    "policies",
    "id",
    "kind",
)
nearly = st.dictionaries(st.sampled_from(names), anything, max_size=12)


def test_an_ending_reads_back() -> None:
    text = texts.ending_text(
        AT_US + 3,
        "n0",
        "failed",
        AT_US,
        kind="trigger",
        started_us=AT_US + 1,
        duration=0.5,
        run_id="r",
        trace_id="t",
        attempt=2,
        fence=7,
        error="ValueError: é\n",
        by="ada",
        why="it hangs",
    )
    assert text.startswith(f'{{"at":{AT_US + 3},')
    assert texts.ending_of("work", text) == Ending(
        job="work",
        node="n0",
        at=AT + timedelta(microseconds=3),
        kind="trigger",
        outcome="failed",
        reason="",
        fire_time=AT,
        last_fire_time=None,
        count=1,
        started_at=AT + timedelta(microseconds=1),
        duration=0.5,
        run_id="r",
        trace_id="t",
        attempt=2,
        fence=7,
        error="ValueError: é ",
        by="ada",
        why="it hangs",
    )


def test_an_ending_leaves_out_what_is_empty() -> None:
    text = texts.ending_text(AT_US, "n0", "succeeded", AT_US, run_id="", attempt=0, fence=0)
    assert text == f'{{"at":{AT_US},"node":"n0","outcome":"succeeded","fire_us":{AT_US}}}'


@given(st.text(max_size=5000), st.text(max_size=300))
def test_an_ending_is_never_too_long(error: str, trace_id: str) -> None:
    shown = texts.said_of(ValueError(error))
    trace_id = texts.clean(trace_id, texts.LONGEST_ID)
    why = "\\" * texts.LONGEST_WHY
    text = texts.ending_text(AT_US, '"' * 200, "failed", AT_US, error=shown, trace_id=trace_id, by="\\" * 100, why=why)
    assert len(shown) <= LONGEST_ERROR
    assert len(text) <= LONGEST_ENDING
    assert text.encode()
    assert texts.ending_of("work", text) is not None


def test_an_error_that_cannot_tell_itself_is_named() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert texts.said_of(Broken()) == "Broken: its message cannot be shown"
    assert texts.said_of(KeyboardInterrupt()) == "KeyboardInterrupt"


@given(anything | nearly)
def test_whatever_else_there_is_is_left_out(value: object) -> None:
    text = json.dumps(value)
    for read in (
        lambda: texts.ending_of("job", text),
        lambda: texts.node_of("node", text, AT),
        lambda: texts.note_of(text),
        lambda: texts.order_of(text),
        lambda: texts.answer_of(text),
        lambda: texts.definitions_of(text),
    ):
        read()  # none of them raises


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "null",
        "[1]",
        '"x"',
        "{}",
        '{"at":1e400}',
        '{"at":-1,"fire_us":1}',
        '{"at":true,"fire_us":1}',
        '{"at":1,"fire_us":1,"duration":"x"}',
        '{"at":1,"fire_us":1,"duration":NaN}',
        "[" * 10_000,
    ],
)
def test_what_is_no_ending_is_none(text: str) -> None:
    assert texts.ending_of("job", text) is None
    assert texts.definitions_of(text) == ()
    assert texts.node_of("node", text, AT) is None


def test_a_node_is_read_without_what_is_wrong_in_it() -> None:
    good = {"job": "job", "run_id": "r", "fire_us": AT_US}
    report = {"started_us": AT_US, "active": [good, {"job": 1}, None, {**good, "started_us": "soon"}]}
    read = texts.node_of("n", json.dumps(report), AT)
    assert read is not None
    assert [run.run_id for run in read[0].active] == ["r"]
    assert texts.node_of("n", json.dumps({**report, "active": {}}), AT) is None
    assert texts.node_of("n", json.dumps({**report, "pid": -1}), AT) is None
    assert texts.node_of("n", " " * texts.LONGEST_REPORT + "{}", AT) is None


def test_an_ending_that_would_be_too_long_loses_the_end_of_its_error() -> None:
    error = '"' * LONGEST_ERROR
    text = texts.ending_text(
        AT_US, '"' * 200, "failed", AT_US, error=error, by='"' * 100, trace_id='"' * 100, run_id='"' * 100
    )
    assert len(text) <= LONGEST_ENDING
    ending = texts.ending_of("job", text)
    assert ending is not None
    assert 0 < len(ending.error) < LONGEST_ERROR


def test_orders_and_answers_read_back() -> None:
    order = Order(order_id="a", kind="cancel", job="", node="", run_id="r", by="ada", why="it hangs", until_us=AT_US)
    assert texts.order_of(texts.order_text(order)) == order
    answer = OrderAnswer(node="n", run_id="", outcome="skipped", detail="overlap")
    assert texts.answer_of(texts.answer_text(answer)) == answer


TRIGGERS = [
    Every(30),
    Every(0.5),
    Daily("09:00:00", "18:00:00", timezone="Europe/Berlin"),
    Cron("*/5 * * * *", timezone="Asia/Tokyo"),
    Weekly("mon", "09:00:00"),
    Monthly("last", "09:00:00"),
    Yearly(2, 29, "09:00:00"),
    Union(Every(7), Daily("09:00:00")),
    OnDays(Every(60), "mon-fri", timezone="UTC"),
    Between(Every(60), "09:00:00", "17:00:00"),
    UnlessBetween(Every(60), "09:00:00", "17:00:00"),
]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)
def test_a_schedule_is_read_from_its_code(trigger: Every) -> None:
    assert trigger_of(repr(trigger)) == trigger


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "30",
        "'x'",
        "Every()",
        "Every('x')",
        "Every(30, anchor=2026-01-01T00:00:00+00:00)",
        repr(Once(AT)),
        "__import__('os').system('true')",
        "Every(__import__('os'))",
        "open('x')",
        "(lambda: 1)()",
        "Union()",
        "<Mine object>",
        "Every(" * 300,
    ],
)
def test_what_is_not_ours_is_not_understood_and_not_run(schedule: str) -> None:
    assert trigger_of(schedule) is None


@pytest.mark.parametrize("back", [0, 1, 59, 3_599, 86_399])
def test_the_newest_fire_time_is_found(back: int) -> None:
    for trigger in (Every(1), Every(60), Daily("00:00:00"), Yearly(1, 1, "00:00:00")):
        now = AT + timedelta(seconds=back)
        newest = newest_until(trigger, now)
        assert newest is not None
        assert is_fire_time(trigger, newest)
        following = trigger.next_fire_time(newest)
        assert newest <= now
        assert following is None or following > now


def test_what_fires_too_often_to_tell_or_never_has_no_newest_fire_time() -> None:
    assert newest_until(Every(0.001), AT) != AT - timedelta(seconds=2), "a tick in the middle would be a lie"
    assert newest_until(Once(AT), AT - timedelta(seconds=1)) is None


@given(
    st.text(min_size=1, max_size=200),
    st.integers(1, 2**52),
    st.integers(1, 2**52),
    st.floats(0, 1e6),
    st.sampled_from(["", "0123456789abcdef" * 2]),
    st.text(max_size=300),
    st.integers(1, 100),
    st.integers(0, 2**62),
)
def test_a_run_that_ended_well_is_told_as_all_else_is(
    node: str, fire_us: int, started_us: int, duration: float, run_id: str, trace_id: str, attempt: int, fence: int
) -> None:
    at_us, text = texts.success_text(
        texts.quoted(node), fire_us, started_us, duration, run_id, trace_id, attempt, fence
    )
    shown = texts.clean(trace_id, texts.LONGEST_ID)
    expected = texts.ending_text(
        at_us, node, "succeeded", fire_us, started_us=started_us, duration=round(duration, 6), run_id=run_id,
        trace_id=shown, attempt=attempt if attempt > 1 else 0, fence=fence,
    )  # fmt: skip
    assert texts.ending_of("work", text) == texts.ending_of("work", expected)
    assert text.startswith(f'{{"at":{at_us},')
    assert len(text) <= LONGEST_ENDING
