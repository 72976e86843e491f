"""Owns the store that needs no server: the cluster protocol in plain Python, for schedulers that share the
object.

It is the model of the protocol: what ``lua/claim.lua`` decides in Redis is decided here by the same steps in
the same order, and one contract suite runs against both. Knows no I/O: nothing here ever waits, but for the news.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from asyncsched._clock import SystemClock
from asyncsched._grants import ClaimAnswer, ClaimKind, LockType, Renewal, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched._grants import ClaimRequest, Lease
    from asyncsched.protocols import Attendance, Clock

AHEAD_US = 5_000
"""How far ahead of the clock a tick may lie and still be claimed, as in Redis."""


@dataclass(slots=True)
class _Held:
    """A lock as somebody holds it."""

    owner: str
    fence: int
    until: float
    """Instant of the monotonic clock."""


@dataclass(slots=True)
class _Record:
    """The newest decided tick."""

    tick_us: int
    run: str
    fence: int
    verdict: Verdict
    """What ``run`` was answered: ``WON``, or why the tick was consumed."""
    until: float
    """Instant of the monotonic clock."""


@dataclass(slots=True)
class _Open:
    """A tick that was granted and has not finished."""

    attempt: int
    owner: str


_Lock = LockType | int
"""A lock of a job by its type; a ``RUN`` by its tick."""

MOST_OPEN = 50
"""Open ticks that are kept of one job, as in Redis: what crashes leave behind stays bounded."""


@dataclass(slots=True)
class _JobState:
    """All that is known of one job: the keys that it has in Redis."""

    fence: int = 0
    granted_us: int = 0
    """The newest tick ever granted: what is left if the record is lost, or has expired."""
    record: _Record | None = None
    locks: dict[_Lock, _Held] = field(default_factory=dict)
    open: dict[int, _Open] = field(default_factory=dict)
    open_until: float = 0.0
    """Instant of the monotonic clock."""

    def expire(self, now: float) -> None:
        """Forget what has ended at ``now`` (monotonic)."""
        if self.record is not None and self.record.until <= now:
            self.record = None
        if self.open_until <= now:
            self.open.clear()
        self.locks = {lock: held for lock, held in self.locks.items() if held.until > now}

    def owned(self, owner: str) -> set[_Lock]:
        return {lock for lock, held in self.locks.items() if held.owner == owner}


class _Attendance:
    """A node that is there."""

    def __init__(
        self, attendances: list[_Attendance], name: Callable[[], str], heard: Callable[[str, int], None]
    ) -> None:
        self._attendances = attendances
        self.name = name
        self.heard = heard

    @property
    def nodes(self) -> Sequence[str]:
        return tuple(sorted(each.name() for each in self._attendances))

    @property
    def hears(self) -> bool:
        return len(self._attendances) > 1

    async def hear(self) -> bool:
        await asyncio.Event().wait()
        return True

    async def leave(self) -> None:
        self._attendances.remove(self)


class MemoryStore:
    """A store in this process: schedulers given the same object are one cluster.

    Args:
        clock: what decides when a tick is due and when a lease ends; ``None``: the system's.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._jobs: dict[str, _JobState] = {}
        self._paused: set[str] = set()
        self._listeners: list[Callable[[str, int], None]] = []
        self._attendances: list[_Attendance] = []

    def __repr__(self) -> str:
        return f"<MemoryStore jobs={len(self._jobs)} paused={len(self._paused)}>"

    @property
    def refresh_interval(self) -> float | None:
        """``None``: there is nothing to fetch."""
        return None

    async def refresh(self) -> Sequence[str]:
        """Do nothing: ``time`` and ``is_paused`` are never out of date, and nothing is unsafe."""
        return ()

    def time(self) -> float | None:
        """Return the clock's wall time, in seconds since the epoch."""
        return self._clock.time()

    def is_paused(self, job: str) -> bool:
        """Return whether the job is paused now."""
        return job in self._paused

    async def set_paused(self, job: str, paused: bool) -> None:
        """Pause or resume a job for every scheduler that shares this object."""
        if paused:
            self._paused.add(job)
        else:
            self._paused.discard(job)

    async def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        """Decide all ``requests``; the answers stand in the same order."""
        answers = [self._decide(request, self._job(request.job)) for request in requests]
        if len(self._attendances) > 1:
            self._spread(requests, answers)
        return answers

    def _spread(self, requests: Sequence[ClaimRequest], answers: Sequence[ClaimAnswer]) -> None:
        """Let all nodes hear which ticks were decided by these answers."""
        for request, answer in zip(requests, answers, strict=True):
            is_decided = answer.verdict is not Verdict.ELSEWHERE and answer.newest_us == request.tick_us
            if is_decided and request.kind is ClaimKind.TICK and request.one_server and not request.max_attempts:
                for attendance in tuple(self._attendances):
                    attendance.heard(request.job, request.tick_us)

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Renewal]:
        """Extend each lease by its ``lock_ttl`` if it is still its owner's."""
        return [self._renew(lease, self._job(lease.job)) for lease in leases]

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        """Free what is still the owner's; answer, for each lease, whether anything was."""
        return [self._release(lease, self._job(lease.job)) for lease in leases]

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        """Call back, with job and tick, when an interrupted run's lease is given back; return what ends that."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def attend(self, name: Callable[[], str], heard: Callable[[str, int], None]) -> Attendance:
        """Let a node be there, until it leaves."""
        attendance = _Attendance(self._attendances, name, heard)
        self._attendances.append(attendance)
        return attendance

    async def close(self) -> None:
        """Do nothing: what other schedulers know stays."""

    def _job(self, name: str) -> _JobState:
        job = self._jobs.setdefault(name, _JobState())
        job.expire(self._clock.monotonic())
        return job

    def _decide(self, request: ClaimRequest, job: _JobState) -> ClaimAnswer:
        before = job.open.get(request.tick_us)
        answer = self._verdict(request, job)
        if not request.max_attempts:
            return answer
        entry = job.open.get(request.tick_us, before)  # an exhausted tick is open no more, but was granted so often
        return replace(answer, attempt=0 if entry is None else entry.attempt, open_us=tuple(sorted(job.open)))

    def _verdict(self, request: ClaimRequest, job: _JobState) -> ClaimAnswer:
        ticking = request.kind is ClaimKind.TICK
        asking = request.kind is ClaimKind.SURVEY
        recorded = (ticking or asking) and request.one_server
        now_us = round(self._clock.time() * 1_000_000)
        record = job.record if recorded else None
        newest = max(record.tick_us if record else 0, request.remembered_us, job.granted_us) if recorded else 0
        mine = record is not None and record.tick_us == request.tick_us and record.run == request.owner

        if asking:
            return ClaimAnswer(Verdict.ELSEWHERE, newest_us=newest)
        if (mine and record and record.verdict is Verdict.WON) or job.owned(request.owner) & set(_locks_of(request)):
            return self._repeat_grant(request, job, newest)
        if mine and record:
            return ClaimAnswer(record.verdict, newest_us=newest)
        if recorded and newest and request.tick_us <= newest:
            wait = self._time_left(job, request.tick_us) if request.max_attempts else 0.0
            return ClaimAnswer(Verdict.ELSEWHERE, newest_us=newest, wait=wait)
        if request.job in self._paused:
            return ClaimAnswer(Verdict.PAUSED, newest_us=newest)
        if request.kind is ClaimKind.RERUN:
            return self._decide_rerun(request, job, now_us)
        if ticking and request.tick_us > now_us + AHEAD_US:
            return ClaimAnswer(Verdict.EARLY, wait=(request.tick_us - now_us) / 1e6, newest_us=newest)
        if recorded and not record and not job.granted_us and request.remembered_us:
            return self._consume(request, job, Verdict.LOST_RECORD)
        if LockType.START in _locks_of(request) and LockType.START in job.locks:
            return ClaimAnswer(Verdict.ELSEWHERE)
        if request.no_overlap and LockType.OVERLAP in job.locks:
            return self._consume(request, job, Verdict.OVERLAP) if recorded else ClaimAnswer(Verdict.OVERLAP)
        return self._grant(request, job, now_us)

    def _decide_rerun(self, request: ClaimRequest, job: _JobState, now_us: int) -> ClaimAnswer:
        entry = job.open.get(request.tick_us)
        if entry is None:
            return ClaimAnswer(Verdict.ELSEWHERE)
        if request.tick_us in job.locks:
            return ClaimAnswer(Verdict.ELSEWHERE, wait=self._time_left(job, request.tick_us))
        if entry.attempt >= request.max_attempts:
            del job.open[request.tick_us]
            return ClaimAnswer(Verdict.EXHAUSTED)
        if request.no_overlap and LockType.OVERLAP in job.locks:
            return ClaimAnswer(Verdict.OVERLAP, wait=self._time_left(job, LockType.OVERLAP))
        return self._grant(request, job, now_us)

    def _time_left(self, job: _JobState, lock: _Lock) -> float:
        held = job.locks.get(lock)
        return 0.0 if held is None else held.until - self._clock.monotonic()

    def _repeat_grant(self, request: ClaimRequest, job: _JobState, newest: int) -> ClaimAnswer:
        """Answer an owner that was granted this before: with the same grant, if it still has all of its
        leases.

        A lease that has ended is never made again: see ``lua/claim.lua``.
        """
        locks = _locks_of(request)
        ticked = LockType.SERVER not in locks or (job.record is not None and job.record.tick_us >= request.tick_us)
        if not ticked or not job.owned(request.owner).issuperset(locks):
            _free(job, request.owner, {lock for lock in locks if lock is not LockType.START})
            return ClaimAnswer(Verdict.LOST_RECORD, newest_us=newest)
        now = self._clock.monotonic()
        if LockType.SERVER in locks and job.record is not None and job.record.tick_us == request.tick_us:
            job.record.until = now + request.retain_for
        for lock in locks:
            job.locks[lock].until = now + request.lock_ttl
        return ClaimAnswer(Verdict.WON, fence=job.locks[locks[-1]].fence, newest_us=newest)

    def _consume(self, request: ClaimRequest, job: _JobState, verdict: Verdict) -> ClaimAnswer:
        fence = job.record.fence if job.record else job.fence
        self._write_record(request, job, fence, verdict)
        return ClaimAnswer(verdict, newest_us=request.tick_us)

    def _grant(self, request: ClaimRequest, job: _JobState, now_us: int) -> ClaimAnswer:
        job.fence = max(job.fence + 1, now_us)
        locks = _locks_of(request)
        until = self._clock.monotonic() + request.lock_ttl
        job.locks.update((lock, _Held(request.owner, job.fence, until)) for lock in locks)
        if request.tick_us in locks:
            self._write_open(request, job)
        if LockType.SERVER not in locks:
            return ClaimAnswer(Verdict.WON, fence=job.fence)
        job.granted_us = request.tick_us
        self._write_record(request, job, job.fence, Verdict.WON)
        return ClaimAnswer(Verdict.WON, fence=job.fence, newest_us=request.tick_us)

    def _write_open(self, request: ClaimRequest, job: _JobState) -> None:
        before = job.open.get(request.tick_us)
        job.open[request.tick_us] = _Open(1 if before is None else before.attempt + 1, request.owner)
        job.open_until = self._clock.monotonic() + request.retain_for
        if len(job.open) > MOST_OPEN:
            del job.open[min(job.open)]

    def _write_record(self, request: ClaimRequest, job: _JobState, fence: int, verdict: Verdict) -> None:
        until = self._clock.monotonic() + request.retain_for
        job.record = _Record(request.tick_us, request.owner, fence, verdict, until)

    def _renew(self, lease: Lease, job: _JobState) -> Renewal:
        locks = _locks_held_by(lease) - {LockType.START}
        lost = {lock for lock in locks if not _is_held(job.locks.get(lock), lease)}
        overtaken = job.record is not None and job.record.fence > lease.fence
        if lost and (lost != {LockType.SERVER} or LockType.OVERLAP in locks or not overtaken):
            return Renewal.LOST
        if lost == locks and lost:
            return Renewal.SUPERSEDED
        for lock in locks - lost:
            job.locks[lock].until = self._clock.monotonic() + lease.lock_ttl
        return Renewal.HELD

    def _release(self, lease: Lease, job: _JobState) -> bool:
        freed = _free(job, lease.owner, _locks_held_by(lease))
        entry = job.open.get(lease.tick_us) if LockType.RUN in lease.locks else None
        if entry is not None and entry.owner == lease.owner:
            if lease.finished:
                del job.open[lease.tick_us]
            elif freed:
                for tell in tuple(self._listeners):
                    tell(lease.job, lease.tick_us)
        return freed


def _locks_of(request: ClaimRequest) -> tuple[_Lock, ...]:
    """Return the locks that a grant of ``request`` takes; ``overlap``, the one that excludes, stands last."""
    locks: tuple[_Lock, ...] = ()
    if request.one_server and request.kind in (ClaimKind.TICK, ClaimKind.START):
        locks = (LockType.SERVER,) if request.kind is ClaimKind.TICK else (LockType.START,)
    if request.max_attempts:
        locks += (request.tick_us,)
    return (*locks, LockType.OVERLAP) if request.no_overlap else locks


def _locks_held_by(lease: Lease) -> set[_Lock]:
    return {lease.tick_us if lock is LockType.RUN else lock for lock in lease.locks}


def _is_held(held: _Held | None, lease: Lease) -> bool:
    return held is not None and (held.owner, held.fence) == (lease.owner, lease.fence)


def _free(job: _JobState, owner: str, locks: set[_Lock]) -> bool:
    """Drop those of ``locks`` that ``owner`` holds, never the tick record; answer whether there were any."""
    freed = job.owned(owner) & locks
    for lock in freed:
        del job.locks[lock]
    return bool(freed)
