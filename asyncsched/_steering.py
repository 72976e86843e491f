"""Owns what is asked of a scheduler by hand: a run now, pauses, maintenance. Knows nothing of starting and stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._groups import JobAdder
from asyncsched._kinds import EVERY_JOB
from asyncsched.exceptions import ConfigurationError, SchedulerError

if TYPE_CHECKING:
    from asyncsched._accounting import Ledger
    from asyncsched._engine import Engine
    from asyncsched._run import Run
    from asyncsched.protocols import Store


class Steering(JobAdder):
    """The part of ``Scheduler`` by which it is steered."""

    _engine: Engine | None
    _ledger: Ledger
    _store: Store

    async def trigger(self, name: str) -> Run:
        """Start a run of the job now and return it when it has started, or was skipped.

        It respects pause and overlap guards, though no maintenance, has no random delay, is not a tick and leaves the
        tick record alone.

        Raises:
            UnknownJobError: no job has this name.
            SchedulerError: the scheduler does not run, or the job is not for its environment.
        """
        job = self._registry.get(name)
        if self._engine is None or self._engine.is_stopping:
            raise SchedulerError(f"trigger({name!r}): the scheduler does not run")
        self._registry.adopt_newcomers()
        if (missing := self._registry.missing(job)) is not None:
            raise ConfigurationError(f"job {name!r}: {missing}")
        if not self._registry.is_for_here(job):
            raise SchedulerError(f"trigger({name!r}): the job is not for this scheduler's environment")
        return await self._engine.trigger(name)

    async def pause(self, name: str) -> None:
        """Start no runs of the job on any node, within 2 s, until ``resume``; active ones go on. It survives restarts.

        Raises:
            UnknownJobError: no job has this name.
            StoreUnavailableError: the store did not take it; nothing can be said of what the nodes do.
        """
        await self._set_job_paused(name, True)

    async def resume(self, name: str) -> None:
        """Undo ``pause``.

        Raises:
            UnknownJobError: no job has this name.
            StoreUnavailableError: the store did not take it; nothing can be said of what the nodes do.
        """
        await self._set_job_paused(name, False)
        if self._engine is not None:
            self._engine.forget_failures(name)

    async def maintenance(self, on: bool) -> None:
        """Put the whole cluster into maintenance, within 2 s, or end that: meanwhile no tick and no immediate run of a
        job starts, unless it is ``even_in_maintenance()``. Active runs go on. It survives restarts.

        Raises:
            ConfigurationError: neither ``True`` nor ``False``.
            StoreUnavailableError: the store did not take it; nothing can be said of what the nodes do.
        """
        if not isinstance(on, bool):
            raise ConfigurationError(f"maintenance({on!r}): the rule is True or False")
        await self._set_paused(EVERY_JOB, on)
        self._ledger.maintenance_was_set(on)

    async def _set_job_paused(self, name: str, paused: bool) -> None:
        self._registry.get(name)
        await self._set_paused(name, paused)
        self._ledger.pause_was_set(name, paused)

    async def _set_paused(self, name: str, paused: bool) -> None:
        try:
            await self._store.set_paused(name, paused)
        finally:
            if self._engine is None:
                await self._store.close()
