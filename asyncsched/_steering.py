"""Owns what is asked of a scheduler by hand: a run now, pauses, maintenance. Knows nothing of starting and stopping."""

from __future__ import annotations

from socket import gethostname
from typing import TYPE_CHECKING

from asyncsched._grants import EVERY_JOB
from asyncsched._groups import JobAdder
from asyncsched._notes import checked_words, set_paused
from asyncsched.exceptions import ConfigurationError, SchedulerError

if TYPE_CHECKING:
    from asyncsched._accounting import Ledger
    from asyncsched._engine import Engine
    from asyncsched._run import Run
    from asyncsched.protocols import Clock, Store


class Steering(JobAdder):
    """The part of ``Scheduler`` by which it is steered."""

    _engine: Engine | None
    _clock: Clock
    _ledger: Ledger
    _node: str | None
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

    async def pause(self, name: str, *, why: str = "", by: str | None = None) -> None:
        """Start no runs of the job on any node, within 2 s, until ``resume``; active ones go on. It survives restarts.

        Args:
            name: of the job.
            why: for those who find it paused.
            by: who pauses it; ``None``: this node, by its name.

        Raises:
            UnknownJobError: no job has this name.
            ConfigurationError: ``why`` or ``by`` is no string.
            StoreUnavailableError: the store did not take it; nothing can be said of what the nodes do.
        """
        await self._set_job_paused(name, True, why, by)

    async def resume(self, name: str) -> None:
        """Undo ``pause``.

        Raises:
            UnknownJobError: no job has this name.
            StoreUnavailableError: the store did not take it; nothing can be said of what the nodes do.
        """
        await self._set_job_paused(name, False)
        if self._engine is not None:
            self._engine.forget_failures(name)

    async def maintenance(self, on: bool, *, why: str = "", by: str | None = None) -> None:
        """Put the whole cluster into maintenance, within 2 s, or end that: meanwhile no tick and no immediate run of a
        job starts, unless it is ``even_in_maintenance()``. Active runs go on. It survives restarts.

        Args:
            on: whether it begins.
            why: for those who find the cluster in maintenance.
            by: who begins it; ``None``: this node, by its name.

        Raises:
            ConfigurationError: ``on`` is neither ``True`` nor ``False``, or ``why`` or ``by`` is no string.
            StoreUnavailableError: the store did not take it; nothing can be said of what the nodes do.
        """
        if not isinstance(on, bool):
            raise ConfigurationError(f"maintenance({on!r}): the rule is True or False")
        await self._set_paused(EVERY_JOB, on, why, by)
        self._ledger.maintenance_was_set(on)

    async def _set_job_paused(self, name: str, paused: bool, why: str = "", by: str | None = None) -> None:
        self._registry.get(name)
        await self._set_paused(name, paused, why, by)
        self._ledger.pause_was_set(name, paused)

    async def _set_paused(self, name: str, paused: bool, why: str, by: str | None) -> None:
        why = checked_words(why, what="why")
        by = self._name if by is None else checked_words(by, what="by")
        try:
            await set_paused(self._store, self._clock, name, paused, by=by, why=why)
        finally:
            if self._engine is None:
                await self._store.close()

    @property
    def _name(self) -> str:
        """Who acts when nobody is named."""
        return self._node or (gethostname() if self._engine is None else self._engine.node)
