"""Owns what a reporter has to say until it is written down: what is left of before comes first, and is bounded.

A store may write a posting in part. What it did write must not be written again, what it did not must wait: so the
reporter hears that all of it is through, and the rest waits here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncsched._records import Posting
    from asyncsched.protocols import Reporter

MOST_WAITING = 10_000
"""Endings that wait here. Of more, the oldest of each job are dropped, those first of jobs that have most."""


class Outbox:
    """What one reporter has to say.

    Args:
        reporter: who says it.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._rest: Posting | None = None
        self._has_reported = False
        self.digest = ""
        """Of the definitions that were posted last."""
        self.is_asked = False
        """Whether somebody is writing it down at this moment."""
        self.dropped = 0
        """Endings that waited for too long, among too many."""

    def collect(self) -> Posting | None:
        """Return what is to be written down now; ``None``: the reporter cannot be reached."""
        try:
            new = self._reporter.collect()
        except StoreUnavailableError:
            return None
        if new.catalogue is not None:
            self.digest = new.catalogue[0]
        rest = self._rest
        if rest is None:
            return new
        return replace(
            new,
            catalogue=new.catalogue or rest.catalogue,
            fire_times={**rest.fire_times, **new.fire_times},
            successes={**rest.successes, **new.successes},
            endings=_joined(rest.endings, new.endings),
        )

    def posted(self, rest: Posting | None, orders: Sequence[str]) -> None:
        """Hear that what was collected last is written down, but for ``rest``, and which orders are open."""
        self._rest = None if rest is None else self._bounded(rest)
        self._reporter.posted(orders)

    def reported(self, is_new: bool) -> None:
        """Hear that the node's report is written down; ``is_new``: there was none. If there should have been one, the
        store has lost its data."""
        if is_new and self._has_reported:
            self._reporter.forgotten()
        self._has_reported = True

    @property
    def has_rest(self) -> bool:
        """Whether something is left to be written down."""
        return self._rest is not None

    def _bounded(self, rest: Posting) -> Posting:
        endings = {job: texts[-rest.history :] for job, texts in rest.endings.items()} if rest.history else {}
        count = sum(map(len, endings.values()))
        if count > MOST_WAITING:
            of_each = max(1, MOST_WAITING // len(endings))
            endings = {job: texts[-of_each:] for job, texts in list(endings.items())[-MOST_WAITING:]}
            self.dropped += count - sum(map(len, endings.values()))
        return replace(rest, endings=endings)


def _joined(old: Mapping[str, Sequence[str]], new: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {job: (*old.get(job, ()), *new.get(job, ())) for job in {**old, **new}}
