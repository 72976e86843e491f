"""Owns how the locks and records of jobs are shown to people: from the state of a job, and from the answer of
``locks.lua``. What is not as it should be is left out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from asyncsched._grants import MOST_SLOTS, LockType
from asyncsched._records import LockRecord
from asyncsched.stores import _wire
from asyncsched.stores._keys import suffix

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from asyncsched.stores._decide import JobState, Now
    from asyncsched.stores._keys import Keys

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_US = 253_402_300_799_999_999
"""The last microsecond that a ``datetime`` can name."""
PLAIN: Container[str] = (LockType.SERVER, LockType.START)
LOCKS = (LockType.SERVER, LockType.START, LockType.OVERLAP, LockType.TICK, LockType.OPEN)

_VALUE = re.compile(r"([^|]+)\|([0-9]{1,16})")
_RECORD = re.compile(r"([0-9]{1,16})\|([0-9]{1,16})\|([^|]+)")
_SUFFIX = re.compile(r"(server|start|overlap|tick|open|run)(?::([0-9]{1,16}))?")


def call(keys: Keys, jobs: Sequence[str]) -> _wire.Call:
    """Return the call of ``locks.lua`` for some jobs."""
    suffixes = [suffix(lock_type) for lock_type in LOCKS]
    return [key for job in jobs for key in keys.locks(job, suffixes)], [MOST_SLOTS]


def of_reply(reply: object, jobs: Sequence[str]) -> list[list[LockRecord]]:
    """Return the records of each of ``jobs``.

    Raises:
        UnexpectedReplyError: the reply is not one of ``locks.lua``.
    """
    if not isinstance(reply, list | tuple) or len(reply) % 4:
        raise _wire.UnexpectedReplyError(f"{reply!r:.80} is no list of locks")
    found: list[list[LockRecord]] = [[] for _ in jobs]
    for nth in range(0, len(reply), 4):
        job = _wire.integer(reply[nth])
        record = _of_entry(jobs[job], _wire.text(reply[nth + 1]), _wire.text(reply[nth + 2]), reply[nth + 3])
        if record is not None:
            found[job].append(record)
    return found


def _of_entry(job: str, word: str, value: str, ttl_ms: object) -> LockRecord | None:
    named = _SUFFIX.fullmatch(word)
    ends_in = max(0.0, _wire.integer(ttl_ms) / 1_000) if ttl_ms != -1 else None
    if named is None:
        return None
    if named[1] in ("tick", "open"):
        read = _RECORD.fullmatch(value)
        if read is None or read[1] == "0":
            return None
        fence = int(read[2]) if named[1] == "tick" else 0
        return record(job, named[1], read[3], fence, ends_in, tick_us=int(read[1]))
    read = _VALUE.fullmatch(value)
    tick_us = int(named[2]) if named[1] == "run" and named[2] else 0
    return None if read is None else record(job, named[1], read[1], int(read[2]), ends_in, tick_us=tick_us)


def of_state(job: str, state: JobState, now: Now) -> Iterator[LockRecord]:
    """Yield the records of a job's state."""
    for lock in sorted(state.locks, key=lambda lock: (isinstance(lock, int), str(lock))):
        held = state.locks[lock]
        kind = LockType.RUN if isinstance(lock, int) else lock if lock in PLAIN else LockType.OVERLAP
        tick_us = lock if isinstance(lock, int) else 0
        yield record(job, str(kind), held.owner, held.fence, held.until - now.monotonic, tick_us=tick_us)
    if state.record is not None and state.record.tick_us:
        ends_in = (state.record.until_us - now.wall_us) / 1e6
        yield record(job, "tick", state.record.run, state.record.fence, ends_in, tick_us=state.record.tick_us)
    for tick_us, entry in sorted(state.open.items()):
        ends_in = (state.open_until_us - now.wall_us) / 1e6
        yield record(job, "open", entry.owner, 0, ends_in, tick_us=tick_us)


def record(job: str, lock_type: str, owner: str, fence: int, ends_in: float | None, *, tick_us: int = 0) -> LockRecord:
    """Return one lock, or record. An owner is ``<node>:<run id>``."""
    node, colon, run_id = owner.rpartition(":")
    if not colon:  # whoever asked what is known of a job, and made it known by that
        run_id = ""
    tick = EPOCH + timedelta(microseconds=tick_us) if 0 < tick_us <= LATEST_US else None
    return LockRecord(job=job, lock_type=lock_type, node=node, run_id=run_id, tick=tick, fence=fence, ends_in=ends_in)
