"""Owns asking the conditions of jobs, before anything else is done for a run. Knows nothing of claims
and runs.

    due ──▶ waits ──▶ asked ──yes──▶ goes on
              │         ├──no──▶ condition
              └─────────┴─failed, not in time, or another tick waits after it──▶ condition_failed

One question of a job at a time: the runs that it lets through keep their order, and a condition that never ends, as one
in a thread may, holds up its own job, and no second thread.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from asyncsched._grants import ClaimKind
from asyncsched._run import Outcome, Run, SkipReason, enter_run
from asyncsched._tasks import is_being_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio import CapacityLimiter

    from asyncsched._accounting import Ledger
    from asyncsched._hooks import Hook
    from asyncsched._job_state import JobState
    from asyncsched._side_tasks import SideTasks
    from asyncsched.protocols import Clock, Store, Timer

CONDITION_TIMEOUT = 10.0
"""Seconds from when a run is due to the answer of the last one of its conditions."""
CONDITION_THREADS = 40
"""Worker threads for conditions that are plain functions. Their own: one that hangs takes none of the handlers."""


class Question:
    """What stands before one run: whether its job's conditions let it through."""

    __slots__ = ("asked", "asked_at", "is_open", "late_by", "next_us", "rerun", "run", "state", "task", "timer")

    def __init__(self, state: JobState, run: Run, *, late_by: float, asked_at: float, rerun: bool) -> None:
        self.state = state
        self.run = run
        self.late_by = late_by
        """Seconds by which the run was late when it was asked for, at ``asked_at`` (monotonic)."""
        self.asked_at = asked_at
        self.next_us = state.next_us
        self.rerun = rerun
        self.asked = self.conditions[0]
        """The one that is asked now, or next."""
        self.is_open = True
        self.task: asyncio.Task[SkipReason | None] | None = None
        self.timer: Timer

    @property
    def conditions(self) -> tuple[Hook, ...]:
        """What is asked, in this order; at least one."""
        policies = self.state.job.tick_policies
        assert policies is not None
        return policies.conditions

    @property
    def is_tick(self) -> bool:
        """Whether it is the first claim of a tick."""
        return self.run.kind is ClaimKind.TICK and not self.rerun

    async def put(self, threads: CapacityLimiter) -> SkipReason | None:
        """Ask the conditions; return why the run is kept back, or ``None``. Raises what a condition raises."""
        enter_run(self.run)
        for condition in self.conditions:
            self.asked = condition
            if not self.is_open:  # it was given up during what does not heed that, such as a thread
                break
            if bool(await condition.call(self.run, threads)) is (condition.when == "skip_when"):
                return SkipReason.CONDITION
        return None


class Conditions:
    """Asks for one scheduler."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ledger: Ledger,
        *,
        beside: SideTasks,
        begin: Callable[[JobState, Run, float, int | None, bool], object],
        left_open: Callable[[JobState, int], None],
    ) -> None:
        from anyio import CapacityLimiter

        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._beside = beside
        self._begin_run = begin
        self._left_open = left_open
        self._threads = CapacityLimiter(CONDITION_THREADS)
        self._of_job: dict[str, list[Question]] = {}
        """The one that is being asked first, until its task has ended; then those that wait, all of them open."""

    def ask(self, state: JobState, run: Run, late_by: float, *, rerun: bool = False) -> None:
        """Let a run begin if the conditions of its job let it through, after what is being asked for the same job. Of
        ticks that wait, only the newest one is asked. Those of a paused job are not asked."""
        question = Question(state, run, late_by=late_by, asked_at=self._clock.monotonic(), rerun=rerun)
        if self._store.is_paused(run.job):
            self._skip(question, SkipReason.PAUSED)
            return
        why = TimeoutError(f"no answer within {CONDITION_TIMEOUT:g} s")
        question.timer = self._clock.call_later(CONDITION_TIMEOUT, partial(self._fail, question, why))
        questions = self._of_job.setdefault(run.job, [])
        questions.append(question)
        if question is questions[0]:
            self._begin(question)
        elif question.is_tick:
            for older in [each for each in questions[1:-1] if each.is_tick]:
                self._fail(older, TimeoutError("the next tick has come due before it was asked"))

    def _begin(self, question: Question) -> None:
        question.task = self._beside.start(self._answer(question))
        question.task.add_done_callback(partial(self._ended, question))

    async def _answer(self, question: Question) -> SkipReason | None:
        try:
            return await question.put(self._threads)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            if question.is_open:
                self._ledger.condition_failed(question.run, question.asked, error)
            return SkipReason.CONDITION_FAILED

    def _ended(self, question: Question, task: asyncio.Task[SkipReason | None]) -> None:
        job = question.run.job
        questions = self._of_job[job]
        questions.remove(question)
        if question.is_open:
            is_over = task.cancelled() or task.exception() is not None  # the program itself is being ended
            self._settle(question, SkipReason.SHUTTING_DOWN if is_over else task.result())
        if questions:
            self._begin(questions[0])
        else:
            del self._of_job[job]

    def _settle(self, question: Question, reason: SkipReason | None) -> None:
        question.is_open = False
        question.timer.cancel()
        if reason is None:
            late_by = question.late_by + self._clock.monotonic() - question.asked_at
            self._begin_run(question.state, question.run, late_by, question.next_us, question.rerun)
        else:
            self._skip(question, reason)

    def _skip(self, question: Question, reason: SkipReason) -> None:
        state, run = question.state, question.run
        run.end(Outcome.SKIPPED, skip_reason=reason)
        if question.rerun:  # the tick was accounted for when it was first claimed
            self._left_open(state, run.fire_us)
            return
        if question.is_tick and self._store.time() is not None:
            state.decided_us = max(state.decided_us, run.fire_us)
        self._ledger.skipped(state, run.fire_us, reason, run.kind, run)

    def _give_up(self, question: Question, reason: SkipReason) -> None:
        if question.task is not None:
            question.task.cancel()
        elif question.is_open:
            self._of_job[question.run.job].remove(question)
        if question.is_open:
            self._settle(question, reason)

    def _fail(self, question: Question, error: BaseException) -> None:
        self._ledger.condition_failed(question.run, question.asked, error)
        self._give_up(question, SkipReason.CONDITION_FAILED)

    def forget(self, job: str) -> None:
        """Ask for a job no more."""
        for question in self._of_job.get(job, [])[::-1]:
            self._give_up(question, SkipReason.SHUTTING_DOWN)

    def close(self) -> None:
        """Ask no more: what has no answer yet does not run."""
        for job in tuple(self._of_job):
            self.forget(job)
