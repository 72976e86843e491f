"""What is said of a tick, from each combination of what is known of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncsched._records import ClusterState, Definition, Ending, JobRecord, LockRecord, NodeRecord, Note
from asyncsched._why import explain

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


TICK = at(3600)
NODE = NodeRecord(
    node="n0",
    host="h",
    pid=1,
    version="1",
    python="3",
    environment="",
    state="running",
    started_at=START,
    seen_at=at(7200),
    clock_skew=None,
    jobs=("job",),
    active=(),
)
DEFINITION = Definition(
    job="job", digest="d", schedule="Every(60)", policies=(), timezone="UTC", lock_ttl=600, misfire_grace=3600
)
RECORD = JobRecord(
    job="job",
    definitions={"n0": DEFINITION},
    next_fire_time=at(7260),
    paused=None,
    last=None,
    last_success_at=None,
    active=(),
)
STATE = ClusterState(taken_at=at(7200), maintenance=None, nodes=(NODE,), jobs=(RECORD,))
GRANT = LockRecord(job="job", lock_type="tick", node="n0", run_id="r", tick=TICK, fence=1, ends_in=60)
RAN = Ending(
    job="job",
    node="n0",
    at=TICK + timedelta(seconds=2),
    kind="tick",
    outcome="succeeded",
    reason="",
    fire_time=TICK,
    last_fire_time=None,
    count=1,
    started_at=TICK,
    duration=2.0,
    run_id="r",
    trace_id="",
    attempt=1,
    fence=1,
    error="",
    by="",
)
SKIPPED = replace(RAN, outcome="skipped", reason="overlap", started_at=None, duration=0.0)
EARLIER = replace(RAN, fire_time=at(0), started_at=at(0), at=at(1))


def case(verdict: str, because: str, *, tick: datetime | None = TICK, **known: Any) -> Any:
    return pytest.param(verdict, because, tick, known, id=f"{verdict}: {because}"[:60])


CASES = [
    case("ran", "n0 ran it (attempt 2)", endings=[replace(RAN, attempt=2)]),
    case("ran", "it was cancelled, because its time was over after 2 s", endings=[replace(RAN, outcome="timed_out")]),
    case("ran", "it lost its lock, and was cancelled after 2 s", endings=[replace(RAN, outcome="lock_lost")]),
    case("ran", "it was cancelled by order of ada", endings=[replace(RAN, outcome="cancelled", by="ada")]),
    case("ran", "it succeeded by order of ada (it was lost)", endings=[replace(RAN, by="ada", why="it was lost")]),
    case("ran", "n0 ran it", endings=[replace(SKIPPED, node="n1"), RAN]),
    case("skipped", ": another run of the job was in progress", endings=[SKIPPED]),
    case(
        "skipped",
        ": run on n0, of 2026-01-01T00:59:00+00:00, was in progress (until 2026-01-01T01:00:05+00:00)",
        endings=[SKIPPED, replace(RAN, run_id="", fire_time=at(3540), started_at=at(3540), at=at(3605))],
    ),
    case("skipped", ": the node was stopping", endings=[replace(SKIPPED, reason="shutting_down")]),
    case("skipped", ": the job has had all its max_runs", endings=[replace(SKIPPED, reason="finished")]),
    case("skipped", "skipped itsomething new", endings=[replace(SKIPPED, reason="something new")]),
    case(
        "skipped",
        ": the job was paused.",
        endings=[replace(SKIPPED, reason="paused")],
        paused=Note(by="ada", why="later", at=at(7000)),
    ),
    case("vanished", "n7 was granted it, as run r, and has vanished", locks=[replace(GRANT, node="n7")]),
    case(
        "vanished",
        "n7 was granted it",
        locks=[replace(GRANT, node="n7")],
        endings=[replace(SKIPPED, reason="shutting_down")],
    ),
    case("unknown", "n0 was granted it, as run r; that it ended is not in its history", locks=[GRANT]),
    case("waiting", "n0 was granted it, and has not said yet", locks=[GRANT], now=TICK + timedelta(seconds=3)),
    case("waiting", "It came due 3.0 s ago", now=TICK + timedelta(seconds=3)),
    case("waiting", "It is not due yet, for 60 s more", tick=at(7260)),
    case("paused", "The job is paused by ada (later).", paused=Note(by="ada", why="later", at=None)),
    case("paused", "The job is paused", tick=at(7260), paused=Note(by="ada", why="", at=at(7200))),
    case("unknown", "No node has given an account of it", paused=Note(by="", why="", at=at(7000)), endings=[EARLIER]),
    case("maintenance", "The cluster is in maintenance", maintenance=Note(by="", why="", at=None)),
    case(
        "unknown",
        "No node has given an account of it, though n0 had the job.",
        maintenance=Note(by="", why="", at=None),
        policies=("even_in_maintenance",),
    ),
    case(
        "unknown",
        "No node has given an account of it, and a newer one, 2026-01-01T01:01:00+00:00, was decided.",
        locks=[replace(GRANT, tick=at(3660))],
        endings=[EARLIER],
    ),
    case("unknown", "It is older than what is kept", endings=[replace(RAN, fire_time=at(3660), at=at(3661))]),
    case("unknown", "There is no such tick in Every(60)", tick=at(3601)),
    case("unknown", "No node has given an account of it", tick=at(3601), schedule="<Mine object>"),
    case("ran", "n0 ran it", tick=None, endings=[RAN], schedule="<Mine object>"),
    case("unknown", "No tick of the job that has come due is known; the next one", tick=None, schedule="<Mine object>"),
]


@pytest.mark.parametrize(("verdict", "because", "tick", "known"), CASES)
def test_each_clue_has_its_sentence(verdict: str, because: str, tick: datetime | None, known: dict[str, Any]) -> None:
    definition = replace(DEFINITION, schedule=known.get("schedule", "Every(60)"), policies=known.get("policies", ()))
    record = replace(RECORD, definitions={"n0": definition}, paused=known.get("paused"))
    state = replace(STATE, taken_at=known.get("now", STATE.taken_at), maintenance=known.get("maintenance"))
    explanation = explain(state, record, tick, known.get("endings", []), known.get("locks", []))
    assert explanation.verdict == verdict
    assert because in explanation.because[0]


def test_nothing_is_known_of_a_job_that_no_node_has() -> None:
    record = replace(RECORD, definitions={}, next_fire_time=None)
    assert explain(STATE, record, TICK, [], []).because == ("None of the 1 nodes that are there has the job 'job'.",)
    assert record.definition is None
