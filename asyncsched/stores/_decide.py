"""Owns the decisions of the cluster protocol, over one job's state in plain Python. Knows no storage and no clock.

It is the model of the protocol: what ``lua/claim.lua`` decides in Redis is decided here by the same steps in the same
order, and one contract suite runs against both. A store that holds a job's state where it is, or brings it here and
writes back what has changed, decides with these functions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from asyncsched._grants import ClaimAnswer, ClaimKind, LockType, Renewal, Verdict

if TYPE_CHECKING:
    from asyncsched._grants import ClaimRequest, Lease

AHEAD_US = 10_000
"""How far ahead of the clock a tick may lie and still be claimed, as in Redis."""


class Now(NamedTuple):
    """One reading of the clocks, by which a whole batch is decided."""

    wall_us: int
    """Microseconds since the epoch: says when a tick is due, and how long its record is kept."""
    monotonic: float
    """Seconds: says when a lease ends."""


@dataclass(slots=True)
class Held:
    """A lock as somebody holds it."""

    owner: str
    fence: int
    until: float
    """Instant of the monotonic clock."""


@dataclass(slots=True)
class Record:
    """The newest decided tick."""

    tick_us: int
    run: str
    fence: int
    verdict: Verdict
    """What ``run`` was answered: ``WON``, or why the tick was consumed."""
    until_us: int
    """Instant of the wall clock: a record outlives the system's start."""


@dataclass(slots=True)
class Open:
    """A tick that was granted and has not finished."""

    attempt: int
    owner: str


Lock = str | int
"""A lock of a job by its type; a ``RUN`` by its tick; that of a slot but the first by ``overlap:<slot>``."""

MOST_OPEN = 50
"""Open ticks that are kept of one job, as in Redis: what crashes leave behind stays bounded."""


@dataclass(slots=True)
class JobState:
    """All that is known of one job, but for whether it is paused: the keys that it has in Redis."""

    fence: int = 0
    granted_us: int = 0
    """The newest tick ever granted: what is left if the record is lost, or has expired."""
    record: Record | None = None
    locks: dict[Lock, Held] = field(default_factory=dict)
    open: dict[int, Open] = field(default_factory=dict)
    open_until_us: int = 0
    """Instant of the wall clock."""
    unwanted: int = 0
    """The fence of the run that a newer tick asked to end last; 0: none was."""
    runs: int = 0
    """How many ticks were granted while their number was limited."""

    def expire(self, now: Now) -> None:
        """Forget what has ended."""
        if self.record is not None and self.record.until_us <= now.wall_us:
            self.record = None
        if self.open and self.open_until_us <= now.wall_us:
            self.open.clear()
        for lock in [lock for lock, held in self.locks.items() if held.until <= now.monotonic]:
            del self.locks[lock]

    def owned(self, owner: str) -> set[Lock]:
        """Return the locks that ``owner`` holds."""
        return {lock for lock, held in self.locks.items() if held.owner == owner}


def decide(request: ClaimRequest, job: JobState, now: Now, *, paused: bool) -> ClaimAnswer:
    """Decide one claim, and change the job's state accordingly."""
    before = job.open.get(request.tick_us)
    answer = _survey(request, job, now) if request.kind is ClaimKind.SURVEY else _verdict(request, job, now, paused)
    if request.no_overlap and request.slots > 1 and answer.verdict is Verdict.WON:
        answer.slot = _slot_for(request, job)
    if not request.max_attempts:
        return answer
    entry = job.open.get(request.tick_us, before)  # an exhausted tick is open no more, but was granted so often
    answer.attempt, answer.open_us = 0 if entry is None else entry.attempt, tuple(sorted(job.open))
    return answer


def _survey(request: ClaimRequest, job: JobState, now: Now) -> ClaimAnswer:
    if not request.one_server:
        return ClaimAnswer(Verdict.ELSEWHERE)
    newest = _newest(request, job.record, job)
    if job.record is None and not job.granted_us:
        _consume_lost(request, job, now)  # from now on it is known
    return ClaimAnswer(Verdict.ELSEWHERE, newest_us=newest)


