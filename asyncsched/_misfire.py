"""Owns the decision what a late look at the timeline means: which tick runs, which were missed, what is next.

A plain function over plain values: no clock, no I/O.

        tick        newer ticks that are due too            now        next
    ─────┼──────────────┼──────────────┼─────────────────────┼──────────┼────▶
       missed         missed        runs, if now - tick <= grace; else missed
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Step = Callable[[int], int | None]
"""Next fire time after the given one, both in microseconds since the epoch."""

STEPS_AT_ONCE = 1000
"""Fire times that one decision walks over: after a long suspend the rest waits for the next turn of the loop."""


class Grid(Protocol):
    """A trigger whose fire times need not be walked over: the fixed interval."""

    @property
    def interval_us(self) -> int:
        """Microseconds between two fire times."""
        ...

    def count_between(self, after_us: int, until_us: int) -> int:
        """Return how many fire times lie later than the one and not later than the other."""
        ...


@dataclass(slots=True)
class Due:
    """What is to be done with a job whose tick has come. (Not frozen: one is made for each tick, in a third of the
    time.)"""

    run_us: int | None
    """The tick to run; ``None``: none of them."""
    next_us: int | None
    """The next tick to wait for; not later than now if the walk was cut short. ``None``: never again."""
    missed: int = 0
    first_missed_us: int = 0
    last_missed_us: int = 0


def coalesce(
    tick_us: int, now_us: int, grace_us: int | None, step: Step, grid: Grid | None = None, limit: int = STEPS_AT_ONCE
) -> Due:
    """Decide about ``tick_us`` and all later ticks up to ``now_us``: the newest runs, unless it is too late.

    With ``grid`` the walk over the ticks is a single step.
    """
    newest_us, missed, last_missed_us = tick_us, 0, 0
    next_us = step(tick_us)
    if grid is not None and next_us is not None and next_us <= now_us:
        missed = grid.count_between(tick_us, now_us)
        newest_us = tick_us + missed * grid.interval_us
        last_missed_us, next_us = newest_us - grid.interval_us, step(newest_us)
    while next_us is not None and next_us <= now_us:
        missed, last_missed_us, newest_us = missed + 1, newest_us, next_us
        if missed >= limit:
            return Due(None, newest_us, missed, tick_us, last_missed_us)
        next_us = step(newest_us)
    if grace_us is not None and now_us - newest_us > grace_us:
        return Due(None, next_us, missed + 1, tick_us, newest_us)
    return Due(newest_us, next_us, missed, tick_us, last_missed_us)


def ticks_between(step: Step, after_us: int, until_us: int, limit: int = STEPS_AT_ONCE) -> list[int]:
    """Return the ticks later than ``after_us`` and not later than ``until_us``, the oldest ``limit`` of them."""
    ticks: list[int] = []
    while len(ticks) < limit and (tick_us := step(after_us)) is not None and tick_us <= until_us:
        ticks.append(tick_us)
        after_us = tick_us
    return ticks


def newest_missed(step: Step, last_us: int, now_us: int, within_us: int) -> int | None:
    """Return the newest tick later than ``last_us``, not later than ``now_us`` and at most ``within_us`` old.

    It looks back over spans that double, so that it walks over few ticks, however many lie behind.
    """
    oldest_us = max(last_us, now_us - within_us - 1)
    span = 1_000_000
    after_us = max(oldest_us, now_us - span)
    while (tick_us := step(after_us)) is None or tick_us > now_us:
        if after_us == oldest_us:
            return None
        span *= 2
        after_us = max(oldest_us, now_us - span)
    while (following := step(tick_us)) is not None and following <= now_us:
        tick_us = following
    return tick_us
