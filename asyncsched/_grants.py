"""Owns the values that pass between the engine and a store: claims, leases and what a store answers.

Knows neither how a store decides nor what the engine does with the answer.

Keys of one job, of which every store keeps an equivalent (``docs/cluster.md`` has the whole protocol):

    schedule:jobLock:<job>:server    lease: who runs the newest tick
    schedule:jobLock:<job>:overlap   lease: whose run is in progress
    schedule:jobLock:<job>:start     who has the immediate run; kept for ``lock_ttl``, never renewed
    schedule:jobLock:<job>:tick      record: the newest claimed tick; outlives every run
    schedule:job:<job>               state that outlives runs: pause, fence floor
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_LOCK_TTL = 600.0
"""Seconds after which a lock that nobody renews is free again."""


class LockType(StrEnum):
    """The last part of a lock's key."""

    SERVER = "server"
    OVERLAP = "overlap"
    START = "start"
    TICK = "tick"


class ClaimKind(StrEnum):
    """What is claimed."""

    TICK = "tick"
    """A fire time of the job's trigger."""
    START = "start"
    """The immediate run."""
    TRIGGER = "trigger"
    """A run that somebody asked for: no tick, so the tick record stays as it is."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """One job's claim. Sent again unchanged, it gets the answer it had: a retry never wins twice."""

    job: str
    kind: ClaimKind
    owner: str
    """Node and run, unique per claim: ``<node>:<run id>``. Never contains ``|``."""
    tick_us: int
    """The fire time, in microseconds since the epoch (0 unless ``kind`` is ``TICK``)."""
    one_server: bool
    no_overlap: bool
    lock_ttl: float
    """Seconds."""
    retain_for: float
    """Seconds for which the tick record is kept."""
    remembered_us: int = 0
    """Newest tick of the job that this node has seen decided and whose record should still exist; 0: none."""


class Verdict(StrEnum):
    """How a store decided a claim."""

    WON = "won"
    ELSEWHERE = "elsewhere"
    """The tick, or a newer one, or the immediate run, was claimed before."""
    OVERLAP = "overlap"
    """A run of the job is in progress. A tick is consumed by this answer: nobody else will run it."""
    PAUSED = "paused"
    """The job is paused; nothing was written."""
    EARLY = "early"
    """The tick lies ahead of the store's time; nothing was written. Ask again after ``wait`` seconds."""
    LATE = "late"
    """The request arrived after its deadline; nothing was written. Ask again."""
    LOST_RECORD = "lost_record"
    """The record of an earlier tick is gone (the store lost data), so nobody can tell whether this tick has
    run elsewhere: it is consumed and must not run."""
    CORRUPT = "corrupt"
    """A key of the job holds something foreign; nothing was granted. ``detail`` says which."""


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """A store's decision on one claim."""

    verdict: Verdict
    fence: int = 0
    """The fencing token of a grant; higher than that of every earlier grant of the job."""
    newest_us: int = 0
    """The newest decided tick of the job after this answer (0: none, or not a tick)."""
    wait: float = 0.0
    """With ``EARLY``: seconds until the tick is due by the store's time."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a grant holds: the locks to renew while the run goes on, and to release after its end."""

    job: str
    owner: str
    fence: int
    """0 where the grant's answer never arrived (only for releasing it)."""
    locks: tuple[LockType, ...]
    lock_ttl: float
    """Seconds."""


class Renewal(StrEnum):
    """What became of a lease when it was renewed."""

    HELD = "held"
    SUPERSEDED = "superseded"
    """A newer tick has been claimed and the lease was only ``server``: the run goes on, without a lease."""
    LOST = "lost"
    """The key is gone, or another's."""
