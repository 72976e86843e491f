"""The account of every tick: counted always, told only to those who want to know."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from _scripted import turns

from asyncsched import events
from asyncsched._grants import ClaimKind
from asyncsched._instants import from_us
from asyncsched._run import Outcome, SkipReason

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._job_state import JobState
    from asyncsched._run import Run

WRONG = ValueError("wrong")
AT = 1_700_000_000_000_000


async def noop() -> None: ...


@pytest.fixture
def state(parts: Parts) -> JobState:
    return parts.state(noop)


@pytest.fixture
def run(parts: Parts, state: JobState) -> Run:
    made = parts.executor.new_run(state, ClaimKind.TICK, AT)
    made.started_us = AT + 250_000
    made.end(Outcome.FAILED, WRONG)
    return made


BOOKINGS: list[tuple[type[events.Event], Callable[[Parts, JobState, Run], None], dict[str, int], int]] = [
    (events.RunStarted, lambda parts, _, run: parts.ledger.started(run), {}, logging.NOTSET),
    (events.RunEnded, lambda parts, state, run: parts.ledger.ended(state, run), {"failed": 1}, logging.ERROR),
    (events.ErrorReported, lambda parts, _, run: parts.ledger.reported(run, WRONG), {}, logging.ERROR),
    (events.LeaseLost, lambda parts, _, run: parts.ledger.lease_lost(run, "gone"), {}, logging.ERROR),
    (
        events.TickSkipped,
        lambda parts, state, _: parts.ledger.skipped(state, AT, SkipReason.OVERLAP, ClaimKind.TICK),
        {"overlap": 1},
        logging.WARNING,
    ),
    (
        events.TicksMissed,
        lambda parts, state, _: parts.ledger.missed(state, 3, AT, AT + 20),
        {"missed": 3},
        logging.WARNING,
    ),
    (
        events.LateGrantReleased,
        lambda parts, state, _: parts.ledger.late_grant_released(state, AT),
        {},
        logging.WARNING,
    ),
    (
        events.RerunsExhausted,
        lambda parts, state, _: parts.ledger.reruns_exhausted(state, AT, 3),
        {},
        logging.ERROR,
    ),
    (events.LoopBlocked, lambda parts, _, run: parts.ledger.loop_blocked(run.job, 1.5), {}, logging.ERROR),
]


@pytest.mark.parametrize(("kind", "book", "tally", "level"), BOOKINGS)
@pytest.mark.parametrize("heard", [True, False])
async def test_each_booking_is_counted_logged_and_told(
    parts: Parts,
    state: JobState,
    run: Run,
    caplog: pytest.LogCaptureFixture,
    kind: type[events.Event],
    book: Callable[[Parts, JobState, Run], None],
    tally: dict[str, int],
    level: int,
    heard: bool,
) -> None:
    if not heard:
        parts.bus._subscribers.clear()
        parts.bus._wanted.clear()
    book(parts, state, run)
    await turns(1)

    assert [type(event) for event in parts.events] == ([kind] if heard else [])
    assert [(event.node, event.job) for event in parts.of_type(kind)] == ([("n1", "j")] if heard else [])
    assert parts.tally == tally
    assert {str(what): number for what, number in (state.tally or {}).items()} == tally
    assert [record.levelno for record in caplog.records] == ([level] if level else [])
    assert all("job=j" in record.getMessage() for record in caplog.records)


async def test_answered_claims_are_told_with_the_time_that_they_took(parts: Parts) -> None:
    sent_at = parts.clock.monotonic()
    parts.clock.elapsed += 0.25
    parts.ledger.claims_answered(7, sent_at)
    (event,) = parts.of_type(events.ClaimsAnswered)
    assert (event.node, event.claims, event.answered_in) == ("n1", 7, 0.25)


async def test_missed_ticks_name_the_first_and_the_last(parts: Parts, state: JobState) -> None:
    parts.ledger.missed(state, 3, AT, AT + 20_000_000)
    (event,) = parts.of_type(events.TicksMissed)

    assert (event.count, event.first, event.last) == (3, from_us(AT), from_us(AT + 20_000_000))


@pytest.mark.parametrize(
    ("kind", "what"), [(ClaimKind.TICK, "tick="), (ClaimKind.START, "start at="), (ClaimKind.TRIGGER, "trigger at=")]
)
async def test_a_skip_says_what_was_skipped(
    parts: Parts, state: JobState, caplog: pytest.LogCaptureFixture, kind: ClaimKind, what: str
) -> None:
    parts.ledger.skipped(state, AT, SkipReason.OVERLAP, kind)

    assert f" {what}2023-11-14T22:13:20+00:00 outcome=skipped reason=overlap" in caplog.records[0].getMessage()


async def test_lines_below_the_loggers_level_are_not_made(
    parts: Parts, state: JobState, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="asyncsched.test")
    parts.ledger.skipped(state, AT, SkipReason.OVERLAP, ClaimKind.TICK)
    parts.ledger.ended(state, run)

    assert caplog.records == []
    assert parts.tally == {"overlap": 1, "failed": 1}


async def test_several_errors_are_counted_in_the_line(
    parts: Parts, state: JobState, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.errors = (WRONG, KeyError("last"))
    parts.ledger.ended(state, run)
    (record,) = caplog.records

    assert record.getMessage().endswith(" errors=2")
    assert record.exc_info is not None
    assert record.exc_info[1] is run.errors[1]


@pytest.mark.parametrize(
    ("job", "where", "line"),
    [
        ("j", "app.py:7", "the event loop is blocked by job=j, for 1.5 s so far, at app.py:7: no lease is renewed"),
        (None, "", "the event loop is blocked, for 1.5 s so far: no lease is renewed meanwhile"),
    ],
)
async def test_a_block_is_said_while_it_lasts(
    parts: Parts, caplog: pytest.LogCaptureFixture, job: str | None, where: str, line: str
) -> None:
    parts.ledger.loop_blocking(job, 1.5, where)
    (record,) = caplog.records

    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(line)
    assert parts.events == []


async def test_a_block_by_nobody_known_is_said_afterwards(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.ledger.loop_blocked(None, 1.5)

    assert caplog.records[0].getMessage().startswith("the event loop was blocked for 1.5 s; run code that")
    assert [(event.job, event.blocked_for) for event in parts.of_type(events.LoopBlocked)] == [(None, 1.5)]
