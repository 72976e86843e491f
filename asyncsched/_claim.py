"""Owns one claim: what is asked of the store for one run, and what is held, or may be, because of it.

Knows neither when it is asked nor what becomes of the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._grants import ClaimKind, ClaimRequest, Lease, LockType, Verdict
from asyncsched._patience import end_of_patience
from asyncsched._run import SkipReason
from asyncsched._terms import LOCKS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from asyncsched._grants import ClaimAnswer
    from asyncsched._job_state import JobState
    from asyncsched._run import Run
    from asyncsched.protocols import Timer

SKIPS = {
    Verdict.ELSEWHERE: SkipReason.ELSEWHERE,
    Verdict.OVERLAP: SkipReason.OVERLAP,
    Verdict.PAUSED: SkipReason.PAUSED,
    Verdict.LOST_RECORD: SkipReason.STORE_UNAVAILABLE,
    Verdict.EXHAUSTED: SkipReason.ELSEWHERE,
    Verdict.FINISHED: SkipReason.FINISHED,
}
TELLING = frozenset(Verdict) - {Verdict.LATE, Verdict.CORRUPT, Verdict.UNDECIDED}
"""Verdicts that come with all that is known of the job's open ticks."""
_TICK = ClaimKind.TICK  # to look up a member of an enum costs several times as much


