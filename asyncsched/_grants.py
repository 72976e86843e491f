"""Owns the values that pass between the engine and a store: claims, leases and what a store answers.

Knows neither how a store decides nor what the engine does with the answer.

Keys of one job, of which every store keeps an equivalent (``docs/cluster.md`` has the whole protocol):

    schedule:jobLock:<job>:server    lease: who runs the newest tick
    schedule:jobLock:<job>:overlap   lease: whose run is in progress
    schedule:jobLock:<job>:overlap:<slot>  with ``max_concurrent``: the same, of its slots but the first
    schedule:jobLock:<job>:start     who has the immediate run; kept for ``lock_ttl``, never renewed
    schedule:jobLock:<job>:tick      record: the newest claimed tick; outlives every run
    schedule:jobLock:<job>:open      with ``rerun_on_crash``: the ticks that were granted and have not finished
    schedule:jobLock:<job>:run:<us>  with ``rerun_on_crash``: lease: whose run of that tick is in progress
    schedule:job:<job>               state that outlives runs: pause, fence floor, newest granted tick, number of ticks
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from asyncsched._kinds import DEFAULT_LOCK_TTL, EVERY_JOB, MOST_SLOTS, ClaimKind, LockType

__all__ = [
    "DEFAULT_LOCK_TTL",
    "EVERY_JOB",
    "MOST_SLOTS",
    "ClaimAnswer",
    "ClaimKind",
    "ClaimRequest",
    "Lease",
    "LockType",
    "Renewal",
    "Verdict",
]

# Requests, answers and leases are made for each claim, and a frozen dataclass takes three times as long to make: they
# are not frozen, but nobody changes one.


@dataclass(slots=True, unsafe_hash=True)
class ClaimRequest:
    """One job's claim. Sent again unchanged, it gets the answer it had: a retry never wins twice."""

    job: str
    kind: ClaimKind
    owner: str
    """Node and run, unique per claim: ``<node>:<run id>``. Never contains ``|``."""
    tick_us: int
    """The fire time, in microseconds since the epoch (0 unless ``kind`` is ``TICK`` or ``RERUN``)."""
    one_server: bool
    no_overlap: bool
    lock_ttl: float
    """Seconds."""
    retain_for: float
    """Seconds for which the tick record is kept."""
    remembered_us: int = 0
    """Newest tick of the job that this node has seen decided and whose record should still exist; 0: none. More than 0
    means that the store must know the job: where it does not, the tick is in doubt."""
    max_attempts: int = 0
    """Most grants of one tick, if its runs are interrupted; 0: a tick is granted once, whatever becomes of its run."""
    max_runs: int = 0
    """Most ticks of the job that are granted, ever; 0: any number."""
    waits: bool = False
    """Whether an ``OVERLAP`` leaves the tick as it is, to be asked for again when the run in progress has ended."""
    cancels: bool = False
    """Whether that run is asked to end."""
    slots: int = 1
    """With ``no_overlap``: how many runs may be in progress at once. More than 1 never ``waits`` and has no
    ``max_attempts``."""


class Verdict(StrEnum):
    """How a store decided a claim."""

    __hash__ = str.__hash__  # an enum's own is slow, and is needed for each answer
    WON = "won"
    ELSEWHERE = "elsewhere"
    """The tick, or a newer one, or the immediate run, was claimed before."""
    OVERLAP = "overlap"
    """A run of the job is in progress. A tick is consumed by this answer, so nobody else will run it, unless it
    ``waits``."""
    PAUSED = "paused"
    """The job is paused; nothing was written."""
    EARLY = "early"
    """The tick lies ahead of the store's time; nothing was written. Ask again after ``wait`` seconds."""
    LATE = "late"
    """The request arrived after its deadline; nothing was written. Ask again."""
    LOST_RECORD = "lost_record"
    """The store does not know the job, or did not when the tick came due (it has lost data, or is new), so nobody can
    tell whether the tick has run elsewhere: it is consumed and must not run."""
    CORRUPT = "corrupt"
    """A key of the job holds something foreign; nothing was granted. ``detail`` says which."""
    EXHAUSTED = "exhausted"
    """The open tick was granted ``attempt`` times, the most that was asked for; it is open no more."""
    FINISHED = "finished"
    """As many ticks of the job were granted as its ``max_runs`` says; nothing was written."""
    UNDECIDED = "undecided"
    """No answer for this claim, while others got one: nothing is known, so ask again. ``detail`` says why."""


@dataclass(slots=True, unsafe_hash=True)
class ClaimAnswer:
    """A store's decision on one claim."""

    verdict: Verdict
    fence: int = 0
    """The fencing token of a grant; higher than that of every earlier grant of the job."""
    newest_us: int = 0
    """The newest decided tick of the job after this answer (0: none, or not a tick)."""
    wait: float = 0.0
    """Seconds. With ``EARLY``: until the tick is due by the store's time. With ``ELSEWHERE`` or ``OVERLAP``, of a job
    that is run again: until the lease that stands in the way ends, if nobody renews it (0: there is none)."""
    detail: str = ""
    attempt: int = 1
    """How many grants of the tick there were, this one included."""
    open_us: tuple[int, ...] = ()
    """Of a job that is run again: the ticks that were granted and have not finished."""
    slot: int = 0
    """Of a grant with several ``slots``: the one that it has."""


@dataclass(slots=True, unsafe_hash=True)
class Lease:
    """What a grant holds: the locks to renew while the run goes on, and to release after its end."""

    job: str
    owner: str
    fence: int
    """0 where the grant's answer never arrived (only for releasing it)."""
    locks: tuple[LockType, ...]
    lock_ttl: float
    """Seconds."""
    tick_us: int = 0
    """With the lock ``RUN``: the tick that it belongs to."""
    finished: bool = False
    """With the lock ``RUN``, on release: the tick's run has come to its own end, so nobody runs it again."""
    cancellable: bool = False
    """With the lock ``OVERLAP``: its renewal is to tell whether a newer tick asks its run to end."""
    slots: tuple[int, ...] = ()
    """With the lock ``OVERLAP``, where a job has several: the slot that it is of. Where the grant's answer never
    arrived, all that it may be of (only for releasing it)."""


class Renewal(StrEnum):
    """What became of a lease when it was renewed."""

    HELD = "held"
    UNWANTED = "unwanted"
    """Held, and a newer tick asks its run to end."""
    SUPERSEDED = "superseded"
    """A newer tick has been claimed and the lease was only ``server``: the run goes on, without a lease."""
    LOST = "lost"
    """The key is gone, or another's."""
    UNDECIDED = "undecided"
    """No answer for this lease, while others got one: it may or may not have been extended."""
