"""Owns where the dashboard gets its facts: a scheduler, a ``Console``, or a store. Knows nothing of pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from asyncsched._scheduler import Scheduler
from asyncsched.exceptions import SchedulerError

if TYPE_CHECKING:
    from asyncsched._preview import FireTime
    from asyncsched._records import ClusterState, Ending, OrderAnswer


class Acting(Protocol):
    """What one who acts may do: a part of ``Console``."""

    async def pause(self, job: str, *, why: str = "") -> None: ...
    async def resume(self, job: str) -> None: ...
    async def maintenance(self, on: bool, *, why: str = "") -> None: ...
    async def trigger(
        self, job: str, *, node: str | None = None, why: str = "", within: float = 5.0
    ) -> OrderAnswer: ...
    async def cancel(self, run_id: str, *, why: str = "", within: float = 5.0) -> OrderAnswer: ...


class Source(Protocol):
    """What the dashboard reads."""

    async def state(self) -> ClusterState: ...
    async def history(self, job: str, most: int, since: datetime | None) -> Sequence[Ending]: ...
    def preview(self, job: str, after: datetime, count: int) -> Sequence[FireTime]: ...
    def acting(self, by: str) -> Acting: ...
    async def close(self) -> None: ...


class ConsoleSource:
    """Facts from a ``Console``. ``close`` closes it if it ``is_own``."""

    def __init__(self, console: Any, *, is_own: bool = False) -> None:
        self._console = console
        self._is_own = is_own

    async def state(self) -> ClusterState:
        """Return the cluster as it is now."""
        state: ClusterState = await self._console.state()
        return state

    async def history(self, job: str, most: int, since: datetime | None) -> Sequence[Ending]:
        """Return endings of a job, newest first."""
        endings: Sequence[Ending] = await self._console.history(job, most=most, since=since)
        return endings

    def preview(self, job: str, after: datetime, count: int) -> Sequence[FireTime]:
        """Return nothing: what is in a store has no triggers."""
        return ()

    def acting(self, by: str) -> Acting:
        """Return the same console, for someone else."""
        acting: Acting = self._console.acting(by)
        return acting

    async def close(self) -> None:
        """Close what is the dashboard's own."""
        if self._is_own:
            await self._console.close()


class SchedulerSource(ConsoleSource):
    """Facts from a scheduler of this process, which knows its triggers too."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler.console())
        self._scheduler = scheduler

    def preview(self, job: str, after: datetime, count: int) -> Sequence[FireTime]:
        """Return the next fire times; none of a job that only other nodes have, or whose trigger cannot tell."""
        try:
            return self._scheduler.preview(job, count, after)
        except SchedulerError:
            return ()

    def acting(self, by: str) -> Acting:
        """Return a console on the scheduler's store."""
        acting: Acting = self._scheduler.console(by=by)
        return acting


def source_of(given: Any, prefix: str) -> Source:
    """Return the source of what a dashboard was given.

    Raises:
        ConfigurationError: it is nothing that a scheduler takes as a store.
    """
    if isinstance(given, Scheduler):
        return SchedulerSource(given)
    if callable(getattr(given, "state", None)) and callable(getattr(given, "history", None)):
        return ConsoleSource(given)
    from asyncsched.console import Console

    return ConsoleSource(Console(given, prefix=prefix), is_own=True)
