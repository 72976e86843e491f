"""Owns the claims of one node: what is asked of the store, together, again, and no longer.

Knows nothing of how a store decides, nor of what a run does.

    submit ──▶ ready ──▶ asked ──answer───────────▶ decided: the run starts, or is skipped
                 ▲         │
                 └─backoff─┼──no answer, too early
                           ├──far too early──▶ back to the timeline: this node's clock is wrong, the tick is not due
                           └──too late to ask again─▶ given up: skipped, and what may have been won is given back

A tick is submitted when this node has its turn (``_turns``), unless it hears before then that another node has it. What
is won ahead of its tick waits for that (``_early``).

One claim of a job at a time: a later tick waits for the decision of the earlier one and, where the store does not
decide, takes its place. So grants of a job are never overtaken by older ones on their way, and fences rise in the
order of the ticks.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from asyncsched._claim import SKIPS, TELLING, Claim, first_claims
from asyncsched._early import EarlyGrants
from asyncsched._grants import EVERY_JOB, ClaimAnswer, ClaimKind, Verdict
from asyncsched._patience import LONGEST_BACKOFF, TRIGGER_PATIENCE, backoff, end_of_patience
from asyncsched._queue import Queue
from asyncsched._ready import Ready
from asyncsched._run import Outcome, Run, SkipReason
from asyncsched.exceptions import SchedulerError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched._accounting import Ledger
    from asyncsched._execution import Executor
    from asyncsched._job_state import JobState
    from asyncsched._lease import LeaseKeeper
    from asyncsched._outage import Outage
    from asyncsched._recovery import Recovery
    from asyncsched._turns import Turns
    from asyncsched.protocols import Clock, Store

LONGEST_EARLY_WAIT = 0.5
"""Seconds after which a claim that was too early is sent again at the latest: clocks may have been set meanwhile."""

WON, UNDECIDED, TICK = Verdict.WON, Verdict.UNDECIDED, ClaimKind.TICK  # an enum's member is slow to look up


class Claimer:
    """Asks the store for everything that is due, all of it in one call, while the next batch forms."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        executor: Executor,
        keeper: LeaseKeeper,
        ledger: Ledger,
        outage: Outage,
        recovery: Recovery,
        turns: Turns,
        put_back: Callable[[JobState, int], None],
        fire: Callable[[JobState, ClaimKind, int, float], object],
        finish: Callable[[JobState], None],
        on_room: Callable[[], object],
    ) -> None:
        self._store = store
        self._clock = clock
        self._executor = executor
        self._keeper = keeper
        self._ledger = ledger
        self._outage = outage
        self._recovery = recovery
        self._turns = turns
        turns.asker = self
        self._put_back = put_back
        self._fire = fire
        self._finish = finish
        self._ready = Ready(on_room)
        self._undecided: set[Claim] = set()
        self._queue = Queue(clock, executor, self._make_ready)
        self._early = EarlyGrants(store, clock, self._take_answers)
        self._closing = False

    @property
    def is_congested(self) -> bool:
        """Whether no more ticks should come due, as they would only wait."""
        return self._ready.are_too_many

    def submit_ticks(self, states: Sequence[JobState], tick_us: int, late_by: float) -> None:
        """Claim one tick of many jobs, each when it is this node's turn, unless another node is heard to have it. It
        was noticed ``late_by`` seconds late, of the ``misfire_grace`` of each."""
        alone: list[JobState] = []
        for state in self._turns.take(states, tick_us, late_by):
            if state.asks_first or state.claims or state.waiting is not None:
                self.ask(state, tick_us, late_by)
            else:
                alone.append(state)
        if alone:  # what ``submit`` does, at a fraction of its price
            runs = self._executor.new_ticks(alone, tick_us)
            claims = first_claims(alone, runs, late_by, self._clock.monotonic())
            self._undecided.update(claims)
            self._ready.add(claims)

    def ask(self, state: JobState, tick_us: int, late_by: float) -> None:
        """Claim a tick whose turn has come; if its job wants that, not before its conditions were asked."""
        if state.asks_first:
            self._fire(state, ClaimKind.TICK, tick_us, late_by)
            return
        run = self._executor.new_run(state, TICK, tick_us)
        self.submit(state, run, late_by=late_by, next_us=state.next_us)

    def told(self, claim: Claim) -> None:
        """Skip what is to be asked for again, if it is known by now that another node has it."""
        if claim.timer is not None and claim.is_elsewhere:
            self._give_up(claim, SkipReason.ELSEWHERE)

    def submit(
        self, state: JobState, run: Run, *, late_by: float = 0.0, next_us: int | None = None, rerun: bool = False
    ) -> Claim:
        """Claim ``run``, after what is being claimed for its job already.

        Args:
            late_by: seconds by which it was noticed late, of the job's ``misfire_grace``.
            next_us: the tick after it.
            rerun: it was granted before, and its run was interrupted.
        """
        self._turns.wait_no_longer(state)
        give_up_at = end_of_patience(state, run.kind, late_by, self._clock.monotonic())
        claim = Claim(state, run, next_us, give_up_at, rerun=rerun)
        if state.claims:
            return self._submit_behind(state.claims, claim)
        self._undecided.add(claim)
        state.claims = [claim]
        self._make_ready(claim)
        return claim

    def _submit_behind(self, claims: list[Claim], claim: Claim) -> Claim:
        """Claim a run after what is being claimed for its job already."""
        same = next((other for other in claims if claim.is_tick and other.is_tick_of(claim.run)), None)
        if same is not None:
            self._come_due_again(same, claim.give_up_at)
            return same
        self._undecided.add(claim)
        claims.append(claim)
        if claim.is_tick:
            self._replace_older_ticks(claims)
        elif claims[0] in self._queue.claims and claim.run.kind is not ClaimKind.TICK:
            self._skip_unasked(claim, SkipReason.OVERLAP)
        elif claim.run.kind is ClaimKind.TRIGGER:  # the one that it waits for may be tried for an hour
            give_up = partial(self._give_up, claim, SkipReason.STORE_UNAVAILABLE)
            claim.timer = self._clock.call_later(TRIGGER_PATIENCE, give_up)
        return claim

    def _come_due_again(self, claim: Claim, give_up_at: float | None) -> None:
        """Go on with the claim of a tick that came due by a clock that was wrong, and now by the right one: it may have
        been granted already."""
        claim.give_up_at = give_up_at
        if claim.timer is not None:
            self._make_ready(claim)

    def _replace_older_ticks(self, claims: list[Claim]) -> None:
        """The newest pending tick wins: give up those that wait, but not one that was not asked for, or whose answer
        is on its way: nobody knows whose it is."""
        for older in claims[:-1]:
            if older.is_tick and (older.timer is not None or older is not claims[0]):
                self._make_way(older)

    def _make_way(self, claim: Claim) -> None:
        """Give up a tick for one that came due after it. Where that is an earlier one, this one came due by a clock
        that was wrong, and will again: then it is withdrawn without an account."""
        claims = claim.state.claims or []
        later = [other.run for other in claims[claims.index(claim) + 1 :] if other.is_tick]
        if claim.is_tick and any(run.fire_us < claim.run.fire_us for run in later):
            self._let_go(claim)
            claim.release_lock()
            self._close(claim)
        else:
            self._give_up(claim, SkipReason.STORE_UNAVAILABLE)

    def _make_ready(self, claim: Claim) -> None:
        if claim.timer is not None:
            claim.timer.cancel()
        claim.timer = None
        self._queue.claims.discard(claim)
        self._ready.add((claim,))

    async def claiming(self) -> None:
        """Ask for what is ready, batch after batch, until closed."""
        while not self._closing:
            await self._ready.wait()
            batch = await self._take_batch()
            if batch:
                await self._ask(batch)
        await self._early.wait()

    async def _take_batch(self) -> list[Claim]:
        """Return the ready claims that need the store: those whose job is in progress here are skipped at once."""
        is_maintained = self._store.is_paused(EVERY_JOB)
        batch = []
        for claim in self._ready.take():
            lock = claim.state.overlap_lock
            if self._closing or claim.state.retired:
                self._give_up(claim, SkipReason.SHUTTING_DOWN)
            elif claim.is_elsewhere:
                self._skip_unasked(claim, SkipReason.ELSEWHERE)
            elif is_maintained and claim.rests_in_maintenance:
                self._give_up(claim, SkipReason.MAINTENANCE)
            elif lock is None or claim.has_lock:
                batch.append(claim)
            elif lock.locked():
                self._wait_or_skip(claim)
            else:
                await lock.acquire()  # it is free, so this does not yield to anyone who might take it first
                claim.has_lock = True
                batch.append(claim)
        return batch

    def _wait_or_skip(self, claim: Claim) -> None:
        """Let a tick wait for the end of the run that is in progress here, if it may."""
        if claim.waits and not claim.is_over(self._clock.monotonic()):
            self._queue.wait_here(claim)
        else:
            self._give_up(claim, SkipReason.OVERLAP)

    async def _ask(self, batch: list[Claim]) -> None:
        now = self._clock.time()
        requests = [claim.build_request(now) for claim in batch]
        sent_at = self._clock.monotonic()
        try:
            answers = await self._store.claim(requests)
        except BaseException as error:
            for claim in batch:
                claim.may_have_won = True
            if not isinstance(error, StoreUnavailableError):
                raise
            self._outage.noticed("claim", error)
            for claim in batch:
                self._try_again(claim, backoff(claim.tries))
            return
        self._ledger.claims_answered(len(batch), sent_at)
        undecided = [answer.detail for answer in answers if answer.verdict is UNDECIDED]
        if undecided:
            self._outage.noticed_in_part("claim", undecided[0])
        self._outage.ended("claim")
        self._take_answers(list(zip(batch, answers, strict=True)), sent_at)

    def _take_answers(self, answered: Sequence[tuple[Claim, ClaimAnswer]], sent_at: float) -> None:
        now = self._clock.time()
        for claim, answer in self._early.hold(answered, sent_at):
            state, newest_us, request = claim.state, answer.newest_us, claim.request
            if newest_us > state.remembered_us and request is not None:
                state.remembered_us, state.remembered_until = newest_us, now + request.retain_for
            if claim.max_attempts and answer.verdict in TELLING:
                self._recovery.answered(state, claim.run.fire_us, answer)
            if answer.verdict is WON:
                state.complaint = ""
                claim.run.attempt, claim.slot = answer.attempt, answer.slot
                self._start(claim, answer.fence, sent_at)
            elif answer.verdict in SKIPS:
                self._skip_decided(claim, answer)
            else:
                self._ask_again(claim, answer)

    def _ask_again(self, claim: Claim, answer: ClaimAnswer) -> None:
        match answer.verdict:
            case Verdict.EARLY:
                self._wait_or_put_back(claim, answer.wait)
            case Verdict.UNDECIDED:
                claim.may_have_won = True
                self._try_again(claim, backoff(claim.tries))
            case Verdict.CORRUPT:
                self._ledger.corrupt(claim.state, answer.detail)
                self._try_again(claim, LONGEST_BACKOFF)
            case Verdict.LATE:
                self._try_again(claim, 0.0)
            case unknown:
                raise SchedulerError(f"the store gave an unknown verdict: {unknown!r}")

    def _skip_decided(self, claim: Claim, answer: ClaimAnswer) -> None:
        if answer.verdict is Verdict.OVERLAP and claim.waits:
            self._queue.claims.add(claim)
            self._try_again(claim, backoff(claim.tries))
            return
        if answer.verdict is Verdict.LOST_RECORD:
            self._ledger.record_was_lost(claim.run)
        if answer.verdict is Verdict.EXHAUSTED:
            self._ledger.reruns_exhausted(claim.state, claim.run.fire_us, answer.attempt)
        if answer.verdict is Verdict.FINISHED:
            self._finish(claim.state)
        claim.seal()
        self._skip(claim, claim.reason(answer), wait=answer.wait or None)

    def _start(self, claim: Claim, fence: int, sent_at: float) -> None:
        claim.run.fence = fence
        claim.seal()
        lease = claim.lease(fence) if fence else None
        self._executor.start_granted(claim.state, claim.run, lease, sent_at)
        self._close(claim)

    # Claims that are not decided yet

    def _wait_or_put_back(self, claim: Claim, wait: float) -> None:
        """Ask again when the tick is due by the store's clock. Where that is long, this node's clock is wrong: the
        tick has not come due at all, and goes back to the timeline."""
        if wait > LONGEST_EARLY_WAIT and self._store.time() is not None and not self._closing:
            claim.release_lock()
            self._close(claim)
            self._put_back(claim.state, claim.run.fire_us)
        else:
            self._try_again(claim, min(wait, LONGEST_EARLY_WAIT))

    def _try_again(self, claim: Claim, delay: float) -> None:
        claim.tries += 1
        if self._closing or claim.state.retired:
            self._give_up(claim, SkipReason.SHUTTING_DOWN)
        elif claim.is_over(self._clock.monotonic()):
            self._make_way(claim)
        else:
            claim.timer = self._clock.call_later(delay, lambda: self._make_ready(claim))

    def _give_up(self, claim: Claim, reason: SkipReason) -> None:
        if reason is SkipReason.STORE_UNAVAILABLE and claim in self._queue.claims:
            reason = SkipReason.OVERLAP
        runs_anyway = reason is SkipReason.STORE_UNAVAILABLE and claim.may_run_unguarded
        self._let_go(claim, runs_anyway=runs_anyway)
        if runs_anyway:
            self._ledger.runs_unguarded(claim.run)
            self._start(claim, 0, self._clock.monotonic())
        else:
            self._skip_unasked(claim, reason)

    def _let_go(self, claim: Claim, *, runs_anyway: bool = False) -> None:
        """Ask no more, and give back what may have been won."""
        if claim.timer is not None:
            claim.timer.cancel()
            claim.timer = None
        lease = claim.undo_lease() if claim.may_have_won else None
        if lease is None:
            return
        if runs_anyway:  # so it is not another node's to run again
            self._keeper.give_back(replace(lease, finished=True))
        else:
            self._keeper.give_back(lease, lambda: self._ledger.late_grant_released(claim.state, claim.run.fire_us))

    def _skip_unasked(self, claim: Claim, reason: SkipReason) -> None:
        if self._store.time() is not None:
            claim.seal()
        self._skip(claim, reason)

    def _skip(self, claim: Claim, reason: SkipReason, *, wait: float | None = None) -> None:
        run = claim.run
        claim.release_lock()
        run.end(Outcome.SKIPPED, skip_reason=reason)
        if claim.rerun:  # the tick was accounted for when it was first claimed
            self._recovery.left_open(claim.state, run.fire_us, wait)
        else:
            self._ledger.skipped(claim.state, run.fire_us, reason, run.kind, run)
        self._close(claim)

    def _close(self, claim: Claim) -> None:
        self._undecided.discard(claim)
        if self._queue.claims:
            self._queue.claims.discard(claim)
        if claim.decided is not None:
            claim.decided.set()
        claims = claim.state.claims
        assert claims is not None
        if len(claims) == 1:
            claim.state.claims = None
            return
        was_first = claims[0] is claim
        claims.remove(claim)
        if was_first:
            self._make_ready(claims[0])

    async def wait_decided(self, claim: Claim) -> None:
        """Wait until the run has started or was skipped."""
        if claim in self._undecided:
            claim.decided = claim.decided or asyncio.Event()
            await claim.decided.wait()

    def close(self) -> None:
        """Take no more: give up what was not asked yet. ``claiming`` ends after the answer that is on its way."""
        self._closing = True
        self._turns.close()
        for claim in tuple(self._undecided):
            if claim.timer is not None:
                self._give_up(claim, SkipReason.SHUTTING_DOWN)
        self._ready.wake()

    def abandon(self) -> None:
        """Give up everything, after ``claiming`` has ended."""
        for claim in tuple(self._undecided):
            self._give_up(claim, SkipReason.SHUTTING_DOWN)
