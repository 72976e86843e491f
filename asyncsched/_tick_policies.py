"""Owns what a job asks before a tick becomes a run. Most jobs ask nothing, and have none of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncsched._hooks import Hook


@dataclass(slots=True, eq=False)
class TickPolicies:
    """What one job asks. Its methods fill it in; from then on it does not change."""

    conditions: tuple[Hook, ...] = ()
    """Asked in order before each run, until one keeps it back."""
    environments: tuple[str, ...] | None = None
    """Where the job has ticks at all; ``None``: everywhere."""

    def words(self) -> Iterator[str]:
        """Yield the policies, as they are called."""
        yield from map(str, self.conditions)
        if self.environments is not None:
            yield f"environments({', '.join(map(repr, self.environments))})"
