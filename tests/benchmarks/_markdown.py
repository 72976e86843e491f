"""Owns the tables: the bars first, then each scenario with all its contestants, those without a value included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks._bars import BARS, Bar
from benchmarks._model import Metric, Scenario
from benchmarks._ratios import Results, Spread


def page(machine: dict[str, Any], scenarios: Iterable[Scenario], results: Results) -> str:
    """Return the whole report."""
    chosen = list(scenarios)
    parts = [_machine(machine), "## The bars", bars_table({each.name for each in chosen}, results)]
    for scenario in chosen:
        parts += [f"## {scenario.title}", scenario_table(scenario, results)]
    return "\n\n".join(parts) + "\n"


def _machine(machine: dict[str, Any]) -> str:
    peers = ", ".join(f"{name} {version}" for name, version in sorted(machine["peers"].items()))
    return (
        f"Measured {machine['date']} on {machine['cores']} cores ({machine['cpu']}), {machine['system']}, load "
        f"{machine['load']} at the start. Python {machine['python']}; eager tasks on "
        f"{machine['python_eager'] or 'no interpreter'}. {machine['redis_server']}. Commit {machine['commit']}.\n\n"
        f"Peers: {peers}."
    )


def bars_table(scenarios: set[str], results: Results) -> str:
    """Return each bar with what was measured of it."""
    lines = ["| what | bar | measured | met |", "| --- | --- | --- | --- |"]
    for bar in BARS:
        if bar.scenario in scenarios:
            spread = bar.measured(results)
            met = "not measured" if spread is None else "yes" if bar.is_met(spread) else "**no**"
            lines.append(f"| {bar.what} | {bar.wanted} | {_of_bar(bar, spread)} | {met} |")
    return "\n".join(lines)


def _of_bar(bar: Bar, spread: Spread | None) -> str:
    if spread is None:
        return ""
    unit = "x" if bar.to is not None else f" {bar.unit}".rstrip()
    return with_range(spread, 2 if bar.to is not None or spread.median < 10 else 0, unit)


def scenario_table(scenario: Scenario, results: Results) -> str:
    """Return a row for each case, contestant and metric."""
    limit = "" if scenario.limit is None else f" x {scenario.limit} |"
    lines = [f"| case | contestant | measure | median |{limit}", "| --- | --- | --- | --- |" + " --- |" * bool(limit)]
    for case in scenario.cases:
        reasons = {results.why(scenario.name, case.name, contestant.name) for contestant in scenario.contestants}
        if len(reasons) == 1 and reasons != {""}:
            lines.append(f"| {case.name} | all | {reasons.pop()} | |" + " |" * bool(limit))
            continue
        for contestant in scenario.contestants:
            row = f"| {case.name} | {contestant.name} |"
            if why := results.why(scenario.name, case.name, contestant.name):
                lines.append(f"{row} {why.replace('|', '/')} | |" + " |" * bool(limit))
            for metric in scenario.metrics:
                spread = results.value(scenario.name, case.name, contestant.name, metric.key)
                if spread is not None:
                    ratio = _ratio(scenario, results, case.name, contestant.name, metric)
                    lines.append(f"{row} {metric.title} | {_shown(spread, metric)} |{ratio}")
    return "\n".join(lines)


def _ratio(scenario: Scenario, results: Results, case: str, contestant: str, metric: Metric) -> str:
    if scenario.limit is None:
        return ""
    spread = None
    if metric.compared and contestant != scenario.limit:
        spread = results.ratio(scenario.name, (case, contestant), (case, scenario.limit), metric.key)
    return " |" if spread is None else f" {with_range(spread, 2)} |"


def _shown(spread: Spread, metric: Metric) -> str:
    return f"{number(spread.median, metric.digits)} {metric.unit}".rstrip()


def number(value: float, digits: int) -> str:
    """Return a number with thin groups of thousands."""
    return f"{value:,.{digits}f}".replace(",", " ")


def with_range(spread: Spread, digits: int, unit: str = "") -> str:
    """Return a median, and the range where there was more than one round."""
    shown = f"{number(spread.median, digits)}{unit}"
    if spread.count == 1:
        return shown
    return f"{shown} ({number(spread.low, digits)}–{number(spread.high, digits)})"
