"""Owns how many runs of a job have failed in a row on this node, and pausing the job when that are too many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from asyncsched._clock import TimeLimit
from asyncsched._notes import set_paused
from asyncsched._record_texts import said_of
from asyncsched._tasks import is_being_cancelled
from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from asyncsched._accounting import Ledger
    from asyncsched._logs import SafeLogger
    from asyncsched._run import Run
    from asyncsched._side_tasks import SideTasks
    from asyncsched.protocols import Clock, Store

PAUSE_TIMEOUT = 5.0
"""Seconds for which the store is waited for, should it have no bound of its own."""


class FailureCount:
    """Counts the failures of one scheduler's jobs."""

    def __init__(self, store: Store, clock: Clock, ledger: Ledger, logger: SafeLogger, beside: SideTasks) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._logger = logger
        self._beside = beside
        self._counts: Counter[str] = Counter()
        self._pausing: set[str] = set()

    def forget(self, job: str) -> None:
        """Begin anew."""
        self._counts.pop(job, None)

    def ended(self, run: Run, limit: int) -> None:
        """Count a run whose handler has ended, and pause its job if that makes ``limit`` failures in a row."""
        if is_being_cancelled():  # what it has come to says more of the stop than of the job
            return
        if not run.errors:
            self.forget(run.job)
            return
        self._counts[run.job] += 1
        if self._counts[run.job] >= limit and run.job not in self._pausing:
            self._pausing.add(run.job)
            self._beside.start(self._pause(run.job, run.errors[-1]))

    async def _pause(self, job: str, error: BaseException) -> None:
        failures = self._counts[job]
        try:
            refusal = await self._refusal(job, f"{failures} of its runs in a row have failed: {said_of(error)}")
        finally:
            self._pausing.discard(job)
        if refusal:
            self._logger.error(
                "job=%s is not paused, though %d of its runs in a row have failed: %s", job, failures, refusal
            )
            return
        self.forget(job)
        self._ledger.pause_was_set(job, True)
        self._ledger.paused_after_failures(job, failures, error)

    async def _refusal(self, job: str, why: str) -> str:
        """Pause a job; return why it could not be, or nothing."""
        try:
            with TimeLimit(self._clock, PAUSE_TIMEOUT):
                await set_paused(self._store, self._clock, job, True, by=self._ledger.node, why=why)
                return ""
        except StoreUnavailableError as error:
            return str(error)
        return f"no answer within {PAUSE_TIMEOUT:g} s"
