"""Owns one-off instants: a finite set of fire times, given by the user."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncsched._instants import from_us, require_aware, to_us
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._answers import require_instant_us
from asyncsched.triggers._union import Joinable

if TYPE_CHECKING:
    from datetime import datetime

_SHOWN = 3


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Once(Joinable):
    """Fires at each of the given instants, in their order in time, and then never again.

    Args:
        instants: one or more aware datetimes. They are kept as UTC, sorted; equal instants count once.

    Raises:
        ConfigurationError: no instant at all; one that is naive, not a datetime, or outside the years 1 to
            9999 in UTC.
    """

    instants_us: tuple[int, ...]

    def __init__(self, *instants: datetime) -> None:
        if not instants:
            raise ConfigurationError("Once(): no instant given; at least one aware datetime is needed")
        object.__setattr__(
            self, "instants_us", tuple(sorted({require_instant_us(instant, what="Once()") for instant in instants}))
        )

    def next_fire_us(self, after_us: int) -> int | None:
        """Return what ``next_fire_time`` returns, as microseconds since the epoch."""
        index = bisect_right(self.instants_us, after_us)
        return self.instants_us[index] if index < len(self.instants_us) else None

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first of the instants that is strictly later than ``after``, in UTC.

        Raises:
            ConfigurationError: ``after`` is not an aware datetime.
        """
        next_us = self.next_fire_us(to_us(require_aware(after, what="next_fire_time()")))
        return None if next_us is None else from_us(next_us)

    def __repr__(self) -> str:
        shown = [from_us(instant_us).isoformat() for instant_us in self.instants_us[:_SHOWN]]
        rest = len(self.instants_us) - len(shown)
        return f"Once({', '.join(shown)}{f', and {rest} more' if rest else ''})"
