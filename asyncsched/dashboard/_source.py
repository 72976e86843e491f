"""Owns where the dashboard gets its facts: a scheduler, a ``Console``, or a store. Knows nothing of pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from asyncsched._preview import FireTime
from asyncsched._schedule_texts import next_after, trigger_of
from asyncsched._scheduler import Scheduler
from asyncsched.exceptions import SchedulerError
from asyncsched.triggers._zones import zone

if TYPE_CHECKING:
    from asyncsched._records import ClusterState, Definition, Ending, OrderAnswer
    from asyncsched.protocols import Trigger


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
        self._definitions: dict[str, Definition] = {}

    async def state(self) -> ClusterState:
        """Return the cluster as it is now."""
        state: ClusterState = await self._console.state()
        self._definitions = {record.job: record.definition for record in state.jobs if record.definition}
        return state

    async def history(self, job: str, most: int, since: datetime | None) -> Sequence[Ending]:
        """Return endings of a job, newest first."""
        endings: Sequence[Ending] = await self._console.history(job, most=most, since=since)
        return endings

    def preview(self, job: str, after: datetime, count: int) -> Sequence[FireTime]:
        """Return the next fire times, as far as they can be read from a job's schedule as its nodes write it down."""
        definition = self._definitions.get(job)
        return () if definition is None else _fire_times(definition.schedule, definition.timezone, after, count)

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
        """Return the next fire times, from the trigger itself if this scheduler has the job."""
        try:
            return self._scheduler.preview(job, count, after)
        except SchedulerError:
            return super().preview(job, after, count)

    def acting(self, by: str) -> Acting:
        """Return a console on the scheduler's store."""
        acting: Acting = self._scheduler.console(by=by)
        return acting


@lru_cache(maxsize=1024)
def _trigger_of(schedule: str) -> Trigger | None:
    return trigger_of(schedule)


def _fire_times(schedule: str, timezone: str, after: datetime, count: int) -> tuple[FireTime, ...]:
    found: list[FireTime] = []
    trigger = _trigger_of(schedule)
    try:
        shown_in = zone(timezone)
        while trigger is not None and len(found) < count:
            at = next_after(trigger, found[-1].at if found else after)
            if at is None:
                break
            found.append(FireTime(at=at.astimezone(UTC), local=at.astimezone(shown_in), delay=None, notes=()))
    except (SchedulerError, OverflowError):  # a zone that is not known here, or the end of time
        return ()
    return tuple(found)


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
