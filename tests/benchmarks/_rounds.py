"""Owns the order of the measurements: round after round, each contestant once in each, in a fresh process, never two
at a time. The contestants take turns at being first, so that none always follows the same one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks._contestants import BURST_SETUP
from benchmarks._environment import ROOT, Environment
from benchmarks._model import Case, Contestant, Measurement, Scenario
from benchmarks._scenarios import climb_steps

NOT_QUICK = "not in the quick form"
SHARED = {"eager": "burst", "import": "imports"}
"""Scenarios whose measurement has another module's name."""


@dataclass(frozen=True)
class Plan:
    """What is asked of this run.

    Attributes:
        rounds: in place of each scenario's own number.
        eager: where scenarios with eager tasks run; ``None``: there is no such interpreter.
    """

    scenarios: tuple[Scenario, ...]
    quick: bool
    rounds: int | None
    main: Environment
    eager: Environment | None

    def rounds_of(self, scenario: Scenario, case: Case, contestant: Contestant) -> int:
        """Return in how many rounds the contestant takes part."""
        rounds = self.rounds or (scenario.quick_rounds if self.quick else scenario.rounds)
        if contestant.kind != "peer":
            return rounds
        return min(rounds, 1 if self.quick else case.peer_rounds or scenario.peer_rounds)

    def environment(self, scenario: Scenario) -> Environment | None:
        """Return where the scenario runs."""
        return self.eager if scenario.needs_eager else self.main


def measure_all(plan: Plan, note: Callable[[Measurement], None]) -> None:
    """Carry out the plan; ``note`` gets each measurement."""
    for scenario in plan.scenarios:
        for case, contestant, index in turns(plan, scenario):
            measurement = Measurement(scenario.name, case.name, contestant.name, index)
            measurement.why = excluded(plan, scenario, case, contestant)
            if not measurement.why:
                began_at = time.monotonic()
                answer = _ask(plan, scenario, case, contestant)
                measurement.took = round(time.monotonic() - began_at, 1)
                measurement.values = answer.get("values", {})
                measurement.why = answer.get("why", "")
            note(measurement)


def turns(plan: Plan, scenario: Scenario) -> Iterator[tuple[Case, Contestant, int]]:
    """Yield who is measured when."""
    most = max(plan.rounds_of(scenario, case, each) for case in scenario.cases for each in scenario.contestants)
    for index in range(most):
        for case in scenario.cases:
            for contestant in rotated(scenario.contestants, index):
                if index < plan.rounds_of(scenario, case, contestant) and (index == 0 or runs(plan, case, contestant)):
                    yield case, contestant, index


def rotated(contestants: Iterable[Contestant], index: int) -> list[Contestant]:
    """Return the contestants, beginning with another one in each round."""
    found = list(contestants)
    first = index % len(found)
    return found[first:] + found[:first]


def runs(plan: Plan, case: Case, contestant: Contestant) -> bool:
    """Return whether this case is measured at all, of this contestant."""
    return contestant.name not in case.without and (not plan.quick or (case.quick and contestant.quick))


def excluded(plan: Plan, scenario: Scenario, case: Case, contestant: Contestant) -> str:
    """Return why it is not measured, or nothing."""
    environment = plan.environment(scenario)
    if environment is None:
        return "no Python 3.12 or newer found: name one with --python"
    if contestant.name in case.without:
        return case.why
    if not runs(plan, case, contestant):
        return NOT_QUICK
    return f"not installed: {failure}" if (failure := environment.failures.get(contestant.needs or "")) else ""


def _ask(plan: Plan, scenario: Scenario, case: Case, contestant: Contestant) -> dict[str, Any]:
    params = {**scenario.params, **(scenario.quick_params if plan.quick else {}), **case.params}
    if scenario.name == "climb":
        params["steps"] = climb_steps(contestant.name, quick=plan.quick)
    order = {
        "measure": SHARED.get(scenario.name, scenario.name),
        "contestant": contestant.module,
        "loop": contestant.loop,
        "options": contestant.options,
        "options_of_measure": {"setup_us": BURST_SETUP.get(contestant.module, 40)},
        "params": params,
    }
    environment = plan.environment(scenario)
    assert environment is not None
    command = [environment.python, "-m", "benchmarks.run", json.dumps(order)]
    process = subprocess.Popen(
        command,
        env=environment.variables(contestant.needs),
        cwd=ROOT / "tests",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told, noise = process.communicate(timeout=scenario.timeout)
    except subprocess.TimeoutExpired:
        return {"why": f"gave no answer within {scenario.timeout:g} s"}
    finally:
        _end_session(process)
    if os.environ.get("BENCH_VERBOSE"):
        sys.stderr.write(noise)
    lines = told.strip().splitlines()
    return json.loads(lines[-1]) if lines else {"why": f"ended with code {process.returncode}: {noise.strip()[-200:]}"}


def _end_session(process: subprocess.Popen[str]) -> None:
    """End what the measurement has started and left behind, if it was given up."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
