"""Owns the statistics: medians, and ratios of what was measured in the same round. Runs nothing.

A ratio pairs two measurements of one round, so that what else the machine did then is in both of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks._model import Measurement


@dataclass(frozen=True)
class Spread:
    """A median with the range around it."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of ``values``; ``None`` if there are none."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1], len(found)) if found else None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of ``values`` that ``share`` of them do not exceed (nearest rank)."""
    found = sorted(values)
    rank = -(-len(found) * round(share * 10_000) // 10_000)
    return found[min(len(found) - 1, max(0, rank - 1))]


class Results:
    """All measurements of one run."""

    def __init__(self, measurements: Iterable[Measurement]) -> None:
        self._by_place: dict[tuple[str, str, str], list[Measurement]] = {}
        for measurement in measurements:
            place = (measurement.scenario, measurement.case, measurement.contestant)
            self._by_place.setdefault(place, []).append(measurement)

    def rounds(self, scenario: str, case: str, contestant: str, metric: str) -> dict[int, float]:
        """Return the metric's value by round."""
        found = self._by_place.get((scenario, case, contestant), [])
        return {each.round: each.values[metric] for each in found if metric in each.values}

    def value(self, scenario: str, case: str, contestant: str, metric: str) -> Spread | None:
        """Return the metric over all rounds."""
        return Spread.of(self.rounds(scenario, case, contestant, metric).values())

    def ratio(self, scenario: str, place: tuple[str, str], to: tuple[str, str], metric: str) -> Spread | None:
        """Return the metric of one ``(case, contestant)`` as a multiple of another's, paired by round."""
        ours = self.rounds(scenario, *place, metric)
        theirs = self.rounds(scenario, *to, metric)
        return Spread.of(value / theirs[index] for index, value in ours.items() if theirs.get(index))

    def why(self, scenario: str, case: str, contestant: str) -> str:
        """Return why there is no value; the newest reason, if rounds differ."""
        reasons = [each.why for each in self._by_place.get((scenario, case, contestant), []) if each.why]
        return reasons[-1] if reasons else ""
