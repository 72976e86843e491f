"""The checker of runs finds what is wrong among forged ones, and nothing among clean ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _checker import duplicates, ended_by_death, fence_regressions, lost_ticks, of_job, overlaps
from _cluster import complaint_in
from _records import DIED, RunRecord, read_records
from _run_log import RunLog

if TYPE_CHECKING:
    from pathlib import Path


def forged(tick: float, **changes: Any) -> RunRecord:
    fields = {
        "run": f"run-{tick}",
        "job": "j",
        "tick_us": round(tick * 1e6),
        "fence": int(tick),
        "attempt": 1,
        "node": "a",
        "pid": 1,
        "start": tick + 0.01,
        "end": tick + 0.5,
        "outcome": "succeeded",
    }
    return RunRecord(**{**fields, **changes})


CLEAN = [forged(10.0), forged(11.0, node="b", pid=2), forged(12.0)]


def test_clean_runs() -> None:
    assert (duplicates(CLEAN), overlaps(CLEAN), lost_ticks(CLEAN, 1.0), fence_regressions(CLEAN)) == ([], [], [], [])


def test_duplicate() -> None:
    twin = forged(11.0, run="other", node="a")
    assert duplicates([*CLEAN, twin]) == [(CLEAN[1], twin)]
    assert duplicates([*CLEAN, forged(11.0, job="another")]) == []


@pytest.mark.parametrize("outcome", [DIED, "cancelled", "lock_lost"])
def test_rightful_rerun(outcome: str) -> None:
    first, second = forged(13.0, outcome=outcome), forged(13.0, run="again", attempt=2, fence=14, start=16.0, end=16.1)
    assert duplicates([*CLEAN, first, second]) == []
    assert fence_regressions([*CLEAN, first, second]) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"outcome": DIED}, {"attempt": 1}),
        ({"outcome": "succeeded"}, {"attempt": 2}),
        ({"outcome": "failed"}, {"attempt": 2}),
        ({"outcome": None, "end": None}, {"attempt": 2}),
        ({"outcome": DIED, "attempt": 2}, {"attempt": 2}),
    ],
)
def test_wrongful_rerun(first: dict[str, Any], second: dict[str, Any]) -> None:
    runs = [forged(13.0, **first), forged(13.0, run="again", fence=14, start=16.0, end=16.1, **second)]
    assert duplicates([*CLEAN, *runs]) == [tuple(runs)]


def test_overlap() -> None:
    long = forged(9.0, end=12.005)
    assert overlaps([*CLEAN, long]) == [(long, CLEAN[0]), (long, CLEAN[1])]
    assert overlaps([forged(9.0, end=CLEAN[0].start), *CLEAN]) == []
    assert overlaps([forged(9.0, end=12.0, job="another"), *CLEAN]) == []


def test_overlap_of_three() -> None:
    long, longer = forged(8.0, end=10.2), forged(9.0, end=11.2)
    assert overlaps([*CLEAN, long, longer]) == [
        (long, longer),
        (long, CLEAN[0]),
        (longer, CLEAN[0]),
        (longer, CLEAN[1]),
    ]


def test_overlap_with_a_run_that_never_ended() -> None:
    dead = forged(9.0, end=None, pid=7)
    assert overlaps([dead, *CLEAN]) == [(dead, run) for run in CLEAN]
    assert overlaps(ended_by_death([dead, *CLEAN], {7: 9.3})) == []


def test_lost_tick() -> None:
    assert lost_ticks([CLEAN[0], CLEAN[2]], 1.0) == [11.0]
    assert lost_ticks([forged(10.0), forged(10.5), forged(12.0)], 0.5) == [11.0, 11.5]


def test_fence_regression() -> None:
    sunken = forged(13.0, fence=12)
    assert fence_regressions([*CLEAN, sunken]) == [(CLEAN[2], sunken)]
    assert fence_regressions([*CLEAN, forged(13.0, fence=1, job="another")]) == []


def test_fence_of_a_rerun() -> None:
    first, again = forged(10.0, outcome=DIED), forged(10.0, run="again", attempt=2, fence=20, start=14.0, end=14.1)
    assert fence_regressions([first, CLEAN[1], again]) == []  # it is younger than the tick after it
    sunken = forged(10.0, run="again", attempt=2, fence=9, start=14.0, end=14.1)
    assert fence_regressions([first, CLEAN[1], sunken]) == [(first, sunken)]


def write(log: RunLog, run: RunRecord, *, ended: bool = True) -> None:
    fields = {name: getattr(run, name) for name in RunRecord.__slots__ if name not in ("end", "outcome")}
    log.write("start", **fields)
    if ended:
        log.write("end", run=run.run, end=run.end)
        log.write("booked", node="a", job=run.job, tick_us=run.tick_us, word=run.outcome, at=run.end, run=run.run)


def test_reading(tmp_path: Path) -> None:
    one, two = RunLog(tmp_path, "one"), RunLog(tmp_path, "two")
    write(one, CLEAN[0])
    write(one, CLEAN[2])
    write(two, CLEAN[1])
    write(two, forged(13.0, job="k"), ended=False)
    with (tmp_path / "two.jsonl").open("a") as file:
        file.write('{"line":"end","run":"cut')
    runs = read_records(tmp_path).runs
    assert of_job(runs, "j") == CLEAN
    assert of_job(runs, "k") == [forged(13.0, job="k", end=None, outcome=None)]


BROKEN = """Future exception was never retrieved
future: <Future finished exception=BrokenPipeError(32, 'Broken pipe')>
Traceback (most recent call last):
  File "/python/asyncio/selector_events.py", line 1098, in _write_sendmsg
    nbytes = self._sock.sendmsg(self._get_sendmsg_buffer())
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
BrokenPipeError: [Errno 32] Broken pipe
"""


def test_what_a_broken_connection_leaves_behind_is_no_complaint() -> None:
    assert complaint_in(f"job=a outcome=succeeded\n{BROKEN}job=b outcome=succeeded\n") == ""
    for other in (
        BROKEN.replace("BrokenPipeError", "ValueError"),
        BROKEN.replace("Future exception was never retrieved", "Task exception was never retrieved"),
    ):
        assert complaint_in(f"job=a\n{BROKEN}{other}job=b\n") == f"job=a\n{other}job=b\n"
