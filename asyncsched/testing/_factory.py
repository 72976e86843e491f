"""Owns what the fixture ``scheduler_factory`` is: schedulers on a fake clock that a test cannot leave behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from asyncsched._scheduler import Scheduler
from asyncsched.testing._history import History

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from asyncsched.protocols import Store
    from asyncsched.testing._fake_clock import FakeClock
    from asyncsched.testing._history import RecordedRun


class SchedulerFactory:
    """Makes schedulers on one clock, records what they do, and stops them in the end.

    ``async with factory:`` does that; a test that has the fixture runs inside of it.

    Attributes:
        clock: the schedulers' clock.
        history: what they did.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.history = History(clock)
        self._schedulers: list[Scheduler] = []

    def __call__(
        self, declare: Callable[[Scheduler], object] | None = None, *, store: Store | None = None, **options: Any
    ) -> Scheduler:
        """Return a new scheduler, which does not run yet.

        Args:
            declare: called with it, to add the service's jobs.
            store: ``None``: a store of its own, in memory; one ``MemoryStore`` for several makes them a cluster.
            options: of ``Scheduler``, but for ``clock``.
        """
        name = f"s{len(self._schedulers)}"
        scheduler = Scheduler(store, **{"node": name, "clock": self.clock, **options})
        if declare is not None:
            declare(scheduler)
        self.history.watch(scheduler)
        self._schedulers.append(scheduler)
        return scheduler

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except AssertionError as complaint:
            if error is None:
                raise
            error.add_note(str(complaint))  # what the test itself says comes first

    async def close(self) -> None:
        """Stop all, in fake time, and complain of what should not have been.

        Raises:
            AssertionError: a scheduler's engine failed, or a run did not end by itself: it was cancelled by this stop,
                or is still in progress.
        """
        schedulers, self._schedulers = self._schedulers, []
        going = [at for at, run in enumerate(self.history.runs) if run.ended_at is None]
        complaints = [complaint for scheduler in schedulers if (complaint := await self._stop(scheduler))]
        for at, run in enumerate(self.history.runs):
            if run.ended_at is None or (at in going and run.outcome == "cancelled"):
                complaints.append(_leaked(run))
        if complaints:
            raise AssertionError("\n".join(["the test left its schedulers behind in a bad state:", *complaints]))

    async def _stop(self, scheduler: Scheduler) -> str | None:
        try:
            await self.clock.run_until(
                asyncio.gather(scheduler.stop(), scheduler.__aexit__(None, None, None))  # however it was started
            )
        except AssertionError as error:
            return f"{scheduler!r} could not be stopped: {error}"
        except Exception as error:
            return f"{scheduler!r}: its engine failed: {error!r}"
        return None

    def check_closed(self) -> None:
        """Complain of what still runs where nobody can wait for it any more.

        Raises:
            AssertionError: a scheduler was not stopped, or a run has not ended.
        """
        schedulers, self._schedulers = self._schedulers, []
        complaints = [f"{each!r} was not stopped" for each in schedulers if each.snapshot().state != "idle"]
        complaints += [_leaked(run) for run in self.history.runs if run.ended_at is None]
        if schedulers and complaints:
            raise AssertionError("\n".join(["the test left its schedulers behind in a bad state:", *complaints]))


def _leaked(run: RecordedRun) -> str:
    return f"job {run.job!r} leaked a run, which did not end by itself: {run}"
