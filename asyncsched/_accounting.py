"""Owns the account of every tick: a counter, a log line and an event for each way in which one can end.

Knows nothing of why a tick ended as it did. Log lines and events that nobody reads are not made.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncsched._instants import from_us
from asyncsched._job_state import MISSED, JobState, Tally, told
from asyncsched._kinds import ClaimKind
from asyncsched._lazy import LazyModule
from asyncsched._run import Outcome, Run, SkipReason
from asyncsched._tasks import on_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched import events
    from asyncsched._events import EventBus
    from asyncsched._hooks import Hook
    from asyncsched._logs import SafeLogger
    from asyncsched._progress import Progress
    from asyncsched._recorder import Recorder
    from asyncsched.protocols import Clock
else:
    events = LazyModule("asyncsched.events")

SKIP_LEVELS = {
    SkipReason.OVERLAP: logging.WARNING,
    SkipReason.ELSEWHERE: logging.DEBUG,  # the normal fate of a tick on all nodes but one
    SkipReason.PAUSED: logging.DEBUG,  # pausing was logged
    SkipReason.MAINTENANCE: logging.DEBUG,  # so was its beginning
    SkipReason.STORE_UNAVAILABLE: logging.DEBUG,  # the outage was logged, once
    SkipReason.SHUTTING_DOWN: logging.INFO,
    SkipReason.FINISHED: logging.DEBUG,  # that the job gets no more fire times is said
    SkipReason.CONDITION: logging.DEBUG,  # the job wants it so
    SkipReason.CONDITION_FAILED: logging.DEBUG,  # the failure was logged
}
RUN_LEVELS = {Outcome.CANCELLED: logging.WARNING}
"""Levels of the line that ends a run. Of one that ended well it is INFO; every other outcome is an error."""
_SUCCEEDED = Outcome.SUCCEEDED
_ELSEWHERE = SkipReason.ELSEWHERE
_TICK = ClaimKind.TICK


class Ledger:
    """Books runs, skips and misses of one scheduler."""

    def __init__(self, clock: Clock, logger: SafeLogger, bus: EventBus) -> None:
        self._clock = clock
        self._logger = logger
        self.bus = bus
        self.node = ""
        self.on_skipped: Callable[[tuple[Hook, ...], events.TickSkipped], None] = lambda *_: None
        """Calls the hooks of a job whose tick was skipped. The engine's to set."""
        self.recorder: Recorder | None = None
        """Keeps how ticks end for those who watch the cluster, if that is wanted. Others set it."""
        self._succeeded = self._elsewhere = 0
        self._others: Tally = Counter()

    @property
    def tally(self) -> Tally:
        """How ticks and runs have ended so far."""
        return told(self._succeeded, self._elsewhere, self._others)

    def job_added(self, state: JobState) -> None:
        """Book that a job is scheduled from now on."""
        if self.recorder is not None:
            self.recorder.adopt(state)
        if self.bus.is_heard and self.bus.wants(events.JobAdded):
            fire_time = None if state.next_us is None else from_us(state.next_us)
            self.bus.emit(events.JobAdded(**self._of_job(state), next_fire_time=fire_time))

    def job_removed(self, state: JobState) -> None:
        """Book that a job is scheduled no more."""
        if self.recorder is not None:
            self.recorder.retire(state)
        if self.bus.is_heard and self.bus.wants(events.JobRemoved):
            self.bus.emit(events.JobRemoved(**self._of_job(state)))

    def started(self, run: Run) -> None:
        """Book a handler's start, if anybody hears of it."""
        if self.bus.wants(events.RunStarted):
            late_by = (run.started_us - run.fire_us) / 1e6
            self.bus.emit(events.RunStarted(**self._of_run(run), late_by=late_by))

    def ended(self, state: JobState, run: Run) -> None:
        """Book the end of a run that has its outcome."""
        outcome = run.outcome
        assert outcome is not None
        if outcome is _SUCCEEDED:
            self._succeeded += 1
            state.succeeded += 1
            level = logging.INFO
        else:
            self._count(state, outcome)
            level = RUN_LEVELS.get(outcome, logging.ERROR)
        if self._logger.logger.isEnabledFor(level):
            self._log_end(run, level)
        if self.bus.is_heard and self.bus.wants(events.RunEnded):
            self.bus.emit(
                events.RunEnded(**self._of_run(run), outcome=outcome, duration=run.duration, errors=run.errors)
            )
        kept = state.kept
        if kept is None:
            return
        if outcome is _SUCCEEDED and run.side is None and run.kind is _TICK:  # what nearly all do
            if run._run_id or run._trace_id:  # noqa: SLF001 - as they are: on this path none are made
                kept.append((run.fire_us, run.started_us, run.duration, *run.ids, run.attempt, run.fence))
            else:
                kept.append((run.fire_us, run.started_us, run.duration))
        elif self.recorder is not None:
            self.recorder.ended(state, run)

    def _log_end(self, run: Run, level: int) -> None:
        error = run.errors[-1] if run.errors else None
        self._logger.log(
            level,
            "job=%s run=%s trace=%s tick=%s outcome=%s duration=%.3fs%s%s",
            run.job,
            run.run_id,
            run.trace_id,
            run.fire_time.isoformat(),
            run.outcome,
            run.duration,
            f" errors={len(run.errors)}" if len(run.errors) > 1 else "",
            f" attempt={run.attempt}" if run.attempt > 1 else "",
            exc_info=error,
            extra=self._ids(run),
        )

    def reported(self, run: Run, error: Exception) -> None:
        """Book an error of a run that goes on."""
        self._logger.error(
            "job=%s run=%s trace=%s reported an error and goes on",
            run.job,
            run.run_id,
            run.trace_id,
            exc_info=error,
            extra=self._ids(run),
        )
        if self.bus.is_heard and self.bus.wants(events.ErrorReported):
            self.bus.emit(events.ErrorReported(**self._of_run(run), error=error))

    def progressed(self, run: Run, progress: Progress) -> None:
        """Keep, from any thread, how far a run is, and tell it if that is due."""
        is_due = run.with_side().is_told(progress, self._clock.monotonic())
        if is_due and self.bus.is_heard and self.bus.wants(events.RunProgressed):
            with suppress(RuntimeError):  # the loop was closed over a thread that outlived it
                on_loop(run.origin.loop, lambda: self._tell_progress(run, progress))

    def _tell_progress(self, run: Run, progress: Progress) -> None:
        if run.outcome is None:
            self.bus.emit(events.RunProgressed(**self._of_run(run), **progress._asdict()))

    def retried(self, run: Run, error: BaseException, wait: float) -> None:
        """Book that an attempt of a run has failed, and that another one follows."""
        self._logger.warning(
            "job=%s run=%s trace=%s failed in attempt %d and is tried again in %.3f s",
            run.job,
            run.run_id,
            run.trace_id,
            run.attempt,
            wait,
            exc_info=error,
            extra=self._ids(run),
        )
        if self.bus.wants(events.RunRetried):
            self.bus.emit(events.RunRetried(**self._of_run(run), error=error, wait_for=wait))

    def time_is_over(self, run: Run, seconds: float) -> None:
        """Book that a run has not ended in its time."""
        self._logger.error(
            "job=%s run=%s trace=%s has not ended within %.3f s; it is being cancelled",
            run.job,
            run.run_id,
            run.trace_id,
            seconds,
            extra=self._ids(run),
        )

    def superseded(self, run: Run) -> None:
        """Book that a run is ended for a newer tick."""
        self._logger.info(
            "job=%s run=%s trace=%s is being cancelled: a newer tick takes its place",
            run.job,
            run.run_id,
            run.trace_id,
            extra=self._ids(run),
        )

    def called_off(self, run: Run, by: str, why: str) -> None:
        """Book that somebody has ordered the end of a run."""
        self._logger.warning(
            "job=%s run=%s trace=%s is being cancelled by order of %s%s",
            run.job,
            run.run_id,
            run.trace_id,
            by,
            f": {why}" if why else "",
            extra=self._ids(run),
        )

    def lease_lost(self, run: Run, why: str) -> None:
        """Book that a run's lease has ended before it."""
        self._logger.error(
            "job=%s run=%s trace=%s lost its lease: %s; it is being cancelled",
            run.job,
            run.run_id,
            run.trace_id,
            why,
            extra=self._ids(run),
        )
        if self.bus.is_heard and self.bus.wants(events.LeaseLost):
            self.bus.emit(events.LeaseLost(**self._of_run(run), why=why))

    def elsewhere(self, states: Sequence[JobState], fire_us: int, kind: ClaimKind = _TICK) -> None:
        """Book a tick of some jobs that another node has, which says what became of it."""
        self._elsewhere += len(states)
        for state in states:
            state.elsewhere += 1
            state.elsewhere_us = fire_us
        if self.bus.is_heard or self._logger.logger.isEnabledFor(logging.DEBUG):  # nearly nobody wants to hear more
            for state in states:
                self._tell_skipped(state, fire_us, _ELSEWHERE, kind)

    def skipped(
        self, state: JobState, fire_us: int, reason: SkipReason, kind: ClaimKind, run: Run | None = None
    ) -> None:
        """Book a tick, an immediate run or a triggered one that does not run here; ``run``: what it would have been."""
        if reason is _ELSEWHERE:
            self.elsewhere((state,), fire_us, kind)
        else:
            self._count(state, reason)
            if self.recorder is not None:
                self.recorder.skipped(state, fire_us, reason, kind, run)
            self._tell_skipped(state, fire_us, reason, kind)

    def _tell_skipped(self, state: JobState, fire_us: int, reason: SkipReason, kind: ClaimKind) -> None:
        level = SKIP_LEVELS[reason]
        if self._logger.logger.isEnabledFor(level):
            tick = from_us(fire_us, state.settings.timezone).isoformat()
            what = "tick" if kind is ClaimKind.TICK else f"{kind} at"
            self._logger.log(level, "job=%s %s=%s outcome=skipped reason=%s", state.job.name, what, tick, reason)
        is_wanted = self.bus.is_heard and self.bus.wants(events.TickSkipped)
        policies = None if reason is _ELSEWHERE else state.job.run_policies
        hooks = () if policies is None else policies.on_skipped
        if hooks or is_wanted:
            event = events.TickSkipped(**self._of_job(state), fire_time=from_us(fire_us), kind=kind, reason=reason)
            if hooks:
                self.on_skipped(hooks, event)
            if is_wanted:
                self.bus.emit(event)

    def condition_failed(self, run: Run, condition: Hook, error: BaseException) -> None:
        """Say why a tick is skipped."""
        self._logger.error(
            "job=%s tick=%s is skipped: %s failed", run.job, run.fire_time.isoformat(), condition, exc_info=error
        )

    def missed(self, state: JobState, count: int, first_us: int, last_us: int) -> None:
        """Book ticks that were noticed too late."""
        self._count(state, MISSED, count)
        if self.recorder is not None:
            self.recorder.missed(state, count, first_us, last_us)
        zone = state.settings.timezone
        self._logger.warning(
            "job=%s outcome=missed count=%d first=%s last=%s",
            state.job.name,
            count,
            from_us(first_us, zone).isoformat(),
            from_us(last_us, zone).isoformat(),
        )
        if self.bus.is_heard and self.bus.wants(events.TicksMissed):
            self.bus.emit(
                events.TicksMissed(**self._of_job(state), count=count, first=from_us(first_us), last=from_us(last_us))
            )

    def claims_answered(self, claims: int, sent_at: float) -> None:
        """Book the answer to claims that the store was asked for together, at ``sent_at`` (monotonic)."""
        if self.bus.is_heard and self.bus.wants(events.ClaimsAnswered):
            answered_in = self._clock.monotonic() - sent_at
            self.bus.emit(events.ClaimsAnswered(at=self.now(), node=self.node, claims=claims, answered_in=answered_in))

    def late_grant_released(self, state: JobState, fire_us: int) -> None:
        """Book that a claim had won unheard, and that its locks were given back."""
        self._logger.warning(
            "job=%s tick=%s was granted to this node, but the answer came too late: its locks were given back",
            state.job.name,
            from_us(fire_us, state.settings.timezone).isoformat(),
        )
        if self.bus.is_heard and self.bus.wants(events.LateGrantReleased):
            self.bus.emit(events.LateGrantReleased(**self._of_job(state), fire_time=from_us(fire_us)))

    def loop_blocking(self, job: str | None, seconds: float, where: str) -> None:
        """Say, from any thread, that the event loop does not turn."""
        self._logger.error(
            "the event loop is blocked%s, for %.1f s so far%s: no lease is renewed meanwhile",
            "" if job is None else f" by job={job}",
            seconds,
            f", at {where}" if where else "",
        )

    def loop_blocked(self, job: str | None, seconds: float) -> None:
        """Book that the event loop has turned again after a block."""
        self._logger.error(
            "the event loop was blocked for %.1f s%s; run code that does not await as a plain function",
            seconds,
            "" if job is None else f" by job={job}",
        )
        if self.bus.is_heard and self.bus.wants(events.LoopBlocked):
            self.bus.emit(events.LoopBlocked(at=self.now(), node=self.node, blocked_for=seconds, job=job))

    def runs_unguarded(self, run: Run) -> None:
        """Book that a run starts although the store did not decide it."""
        self._logger.warning(
            "job=%s tick=%s runs without its guards: the store does not answer", run.job, run.fire_time.isoformat()
        )

    def reruns_exhausted(self, state: JobState, fire_us: int, attempts: int) -> None:
        """Book that a tick was interrupted as often as it may run."""
        self._logger.error(
            "job=%s tick=%s is given up: its run was interrupted %d times",
            state.job.name,
            from_us(fire_us, state.settings.timezone).isoformat(),
            attempts,
        )
        if self.bus.is_heard and self.bus.wants(events.RerunsExhausted):
            self.bus.emit(events.RerunsExhausted(**self._of_job(state), fire_time=from_us(fire_us), attempts=attempts))

    def pause_was_set(self, job: str, paused: bool) -> None:
        """Book that this node has paused a job for the whole cluster, or resumed it."""
        self._logger.info("job=%s was %s", job, "paused" if paused else "resumed")
        kind = events.JobPaused if paused else events.JobResumed
        if self.bus.wants(kind):
            self.bus.emit(kind(at=self.now(), node=self.node, job=job))

    def maintenance_was_set(self, is_on: bool) -> None:
        """Book that this node has put the whole cluster into maintenance, or has ended that."""
        self._logger.info("the maintenance of the cluster has %s", "begun" if is_on else "ended")
        kind = events.MaintenanceBegan if is_on else events.MaintenanceEnded
        if self.bus.wants(kind):
            self.bus.emit(kind(at=self.now(), node=self.node))

    def paused_after_failures(self, job: str, failures: int, error: BaseException) -> None:
        """Book that a job was paused because its runs fail; ``error`` is the last one's."""
        self._logger.error("job=%s is paused in the whole cluster: %d of its runs in a row have failed", job, failures)
        if self.bus.wants(events.PausedAfterFailures):
            self.bus.emit(
                events.PausedAfterFailures(at=self.now(), node=self.node, job=job, failures=failures, error=error)
            )

    def corrupt(self, state: JobState, what: str) -> None:
        """Say, once until a claim of the job is granted, that something is wrong with what the store has of it."""
        if state.complaint != what:
            state.complaint = what
            self._logger.error(
                "job=%s cannot be claimed: %s; it stays undecided until that is mended", state.job.name, what
            )

    def record_was_lost(self, run: Run) -> None:
        """Say why a tick is skipped."""
        self._logger.warning(
            "job=%s tick=%s is skipped: the store did not know the job when it came due, so it may have run",
            run.job,
            run.fire_time.isoformat(),
        )

    def now(self) -> datetime:
        """Return the node's wall clock in UTC."""
        return datetime.fromtimestamp(self._clock.time(), UTC)

    def _count(self, state: JobState, what: Outcome | SkipReason | str, number: int = 1) -> None:
        self._others[what] += number
        others = state.others
        if others is None:
            others = state.others = Counter()
        others[what] += number

    def _ids(self, run: Run) -> dict[str, str]:
        return {"job": run.job, "run_id": run.run_id, "trace_id": run.trace_id}

    def _of_job(self, state: JobState) -> dict[str, Any]:
        return {"at": self.now(), "node": self.node, "job": state.job.name}

    def _of_run(self, run: Run) -> dict[str, Any]:
        return self._ids(run) | {
            "at": self.now(),
            "node": run.node,
            "fire_time": from_us(run.fire_us),
            "kind": run.kind,
            "attempt": run.attempt,
            "fence": run.fence,
        }
