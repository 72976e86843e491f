"""Owns the names of all keys in Redis. Knows no values and no commands.

    <prefix>schedule:jobLock:<job>:<lock type>   server, overlap, start: strings; tick: a hash
    <prefix>schedule:job:<job>                   hash: paused, fence
    <prefix>schedule:jobs:paused                 set of the paused jobs' names

All of them match ``<prefix>schedule:job*``: the one pattern that a restricted user needs. No two jobs share a
key: a job's name stands last, or before one of four fixed words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncsched._grants import LockType


class Keys:
    """The keys below one prefix."""

    __slots__ = ("_locks", "_states", "paused")

    def __init__(self, prefix: str) -> None:
        self._locks = f"{prefix}schedule:jobLock:"
        self._states = f"{prefix}schedule:job:"
        self.paused = f"{prefix}schedule:jobs:paused"

    def lock(self, job: str, lock_type: LockType) -> str:
        """Return the key of one of the job's locks, or of its tick record."""
        return f"{self._locks}{job}:{lock_type}"

    def state(self, job: str) -> str:
        """Return the key of what outlives the job's runs."""
        return self._states + job
