"""The same cluster with ever more jobs, until ticks are lost, run twice, or start more than 100 ms late (p99)."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measures._local import Order
from benchmarks.measures._trial import run_trial
from benchmarks.measures.cluster import trial_of

LATE_MS = 100.0
TRIES = 2
"""A step that failed is tried once more: the machine may have been busy with something else."""


def measure(order: Order) -> dict[str, float]:
    reached, values = 0, {"p99_ms": 0.0, "cpu_us": 0.0}
    for jobs in order["params"]["steps"]:
        for _ in range(TRIES):
            try:
                outcome = run_trial(trial_of(order, jobs, order["params"]["window"])).values()
            except (RuntimeError, subprocess.TimeoutExpired) as error:  # nothing was started, or nobody came to an end
                sys.stderr.write(f"{order['contestant']} {jobs}: {error}\n")
                passed = False
                continue
            sys.stderr.write(f"{order['contestant']} {jobs}: {outcome}\n")
            passed = not outcome["wrong"] and outcome["p99_ms"] <= LATE_MS
            if passed:
                reached, values = jobs, {key: outcome[key] for key in values}
                break
        if not passed:
            break
    return {"reached": reached, **values}
