"""Owns when jobs come due: the two timelines, the timer, and what a late look at them means for each job.

    timeline ──due──▶ on time ──plain────▶ executor, many at once
                 │       └────guarded──▶ claimer
                 └─late──▶ coalesce ──▶ executor, claimer, ledger

Three timelines: plain jobs follow this node's clock. Guarded ones wait, on a node whose clock is ahead, for the
store's, so that what they ask is not too early and all nodes follow one clock. Of these, ``foreseen`` has the jobs that
are claimed a moment before their ticks, so that the answer is there when these are due: their claimer holds it until
then.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from asyncsched._clock import now_us
from asyncsched._grants import EVERY_JOB, ClaimKind
from asyncsched._misfire import coalesce
from asyncsched._run import SkipReason
from asyncsched._store_health import lag_us, skew_of
from asyncsched._timeline import Timeline
from asyncsched._turns import ASKED_AHEAD_US, takes_turns
from asyncsched.triggers._answers import LAST_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncsched._accounting import Ledger
    from asyncsched._execution import Executor
    from asyncsched._job_state import JobState
    from asyncsched._logs import SafeLogger
    from asyncsched.protocols import Clock, Store, Timer

AT_ONCE = 100
"""Plain ticks that are started before the event loop gets a turn. It keeps the loop responsive; and it is faster than
more at once: what the runs are made of is used again while it is in the processor's caches, and is gone again before
there is so much of it that the garbage collector looks through it (from 700 objects on; a run has about five)."""
LEAST_INTERVAL_US = 100_000
"""Interval of a job from which its ticks are claimed ahead: the answer must be there before the next one is due."""
LEAST_GAP_US = 20_000
"""Microseconds from one instant at which such jobs come due to the next from which that is one to ask ahead for: where
they are closer, the node is at work anyway, and one more wake-up for each costs more than it saves."""
FAR_AHEAD_US = 1_000_000
"""Microseconds ahead of the store's time from which a tick that has come due cannot have been due by that."""
REBASE_FROM_US = 100_000
"""Microseconds by which a node's clock must turn out to be further ahead than was known before its guarded jobs look
for fire times that they passed over."""
NEVER_US = 2**63
LAG_STEP_US = 1_000
"""Microseconds by which what is known of that must change for the timer to be set anew: a smaller change is made up for
when it comes up."""


