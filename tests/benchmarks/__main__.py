"""Owns the command line: ``scripts/bench --help``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import _chart, _machine, _markdown, _regressions
from benchmarks._environment import PEERS, ROOT, Environment, find_eager
from benchmarks._model import Measurement, Scenario
from benchmarks._ratios import Results
from benchmarks._rounds import Plan, measure_all
from benchmarks._scenarios import SCENARIOS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure asyncsched beside its peers and its limits."
    )
    parser.add_argument(
        "--quick", action="store_true", help="three to four minutes: smaller sizes, fewer rounds, few limits and peers"
    )
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--only", action="append", choices=names, metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of every scenario, in place of its own number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables (else they are printed)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="write the picture, as SVG")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables under the mark in docs/benchmarks.md")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier --json: name what became slower")
    parser.add_argument(
        "--threshold",
        type=float,
        default=_regressions.THRESHOLD,
        metavar="X",
        help="slower from which ratio on (%(default)s)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        action="append",
        metavar="FILE",
        help="measure nothing: read an earlier --json; of several, the last one that has a scenario counts",
    )
    parser.add_argument("--python", metavar="PATH", default=sys.executable, help="the interpreter to measure on")
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    return arguments


def _plan(arguments: argparse.Namespace) -> Plan:
    chosen = _chosen(arguments)
    folder = ROOT / ".venv-bench"
    main = Environment(folder, arguments.python)
    main.prepare(_needed(chosen, arguments.quick))
    eager = None
    if any(scenario.needs_eager for scenario in chosen) and (python := find_eager(arguments.python)) is not None:
        eager = Environment(folder, python)
        eager.prepare(())
    return Plan(chosen, arguments.quick, arguments.rounds, main, eager)


def _chosen(arguments: argparse.Namespace) -> tuple[Scenario, ...]:
    return tuple(each for each in SCENARIOS if not arguments.only or each.name in arguments.only)


def _needed(scenarios: tuple[Scenario, ...], quick: bool) -> list[str]:
    """Return the peers that these scenarios need."""
    contestants = [each for scenario in scenarios for each in scenario.contestants if each.quick or not quick]
    needed = {each.needs for each in contestants}
    return [peer for peer in PEERS if peer in needed]


def _tell(measurement: Measurement) -> None:
    values = ", ".join(f"{key} {value:.4g}" for key, value in measurement.values.items())
    place = f"{measurement.scenario} | {measurement.case} | {measurement.contestant}"
    sys.stderr.write(f"{measurement.round + 1}: {place}: {values or measurement.why}\n")


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    began_at = time.monotonic()
    plan = _plan(arguments)
    machine = {**_machine.describe(plan.main, plan.eager), "quick": arguments.quick}
    run: dict[str, Any] = {"machine": machine, "measurements": []}

    def note(measurement: Measurement) -> None:
        _tell(measurement)
        run["measurements"].append(measurement.as_json())
        if arguments.json is not None:  # each time: a run that is cut short keeps what it has measured
            _write(arguments.json, run)

    measure_all(plan, note)
    sys.stderr.write(f"took {time.monotonic() - began_at:.0f} s\n")
    return run


def _write(path: Path, run: dict[str, Any]) -> None:
    path.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _join(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one run, in which a scenario is the last one's that has it, and the machine the first one's."""
    by_scenario: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        again = {each["scenario"] for each in run["measurements"]}
        by_scenario.update({name: [] for name in again})
        for each in run["measurements"]:
            by_scenario[each["scenario"]].append(each)
    return {"machine": runs[0]["machine"], "measurements": [each for group in by_scenario.values() for each in group]}


def _results(run: dict[str, Any]) -> Results:
    return Results(Measurement(**each) for each in run["measurements"])


def _compare(arguments: argparse.Namespace, scenarios: tuple[Scenario, ...], results: Results) -> int:
    found = _regressions.changes(scenarios, _results(_read(arguments.compare)), results)
    worse = _regressions.slower(found, arguments.threshold)
    slower = [change for change in worse if change.is_clear]
    print(
        f"{len(found)} figures compared with {arguments.compare}: "
        f"{len(slower)} slower by more than {arguments.threshold:g}x"
    )
    for change in sorted(worse, key=lambda change: not change.is_clear):
        verdict = "slower" if change.is_clear else "slower, but within the spread of the rounds"
        values = f"{change.before:.3g} -> {change.after:.3g}{change.unit}"
        print(f"  {change.factor:.2f}x {verdict}: {change.where}: {values}")
    return 1 if slower else 0


def main() -> int:
    arguments = _arguments()
    run = _measure(arguments) if arguments.report is None else _join([_read(path) for path in arguments.report])
    if arguments.json is not None:
        _write(arguments.json, run)
    results, scenarios = _results(run), _chosen(arguments)
    tables = _markdown.page(run["machine"], scenarios, results)
    if arguments.markdown is not None:
        arguments.markdown.write_text(tables, encoding="utf-8")
    if arguments.page is not None:
        page = arguments.page.read_text(encoding="utf-8")
        arguments.page.write_text(_markdown.below_mark(page, tables), encoding="utf-8")
    if arguments.markdown is None and arguments.page is None:
        print(tables)
    if arguments.chart is not None:
        arguments.chart.write_text(_chart.svg(results), encoding="utf-8")
    return 0 if arguments.compare is None else _compare(arguments, scenarios, results)


if __name__ == "__main__":
    sys.exit(main())
