"""Owns which fire times of a job are known ahead: asked of its scheduler where there is one, kept, and asked anew now
and then. Knows nothing of how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from asyncsched.dashboard._lanes import SPAN, Ahead

if TYPE_CHECKING:
    from asyncsched._preview import FireTime

Preview: TypeAlias = "Callable[[str, datetime, int], Sequence[FireTime]]"

MOST_TICKS = 65
"""Drawn one by one; of a job with more of them in an hour, a band."""
KEPT_FOR = 300
ASKED_AT_ONCE = 25
"""Jobs whose trigger is asked for one picture: a trigger may take a millisecond, on the service's event loop."""


@dataclass(slots=True)
class _Known:
    times: tuple[float, ...]
    dense: bool
    asked_at: float


class Coming:
    """The fire times ahead, by job."""

    def __init__(self, preview: Preview | None) -> None:
        self._preview = preview
        self._known: dict[str, _Known] = {}
        self._left = 0

    def begin(self) -> None:
        """Begin a new picture."""
        self._left = ASKED_AT_ONCE

    def of(self, job: str, next_at: datetime | None, now: datetime) -> Ahead:
        """Return what comes within the hour, and a little later."""
        if next_at is None:
            return Ahead()
        first, now_s = next_at.timestamp(), now.timestamp()
        known = self._known.get(job)
        is_old = known is None or now_s - known.asked_at > KEPT_FOR or not (known.dense or first in known.times)
        if is_old and self._preview is not None and self._left > 0 and first < now_s + SPAN + KEPT_FOR:
            self._left -= 1
            known = self._known[job] = self._asked(self._preview, job, next_at, now_s)
        if known is None:
            return Ahead((first,))
        if known.dense:
            return Ahead((first // SPAN * SPAN if first <= now_s + 60 else first,), dense=True)
        return Ahead((first, *(at for at in known.times if at > first)))

    def retain(self, jobs: Sequence[str]) -> None:
        """Forget the jobs that are not among these."""
        for job in self._known.keys() - set(jobs):
            del self._known[job]

    def _asked(self, preview: Preview, job: str, next_at: datetime, now_s: float) -> _Known:
        before = next_at - timedelta(microseconds=1)
        few = [fire_time.at.timestamp() for fire_time in preview(job, before, 3)]
        if len(few) == 3 and few[2] - few[0] < 2 * SPAN / MOST_TICKS:
            return _Known((), True, now_s)
        end = now_s + SPAN + KEPT_FOR
        if len(few) < 3 or few[2] > end:
            return _Known(tuple(at for at in few if at <= end), False, now_s)
        many = [fire_time.at.timestamp() for fire_time in preview(job, before, MOST_TICKS + 10)]
        return _Known(tuple(at for at in many if at <= end), False, now_s)
