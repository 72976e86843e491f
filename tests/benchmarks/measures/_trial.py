"""Owns one trial of a cluster: a Redis, some processes, a window, and what came of each tick in it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _redis_server import RedisServer

from benchmarks._ratios import percentile
from benchmarks.measures._redis import Usage, count, usage
from benchmarks.node import UNKNOWN

SECOND_NS = 1_000_000_000
EARLY_NS = 5_000_000
"""A start that is this close to the next tick was early for that one."""
READY_TIMEOUT = 60.0
PATIENCE = 0.9
"""Seconds after the window in which late starts of its ticks still count."""


@dataclass(frozen=True)
class Trial:
    """What is set up.

    Attributes:
        settle: seconds from the moment that all nodes are ready to the window.
        groups: the jobs are due at this many instants, spread evenly over the second.
        extra: the roles of further processes that the contestant needs.
    """

    contestant: str
    jobs: int
    window: int
    nodes: int = 3
    groups: int = 1
    extra: tuple[str, ...] = ()
    settle: float = 1.5


@dataclass(frozen=True)
class Outcome:
    """What came of it; counts are of the ticks in the window."""

    fires: int
    lost: int
    repeated: int
    late_ns: list[int]
    cpu: float
    asked: Usage

    def values(self) -> dict[str, float]:
        fires = max(1, self.fires)
        return {
            "wrong": self.lost + self.repeated,
            "lost": self.lost,
            "repeated": self.repeated,
            "p50_ms": percentile(self.late_ns, 0.5) / 1e6,
            "p99_ms": percentile(self.late_ns, 0.99) / 1e6,
            "max_ms": max(self.late_ns) / 1e6,
            "cpu_us": self.cpu / fires * 1e6,
            **self.asked.each(fires),
        }


def run_trial(trial: Trial) -> Outcome:
    """Carry out the trial."""
    server = RedisServer()
    server.start()
    try:
        with tempfile.TemporaryDirectory(prefix="asyncsched-bench-") as folder:
            return _observe(trial, server, Path(folder))
    finally:
        server.stop()


def _observe(trial: Trial, server: RedisServer, folder: Path) -> Outcome:
    processes = _start(trial, server, folder)
    try:
        _wait_ready(folder, processes)
        # between two ticks: a window's ends must not cut a burst in two
        begin = math.ceil(time.time() + trial.settle) - 0.5 / trial.groups
        end = begin + trial.window
        (folder / "window.new").write_text(f"{begin!r} {end!r}")
        (folder / "window.new").rename(folder / "window")
        _wait_until(begin, processes)
        before = count(server)
        _wait_until(end, processes)
        asked = usage(before, count(server))
        for process in processes:
            process.wait(timeout=30)
            _check(process)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return _judge(trial, folder, round(begin * SECOND_NS), asked)


def _start(trial: Trial, server: RedisServer, folder: Path) -> list[subprocess.Popen[str]]:
    processes = []
    for index, role in enumerate(["node"] * trial.nodes + list(trial.extra)):
        order: dict[str, Any] = {
            "contestant": trial.contestant,
            "url": server.url,
            "index": index,
            "nodes": trial.nodes,
            "role": role,
            "jobs": trial.jobs,
            "groups": trial.groups,
            "patience": PATIENCE,
            "folder": str(folder),
        }
        command = [sys.executable, "-m", "benchmarks.node", json.dumps(order)]
        processes.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(folder / f"{index}.err").open("w"), text=True)
        )
    return processes


def _wait_ready(folder: Path, processes: list[subprocess.Popen[str]]) -> None:
    give_up_at = time.monotonic() + READY_TIMEOUT
    while len(list(folder.glob("*.ready"))) < len(processes):
        for process in processes:
            _check(process)
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"not all nodes were ready within {READY_TIMEOUT:g} s")
        time.sleep(0.05)


def _wait_until(wall: float, processes: list[subprocess.Popen[str]]) -> None:
    while (left := wall - time.time()) > 0:
        for process in processes:
            _check(process)
        time.sleep(min(0.2, left))


def _check(process: subprocess.Popen[str]) -> None:
    if process.poll():
        raise RuntimeError(f"a node ended with code {process.returncode}")


def _judge(trial: Trial, folder: Path, begin_ns: int, asked: Usage) -> Outcome:
    end_ns = begin_ns + trial.window * SECOND_NS
    phases = [number % trial.groups * SECOND_NS // trial.groups for number in range(trial.jobs)]
    ticks: Counter[tuple[int, int]] = Counter()
    late_ns = []
    for path in folder.glob("*.starts"):
        starts, jobs, told = array("q"), array("l"), array("q")
        starts.frombytes(path.read_bytes())
        jobs.frombytes(path.with_suffix(".jobs").read_bytes())
        told.frombytes(path.with_suffix(".ticks").read_bytes())
        for start_ns, job, told_ns in zip(starts, jobs, told, strict=True):
            late = (start_ns + EARLY_NS - phases[job]) % SECOND_NS - EARLY_NS
            tick_ns = start_ns - late
            if told_ns != UNKNOWN:
                tick_ns, late = told_ns, start_ns - told_ns
            if begin_ns <= tick_ns < end_ns:
                ticks[job, tick_ns] += 1
                late_ns.append(late)
    if not late_ns:
        raise RuntimeError("nothing was started")
    cpu = sum(json.loads(path.read_text())["cpu"] for path in folder.glob("*.json"))
    lost = trial.jobs * trial.window - len(ticks)
    return Outcome(len(late_ns), lost, len(late_ns) - len(ticks), late_ns, cpu, asked)