def _verdict(request: ClaimRequest, job: JobState, now: Now, paused: bool) -> ClaimAnswer:
    ticking = request.kind is ClaimKind.TICK
    recorded = ticking and request.one_server
    record = job.record if recorded else None
    newest = _newest(request, record, job) if recorded else 0
    mine = record is not None and record.tick_us == request.tick_us and record.run == request.owner
    locks = _locks_of(request, job)

    if (mine and record and record.verdict is Verdict.WON) or _holds_any(request, job, locks):
        return _repeat_grant(request, job, now, newest)
    if mine and record:
        return ClaimAnswer(record.verdict, newest_us=newest)
    if recorded and newest and request.tick_us <= newest:
        if _is_in_doubt_too(request, record, job):
            return ClaimAnswer(Verdict.LOST_RECORD, newest_us=newest)
        wait = _time_left(job, request.tick_us, now) if request.max_attempts else 0.0
        return ClaimAnswer(Verdict.ELSEWHERE, newest_us=newest, wait=wait)
    if paused:
        return ClaimAnswer(Verdict.PAUSED, newest_us=newest)
    if request.kind is ClaimKind.RERUN:
        return _decide_rerun(request, job, now)
    if _is_counted(request) and job.runs >= request.max_runs:
        return ClaimAnswer(Verdict.FINISHED, newest_us=newest)
    if ticking and request.tick_us > now.wall_us + AHEAD_US:
        return ClaimAnswer(Verdict.EARLY, wait=(request.tick_us - now.wall_us) / 1e6, newest_us=newest)
    if recorded and _is_in_doubt(request, record, job):
        return _consume_lost(request, job, now)
    if LockType.START in locks and LockType.START in job.locks:
        return ClaimAnswer(Verdict.ELSEWHERE)
    if request.no_overlap and locks[-1] in job.locks:
        return _meet(request, job, now, newest if recorded else None)
    return _grant(request, job, now)


def _meet(request: ClaimRequest, job: JobState, now: Now, newest: int | None) -> ClaimAnswer:
    """Answer a claim that meets a run in progress; ``newest`` is ``None`` if no record says which ticks are decided."""
    if request.cancels:
        job.unwanted = job.locks[LockType.OVERLAP].fence
    if newest is None or request.waits:
        return ClaimAnswer(Verdict.OVERLAP, newest_us=newest or 0)
    return _consume(request, job, now, Verdict.OVERLAP)


def _decide_rerun(request: ClaimRequest, job: JobState, now: Now) -> ClaimAnswer:
    entry = job.open.get(request.tick_us)
    if entry is None:
        return ClaimAnswer(Verdict.ELSEWHERE)
    if request.tick_us in job.locks:
        return ClaimAnswer(Verdict.ELSEWHERE, wait=_time_left(job, request.tick_us, now))
    if entry.attempt >= request.max_attempts:
        del job.open[request.tick_us]
        return ClaimAnswer(Verdict.EXHAUSTED)
    if request.no_overlap and LockType.OVERLAP in job.locks:
        return ClaimAnswer(Verdict.OVERLAP, wait=_time_left(job, LockType.OVERLAP, now))
    return _grant(request, job, now)


def _time_left(job: JobState, lock: Lock, now: Now) -> float:
    held = job.locks.get(lock)
    return 0.0 if held is None else held.until - now.monotonic


def _holds_any(request: ClaimRequest, job: JobState, locks: tuple[Lock, ...]) -> bool:
    held = [job.locks[lock].owner for lock in locks if lock in job.locks] if job.locks else ()
    return request.owner in held