class Ticker:
    """Knows when the next tick of each job is due, and hands over what has come due.

    Args:
        claim: claims one tick of guarded jobs: due at that instant (us), noticed so many seconds late.
        fire: takes one tick of a plain job that asks first, in the same terms.
        expect: is told, ahead of it, when guarded jobs are claimed next (us, by this node's clock).
        nodes: tells how many nodes are there; 0: not known.
        is_congested: tells whether guarded jobs are to wait: too many are being claimed. When that is over, ``alarm``
            is set.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        logger: SafeLogger,
        ledger: Ledger,
        executor: Executor,
        claim: Callable[[Sequence[JobState], int, float], object],
        fire: Callable[[JobState, ClaimKind, int, float], object],
        expect: Callable[[int], object],
        nodes: Callable[[], int],
        is_congested: Callable[[], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._logger = logger
        self._ledger = ledger
        self._executor = executor
        self._claim = claim
        self._fire = fire
        self._expect = expect
        self._nodes = nodes
        self._is_congested = is_congested
        self.alarm = asyncio.Event()
        """Set when there is something to do for the next turn."""
        self.plain: Timeline[JobState] = Timeline()
        self.guarded: Timeline[JobState] = Timeline()
        self.foreseen: Timeline[JobState] = Timeline()
        self._left: dict[JobState, int] = {}
        """How many ticks are left of plain jobs with ``max_runs``: the store counts those of the others."""
        self._backlog: deque[tuple[int, Iterator[JobState]]] = deque()
        """Plain jobs that are out of their timeline, but whose tick was not looked at yet."""
        self._timer: Timer | None = None
        self._timer_us = 0
        self._known_lag_us = self._armed_lag_us = 0
        self._claims_us = NEVER_US
        self._foreseen_us = 0
        """When the jobs in ``foreseen`` came due last."""

    # Which tick is next

    def schedule(self, state: JobState, now: int) -> None:
        """Wait for the job's first tick from ``now`` on (us)."""
        if state.job.is_guarded:
            if self._store.time() is not None:
                state.decided_us = now - self._lag_us()  # what lies before is not this job's: clocks may step back
        elif state.job.run_limit:
            self._left[state] = state.job.run_limit
        if state.step is not None:
            self._set_next(state, self._step(state, now))
            if state.next_us is None:
                self._logger.warning("job=%s has no fire time in the future", state.name)

    def forget(self, state: JobState) -> None:
        """Wait for no tick of the job any more."""
        self._timeline(state).remove(state)
        self._left.pop(state, None)

    def finish(self, state: JobState) -> None:
        """Wait for no tick of a job any more that has had all its runs."""
        if state.next_us is not None:
            self._set_next(state, None)
            self._logger.info("job=%s gets no more fire times: it has had its %d runs", state.name, state.job.run_limit)

    def use_up(self, state: JobState) -> bool:
        """Count a tick of a plain job that starts, if it has not any number of them; return whether one was left."""
        if state.grid is not None or state not in self._left:
            return True
        self._left[state] -= 1
        if not self._left[state]:
            self.finish(state)
        return self._left[state] >= 0

    def reason_to_skip(self, state: JobState, kind: ClaimKind) -> SkipReason | None:
        """Return why a run of a plain job does not start, if it does not. ``_start`` knows it of most ticks."""
        if self._store.is_paused(state.name):
            return SkipReason.PAUSED
        is_resting = kind is not ClaimKind.TRIGGER and not state.job.runs_in_maintenance
        if is_resting and self._store.is_paused(EVERY_JOB):
            return SkipReason.MAINTENANCE
        return None if kind is not ClaimKind.TICK or self.use_up(state) else SkipReason.FINISHED

    def put_back(self, state: JobState, fire_us: int) -> None:
        """Wait for the tick ``fire_us`` by the store's clock: it came due, but by that it had not. Unless that was
        found out before: then ticks that are truly due may have been claimed since, and must not be again."""
        if not state.retired and state.last_us >= fire_us:
            store_now = now_us(self._clock) - self._lag_us()
            state.last_us = max(state.decided_us, store_now)
            self._set_next(state, self._step(state, state.last_us))

    def _timeline(self, state: JobState) -> Timeline[JobState]:
        if not state.job.is_guarded:
            return self.plain
        return self.foreseen if _may_be_asked_ahead(state) else self.guarded

    def _step(self, state: JobState, after_us: int) -> int | None:
        """Return the next fire time; a trigger that breaks its rules ends its own job's schedule, nothing else."""
        assert state.step is not None
        try:
            return state.step(after_us)
        except Exception:
            self._logger.exception("job=%s gets no more fire times: its trigger failed", state.name)
            return None

    def _set_next(self, state: JobState, next_us: int | None) -> None:
        state.next_us = next_us
        if next_us is None:
            self._timeline(state).remove(state)
        else:
            self._timeline(state).add(next_us, state)
            if next_us < self._timer_us:
                self.alarm.set()

    # What is due

    def turn(self) -> None:
        """Hand over what is due; of plain ticks, the first ``AT_ONCE``."""
        now = now_us(self._clock)
        self._turn_plain(now)
        if len(self.guarded) or len(self.foreseen):
            lag = self._lag_us()
            if lag > self._known_lag_us + REBASE_FROM_US:
                self._rebase(now - lag)
            self._known_lag_us = lag
            self._turn_guarded(self.guarded, now - lag, 0)
            self._turn_guarded(self.foreseen, now - lag, self._ahead_us(self.foreseen.next_us()))

    def _turn_guarded(self, timeline: Timeline[JobState], now: int, ahead_us: int) -> None:
        """Claim what is due by the clock that guarded jobs follow, or will be in so many microseconds."""
        until = now + ahead_us
        while not self._is_congested() and (next_us := timeline.next_us()) is not None and next_us <= until:
            for fire_us, states in timeline.pop_due(next_us):
                if timeline is self.foreseen:
                    self._foreseen_us = fire_us
                for run_us, ready in self._decide_all(states, fire_us, max(now, fire_us), timeline).items():
                    self._claim(ready, run_us, max(0, now - run_us) / 1e6)

    def _turn_plain(self, now: int) -> None:
        if not self._backlog:
            self._backlog.extend((fire_us, iter(states)) for fire_us, states in self.plain.pop_due(now))
        left = AT_ONCE
        while self._backlog and left:
            fire_us, states = self._backlog[0]
            batch = list(islice(states, left))
            if not batch:
                self._backlog.popleft()
            elif fire_us <= now:
                self._start(batch, fire_us, now)
            else:  # the clock was set back since they came due
                for state in chain(batch, states):
                    if not state.retired:
                        self._set_next(state, fire_us)
            left -= len(batch)

    def _start(self, states: list[JobState], fire_us: int, now: int) -> None:
        """Start the ticks of plain jobs: first all is decided, then they start. Whatever a handler does in its first
        step, each job waits for its next tick by then."""
        is_paused = self._store.is_paused
        is_maintained = is_paused(EVERY_JOB)
        for run_us, ready in self._decide_all(states, fire_us, now, self.plain).items():
            running = []
            for state in ready:
                if is_paused(state.name):
                    self._ledger.skipped(state, run_us, SkipReason.PAUSED, ClaimKind.TICK)
                elif is_maintained and not state.job.runs_in_maintenance:
                    self._ledger.skipped(state, run_us, SkipReason.MAINTENANCE, ClaimKind.TICK)
                elif state.asks_first:
                    self._fire(state, ClaimKind.TICK, run_us, (now - run_us) / 1e6)
                else:
                    running.append(state)
            if self._left:
                for state in running:
                    self.use_up(state)
            self._executor.start_ticks(running, run_us)

    def _decide_all(
        self, states: Sequence[JobState], fire_us: int, now: int, timeline: Timeline[JobState]
    ) -> dict[int, list[JobState]]:
        """Decide what a tick that has come due means for each of many jobs, set their next ones, and return the jobs by
        the tick to run: ``fire_us``, unless they are late."""
        late_us, add = now - fire_us, timeline.add
        on_time: list[JobState] = []
        ready = {fire_us: on_time}
        for state in states:
            grid, grace_us = state.grid, state.settings.grace_us
            if (
                grid is not None
                and now < (next_us := fire_us + grid.interval_us) <= LAST_US
                and (grace_us is None or late_us <= grace_us)
                and not state.retired
            ):  # what `coalesce` would say of nearly all, at a fraction of its price
                state.last_us, state.next_us = fire_us, next_us
                add(next_us, state)
                on_time.append(state)
            elif (run_us := self._decide(state, fire_us, now)) is not None:
                ready.setdefault(run_us, []).append(state)
        return ready

    def _decide(self, state: JobState, fire_us: int, now: int) -> int | None:
        """Decide what a tick that has come due means, set the next one, and return the tick to claim, if any."""
        if state.retired:
            return None
        due = coalesce(fire_us, now, state.settings.grace_us, partial(self._step, state), state.grid)
        state.last_us = due.run_us or due.last_missed_us
        self._set_next(state, due.next_us)
        if due.missed:
            if state.job.catch_up_most:
                return state.last_us  # and each one before it, which stand in line
            if self._store.time() is not None:
                state.decided_us = max(state.decided_us, due.last_missed_us)
            self._ledger.missed(state, due.missed, due.first_missed_us, due.last_missed_us)
        return due.run_us

    def _rebase(self, store_now: int) -> None:
        """Look for fire times that were passed over before it was known that this node's clock is ahead: without that,
        a node whose clock is a day ahead would wait a day for its first tick."""
        for state in self.guarded.items() + self.foreseen.items():
            # a tick that is due by the store's clock was not passed over: the turn under way will take it up
            if state.next_us is not None and state.next_us > store_now:
                if state.last_us > store_now + FAR_AHEAD_US:  # it came due, and was given up, by the wrong clock
                    state.last_us = state.decided_us
                self._set_next(state, self._step(state, max(state.last_us, store_now)))

    def _lag_us(self) -> int:
        return lag_us(self._clock, self._store)

    def _ahead_us(self, next_us: int | None) -> int:
        """Return how many microseconds before their next ticks jobs are claimed that may be. By the store's clock it is
        never more, so that it does not refuse. A store in this process answers at once; and a node that does not know
        who is there may not have been told of the others' jobs either."""
        if next_us is None or next_us - self._foreseen_us < LEAST_GAP_US:
            return 0
        skew = skew_of(self._clock, self._store)
        if skew is None or self._store.refresh_interval is None or not self._nodes():
            return 0
        return ASKED_AHEAD_US - max(0, math.ceil(skew * 1e6) - self._lag_us())

    # Waiting

    def arm(self) -> bool:
        """Set the timer for the next fire time; return ``False`` if one is due already."""
        self.disarm()
        if self._backlog:
            return False
        plain_us, claimed_us = self.plain.next_us() or NEVER_US, self._next_claim_us()
        self._claims_us = claimed_us
        if claimed_us != NEVER_US:
            self._expect(claimed_us)
        self._timer_us = min(plain_us, claimed_us)
        if self._timer_us != NEVER_US:
            self._timer = self._clock.call_at(self._timer_us / 1e6, self.alarm.set)
        return self._timer_us > now_us(self._clock)

    def _next_claim_us(self) -> int:
        """Return when guarded jobs are claimed next, by this node's clock."""
        guarded_us, foreseen_us = self.guarded.next_us(), self.foreseen.next_us()
        if (guarded_us is None and foreseen_us is None) or self._is_congested():
            return NEVER_US
        self._armed_lag_us = self._lag_us()
        foreseen_at_us = (foreseen_us or NEVER_US) - self._ahead_us(foreseen_us)
        return min(guarded_us or NEVER_US, foreseen_at_us) + self._armed_lag_us

    def claims_in(self) -> float:
        """Return in how many seconds guarded jobs are claimed next; infinite: not at all, as far as is known."""
        if self._is_congested():
            return 0.0
        return float("inf") if self._claims_us == NEVER_US else self._claims_us / 1e6 - self._clock.time()

    def refreshed(self) -> None:
        """Hear that the store's clock has been read: by it, guarded jobs may be due sooner or later than was known."""
        if abs(self._lag_us() - self._armed_lag_us) >= LAG_STEP_US:
            self.alarm.set()

    def disarm(self) -> None:
        """Wait for nothing."""
        self._claims_us = NEVER_US
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Start nothing more: what was due and had no turn yet is skipped."""
        self.disarm()
        for fire_us, states in self._backlog:
            for state in states:
                if not state.retired:
                    self._ledger.skipped(state, fire_us, SkipReason.SHUTTING_DOWN, ClaimKind.TICK)
        self._backlog.clear()


def _may_be_asked_ahead(state: JobState) -> bool:
    """Return whether a job may be claimed before its tick is due: if what is asked then is all that there is to know.
    Whether another run is in progress, or a condition holds, is to be asked when it is due."""
    job, grid = state.job, state.grid
    asks_later = job.concurrency or state.asks_first or job.catch_up_most
    return takes_turns(state) and not asks_later and (grid is None or grid.interval_us >= LEAST_INTERVAL_US)
