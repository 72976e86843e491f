"""Owns how a run is carried out whose job has policies for it. Other runs never come here.

It stands between the executor and the handler: to the one it is a handler, and to the other what an executor is.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from asyncsched._clock import TimeLimit
from asyncsched._execution import without_own_frame
from asyncsched._failures import FailureCount
from asyncsched._hook_calls import HookCalls
from asyncsched._monitors import Monitors
from asyncsched._run import Outcome
from asyncsched._tasks import is_being_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio import CapacityLimiter

    from asyncsched._accounting import Ledger
    from asyncsched._execution import Executor
    from asyncsched._handlers import Invoke
    from asyncsched._hooks import Hook
    from asyncsched._job import Job
    from asyncsched._logs import SafeLogger
    from asyncsched._retries import RetryRule
    from asyncsched._run import Run
    from asyncsched._run_policies import RunPolicies
    from asyncsched._side_tasks import SideTasks
    from asyncsched.protocols import Clock, Store


class Guide:
    """Carries out, for one scheduler, the runs that have policies."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ledger: Ledger,
        *,
        executor: Executor,
        logger: SafeLogger,
        beside: SideTasks,
        threads: Callable[[], CapacityLimiter],
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._executor = executor
        self._hooks = HookCalls(clock, logger, threads, beside)
        ledger.on_skipped = self._hooks.skipped
        self._monitors = Monitors(clock, logger, beside)
        self._failures = FailureCount(store, clock, ledger, logger, beside)
        self._logger = logger
        self.forget_failures = self._failures.forget
        self.close = self._monitors.close

    def invoker(self, job: Job, policies: RunPolicies) -> Invoke:
        """Return what calls the job's handler by its policies."""
        return partial(self._carry_out, policies, job.invoke)

    async def _carry_out(self, policies: RunPolicies, invoke: Invoke, handler: object, run: Run) -> None:
        """Live the run, and tell its monitors."""
        if not policies.is_monitored:
            await self._live(policies, invoke, handler, run)
            return
        watch = self._monitors.watch(policies, run)
        has_ended = False
        try:
            await self._live(policies, invoke, handler, run)
            has_ended = True
        finally:
            watch.ended(well=has_ended and not run.errors and run.asked_to_end is not Outcome.LOCK_LOST)

    async def _live(self, policies: RunPolicies, invoke: Invoke, handler: object, run: Run) -> None:
        """Live the run. What the handler raises is recorded in it; only a cancellation is raised."""
        is_cancelled = False
        if await self._hooks.before(policies.before, run):
            try:
                await self._work(policies, invoke, handler, run)
            except asyncio.CancelledError:
                if is_being_cancelled():
                    raise
                is_cancelled = True  # by itself: that is an end like others
        if policies.pause_after is not None and not is_cancelled:
            self._failures.ended(run, policies.pause_after)
        await self._hooks.after(self._last_hooks(policies, run, is_cancelled=is_cancelled), run)
        if is_cancelled:
            raise asyncio.CancelledError

    def _last_hooks(self, policies: RunPolicies, run: Run, *, is_cancelled: bool) -> tuple[Hook, ...]:
        if is_cancelled:
            return policies.after
        return (policies.on_failure if run.errors else policies.on_success) + policies.after

    async def _work(self, policies: RunPolicies, invoke: Invoke, handler: object, run: Run) -> None:
        """Call the handler, in its time."""
        work = self._try(policies.retry, invoke, handler, run)
        timeout = policies.timeout
        if timeout is None:
            await work
            return
        try:
            with TimeLimit(self._clock, timeout, partial(self._time_out, run, timeout)):
                await work
        except asyncio.CancelledError:
            if run.asked_to_end is not Outcome.TIMED_OUT:  # else it has its outcome, whoever else ends it now
                raise

    async def _try(self, retry: RetryRule | None, invoke: Invoke, handler: object, run: Run) -> None:
        """Call the handler, as often as that is worth it. The run's errors are those of the last attempt."""
        failed = 0
        while True:
            await self._attempt(invoke, handler, run)
            failed += 1
            if retry is None or not self._is_tried_again(retry, failed, run):
                return
            wait = retry.wait_after(failed)
            if not self._executor.is_draining:
                self._ledger.retried(run, run.errors[-1], wait)
            await self._executor.wait_to_retry(run, wait)
            run.attempt += 1
            run.errors = ()
            run.side = None if run.side is None else run.side.for_next_attempt()

    def _is_tried_again(self, retry: RetryRule, failed: int, run: Run) -> bool:
        if not run.errors or failed >= retry.attempts or run.asked_to_end is not None:
            return False
        try:
            return retry.applies_to(run.errors[-1])
        except Exception:
            self._logger.exception("job=%s is not tried again: the function given as on failed", run.job)
            return False

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
