"""Owns what a job takes from its scheduler, and what names and durations the two accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._durations import Duration, seconds
from asyncsched._values import Value
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from datetime import tzinfo

LEAST_LOCK_TTL = 1.0
"""Seconds. A shorter lease could not be renewed safely: one renewal alone may take as long to be answered."""
MOST_RUNS = 10**12
"""Of ``max_runs``: far below what a store can count."""
LONGEST_CATCH_UP = 7 * 86_400.0
"""Seconds. The record of a job's newest tick is kept for at least so long; what is older cannot be told from never."""
SKIP, QUEUE_ONE, CANCEL_RUNNING = OVERLAP_POLICIES = ("skip", "queue_one", "cancel_running")
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
    if value.isprintable() and " " not in value and frozenset(forbidden).isdisjoint(value):  # no other space is printed
        return value
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


class JobSettings(Value):
    """What a job takes from its scheduler where it has no value of its own.

    Attributes:
        lock_ttl: seconds.
        misfire_grace: seconds; ``None``: however late.
        grace_us: the same in microseconds.
    """

    __slots__ = ("grace_us", "lock_ttl", "misfire_grace", "timezone")

    timezone: tzinfo
    lock_ttl: float
    misfire_grace: float | None
    grace_us: int | None

    def __init__(self, timezone: tzinfo, lock_ttl: float, misfire_grace: float | None) -> None:
        put = object.__setattr__
        put(self, "timezone", timezone)
        put(self, "lock_ttl", lock_ttl)
        put(self, "misfire_grace", misfire_grace)
        put(self, "grace_us", None if misfire_grace is None else round(misfire_grace * 1e6))
