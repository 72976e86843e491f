"""Owns what the claims of a job have in common: read off the job once, when it is scheduled, and not for each claim.

Jobs with the same policies share one value. Knows neither ticks nor claims.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from asyncsched._kinds import LockType

if TYPE_CHECKING:
    from asyncsched._job import Job
    from asyncsched._job_settings import JobSettings

LOCKS: dict[tuple[bool, ...], tuple[LockType, ...]] = {
    wanted: tuple(
        lock
        for lock, is_wanted in zip((LockType.SERVER, LockType.RUN, LockType.OVERLAP), wanted, strict=True)
        if is_wanted
    )
    for wanted in product((False, True), repeat=3)
}
"""The locks of a lease, by whether it is a tick of an ``on_one_server`` job, may be run again, must not overlap."""
WEEK = 7 * 86_400.0


class Terms:
    """What all claims of a job have in common.

    Attributes:
        one_server, concurrency, max_attempts, run_limit, waits, cancels: the job's policies, by the words of ``Job``.
        without_store, in_maintenance: whether it runs then.
        lock_ttl: of its leases, in seconds.
        least_kept: seconds for which the record of a tick is kept at least, and
        grace: its ``misfire_grace``.
        tick_locks: the locks that a granted tick has.
    """

    __slots__ = (
        "cancels",
        "concurrency",
        "grace",
        "in_maintenance",
        "least_kept",
        "lock_ttl",
        "max_attempts",
        "one_server",
        "run_limit",
        "tick_locks",
        "waits",
        "without_store",
    )

    def __init__(
        self,
        one_server: bool,
        concurrency: int,
        max_attempts: int,
        run_limit: int,
        waits: bool,
        cancels: bool,
        without_store: bool,
        in_maintenance: bool,
        lock_ttl: float,
        grace: float | None,
    ) -> None:
        self.one_server = one_server
        self.concurrency = concurrency
        self.max_attempts = max_attempts
        self.run_limit = run_limit
        self.waits = waits
        self.cancels = cancels
        self.without_store = without_store
        self.in_maintenance = in_maintenance
        self.lock_ttl = lock_ttl
        self.grace = grace
        self.least_kept = (grace or 0.0) + lock_ttl
        self.tick_locks = LOCKS[one_server, max_attempts > 0, concurrency > 0]

    def kept_for(self, gap_us: int) -> float:
        """Return for how many seconds a tick's record must be kept that is followed by another after ``gap_us``: a late
        node may still ask, and a record that ended before the next tick would look like lost data."""
        kept = 2 * gap_us / 1e6 + WEEK
        return max(self.least_kept, kept)


_shared = lru_cache(maxsize=256)(Terms)


def terms_of(job: Job, settings: JobSettings) -> Terms:
    """Return the terms of a job's claims; what nothing guards has none that matter."""
    if not job.is_guarded:
        return UNGUARDED
    return _shared(
        job.is_on_one_server,
        job.concurrency,
        job.max_attempts,
        job.run_limit,
        job.waits_for_running,
        job.cancels_running,
        job.runs_without_store,
        job.runs_in_maintenance,
        settings.lock_ttl,
        settings.misfire_grace,
    )


UNGUARDED = Terms(False, 0, 0, 0, False, False, False, False, 0.0, None)
