"""Owns for how long the store is asked for a claim that it does not decide, and how often."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from asyncsched._grants import ClaimKind

if TYPE_CHECKING:
    from asyncsched._job_state import JobState

FIRST_BACKOFF, LONGEST_BACKOFF = 0.05, 1.0
"""Seconds between tries of a claim that the store did not decide; each is drawn from the upper half of its range, so
that the nodes of a cluster do not come back together."""
TRIGGER_PATIENCE = 5.0
"""Seconds for which a triggered run waits for the store."""
RUN_ANYWAY_AFTER = 3.0
"""Seconds for which a job that runs without the store waits for it all the same."""


def backoff(tries: int) -> float:
    """Return the seconds until a claim is sent again that was sent ``tries`` times and one."""
    longest = min(FIRST_BACKOFF * 2 ** min(tries, 10), LONGEST_BACKOFF)
    return random.uniform(longest / 2, longest)  # noqa: S311


def end_of_patience(state: JobState, kind: ClaimKind, late_by: float, now: float) -> float | None:
    """Return until when a claim is tried that is made ``now``, ``late_by`` seconds late; ``None``: however long."""
    if state.terms.without_store:
        return now + RUN_ANYWAY_AFTER
    grace = TRIGGER_PATIENCE if kind is ClaimKind.TRIGGER else state.terms.grace
    return None if grace is None else now + grace - late_by