def _repeat_grant(request: ClaimRequest, job: JobState, now: Now, newest: int) -> ClaimAnswer:
    """Answer an owner that was granted this before: with the same grant, if it still has all of its
    leases.

    A lease that has ended is never made again: see ``lua/claim.lua``.
    """
    locks = _locks_of(request, job)
    ticked = LockType.SERVER not in locks or (job.record is not None and job.record.tick_us >= request.tick_us)
    if not ticked or not job.owned(request.owner).issuperset(locks):
        _free(job, request.owner, {lock for lock in locks if lock is not LockType.START})
        return ClaimAnswer(Verdict.LOST_RECORD, newest_us=newest)
    if LockType.SERVER in locks and job.record is not None and job.record.tick_us == request.tick_us:
        job.record.until_us = _kept_until_us(request, now)
    for lock in locks:
        job.locks[lock].until = now.monotonic + request.lock_ttl
    return ClaimAnswer(Verdict.WON, fence=job.locks[locks[-1]].fence, newest_us=newest)


def _consume(request: ClaimRequest, job: JobState, now: Now, verdict: Verdict) -> ClaimAnswer:
    fence = job.record.fence if job.record else job.fence
    _write_record(request, job, now, fence, verdict)
    return ClaimAnswer(verdict, newest_us=request.tick_us)


def _newest(request: ClaimRequest, record: Record | None, job: JobState) -> int:
    """Return the newest decided tick; one that is only in doubt, since a loss was noticed, is none."""
    if record is None:
        return max(request.remembered_us, job.granted_us)
    in_doubt = record.verdict is Verdict.LOST_RECORD
    return max(record.tick_us, request.remembered_us, 0 if in_doubt else job.granted_us)


def _is_in_doubt(request: ClaimRequest, record: Record | None, job: JobState) -> bool:
    """Return whether nobody can tell if a tick that is newer than all that are known has run: the store has lost the
    record of earlier ones, or this one had come due when that was noticed, or when the job became known."""
    if record is None:
        return not job.granted_us and request.remembered_us > 0
    return record.verdict is Verdict.LOST_RECORD and request.tick_us <= job.granted_us


def _is_in_doubt_too(request: ClaimRequest, record: Record | None, job: JobState) -> bool:
    """Return whether the newest decided tick was used up because of a loss, and this is an older one of which nothing
    else is known: then nobody can tell of this one either."""
    if record is None or record.verdict is not Verdict.LOST_RECORD or request.tick_us in job.open:
        return False
    return request.remembered_us < request.tick_us < record.tick_us


def _consume_lost(request: ClaimRequest, job: JobState, now: Now) -> ClaimAnswer:
    """Use up a tick of which nobody can tell whether it has run, and note that so it is with all that have come due.

    Newer ones may have been granted before the loss, and a node that was frozen asks for its old one first.
    """
    job.granted_us = job.granted_us or max(request.tick_us, now.wall_us)
    _write_record(request, job, now, job.fence, Verdict.LOST_RECORD)
    return ClaimAnswer(Verdict.LOST_RECORD, newest_us=request.tick_us)


def _grant(request: ClaimRequest, job: JobState, now: Now) -> ClaimAnswer:
    job.fence = max(job.fence + 1, now.wall_us)
    locks = _locks_of(request, job)
    until = now.monotonic + request.lock_ttl
    for lock in locks:
        job.locks[lock] = Held(request.owner, job.fence, until)
    if _is_counted(request):
        job.runs += 1
    if request.tick_us in locks:
        _write_open(request, job, now)
    if LockType.SERVER not in locks:
        return ClaimAnswer(Verdict.WON, fence=job.fence)
    job.granted_us = request.tick_us
    _write_record(request, job, now, job.fence, Verdict.WON)
    return ClaimAnswer(Verdict.WON, fence=job.fence, newest_us=request.tick_us)


def _write_open(request: ClaimRequest, job: JobState, now: Now) -> None:
    before = job.open.get(request.tick_us)
    job.open[request.tick_us] = Open(1 if before is None else before.attempt + 1, request.owner)
    job.open_until_us = _kept_until_us(request, now)
    if len(job.open) > MOST_OPEN:
        del job.open[min(job.open)]


