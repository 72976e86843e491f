"""Owns which fault comes when: a plain function of a seed. Makes none of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One fault to come."""

    pause: float
    """Seconds between the end of the fault before it and this one."""
    fault: str
    seed: str
    """Of what the fault itself draws: which node, how long."""


def steps(seed: int, lane: str, faults: Sequence[str], pauses: tuple[float, float]) -> Iterator[Step]:
    """Yield faults without end: in rounds, so that each comes up before any comes up again."""
    draw = random.Random(f"{seed} {lane}")
    number = 0
    while True:
        for fault in draw.sample(faults, len(faults)):
            number += 1
            yield Step(round(draw.uniform(*pauses), 3), fault, f"{seed} {lane} {number}")
