"""Owns the comparison with an earlier run: what became slower, by ratio.

What has a limit is compared by its ratio to that limit, which both runs measured beside it, so that the two machines
may differ. What has none (memory, an idle process) is compared by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks._model import OURS, Metric, Scenario
from benchmarks._ratios import Results, Spread

THRESHOLD = 1.15
"""Ratio from which something counts as slower."""


@dataclass(frozen=True)
class Change:
    """What a metric of ours was and is.

    Attributes:
        factor: above 1: it became worse by that factor.
        is_clear: whether the ranges of the two runs' rounds do not touch, so that chance is no likely reason.
    """

    where: str
    before: float
    after: float
    unit: str
    factor: float
    is_clear: bool


def _place(results: Results, scenario: Scenario, case: str, name: str, metric: Metric) -> Spread | None:
    if scenario.limit is None or scenario.limit == name:
        return results.value(scenario.name, case, name, metric.key)
    return results.ratio(scenario.name, (case, name), (case, scenario.limit), metric.key)


def changes(scenarios: Iterable[Scenario], before: Results, after: Results) -> list[Change]:
    """Return every figure of ours that both runs have, the worst first."""
    found = []
    for scenario in scenarios:
        unit = "" if scenario.limit is None else f" x {scenario.limit}"
        names = [each.name for each in scenario.contestants if each.name.startswith(OURS)]
        for case in scenario.cases:
            for name in names:
                for metric in scenario.metrics:
                    was, now = (_place(results, scenario, case.name, name, metric) for results in (before, after))
                    if metric.compared and was is not None and now is not None:
                        where = f"{scenario.title}, {case.name}, {name}: {metric.title}"
                        found.append(_change(where, was, now, unit or f" {metric.unit}".rstrip(), metric))
    return sorted(found, key=lambda change: -change.factor)


def _change(where: str, was: Spread, now: Spread, unit: str, metric: Metric) -> Change:
    is_clear = now.high < was.low if metric.higher_is_better else now.low > was.high
    return Change(where, was.median, now.median, unit, _factor(was.median, now.median, metric), is_clear)


def _factor(was: float, now: float, metric: Metric) -> float:
    better, worse = (now, was) if metric.higher_is_better else (was, now)
    if better <= 0:
        return 1.0 if worse <= 0 else float("inf")
    return worse / better


def slower(found: Iterable[Change], threshold: float = THRESHOLD) -> list[Change]:
    """Return the changes for the worse that are beyond the threshold, those within the rounds' spread included."""
    return [change for change in found if change.factor > threshold]
