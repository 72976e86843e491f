"""The checker of the process tests finds what is wrong in forged logs, and nothing in a clean one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from _checker import (
    RunRecord,
    duplicates,
    ended_by_death,
    fence_regressions,
    lost_ticks,
    of_job,
    overlaps,
    read_records,
)

if TYPE_CHECKING:
    from pathlib import Path


def forged(tick: float, **changes: Any) -> RunRecord:
    fields = {
        "run": f"run-{tick}",
        "job": "j",
        "tick": tick,
        "fence": int(tick),
        "node": "a",
        "pid": 1,
        "start": tick + 0.01,
        "end": tick + 0.5,
    }
    return RunRecord(**{**fields, **changes})


CLEAN = [forged(10.0), forged(11.0, node="b", pid=2), forged(12.0)]


def test_clean_log() -> None:
    assert (duplicates(CLEAN), overlaps(CLEAN), lost_ticks(CLEAN, 1.0), fence_regressions(CLEAN)) == ([], [], [], [])


def test_duplicate() -> None:
    twin = forged(11.0, run="other", node="a")
    assert duplicates([*CLEAN, twin]) == [(CLEAN[1], twin)]
    assert duplicates([*CLEAN, forged(11.0, job="another")]) == []


def test_overlap() -> None:
    long = forged(9.0, end=12.005)
    assert overlaps([*CLEAN, long]) == [(long, CLEAN[0]), (long, CLEAN[1])]
    assert overlaps([forged(9.0, end=CLEAN[0].start), *CLEAN]) == []
    assert overlaps([forged(9.0, end=12.0, job="another"), *CLEAN]) == []


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


def test_reading(tmp_path: Path) -> None:
    def lines(run: RunRecord) -> str:
        start = {name: getattr(run, name) for name in RunRecord.__slots__ if name != "end"}
        return json.dumps(start) + "\n" + json.dumps({"run": run.run, "end": run.end}) + "\n"

    (tmp_path / "1.jsonl").write_text(lines(CLEAN[0]) + lines(CLEAN[2]))
    (tmp_path / "2.jsonl").write_text(lines(CLEAN[1]) + lines(forged(13.0, job="k")).split("\n")[0] + '\n{"run": "cut')
    runs = read_records(tmp_path)
    assert of_job(runs, "j") == CLEAN
    assert of_job(runs, "k") == [forged(13.0, job="k", end=None)]
