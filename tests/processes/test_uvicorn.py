"""The service of the docs under uvicorn: four workers on one file or one Redis, some of them killed; and one alone."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from _checker import (
    duplicates,
    ended_by_death,
    fence_regressions,
    lost_ticks,
    of_job,
    overlaps,
)
from _processes import ROOT, Program, is_alive
from _records import RunRecord, read_records
from _redis_server import free_port
from redis import Redis

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

pytestmark = pytest.mark.processes

SECONDS, KILLS = (60.0, 5) if os.environ.get("ASYNCSCHED_LONG") else (18.0, 1)
"""How long the four workers run, and how many of them are killed meanwhile; ``ASYNCSCHED_LONG=1`` for a minute."""
LOCK_TTL = 5.0
"""Of the job ``three_seconds``."""


class Service(Program):
    """The service on a free port, with its log of runs."""

    def __init__(self, log: Path, *, workers: int, store_url: str = "") -> None:
        self.port = free_port()
        self._log = log
        log.mkdir()
        super().__init__(
            *("-m", "uvicorn", "_service:app", "--app-dir", "tests/processes", "--host", "127.0.0.1"),
            *("--port", self.port, "--workers", workers, "--log-level", "info"),
            environment={"STORE_URL": store_url, "RUN_LOG": str(log), "PYTHONPATH": str(ROOT / "tests")},
        )

    def runs(self) -> list[RunRecord]:
        return read_records(self._log).runs

    def ask(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def wait_for_runs(self, job: str, number: int, within: float = 30.0) -> None:
        give_up_at = time.monotonic() + within
        while len(of_job(self.runs(), job)) < number:
            assert time.monotonic() < give_up_at, f"fewer than {number} runs of {job} in {within:g} s: {self.told()}"
            time.sleep(0.05)

    def kill_worker_in_mid_run(self) -> tuple[int, float]:
        """Kill the worker that carries out ``three_seconds``, between two ticks; return its pid and when."""
        give_up_at = time.monotonic() + 15.0
        while True:
            runs = [run for run in of_job(self.runs(), "three_seconds") if run.end is None and is_alive(run.pid)]
            now = time.time()
            # 0.4 to 0.6 s after a tick: that tick's short run has ended, so that exactly one run is in progress
            if runs and now - runs[-1].start > 1.0 and 0.4 < now % 1.0 < 0.6:
                os.kill(runs[-1].pid, signal.SIGKILL)
                return runs[-1].pid, time.time()
            assert time.monotonic() < give_up_at, f"no run to kill: {self.told()}"
            time.sleep(0.01)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The store that the workers share."""
    return f"sqlite://{tmp_path}/jobs.db" if request.param == "sqlite" else request.getfixturevalue("redis_url")


def test_four_workers_one_store_and_kills(store_url: str, tmp_path: Path) -> None:
    killed_at: dict[int, float] = {}
    with Service(tmp_path / "log", workers=4, store_url=store_url) as service:
        service.wait_for_runs("each_second", 3)
        began_at = time.monotonic()
        for kill in range(KILLS):
            time.sleep(max(0.0, began_at + SECONDS * (kill + 1) / (KILLS + 2) - time.monotonic()))
            victim, at = service.kill_worker_in_mid_run()
            killed_at[victim] = at
        time.sleep(max(0.0, SECONDS - (time.monotonic() - began_at)))
        service.send(signal.SIGTERM)
        assert service.wait(40) in (0, -signal.SIGTERM), service.told()
        errors = service.err
        runs = ended_by_death(service.runs(), killed_at)

    short, long = of_job(runs, "each_second"), of_job(runs, "three_seconds")
    tell(short, long, killed_at)
    assert duplicates(short) == []
    assert lost_ticks(short, 1.0) == []
    assert len(short) >= SECONDS
    assert len({run.pid for run in short}) > 1, "one worker did it all"
    assert overlaps(long) == []
    assert fence_regressions(short) == fence_regressions(long) == []

    # the killed runs are the only ones that were not ended: SIGTERM has drained the others
    assert sorted(run.pid for run in runs if run.end in killed_at.values()) == sorted(killed_at)
    assert all(run.end is not None for run in runs)
    # and their job went on as soon as the lease of each had ended
    for at in killed_at.values():
        following = [run for run in long if run.start > at]
        assert following, "the killed job never went on"
        assert following[0].start - at < LOCK_TTL + 2.0
    assert "Traceback" not in errors
    assert locks_left(store_url) == []


def test_one_worker_without_redis(tmp_path: Path) -> None:
    with Service(tmp_path / "log", workers=1) as service:
        service.wait_for_runs("each_second", 5)
        assert service.ask() == {"pid": service.process.pid, "state": "running", "has_redis": False}
        service.wait_for_runs("three_seconds", 2)
        service.send(signal.SIGTERM)
        assert service.wait(20) in (0, -signal.SIGTERM), service.told()
        errors, runs = service.err, service.runs()

    short, long = of_job(runs, "each_second"), of_job(runs, "three_seconds")
    assert (duplicates(short), lost_ticks(short, 1.0), overlaps(long)) == ([], [], [])
    assert all(run.end is not None for run in runs), "SIGTERM drains"
    assert "Traceback" not in errors


def tell(short: Sequence[RunRecord], long: Sequence[RunRecord], killed: Collection[int]) -> None:
    """Print the figures; ``pytest -s`` shows them."""
    late = sorted(run.start - run.tick for run in short)
    print(f"\neach_second: {len(short)} runs of {round(short[-1].tick - short[0].tick) + 1} ticks, on", end=" ")
    print(f"{len({run.pid for run in short})} workers, late by {late[len(late) // 2] * 1000:.1f} ms (median),", end=" ")
    print(f"{late[-1] * 1000:.1f} ms (worst); duplicates={len(duplicates(short))} lost={len(lost_ticks(short, 1.0))}")
    print(f"three_seconds: {len(long)} runs, overlaps={len(overlaps(long))}; killed workers: {len(killed)}")


def locks_left(url: str) -> list[str]:
    """Return the locks other than the records that outlive runs by design."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as connection:
            return [lock for (lock,) in connection.execute("SELECT lock FROM locks WHERE lock != 'start'")]
    with Redis.from_url(url, decode_responses=True) as client:
        keys = sorted(client.scan_iter(match="*jobLock*"))
    return [key for key in keys if not key.endswith((":tick", ":start"))]
