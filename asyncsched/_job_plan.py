"""Owns what the trigger of a job is put together from, and in which order: its schedule, filters, limits.

The calls that describe a job come in any order, and its time zone may be its scheduler's, so the parts are kept until
the job is scheduled. Knows nothing of jobs but their name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncsched._instants import from_us
from asyncsched._lazy import LazyModule
from asyncsched._seeds import fraction
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Every
from asyncsched.triggers._union import Joinable

if TYPE_CHECKING:
    from asyncsched.protocols import Trigger
    from asyncsched.triggers import _filters
    from asyncsched.triggers._filters import Filter
else:
    _filters = LazyModule("asyncsched.triggers._filters")

SPREAD = "spread"


class Rank(IntEnum):
    """The order of filters, from within. What can be judged without a calendar comes first."""

    DAYS = 0
    WINDOW = 1
    DATES = 2


class FilterCall(NamedTuple):
    """A filter as it was asked for."""

    rank: Rank
    call: str
    around: Callable[[Trigger, tzinfo], Filter]


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of one trigger. Only a plain schedule without a time zone needs no plan."""

    base: Trigger | None = None
    """The schedule, if it has no time zone."""
    zoned: Callable[..., Trigger] | None = None
    """Makes the schedule, if it has one, of ``timezone`` and ``dst``."""
    dst: str | None = None
    phase: float | str | None = None
    """Seconds, or ``SPREAD``."""
    filters: tuple[FilterCall, ...] = ()
    starting: datetime | None = None
    until: datetime | None = None

    def changed(self, **changes: Any) -> Plan:
        """Return the plan with other parts in place of these."""
        return replace(self, **changes)

    def built(self, timezone: tzinfo, job: str, *, is_final: bool) -> Trigger | None:
        """Return the trigger in a time zone, or ``None`` while there is no schedule.

        Args:
            timezone: of wall times and filters.
            job: its name, by which a grid is spread.
            is_final: this is the job's time zone; else filters of an interval cannot be judged yet.

        Raises:
            ConfigurationError: parts that do not go together.
        """
        trigger = self._scheduled(timezone, job)
        if trigger is None:
            return None
        is_judged = (is_final or self.is_judged) and isinstance(trigger, Joinable)
        for each in sorted(self.filters, key=lambda each: each.rank):
            trigger = around = each.around(trigger, timezone)
            if is_judged and each.rank < Rank.DATES and _filters.lets_nothing_pass(around):
                raise ConfigurationError(f"{each.call} lets none of the fire times of {around.trigger!r} pass")
        if self.starting is None and self.until is None:
            return trigger
        return _filters.Within(trigger, starting=self.starting, until=self.until)

    @property
    def is_judged(self) -> bool:
        """Whether all has been said of the parts when they were put together, whatever the time zone."""
        return self.zoned is not None or not self.filters

    def refusal(self, timezone: tzinfo | None, job: str) -> str | None:
        """Return what is wrong with the parts, now that there will be no others, or ``None``."""
        if self.base is None and self.zoned is None:
            named = (("dst", self.dst), ("phase", self.phase), ("starting", self.starting), ("until", self.until))
            calls = [f"{name}({value!r})" for name, value in named if value is not None]
            return f"{[*(each.call for each in self.filters), *calls][0]} needs a schedule, and immediate() is none"
        if self.is_judged or timezone is None:
            return None
        try:
            self.built(timezone, job, is_final=True)
        except ConfigurationError as error:
            return str(error)
        return None

    def _scheduled(self, timezone: tzinfo, job: str) -> Trigger | None:
        if self.zoned is not None:
            trigger: Trigger | None = self.zoned(timezone=timezone, dst=self.dst or "once")
        else:
            trigger = self.base
            if trigger is not None and self.dst is not None:
                raise ConfigurationError(f"dst({self.dst!r}) is for fixed wall times, which {trigger!r} has not")
        if trigger is None or self.phase is None:
            return trigger
        if type(trigger) is not Every:
            raise ConfigurationError(f"phase({self.phase!r}) moves the grid of an interval, and {trigger!r} is none")
        return _moved(trigger, self.phase, job)


def _moved(grid: Every, phase: float | str, job: str) -> Every:
    by_us = round(phase * 1e6) if isinstance(phase, float) else int(fraction("phase", job) * grid.interval_us)
    if by_us >= grid.interval_us:
        raise ConfigurationError(f"phase({phase!r}) is not below the interval of {grid!r}")
    return Every(timedelta(microseconds=grid.interval_us), anchor=from_us(grid.anchor_us + by_us))
