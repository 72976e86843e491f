"""Owns the ticks that wait for the end of the run in progress: one of a job, its newest.

    overlap ──the run is here──────▶ waits for its end ──────▶ asked
       │                                                        │
       └──────the run is elsewhere─▶ asked again, each second ◀─┘ overlap

Knows nothing of why a tick waits no longer: a newer one has come, its grace is over, another node has it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched._claim import Claim
    from asyncsched._execution import Executor
    from asyncsched._job_state import JobState
    from asyncsched.protocols import Clock

LONGEST_WAIT = 86_400.0
"""Seconds after which a tick without a grace is looked at again, though the run here has not ended."""


class Queue:
    """Ticks of one node's jobs with ``without_overlapping("queue_one")`` or ``("cancel_running")``.

    Args:
        ask: asks the store for a claim.
    """

    def __init__(self, clock: Clock, executor: Executor, ask: Callable[[Claim], None]) -> None:
        self._clock = clock
        self._executor = executor
        self._ask = ask
        self.claims: set[Claim] = set()
        """Those of the ticks that wait; not one that is being asked for."""
        executor.on_freed = self._freed

    def wait_here(self, claim: Claim) -> None:
        """Let it wait for the run on this node, or end that."""
        self.claims.add(claim)
        give_up_at = claim.give_up_at
        left = LONGEST_WAIT if give_up_at is None else max(0.0, give_up_at - self._clock.monotonic())
        claim.timer = self._clock.call_later(left, partial(self._ask, claim))
        if claim.state.job.cancels_running:
            self._executor.supersede(claim.state)

    def _freed(self, state: JobState) -> None:
        """Ask for the tick that waits, now that no run of the job is in progress here."""
        claim = state.claims[0] if state.claims else None
        if claim in self.claims and not claim.has_lock:
            claim.tries = 0
            self._ask(claim)
