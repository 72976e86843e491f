"""Owns what a job wants of each of its runs, beyond being carried out. Most jobs want nothing, and have none of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncsched._hooks import Hook
    from asyncsched._pings import Ping
    from asyncsched._retries import RetryRule


@dataclass(slots=True, eq=False)
class RunPolicies:
    """What one job wants. Its methods fill it in; from then on it does not change."""

    timeout: float | None = None
    """Seconds for which a run may work; ``None``: however long."""

    retry: RetryRule | None = None
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    on_success: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_skipped: tuple[Hook, ...] = ()
    pause_after: int | None = None
    """Failed runs in a row after which the job is paused."""
    pings: tuple[Ping, ...] = ()
    check_in: str | None = None
    """The slug of a monitor of Sentry."""

    @property
    def is_monitored(self) -> bool:
        """Whether monitors outside are told of the runs."""
        return bool(self.pings) or self.check_in is not None

    def words(self) -> Iterator[str]:
        """Yield the policies, as they are called."""
        if self.timeout is not None:
            yield f"timeout({self.timeout:g})"
        if self.retry is not None:
            yield str(self.retry)
        if self.pause_after is not None:
            yield f"pause_after_failures({self.pause_after})"
        for hooks in (self.before, self.on_success, self.on_failure, self.after, self.on_skipped):
            yield from map(str, hooks)
        yield from map(str, self.pings)
        if self.check_in is not None:
            yield f"sentry_checkin({self.check_in!r})"
