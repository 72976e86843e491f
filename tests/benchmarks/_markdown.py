"""Owns the tables: the bars first, then each scenario with all its contestants, those without a value included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks._bars import BARS, Bar
from benchmarks._model import Metric, Scenario
from benchmarks._ratios import Results, Spread

MARK = "<!-- Everything below is written by scripts/bench --page. -->"


def below_mark(text: str, tables: str) -> str:
    """Return a page with the tables in place of what stood below its mark, their headings one level lower."""
    kept, mark, _ = text.partition(MARK)
    if not mark:
        raise SystemExit(f"the page has no line {MARK}")
    return f"{kept}{MARK}\n\n{tables.replace(chr(10) + '## ', chr(10) + '### ')}"


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
    """Return a row for each case and contestant; where there is a limit, each value with its ratio to it."""
    titles = ["case", "contestant", *(_title(metric) for metric in scenario.metrics)]
    lines = [_line(titles), _line(["---"] * len(titles))]
    for case in scenario.cases:
        reasons = {results.why(scenario.name, case.name, contestant.name) for contestant in scenario.contestants}
        if len(reasons) == 1 and reasons != {""}:
            lines.append(_line([case.name, "all", reasons.pop()], len(titles)))
            continue
        for contestant in scenario.contestants:
            cells = _cells(scenario, results, case.name, contestant.name)
            lines.append(_line([case.name, contestant.name, *cells], len(titles)))
    return "\n".join(lines)


def _cells(scenario: Scenario, results: Results, case: str, contestant: str) -> list[str]:
    cells = [_cell(scenario, results, case, contestant, metric) for metric in scenario.metrics]
    why = results.why(scenario.name, case, contestant)
    return [why] if why and not any(cells) else cells


def _cell(scenario: Scenario, results: Results, case: str, contestant: str, metric: Metric) -> str:
    spread = results.value(scenario.name, case, contestant, metric.key)
    if spread is None:
        return ""
    shown = number(spread.median, metric.digits)
    if scenario.limit is None:
        return with_range(spread, metric.digits)
    if not metric.compared or contestant == scenario.limit:
        return shown
    ratio = results.ratio(scenario.name, (case, contestant), (case, scenario.limit), metric.key)
    return shown if ratio is None else f"{shown} = {with_range(ratio, 2, 'x')}"


def _title(metric: Metric) -> str:
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def _line(cells: list[str], width: int = 0) -> str:
    padded = cells + [""] * (width - len(cells))
    return "| " + " | ".join(cell.replace("|", "/") for cell in padded) + " |"


def number(value: float, digits: int) -> str:
    """Return a number with thin groups of thousands."""
    return f"{value:,.{digits}f}".replace(",", " ")


def with_range(spread: Spread, digits: int, unit: str = "") -> str:
    """Return a median, and the range where there is one."""
    shown = f"{number(spread.median, digits)}{unit}"
    if spread.count == 1 or spread.low == spread.high:
        return shown
    return f"{shown} ({number(spread.low, digits)}–{number(spread.high, digits)})"
