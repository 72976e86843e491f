"""Owns how a run is carried out whose job has policies for it. Other runs never come here.

It stands between the executor and the handler: to the one it is a handler, and to the other what an executor is.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from asyncsched._clock import TimeLimit
from asyncsched._execution import without_own_frame
from asyncsched._run import Outcome

if TYPE_CHECKING:
    from asyncsched._accounting import Ledger
    from asyncsched._handlers import Invoke
    from asyncsched._job import Job
    from asyncsched._run import Run
    from asyncsched._run_policies import RunPolicies
    from asyncsched.protocols import Clock


class Guide:
    """Carries out, for one scheduler, the runs that have policies."""

    def __init__(self, clock: Clock, ledger: Ledger) -> None:
        self._clock = clock
        self._ledger = ledger

    def invoker(self, job: Job, policies: RunPolicies) -> Invoke:
        """Return what calls the job's handler by its policies."""
        return partial(self._carry_out, policies, job.invoke)

    async def _carry_out(self, policies: RunPolicies, invoke: Invoke, handler: object, run: Run) -> None:
        """Live the run. What the handler raises is recorded in it; only a cancellation is raised."""
        timeout = policies.timeout
        assert timeout is not None
        try:
            with TimeLimit(self._clock, timeout, partial(self._time_out, run, timeout)):
                await self._attempt(invoke, handler, run)
        except asyncio.CancelledError:
            if run.asked_to_end is not Outcome.TIMED_OUT:  # else it has its outcome, whoever else ends it now
                raise

    async def _attempt(self, invoke: Invoke, handler: object, run: Run) -> None:
        try:
            await invoke(handler, run)
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:
            run.errors += (without_own_frame(error),)

    def _time_out(self, run: Run, timeout: float) -> None:
        if run.asked_to_end is None:
            run.asked_to_end = Outcome.TIMED_OUT
            run.errors += (TimeoutError(f"the run has not ended within {timeout:g} s"),)
            self._ledger.time_is_over(run, timeout)
