"""Owns the figures that the project has set itself, and whether a run reached them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks._model import OURS
from benchmarks._ratios import Results, Spread

BARE = "bare loop"
APS3 = "APScheduler 3.11"


@dataclass(frozen=True)
class Bar:
    """One figure to reach: a value of ours, or its ratio to another's in the same round.

    Attributes:
        to: the contestant, or ``(case, contestant)``, that the ratio is taken to; ``None``: the value itself counts.
    """

    what: str
    scenario: str
    case: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    to: str | tuple[str, str] | None = None
    unit: str = ""
    contestant: str = OURS

    @property
    def wanted(self) -> str:
        """The bar in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}{self._unit}{self._reference}"
        return f"≤ {self.at_most:g}{self._unit}{self._reference}"

    @property
    def _unit(self) -> str:
        return "x" if self.to is not None else f" {self.unit}".rstrip()

    @property
    def _reference(self) -> str:
        return "" if self.to is None else f" {self.to if isinstance(self.to, str) else self.to[0]}"

    def measured(self, results: Results) -> Spread | None:
        """Return what the run shows, or ``None`` if it did not measure it."""
        if self.to is None:
            return results.value(self.scenario, self.case, self.contestant, self.metric)
        to = (self.case, self.to) if isinstance(self.to, str) else self.to
        return results.ratio(self.scenario, (self.case, self.contestant), to, self.metric)

    def is_met(self, spread: Spread) -> bool:
        """Whether the median reaches it."""
        if self.at_least is not None:
            return spread.median >= self.at_least
        assert self.at_most is not None
        return spread.median <= self.at_most


def _bursts() -> list[Bar]:
    bars = []
    for size, peer in (("1 000", 1.5), ("10 000", 2.5), ("100 000", 6.0)):
        what = f"{size} jobs due at one instant: starts per second"
        bars.append(Bar(what, "burst", size, "starts_per_s", at_least=0.6, to=BARE))
        bars.append(Bar(what, "burst", size, "starts_per_s", at_least=peer, to=APS3))
    return bars


def _eager() -> list[Bar]:
    what = "{} jobs due at one instant, Python 3.12+: starts per second with eager tasks"
    return [
        Bar(
            what.format(size),
            "eager",
            size,
            "starts_per_s",
            at_least=1.3,
            to="asyncsched, not eager",
            contestant="asyncsched, eager",
        )
        for size in ("1 000", "10 000", "100 000")
    ]


def _cluster() -> list[Bar]:
    what = "3 nodes, 200 jobs each second on one server each: "
    script = "bare loop, one script a batch"
    return [
        Bar(what + "ticks lost or run twice", "cluster", "200 jobs", "wrong", at_most=0),
        Bar(what + "p99 lateness", "cluster", "200 jobs", "p99_ms", at_most=2, to=script),
        Bar(what + "CPU of the nodes per fire", "cluster", "200 jobs", "cpu_us", at_most=2, to=script),
        Bar(what + "script calls per fire", "cluster", "200 jobs", "scripts", at_most=0.05),
        Bar("the same, more jobs: fires per second in time", "climb", "3 nodes", "reached", at_least=20_000),
    ]


BARS: tuple[Bar, ...] = (
    *_bursts(),
    *_eager(),
    Bar("10 000 jobs at 1 s: CPU per fire", "sustained", "10 000 jobs", "cpu_us", at_most=2, to=BARE),
    *(
        Bar(
            f"CPU per fire with {size} jobs registered, 100 fires/s",
            "growth",
            size,
            "cpu_us",
            at_most=1.5,
            to=("1 000", OURS),
        )
        for size in ("10 000", "100 000", "1 000 000")
    ),
    Bar("lateness p99, 1 000 staggered jobs", "lateness", "1 000 jobs", "p99_us", at_most=1.2, to="loop.call_at"),
    Bar("starts before their time", "lateness", "1 000 jobs", "early", at_most=0),
    Bar("adding a job", "registration", "1 000 000", "add_us", at_most=15, unit="us"),
    Bar("memory per registered job", "registration", "1 000 000", "bytes", at_most=700, unit="bytes"),
    Bar("idle with 100 jobs an hour away: CPU", "idle", "100 jobs", "cpu_percent", at_most=0.1, unit="%"),
    Bar("idle: wake-ups per second", "idle", "100 jobs", "wakeups", at_most=2),
    *_cluster(),
    Bar(
        "`import asyncsched`: CPU time above a bare interpreter", "import", "import", "above_ms", at_most=70, unit="ms"
    ),
    Bar("`redis` imported by it", "import", "import", "redis", at_most=0),
)
