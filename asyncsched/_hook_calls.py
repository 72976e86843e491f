"""Owns how hooks are called: each for a bounded time, and with its failures in the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncsched._clock import TimeLimit
from asyncsched._tasks import is_being_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anyio import CapacityLimiter

    from asyncsched._hooks import Hook
    from asyncsched._logs import SafeLogger
    from asyncsched._run import Run
    from asyncsched._side_tasks import SideTasks
    from asyncsched.events import TickSkipped
    from asyncsched.protocols import Clock

HOOK_TIMEOUT = 30.0
"""Seconds after which a hook is cancelled."""


class HookCalls:
    """Calls the hooks of one scheduler's jobs."""

    def __init__(
        self, clock: Clock, logger: SafeLogger, threads: Callable[[], CapacityLimiter], beside: SideTasks
    ) -> None:
        self._clock = clock
        self._logger = logger
        self._threads = threads
        self._beside = beside

    async def before(self, hooks: Iterable[Hook], run: Run) -> bool:
        """Call what precedes the handler; return whether all went well. An error becomes one of the run's."""
        for hook in hooks:
            if (error := await self._call(hook, run)) is not None:
                run.errors += (error,)
                return False
        _raise_if_cancelled()
        return True

    async def after(self, hooks: Iterable[Hook], run: Run) -> None:
        """Call what follows the handler. What the run has come to stays, whatever they do; whoever ends the run from
        now on ends this."""
        try:
            await self._call_each(hooks, run, run.job)
        except asyncio.CancelledError:
            return

    def skipped(self, hooks: Iterable[Hook], tick: TickSkipped) -> None:
        """Call what wants to know of skipped ticks, beside everything else."""
        self._beside.start(self._call_each(hooks, tick, tick.job))

    async def _call_each(self, hooks: Iterable[Hook], argument: object, job: str) -> None:
        for hook in hooks:
            if (error := await self._call(hook, argument)) is not None:
                self._logger.error("job=%s hook=%s failed", job, hook, exc_info=error)

    async def _call(self, hook: Hook, argument: object) -> BaseException | None:
        """Call one and return its error. Raises only the cancellation of the caller's task."""
        _raise_if_cancelled()
        try:
            with TimeLimit(self._clock, HOOK_TIMEOUT) as limit:
                await hook.call(argument, self._threads())
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            return error
        return TimeoutError(f"the hook {hook} has not ended within {HOOK_TIMEOUT:g} s") if limit.is_over else None


def _raise_if_cancelled() -> None:
    """Heed a cancellation that came in during what does not heed any, such as a thread."""
    if is_being_cancelled():
        raise asyncio.CancelledError
