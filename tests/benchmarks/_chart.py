"""Owns the picture: horizontal bars of a few scenarios, written as SVG by hand."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from benchmarks._bars import BARE
from benchmarks._contestants import SCRIPT
from benchmarks._markdown import number
from benchmarks._model import OURS
from benchmarks._ratios import Results
from benchmarks._scenarios import SCENARIOS

WIDTH, LABEL, BAR_MOST = 860, 210, 520
ROW, GAP, HEAD = 22, 30, 26
COLOURS = {"ours": "#2563eb", "limit": "#9ca3af", "peer": "#d97706"}


@dataclass(frozen=True)
class Panel:
    """One group of bars."""

    title: str
    scenario: str
    case: str
    metric: str
    unit: str


PANELS = (
    Panel(
        "10 000 jobs due at one instant: starts per second (longer is better)", "burst", "10 000", "starts_per_s", ""
    ),
    Panel("10 000 jobs every second: CPU per fire (shorter is better)", "sustained", "10 000 jobs", "cpu_us", " us"),
    Panel("3 nodes, 200 jobs a second: CPU per fire (shorter is better)", "cluster", "200 jobs", "cpu_us", " us"),
    Panel("3 nodes, 200 jobs a second: lateness p99 (shorter is better)", "cluster", "200 jobs", "p99_ms", " ms"),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def svg(results: Results) -> str:
    """Return the picture of what the run has measured of the panels."""
    y, parts = 10, []
    for panel in PANELS:
        rows = _rows(panel, results)
        if rows:
            parts.append(_text(10, y + 16, panel.title, bold=True))
            y += HEAD
            most = max(value for _, _, value in rows)
            for name, kind, value in rows:
                parts.append(_bar(y, name, kind, value, most, panel.unit))
                y += ROW
            y += GAP
    parts.append(_legend(y - 4))
    height = y + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _rows(panel: Panel, results: Results) -> list[tuple[str, str, float]]:
    rows = []
    for contestant in BY_NAME[panel.scenario].contestants:
        spread = results.value(panel.scenario, panel.case, contestant.name, panel.metric)
        if spread is not None:
            rows.append((contestant.name, contestant.kind, spread.median))
    first = {OURS: 0, BARE: 1, SCRIPT: 1}
    return sorted(rows, key=lambda row: first.get(row[0], 2))


def _bar(y: int, name: str, kind: str, value: float, most: float, unit: str) -> str:
    width = max(1.0, BAR_MOST * value / most)
    shown = number(value, 1 if value < 100 else 0) + unit
    return (
        _text(LABEL - 8, y + 15, name, anchor="end")
        + f'<rect x="{LABEL}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" fill="{COLOURS[kind]}"/>'
        + _text(LABEL + width + 6, y + 15, shown)
    )


def _legend(y: int) -> str:
    return _text(
        10, y, "blue: asyncsched · grey: limits without a scheduler's duties · orange: peers", colour="#4b5563"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False, colour: str = "#111827") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(text)}</text>'
