"""Owns the store that needs no server: the cluster protocol in this process, for schedulers that share the object.

What is decided stands in ``_decide``; here it is kept. Knows no I/O: nothing here ever waits, but for the news.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncsched._clock import SystemClock
from asyncsched._grants import ClaimKind, Verdict
from asyncsched.stores import _decide
from asyncsched.stores._decide import JobState, Now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched._grants import ClaimAnswer, ClaimRequest, Lease, Renewal
    from asyncsched.protocols import Attendance, Board, Clock

_NO_NEWS = (Verdict.ELSEWHERE, Verdict.LOST_RECORD)


class _Attendance:
    """A node that is there."""

    def __init__(
        self, attendances: list[_Attendance], name: Callable[[], str], heard: Callable[[Sequence[str], int], None]
    ) -> None:
        self._attendances = attendances
        self.name = name
        self.heard = heard
        self._names: list[str] = []
        self._nodes: tuple[str, ...] = ()

    @property
    def nodes(self) -> Sequence[str]:
        names = [each.name() for each in self._attendances]
        if names != self._names:
            self._names, self._nodes = names, tuple(sorted(names))
        return self._nodes

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
        self._jobs: dict[str, JobState] = {}
        self._paused: set[str] = set()
        self._listeners: list[Callable[[str, int], None]] = []
        self._attendances: list[_Attendance] = []
        self._board: Board | None = None

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
        now, paused = self._now(), self._paused
        answers = [
            _decide.decide(request, self._job(request.job, now), now, paused=request.job in paused)
            for request in requests
        ]
        if len(self._attendances) > 1:
            self._spread(requests, answers)
        return answers

    def _spread(self, requests: Sequence[ClaimRequest], answers: Sequence[ClaimAnswer]) -> None:
        """Let all nodes hear which ticks were decided by these answers, and not only used up because of a loss."""
        for request, answer in zip(requests, answers, strict=True):
            is_decided = answer.verdict not in _NO_NEWS and answer.newest_us == request.tick_us
            if is_decided and request.kind is ClaimKind.TICK and request.one_server and not request.max_attempts:
                for attendance in tuple(self._attendances):
                    attendance.heard((request.job,), request.tick_us)

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Renewal]:
        """Extend each lease by its ``lock_ttl`` if it is still its owner's."""
        now = self._now()
        return [_decide.renew(lease, self._job(lease.job, now), now) for lease in leases]

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        """Free what is still the owner's; answer, for each lease, whether anything was."""
        now = self._now()
        return [self._release(lease, self._job(lease.job, now)) for lease in leases]

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        """Call back, with job and tick, when an interrupted run's lease is given back; return what ends that."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def attend(self, name: Callable[[], str], heard: Callable[[Sequence[str], int], None]) -> Attendance:
        """Let a node be there, until it leaves."""
        attendance = _Attendance(self._attendances, name, heard)
        self._attendances.append(attendance)
        return attendance

    @property
    def board(self) -> Board:
        """What the schedulers that share this object say of themselves, for people."""
        if self._board is None:
            from asyncsched.stores._memory_board import MemoryBoard

            self._board = MemoryBoard(self._clock, self._jobs, self._paused)
        return self._board

    async def close(self) -> None:
        """Do nothing: what other schedulers know stays."""

    def _now(self) -> Now:
        return Now(round(self._clock.time() * 1_000_000), self._clock.monotonic())

    def _job(self, name: str, now: Now | None = None) -> JobState:
        job = self._jobs.get(name)
        if job is None:
            job = self._jobs[name] = JobState()
        job.expire(self._now() if now is None else now)
        return job

    def _release(self, lease: Lease, job: JobState) -> bool:
        freed, hands_over = _decide.release(lease, job)
        if hands_over:
            for tell in tuple(self._listeners):
                tell(lease.job, lease.tick_us)
        return freed
