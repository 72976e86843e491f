"""Owns what a handler may say of how far it is, and how often that is told."""

from __future__ import annotations

import math
from typing import NamedTuple

from asyncsched.exceptions import ConfigurationError

PROGRESS_INTERVAL = 1.0
"""Seconds between two events of one run, at least: a handler may call for each line of a file."""


class Progress(NamedTuple):
    """How far a run is, in units of its handler's own."""

    done: float
    total: float | None
    """``None``: not known."""
    message: str

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left."""
        return self.done == self.total


def checked_progress(done: object, total: object, message: object) -> Progress:
    """Return the progress of these values.

    Raises:
        ConfigurationError: a number that is none, is negative or not finite, ``done`` above ``total``, or a message
            that is no string.
    """
    if not _is_amount(done) or not (total is None or _is_amount(total)):
        raise ConfigurationError(f"progress({done!r}, {total!r}): the rule is finite numbers, 0 or more")
    if total is not None and done > total:  # type: ignore[operator]
        raise ConfigurationError(f"progress({done!r}, {total!r}): the rule is done <= total")
    if not isinstance(message, str):
        raise ConfigurationError(f"progress(): the message {message!r} is no string")
    return Progress(done, total, message)  # type: ignore[arg-type]


def _is_amount(value: object) -> bool:
    if type(value) is int:
        return value >= 0
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


class RunSide:
    """What only few runs need, made when one first does."""

    __slots__ = ("by", "channel", "is_called_off", "is_superseded", "progress", "tell_at", "why")

    def __init__(self, by: str = "", why: str = "") -> None:
        self.by, self.why = by, why
        """Who has ordered the run, or its end, and why; empty: nobody, or nothing was said."""
        self.is_called_off = False
        """Whether its end was ordered."""
        self.channel: object = None
        """What the two sides of a protocol handler tell each other."""
        self.is_superseded = False
        """Whether a newer tick has ended the run."""
        self.progress: Progress | None = None
        self.tell_at = 0.0
        """Monotonic seconds before which no further event tells the progress."""

    def for_next_attempt(self) -> RunSide | None:
        """Return what the next attempt of the run begins with: only who has ordered it, and why."""
        return RunSide(self.by, self.why) if self.by else None

    def is_told(self, progress: Progress, now: float) -> bool:
        """Keep ``progress``, and return whether an event is due: not too often, but the end always."""
        before, self.progress = self.progress, progress
        if before is not None and now < self.tell_at and (before.is_complete or not progress.is_complete):
            return False
        self.tell_at = now + PROGRESS_INTERVAL
        return True