def _write_record(request: ClaimRequest, job: JobState, now: Now, fence: int, verdict: Verdict) -> None:
    job.record = Record(request.tick_us, request.owner, fence, verdict, _kept_until_us(request, now))


def renew(lease: Lease, job: JobState, now: Now) -> Renewal:
    """Extend a lease by its ``lock_ttl`` if it is still its owner's."""
    locks = _locks_held_by(lease) - {LockType.START}
    lost = {lock for lock in locks if not _is_held(job.locks.get(lock), lease)}
    overtaken = job.record is not None and job.record.fence > lease.fence
    is_alone = LockType.OVERLAP in lease.locks and not lease.slots
    if lost and (lost != {LockType.SERVER} or is_alone or not overtaken):
        return Renewal.LOST
    if lost == locks and lost:
        return Renewal.SUPERSEDED
    for lock in locks - lost:
        job.locks[lock].until = now.monotonic + lease.lock_ttl
    is_unwanted = lease.cancellable and LockType.OVERLAP in lease.locks and job.unwanted == lease.fence
    return Renewal.UNWANTED if is_unwanted else Renewal.HELD


def release(lease: Lease, job: JobState) -> tuple[bool, bool]:
    """Free what is still the owner's.

    Returns:
        Whether anything was, and whether that hands a tick over: its run was interrupted.
    """
    freed = _free(job, lease.owner, _locks_held_by(lease))
    entry = job.open.get(lease.tick_us) if LockType.RUN in lease.locks else None
    if entry is None or entry.owner != lease.owner:
        return freed, False
    if lease.finished:
        del job.open[lease.tick_us]
    return freed, freed and not lease.finished


def _is_counted(request: ClaimRequest) -> bool:
    return request.max_runs > 0 and request.kind is ClaimKind.TICK


def _kept_until_us(request: ClaimRequest, now: Now) -> int:
    return now.wall_us + round(request.retain_for * 1_000_000)


def slot_lock(slot: int) -> Lock:
    """Return the ``OVERLAP`` lock of one slot."""
    return f"{LockType.OVERLAP}:{slot}" if slot else LockType.OVERLAP


def _slot_for(request: ClaimRequest, job: JobState) -> int:
    """Return the slot that the owner has, or the first one that is free, or else the last."""
    owners = [held.owner if (held := job.locks.get(slot_lock(slot))) else "" for slot in range(request.slots)]
    return next((owners.index(owner) for owner in (request.owner, "") if owner in owners), request.slots - 1)


def _locks_of(request: ClaimRequest, job: JobState) -> tuple[Lock, ...]:
    """Return the locks that a grant of ``request`` takes, or has; ``overlap``, the one that excludes, stands last."""
    locks: tuple[Lock, ...] = ()
    if request.one_server and request.kind in (ClaimKind.TICK, ClaimKind.START):
        locks = (LockType.SERVER,) if request.kind is ClaimKind.TICK else (LockType.START,)
    if request.max_attempts:
        locks += (request.tick_us,)
    if not request.no_overlap:
        return locks
    return (*locks, LockType.OVERLAP if request.slots == 1 else slot_lock(_slot_for(request, job)))


def _locks_held_by(lease: Lease) -> set[Lock]:
    locks: set[Lock] = {lease.tick_us if lock is LockType.RUN else lock for lock in lease.locks}
    if LockType.OVERLAP in locks and lease.slots:
        locks = locks - {LockType.OVERLAP} | set(map(slot_lock, lease.slots))
    return locks


def _is_held(held: Held | None, lease: Lease) -> bool:
    return held is not None and (held.owner, held.fence) == (lease.owner, lease.fence)


def _free(job: JobState, owner: str, locks: set[Lock]) -> bool:
    """Drop those of ``locks`` that ``owner`` holds, never the tick record; answer whether there were any."""
    freed = job.owned(owner) & locks
    for lock in freed:
        del job.locks[lock]
    return bool(freed)
