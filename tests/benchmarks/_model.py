"""Owns the words of the benchmarks: scenarios, their cases, contestants and metrics, one measurement. Plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["ours", "limit", "peer"]
Value = dict[str, float]

OURS = "asyncsched"


@dataclass(frozen=True)
class Contestant:
    """Something that is measured.

    Attributes:
        name: as it stands in the tables.
        kind: ours, a limit (a bare loop that has none of a scheduler's duties), or a peer.
        module: its module in ``contestants``.
        needs: the peer's folder of packages, if it has one.
        loop: ``"uvloop"``, or ``"eager"`` for asyncio's eager task factory.
        quick: whether it takes part in the quick form.
    """

    name: str
    kind: Kind
    module: str
    needs: str | None = None
    loop: str | None = None
    quick: bool = True
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One size of a scenario.

    Attributes:
        quick: whether the quick form has it.
        without: the contestants that are not measured at this size, and ``why``.
        peer_rounds: in place of the scenario's.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    quick: bool = True
    without: tuple[str, ...] = ()
    why: str = ""
    peer_rounds: int | None = None


@dataclass(frozen=True)
class Metric:
    """What a measurement yields."""

    key: str
    title: str
    unit: str
    digits: int = 1
    higher_is_better: bool = False
    compared: bool = True
    """Whether a later run may be called slower for it."""


@dataclass(frozen=True)
class Scenario:
    """What is measured, of whom, how often.

    Attributes:
        limit: the contestant that the ratios are taken to.
        rounds: of ours and the limits; peers take part in the first ``peer_rounds``.
        timeout: seconds after which one measurement is given up.
        needs_eager: whether it needs an interpreter with eager tasks.
    """

    name: str
    title: str
    cases: tuple[Case, ...]
    contestants: tuple[Contestant, ...]
    metrics: tuple[Metric, ...]
    limit: str | None = None
    rounds: int = 5
    quick_rounds: int = 2
    peer_rounds: int = 2
    timeout: float = 120.0
    needs_eager: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    quick_params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Measurement:
    """What one contestant did in one round: values by metric, or why there are none."""

    scenario: str
    case: str
    contestant: str
    round: int
    values: Value = field(default_factory=dict)
    why: str = ""
    took: float = 0.0
    """Seconds, the contestant's start and preparations included."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
