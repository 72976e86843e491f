"""The same cluster with ever more jobs, until ticks are lost or run twice; and until they start more than 100 ms late
(p99), which comes first."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from benchmarks.measures._local import Order
from benchmarks.measures._trial import run_trial
from benchmarks.measures.cluster import trial_of

LATE_MS = 100.0
SETTLE = 5.0
"""Seconds for which the nodes run before they are looked at: with thousands of jobs their start is work of its own."""
TRIES = 2
"""A step that failed is tried once more: the machine may have been busy with something else."""


def measure(order: Order) -> dict[str, float]:
    reached = kept = 0
    there: dict[str, float] = {}
    is_punctual = True
    for jobs in order["params"]["steps"]:
        best = _step(order, jobs, is_punctual)
        if best["wrong"]:
            break
        kept = jobs
        is_punctual = is_punctual and best["p99_ms"] <= LATE_MS
        if is_punctual:
            reached, there = jobs, {key: best[key] for key in ("p99_ms", "cpu_us")}
    return {"reached": reached, "kept": kept, **there}


def _step(order: Order, jobs: int, must_be_punctual: bool) -> dict[str, float]:
    """Return the values of the better try; without a second one, if the first has passed."""
    best: dict[str, float] = {"wrong": 1.0}
    for _ in range(TRIES):
        try:
            trial = trial_of(order, jobs, order["params"]["window"])
            values = run_trial(replace(trial, settle=max(SETTLE, trial.settle))).values()
        except (RuntimeError, subprocess.TimeoutExpired) as error:  # nothing was started, or nobody came to an end
            sys.stderr.write(f"{order['contestant']} {jobs}: {error}\n")
            continue
        sys.stderr.write(f"{order['contestant']} {jobs}: {values}\n")
        if best["wrong"] or (not values["wrong"] and values["p99_ms"] < best["p99_ms"]):
            best = values
        if not best["wrong"] and (best["p99_ms"] <= LATE_MS or not must_be_punctual):
            break
    return best