class Claim:
    """One run's way through the store."""

    __slots__ = (
        "decided",
        "give_up_at",
        "has_lock",
        "is_tick",
        "max_attempts",
        "may_have_won",
        "next_us",
        "request",
        "rerun",
        "run",
        "slot",
        "state",
        "timer",
        "tries",
    )

    def __init__(
        self, state: JobState, run: Run, next_us: int | None, give_up_at: float | None, *, rerun: bool = False
    ) -> None:
        self.state = state
        self.run = run
        self.rerun = rerun
        """Whether the tick was granted before, and its run was interrupted."""
        has_tick = run.kind is _TICK
        self.is_tick = has_tick and not rerun
        """Whether it is the first claim of a tick, by this node."""
        self.max_attempts = state.terms.max_attempts if has_tick else 0
        """The most grants of its tick; 0: one, or it has no tick."""
        self.next_us = next_us
        self.give_up_at = give_up_at
        """Monotonic seconds after which an undecided claim is given up; ``None``: only for the next tick."""
        self.request: ClaimRequest | None = None
        self.tries = 0
        self.slot = 0
        """Of a grant, the slot that it has, if the job has several."""
        self.has_lock = False
        """Whether it holds the job's local overlap lock."""
        self.may_have_won = False
        """Whether a request was sent whose answer did not arrive."""
        self.timer: Timer | None = None
        self.decided: asyncio.Event | None = None

    def is_tick_of(self, run: Run) -> bool:
        """Whether it is this node's first claim of the tick that ``run`` is for."""
        return self.is_tick and self.run.fire_us == run.fire_us

    @property
    def gap_us(self) -> int:
        """Microseconds from its tick to the next one; 0 if there is none."""
        return 0 if self.next_us is None else self.next_us - self.run.fire_us

    @property
    def is_elsewhere(self) -> bool:
        """Whether the store need not be asked: its tick, or a newer one, is known to be decided, and not in favour of
        this claim. The answer would say no more, unless the job is run again after a crash."""
        is_known = self.run.fire_us <= self.state.remembered_us and self.is_tick and not self.may_have_won
        return is_known and self.state.terms.one_server and not self.max_attempts

    @property
    def waits(self) -> bool:
        """Whether it is a tick that waits for the end of a run in progress."""
        return self.is_tick and self.state.terms.waits

    def is_over(self, now: float) -> bool:
        """Return whether a newer tick waits for this one's decision, or its time is up; ``now``: monotonic seconds."""
        waiting = (self.state.claims or [])[1:]
        if (self.rerun and waiting) or (self.is_tick and any(other.is_tick for other in waiting)):
            return True
        return self.give_up_at is not None and now >= self.give_up_at

    @property
    def rests_in_maintenance(self) -> bool:
        """Whether it is not asked for while the cluster is in maintenance."""
        return self.run.kind is not ClaimKind.TRIGGER and not self.state.terms.in_maintenance

    @property
    def may_run_unguarded(self) -> bool:
        """Whether it runs although the store did not decide it, as its job wants: tried, and first on this node."""
        has_turn = self.has_lock or self.state.overlap_lock is None
        return self.state.terms.without_store and self.may_have_won and has_turn and not self.rerun

    def reason(self, answer: ClaimAnswer) -> SkipReason:
        """Return why it is skipped. Where a newer tick has been decided, nobody knows whose an older one was: if an
        answer was lost, it may have been this node's own."""
        if self.may_have_won and answer.verdict is Verdict.ELSEWHERE and answer.newest_us > self.run.fire_us:
            return SkipReason.STORE_UNAVAILABLE
        return SKIPS[answer.verdict]

    def seal(self) -> None:
        """Note that the fate of its tick is sealed."""
        if self.is_tick and self.state.decided_us < self.run.fire_us:
            self.state.decided_us = self.run.fire_us

    def release_lock(self) -> None:
        """Free the job's local overlap lock, if it holds that."""
        if self.has_lock and self.state.overlap_lock is not None:
            self.state.overlap_lock.release()

    def build_request(self, now: float) -> ClaimRequest:
        """Return the request, at the wall clock ``now``: the same for every try, but that it tells of a newer tick that
        was heard of meanwhile. Else a store that has lost its records could grant what has run elsewhere."""
        if self.request is None or self.state.remembered_us > self.request.remembered_us:
            self.request = self._build_request(now)
        return self.request

    def _build_request(self, now: float) -> ClaimRequest:
        state, run, terms = self.state, self.run, self.state.terms
        has_tick = run.kind is _TICK
        request = ClaimRequest(  # by position: one is made for each claim
            run.job,
            ClaimKind.RERUN if self.rerun else run.kind,
            f"{run.node}:{run.run_id}",
            run.fire_us if has_tick else 0,
            terms.one_server,
            terms.concurrency > 0,
            terms.lock_ttl,
            terms.kept_for(self.gap_us) if has_tick else 0.0,
            state.remembered_us if self.is_tick and now <= state.remembered_until else 0,
            self.max_attempts,
            terms.run_limit if self.is_tick else 0,
        )
        if self.is_tick and terms.waits:
            request.waits, request.cancels = True, terms.cancels
        if terms.concurrency > 1:
            request.slots = terms.concurrency
        return request

    def lease(self, fence: int) -> Lease | None:
        """Return what the claim holds once it is won; ``None``: nothing that could be lost."""
        terms = self.state.terms
        locks = terms.tick_locks if self.is_tick else LOCKS[False, self.max_attempts > 0, terms.concurrency > 0]
        return self._lease_of(locks, fence) if locks else None

    def undo_lease(self) -> Lease | None:
        """Return all that the claim may have taken without our knowing."""
        lease = self.lease(0)
        locks = () if lease is None else lease.locks
        if self.state.terms.one_server and self.run.kind is ClaimKind.START:
            locks += (LockType.START,)
        if not locks:
            return None
        lease = self._lease_of(locks, 0)
        if lease.slots:  # whichever it got
            lease.slots = tuple(range(self.state.terms.concurrency))
        return lease

    def _lease_of(self, locks: tuple[LockType, ...], fence: int) -> Lease:
        request = self.request
        assert request is not None  # nothing is held, or may be, before the first request
        lease = Lease(request.job, request.owner, fence, locks, request.lock_ttl, request.tick_us)
        lease.cancellable = self.state.terms.cancels
        if request.slots > 1:
            lease.slots = (self.slot,)
        return lease


def first_claims(states: Sequence[JobState], runs: Sequence[Run], late_by: float, now: float) -> list[Claim]:
    """Return the claims of ticks of jobs for which nothing else is being claimed, each of which its job has now.
    ``now``: monotonic seconds."""
    terms, give_up_at = None, None
    claims = []
    for state, run in zip(states, runs, strict=True):
        if state.terms is not terms:
            terms, give_up_at = state.terms, end_of_patience(state, _TICK, late_by, now)
        claim = Claim(state, run, state.next_us, give_up_at)
        state.claims = [claim]
        claims.append(claim)
    return claims
