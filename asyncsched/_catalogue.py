"""Owns what a node says of how its jobs are declared: a text of all of them, and a digest of that. Knows nothing of
their runs."""

from __future__ import annotations

import re
from hashlib import blake2s
from typing import TYPE_CHECKING

from asyncsched import _record_texts as texts
from asyncsched._records import Definition

if TYPE_CHECKING:
    from asyncsched._job_state import JobState
    from asyncsched.protocols import Clock

AGAIN_AFTER = 300.0
"""Seconds after which an unchanged catalogue is due again: what a store has lost comes back with it."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Catalogue:
    """The definitions of one node's jobs."""

    PORTION = 200
    """Definitions that are made at once: of a service with thousands of jobs, the event loop must not stand still."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, str] = {}
        self._new: dict[str, JobState] = {}
        self._text = ""
        self._told_digest = ""
        self._told_at = 0.0
        self.digest = ""
        """Of the newest text; empty: none was made yet."""

    def add(self, state: JobState) -> None:
        """Take a job in."""
        self._new[state.name] = state

    def remove(self, job: str) -> None:
        """Leave a job out."""
        self._new.pop(job, None)
        if self._entries.pop(job, None) is not None:
            self._text = ""

    def complete(self, most: int | None) -> None:
        """Define the jobs that are new, at most so many of them, and make the text anew once all are defined."""
        for name in list(self._new)[:most]:
            self._entries[name] = texts.definition_text(definition_of(self._new.pop(name)))
            self._text = ""
        if not self._text and not self._new:
            self._text = texts.catalogue_text([self._entries[name] for name in sorted(self._entries)])
            self.digest = _digest(self._text)

    def due(self) -> tuple[str, str] | None:
        """Return digest and text, if they are to be written down now."""
        is_old = self._clock.monotonic() - self._told_at >= AGAIN_AFTER
        return (self.digest, self._text) if self._text and (is_old or self.digest != self._told_digest) else None

    def posted(self) -> bool:
        """Hear that what was due is written down; return whether anything was."""
        was_due = self.due() is not None
        if was_due:
            self._told_digest, self._told_at = self.digest, self._clock.monotonic()
        return was_due

    def forgotten(self) -> None:
        """Hear that it is written down no more."""
        self._told_digest = ""


def definition_of(state: JobState) -> Definition:
    """Return a job as it is declared here. The same declaration has the same digest in every process."""
    job, settings = state.job, state.settings
    schedule = "" if job.trigger is None else _told(repr(job.trigger))
    policies = tuple(map(_told, job.policies))
    what = (schedule, policies, str(settings.timezone), settings.lock_ttl, settings.misfire_grace)
    return Definition(
        job=job.name,
        digest=_digest(repr(what)),
        schedule=schedule,
        policies=policies,
        timezone=str(settings.timezone),
        lock_ttl=settings.lock_ttl,
        misfire_grace=settings.misfire_grace,
    )


def _told(text: str) -> str:
    """Return what an object says of itself, without its place in this process's memory."""
    return _ADDRESS.sub("", text)


def _digest(text: str) -> str:
    return blake2s(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()
