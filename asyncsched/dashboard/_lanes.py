"""Owns the drawing of a job's lane in the timeline: an hour back and an hour ahead, as paths of an SVG. Plain functions
over plain values; how many marks there are is bound by the picture, not by the number of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncsched._records import ActiveRun, Ending

SPAN = 3600
"""Seconds to each side of now."""
GRAIN = 30
"""Seconds: marks begin and end on this grid, and those that touch are one. About two pixels of a wide screen."""
HEIGHT = 20
COLOURS = 8
"""Nodes have one of so many colours."""

BAD = frozenset({"failed", "timed_out", "lock_lost"})
_BARS: Mapping[str, tuple[int, int]] = {  # top and height: told apart without colour
    "ok": (3, 11),
    "cancelled": (6, 8),
    "skipped": (10, 4),
    "missed": (0, 5),
    "bad": (0, 14),
    "running": (3, 11),
    "coming": (6, 5),
    "paused": (6, 5),
}
_STRIP = (16, 3)


@dataclass(frozen=True, slots=True)
class Lane:
    """What is drawn, in this order, as class and path; and the same in words."""

    marks: tuple[tuple[str, str], ...]
    words: str


@dataclass(frozen=True, slots=True)
class Ahead:
    """The fire times to come, in seconds since the epoch; ``dense``: so many that they are drawn as a band."""

    times: tuple[float, ...] = ()
    dense: bool = False


def outcome_class(outcome: str) -> str:
    """Return as what kind of ending an outcome is drawn."""
    if outcome in BAD:
        return "bad"
    return {"succeeded": "ok"}.get(outcome, outcome if outcome in _BARS else "cancelled")


def lane_of(
    endings: Iterable[Ending],
    active: Sequence[ActiveRun],
    ahead: Ahead,
    *,
    now: datetime,
    origin: int,
    colours: Mapping[str, int],
    paused: bool,
) -> Lane:
    """Return the lane of a job.

    Args:
        origin: the second at which x is 0, so that a lane stays as it is while time goes on.
        now: given with no finer grain than what is drawn, or lanes would differ each time.
    """
    now_s = now.timestamp()
    bars: dict[str, list[tuple[int, int]]] = {}
    counts: dict[str, int] = {}
    for ending in endings:
        end = ending.at.timestamp()
        if end < now_s - SPAN:
            break
        begin = _begin(ending)
        drawn = outcome_class(ending.outcome)
        bars.setdefault(drawn, []).append(_on_grid(begin, end, origin))
        counts[ending.outcome] = counts.get(ending.outcome, 0) + ending.count
        if ending.started_at is not None:
            bars.setdefault(f"n{colours.get(ending.node, 0) % COLOURS}", []).append(_on_grid(begin, end, origin))
    for run in active:
        span = _on_grid((run.started_at or run.fire_time).timestamp(), now_s, origin)
        bars.setdefault("running", []).append(span)
        bars.setdefault(f"n{colours.get(run.node, 0) % COLOURS}", []).append(span)
    bars["paused" if paused else "coming"] = _ahead(ahead, now_s, origin)
    order = [*_BARS, *(f"n{colour}" for colour in range(COLOURS))]
    marks = tuple((name, _path(bars[name], *_BARS.get(name, _STRIP))) for name in order if bars.get(name))
    return Lane(marks, _in_words(counts, len(active)))


def _begin(ending: Ending) -> float:
    """Return where an ending's mark begins; what never started is a mark where it was decided."""
    if ending.started_at is not None:
        return ending.started_at.timestamp()
    return (ending.fire_time if ending.outcome == "missed" else ending.at).timestamp()


def _on_grid(begin: float, end: float, origin: int) -> tuple[int, int]:
    first = int((begin - origin) // GRAIN) * GRAIN
    return first, max(-int(-(end - origin) // GRAIN) * GRAIN, first + GRAIN)


def _ahead(ahead: Ahead, now_s: float, origin: int) -> list[tuple[int, int]]:
    """Return the ticks to come, up to a while after the hour: the picture moves on before it is drawn again."""
    if ahead.dense and ahead.times:
        return [_on_grid(max(ahead.times[0], now_s), now_s + 2 * SPAN, origin)]
    return [_on_grid(at, at, origin) for at in ahead.times]


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def _path(spans: Iterable[tuple[int, int]], top: int, height: int) -> str:
    return "".join(f"M{begin} {top}h{end - begin}v{height}h{begin - end}z" for begin, end in _merged(spans))


def _in_words(counts: Mapping[str, int], running: int) -> str:
    told = [f"{number} {outcome.replace('_', ' ')}" for outcome, number in counts.items()]
    told += [f"{running} running"] * bool(running)
    return f"last hour: {', '.join(told) or 'nothing'}"
