"""Owns the ticks that a job catches up with: the newest missed one, or, one after another, each of them.

    missed, stalled, due ──▶ line ──one at a time──▶ claimed ──won──▶ runs ──its end──▶ the next one
                              │                         └──skipped────────────────────▶ the next one
                              └─more than `most`, older than `within`──▶ missed

A store grants only ticks that are newer than the newest decided one. So what a job is to make up for must be claimed in
order, by every node: all its ticks pass through its line, those that come due meanwhile at the end. Whose a tick is
decides the store alone; a node whose claim finds it elsewhere goes on with the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from asyncsched._clock import now_us
from asyncsched._grants import ClaimKind
from asyncsched._misfire import STEPS_AT_ONCE, ticks_between
from asyncsched._run import SkipReason
from asyncsched._store_health import skew_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched._accounting import Ledger
    from asyncsched._claim import Claim
    from asyncsched._claims import Claimer
    from asyncsched._job_state import JobState
    from asyncsched._logs import SafeLogger
    from asyncsched._run import Run
    from asyncsched._side_tasks import SideTasks
    from asyncsched.protocols import Clock, Store

UNSEEN_LAG_US = 100_000
"""Microseconds ahead of the store's time up to which a node's timeline does not go back for its fire times."""


class Line:
    """The ticks of one job that wait: those that were looked up, and a stretch of time whose ticks were not yet."""

    __slots__ = ("after_us", "first_us", "state", "surveyed_us", "task", "ticks", "until_us")

    def __init__(self, state: JobState) -> None:
        self.state = state
        self.surveyed_us: int | None = None
        """Until when the store was asked what was missed; ``None``: not yet, and nothing is claimed before."""
        self.first_us = 0
        """The oldest tick that has come due before the answer; 0: none."""
        self.ticks: deque[int] = deque()
        self.after_us = self.until_us = 0
        """What lies after the one and not after the other has come due, and was not looked up yet."""
        self.task: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self.ticks and self.after_us >= self.until_us

    def cut(self, at_us: int) -> None:
        """Let nothing wait that is later than ``at_us``."""
        self.ticks = deque(tick_us for tick_us in self.ticks if tick_us <= at_us)
        self.after_us, self.until_us = min(self.after_us, at_us), min(self.until_us, at_us)


class CatchUp:
    """Claims, for one node, what its jobs are to make up for."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ledger: Ledger,
        logger: SafeLogger,
        beside: SideTasks,
        fire: Callable[[JobState, ClaimKind, int, float], tuple[Run, Claim | None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._logger = logger
        self._beside = beside
        self._fire = fire
        self._lines: dict[JobState, Line] = {}
        self.claimer: Claimer

    def newest(self, state: JobState, tick_us: int) -> None:
        """Claim a tick that came due while no node lived, unless a later one has come due meanwhile."""
        is_late = state.last_us >= tick_us or any(claim.is_tick for claim in state.claims or ())
        if not is_late:
            self._fire(state, ClaimKind.TICK, tick_us, 0.0)  # how late it may be was judged before

    # Each one: what joins the line

    def adopt(self, state: JobState) -> None:
        """Let the ticks of a job that runs each of them stand in line."""
        if state.step is not None:
            self._lines[state] = Line(state)

    def surveyed(self, state: JobState, newest_us: int, at_us: int) -> None:
        """Put the ticks first that were missed: later than the newest decided one (0: the store did not know the job),
        and not later than when the job was scheduled."""
        line = self._lines.get(state)
        if line is None or line.surveyed_us is not None:
            return
        store_now = self._now_us()
        if at_us > store_now + UNSEEN_LAG_US:
            at_us = store_now
        within = state.job.catch_up_within
        assert within is not None
        line.after_us = at_us if not newest_us else min(at_us, max(newest_us, at_us - round(within * 1e6) - 1))
        if line.first_us:
            line.after_us = min(line.after_us, line.first_us - 1)
        line.surveyed_us = at_us
        line.until_us = max(line.until_us, at_us)
        self._go_on(line)

    def take(self, states: Sequence[JobState], tick_us: int) -> Sequence[JobState]:
        """Let a tick that has come due join the lines of those jobs that have one; return the others."""
        if not self._lines:
            return states
        others = []
        for state in states:
            line = self._lines.get(state)
            if line is None:
                others.append(state)
            else:
                self._join(line, tick_us)
        return others

    def _join(self, line: Line, tick_us: int) -> None:
        if line.surveyed_us is None:
            line.first_us = min(line.first_us or tick_us, tick_us)
            line.until_us = max(line.until_us, tick_us)
        elif tick_us > line.surveyed_us:  # else it stands there already
            if tick_us <= line.after_us:  # what is later came due by a clock that was wrong, and will again
                line.cut(tick_us - 1)
            line.until_us = max(line.until_us, tick_us)
            self._go_on(line)

    # Each one: what leaves it

    def _go_on(self, line: Line) -> None:
        if line.task is None or line.task.done():
            line.task = self._beside.start(self._follow(line))

    async def _follow(self, line: Line) -> None:
        """Claim what waits, oldest first; each when the run of the one before it has ended."""
        state = line.state
        while (tick_us := await self._next(line)) is not None:
            late_by = max(0.0, (self._now_us() - tick_us) / 1e6)
            _, claim = self._fire(state, ClaimKind.TICK, tick_us, late_by)
            assert claim is not None  # the job is guarded, and has no conditions
            await self.claimer.wait_decided(claim)
            run = claim.run
            if run.task is not None:
                if not line.is_empty:
                    await asyncio.wait([run.task])
            elif run.outcome is None:
                self._put_back(line)
            elif run.skip_reason is SkipReason.FINISHED:
                line.ticks.clear()
                line.after_us = line.until_us

    async def _next(self, line: Line) -> int | None:
        """Return the oldest tick that may still run."""
        while not line.is_empty:
            while line.after_us < line.until_us:
                self._look_up(line)
                if line.after_us < line.until_us:
                    await asyncio.sleep(0)  # let others have a turn
            within_us = line.state.settings.grace_us
            assert within_us is not None
            oldest_us = self._now_us() - within_us
            self._miss_oldest(line, sum(tick_us < oldest_us for tick_us in line.ticks))
            if line.ticks:
                return line.ticks.popleft()
        return None

    def _look_up(self, line: Line) -> None:
        """Move on the stretch of time by some ticks; those that are too many are missed, the oldest ones."""
        state, most = line.state, line.state.job.catch_up_most
        assert state.step is not None
        try:
            if state.grid is not None and (passed := state.grid.count_between(line.after_us, line.until_us) - most) > 0:
                self._miss_oldest(line, len(line.ticks))
                first_us = state.grid.next_fire_us(line.after_us)
                assert first_us is not None
                line.after_us = first_us + (passed - 1) * state.grid.interval_us
                self._missed(state, passed, first_us, line.after_us)
            ticks = ticks_between(state.step, line.after_us, line.until_us)
        except Exception:  # a trigger that breaks its rules costs its own job, nothing else
            self._logger.exception("job=%s does not catch up: its trigger failed", state.job.name)
            line.after_us = line.until_us
            return
        line.ticks += ticks
        line.after_us = ticks[-1] if len(ticks) == STEPS_AT_ONCE else line.until_us
        self._miss_oldest(line, len(line.ticks) - most)

    def _miss_oldest(self, line: Line, count: int) -> None:
        if count > 0:
            ticks = [line.ticks.popleft() for _ in range(count)]
            self._missed(line.state, count, ticks[0], ticks[-1])

    def _missed(self, state: JobState, count: int, first_us: int, last_us: int) -> None:
        if self._store.time() is not None:
            state.decided_us = max(state.decided_us, last_us)
        self._ledger.missed(state, count, first_us, last_us)

    def _put_back(self, line: Line) -> None:
        """Let no tick stand in line that has not come due: this node's clock was wrong."""
        store_now = self._now_us()
        line.cut(max(store_now, line.state.decided_us))
        if line.surveyed_us is not None:
            line.surveyed_us = min(line.surveyed_us, store_now)

    def forget(self, state: JobState) -> None:
        """Claim nothing of a job any more: what stands in its line is skipped."""
        line = self._lines.pop(state, None)
        if line is None:
            return
        if line.task is not None:
            line.task.cancel()
        if line.surveyed_us is None:
            line.after_us = line.first_us - 1 if line.first_us else line.until_us
        while line.after_us < line.until_us:
            self._look_up(line)
        for tick_us in line.ticks:
            self._ledger.skipped(state, tick_us, SkipReason.SHUTTING_DOWN, ClaimKind.TICK)

    def close(self) -> None:
        """Claim nothing more."""
        for state in tuple(self._lines):
            self.forget(state)

    def _now_us(self) -> int:
        """Return the time by which ticks come due: the node's, or the store's where the node's is ahead of it."""
        return now_us(self._clock) - round(max(0.0, skew_of(self._clock, self._store) or 0.0) * 1e6)
