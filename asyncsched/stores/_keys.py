"""Owns the names of all keys in Redis. Knows no values and no commands.

    <prefix>schedule:jobLock:<job>:<lock type>   server, overlap, start: strings; tick, open: hashes
    <prefix>schedule:jobLock:<job>:run:<tick>    string
    <prefix>schedule:jobLock:<job>:overlap:<slot>  string
    <prefix>schedule:job:<job>                   hash: paused, fence
    <prefix>schedule:jobs:paused                 set of the paused jobs' names, and ``*`` in maintenance
    <prefix>schedule:jobs:handed                 set of ticks whose run was interrupted by a clean stop
    <prefix>schedule:jobs:nodes                  sorted set of the nodes that are there

What is kept for people only (``_redis_board``):

    <prefix>schedule:jobHistory:<job>            list of the endings of its ticks
    <prefix>schedule:jobs:reports                hash of what each node says of itself
    <prefix>schedule:jobs:catalogue:<digest>     string: definitions of jobs
    <prefix>schedule:jobs:fireTimes, successes   sorted sets of jobs: next fire time, newest success
    <prefix>schedule:jobs:notes                  hash: who has paused a job, and why
    <prefix>schedule:jobs:orders                 hash of what was asked for and not taken yet
    <prefix>schedule:jobs:answer:<order>         string: what became of it
    <prefix>schedule:jobs:check                  anything: what a check tries the user's rights on

And a channel, ``<prefix>schedule:jobs:decided:<database>``, of the ticks that were decided.

On a Redis Cluster the job stands in braces, so that all keys of a job are in one slot: a script takes keys of
one slot only. The sets of all jobs have slots of their own.

All of them match ``<prefix>schedule:job*``: the one pattern that a restricted user needs. No two jobs share a
key: a job's name stands last, before one of five fixed words, or before ``run`` or ``overlap`` and digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._grants import LockType

if TYPE_CHECKING:
    from collections.abc import Sequence


class Keys:
    """The keys below one prefix.

    Args:
        prefix: stands in front of each.
        in_braces: whether jobs stand in braces.
    """

    __slots__ = (
        "_after", "_histories", "_index", "_locks", "_states", "check", "decided", "fire_times", "handed", "in_braces",
        "nodes", "notes", "orders", "paused", "reports", "successes",
    )  # fmt: skip

    def __init__(self, prefix: str, *, in_braces: bool = False) -> None:
        before, self._after = ("{", "}") if in_braces else ("", "")
        self.in_braces = in_braces
        self._locks = f"{prefix}schedule:jobLock:{before}"
        self._states = f"{prefix}schedule:job:{before}"
        self._histories = f"{prefix}schedule:jobHistory:{before}"
        self._index = f"{prefix}schedule:jobs:"
        self.paused = f"{self._index}paused"
        self.handed = f"{self._index}handed"
        self.nodes = f"{self._index}nodes"
        self.decided = f"{self._index}decided"
        self.reports = f"{self._index}reports"
        self.fire_times = f"{self._index}fireTimes"
        self.successes = f"{self._index}successes"
        self.notes = f"{self._index}notes"
        self.orders = f"{self._index}orders"
        self.check = f"{self._index}check"

    def locks(self, job: str, suffixes: Sequence[str]) -> list[str]:
        """Return the keys of the job's locks, or of its tick record, whose names end like this."""
        start = self._locks + job + self._after
        return [start + suffix for suffix in suffixes]

    def state_and_locks(self, job: str, suffixes: Sequence[str]) -> list[str]:
        """Return the key of what outlives the job's runs, and behind it those of ``locks``."""
        after = self._after
        start = self._locks + job + after
        return [self._states + job + after, *[start + suffix for suffix in suffixes]]

    def state(self, job: str) -> str:
        """Return the key of what outlives the job's runs."""
        return self._states + job + self._after

    @property
    def before_job(self) -> str:
        """What stands before the job in the key of its state; where jobs do not stand in braces, nothing follows it."""
        return self._states

    def history(self, job: str) -> str:
        """Return the key of the job's endings."""
        return self._histories + job + self._after

    def histories(self, jobs: Sequence[str]) -> list[str]:
        """Return the key of each job's endings."""
        before, after = self._histories, self._after
        return [before + job + after for job in jobs]

    def catalogue(self, digest: str) -> str:
        """Return the key of definitions of jobs."""
        return f"{self._index}catalogue:{digest}"

    def answer(self, order_id: str) -> str:
        """Return the key of what became of an order."""
        return f"{self._index}answer:{order_id}"


def suffix(lock_type: LockType, tick_us: int = 0) -> str:
    """Return what the name of a lock, or of the tick record, ends with; a ``RUN`` is that of one tick."""
    return f":{lock_type.value}:{tick_us}" if lock_type is LockType.RUN else f":{lock_type.value}"


def slot_suffix(slot: int) -> str:
    """Return what the name of the ``OVERLAP`` lock of one slot ends with."""
    return f"{suffix(LockType.OVERLAP)}:{slot}" if slot else suffix(LockType.OVERLAP)
