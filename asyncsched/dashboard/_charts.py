"""Owns the bar charts of a job's runs: how long they took, how late they started. Plain values for a template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncsched.dashboard._lanes import outcome_class
from asyncsched.dashboard._texts import duration

if TYPE_CHECKING:
    from asyncsched._records import Ending

MOST_BARS = 120
HEIGHT = 100.0
_LOWEST = 1.5  # a bar of zero is still to be seen


@dataclass(frozen=True, slots=True)
class Bar:
    """One run: its place from the left, its height, both in units of the drawing."""

    x: int
    height: float
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart; ``middle`` is the height of the median."""

    title: str
    bars: tuple[Bar, ...]
    width: int
    top: str
    median: str
    p95: str
    middle: float
    words: str


def charts_of(endings: Sequence[Ending]) -> tuple[Chart, ...]:
    """Return the charts of a job's newest runs, none if it has had none."""
    runs = [ending for ending in endings if ending.started_at is not None][:MOST_BARS][::-1]
    if not runs:
        return ()
    return (
        _chart("Duration", runs, lambda ending: ending.duration),
        _chart("Start after fire time", runs, lambda ending: max(ending.late_by or 0.0, 0.0)),
    )


def _chart(title: str, runs: Sequence[Ending], value_of: Callable[[Ending], float]) -> Chart:
    values = [value_of(run) for run in runs]
    ordered = sorted(values)
    top = max(ordered[-1], 1e-6)
    median, p95 = quantile(ordered, 0.5), quantile(ordered, 0.95)
    bars = tuple(
        Bar(
            x=4 * at,
            height=round(max(value / top * HEIGHT, _LOWEST), 1),
            kind=outcome_class(run.outcome),
            words=f"{run.fire_time:%H:%M:%S} {run.outcome.replace('_', ' ')} on {run.node}: {duration(value)}",
        )
        for at, (run, value) in enumerate(zip(runs, values, strict=True))
    )
    words = f"{title} of the last {len(runs)} runs: median {duration(median)}, at most {duration(ordered[-1])}"
    width = 4 * max(len(runs), 30)
    middle = round(median / top * HEIGHT, 1)
    return Chart(title, bars, width, duration(ordered[-1]), duration(median), duration(p95), middle, words)


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part of all does not exceed. There is one at least."""
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]
