"""Owns what a job takes from its scheduler, and what names and durations the two accept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncsched._durations import Duration, seconds
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from datetime import tzinfo

LEAST_LOCK_TTL = 1.0
"""Seconds. A shorter lease could not be renewed safely: one renewal alone may take as long to be answered."""
MOST_RUNS = 10**12
"""Of ``max_runs``: far below what a store can count."""
LONGEST_CATCH_UP = 7 * 86_400.0
"""Seconds. The record of a job's newest tick is kept for at least so long; what is older cannot be told from never."""
MOST_CAUGHT_UP, CAUGHT_UP = 1_000, 100
"""Missed ticks of a job that each run: the most that can be asked for, and the most without that."""


def checked_name(value: object, *, what: str, most: int = 200, forbidden: str = "{}*?[]") -> str:
    """Return ``value`` if it can be a part of a key.

    Raises:
        ConfigurationError: not a string of 1 to ``most`` printable characters without whitespace and ``forbidden``.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} {value!r} is not a string")
    if not 1 <= len(value) <= most:
        raise ConfigurationError(f"{what} {value!r} has {len(value)} characters; the rule is 1 to {most}")
    for character in value:
        if not character.isprintable() or character.isspace() or character in forbidden:
            raise ConfigurationError(
                f"{what} {value!r} contains {character!r}; "
                f"the rule is printable characters without whitespace or any of {forbidden}"
            )
    return value


def checked_lock_ttl(value: Duration, *, what: str) -> float:
    """Return a lock's time to live in seconds, at least ``LEAST_LOCK_TTL``."""
    return seconds(value, what=what, at_least=LEAST_LOCK_TTL)


def checked_grace(value: Duration | None, *, what: str) -> float | None:
    """Return a misfire grace in seconds; ``None`` stands for however late."""
    return None if value is None else seconds(value, what=what)


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a job takes from its scheduler where it has no value of its own."""

    timezone: tzinfo
    lock_ttl: float
    """Seconds."""
    misfire_grace: float | None
    """Seconds; ``None``: however late."""
    grace_us: int | None = field(init=False)
    """The same in microseconds."""

    def __post_init__(self) -> None:
        grace = self.misfire_grace
        object.__setattr__(self, "grace_us", None if grace is None else round(grace * 1e6))
