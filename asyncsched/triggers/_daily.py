"""Owns fixed times of every day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, tzinfo

from asyncsched.triggers._times import AtTimes


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Daily(AtTimes):
    """Fires every day at the given times of a local clock.

    Args:
        times: one or more of ``HH:MM:SS`` or ``HH:MM``, two ASCII digits each, 00:00:00 to 23:59:59. They are
            sorted, and equal times count once.
        timezone: an IANA key or a ``tzinfo``.
        dst: what becomes of times that the clock skips or repeats. ``"once"``: each fires once, at the end of the
            gap or in the first pass; ``"skip"``: a skipped one does not fire; ``"both"``: a repeated one fires in
            both passes.

    Raises:
        ConfigurationError: no time at all, one that is not in this form, an unknown time zone or policy.
    """

    def __init__(self, *times: str, timezone: str | tzinfo = "UTC", dst: str = "once") -> None:
        self._set_times("daily", times, timezone, dst)

    def _next_day(self, day: date) -> date:
        return day

    def __repr__(self) -> str:
        return self._shown()
