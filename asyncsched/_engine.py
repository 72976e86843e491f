"""Owns the running scheduler: the loop that turns fire times into runs, and the coroutines beside it.

    timeline ──due──▶ coalesce ──plain────▶ executor
                         │   └───guarded──▶ claimer ──won──▶ executor      beside the loop: claiming, renewing,
                         └─missed─▶ ledger     └──skipped──▶ ledger        releasing, refreshing

An engine lives from one start to the stop after it, on one event loop; the facade makes a new one for each start.
Two timelines: plain jobs follow this node's clock. Guarded ones wait, on a node whose clock is ahead, for the
store's, so that what they ask is not too early and all nodes follow one clock.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from asyncsched import events
from asyncsched._claim import Claim
from asyncsched._claims import Claimer
from asyncsched._clock import now_us, sleep
from asyncsched._execution import Executor
from asyncsched._grants import ClaimKind
from asyncsched._instants import from_us
from asyncsched._job_state import JobState
from asyncsched._lease import LeaseKeeper
from asyncsched._loop_watch import LoopWatch
from asyncsched._misfire import coalesce
from asyncsched._recovery import Recovery
from asyncsched._run import Origin, Outcome, Run, SkipReason
from asyncsched._store_health import StoreHealth, skew_of
from asyncsched._tasks import cancel_until_ended
from asyncsched._timeline import Timeline
from asyncsched._turns import Turns
from asyncsched.exceptions import SchedulerError

if TYPE_CHECKING:
    from anyio import CapacityLimiter

    from asyncsched._accounting import Ledger
    from asyncsched._events import EventBus
    from asyncsched._job import Job
    from asyncsched._job_settings import JobSettings
    from asyncsched._logs import SafeLogger
    from asyncsched.protocols import Clock, Store, Timer

THREADS = 40
"""Worker threads for plain functions: a limiter of our own, because long jobs must not take the threads in which the
service answers its requests."""
CANCEL_TIMEOUT = 5.0
"""Seconds for which a stop waits for cancelled handlers."""
RELEASE_TIMEOUT = 3.0
"""Seconds for which a stop goes on asking a store that does not answer to release the locks."""
AHEAD_TOLERANCE = 0.004
"""Seconds by which a node may ask before the store's clock; a store refuses from 5 ms on."""
FAR_AHEAD_US = 1_000_000
"""Microseconds ahead of the store's time from which a tick that has come due cannot have been due by that."""
REBASE_FROM_US = 100_000
"""Microseconds by which a node's clock must turn out to be further ahead than was known before its guarded jobs look
for fire times that they passed over."""


class Engine:
    """One life of a scheduler."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        node: str,
        logger: SafeLogger,
        bus: EventBus,
        ledger: Ledger,
        new_trace_id: Callable[[], str],
        shutdown_timeout: float,
        close_store: Callable[[Engine], Awaitable[None]],
    ) -> None:
        self.node = ledger.node = node
        self._store = store
        self._clock = clock
        self._logger = logger
        self._bus = bus
        self._ledger = ledger
        self._shutdown_timeout = shutdown_timeout
        self._close_store = close_store
        self._limiter: CapacityLimiter | None = None
        self._health = StoreHealth(store, clock, ledger, logger, bus)
        self.outage = self._health.outage
        self.keeper = LeaseKeeper(store, clock, self.outage)
        origin = Origin(node, logger.logger, new_trace_id, ledger.reported, self._threads)
        self.recovery = Recovery(store, clock, self.outage, logger, rerun=self._rerun, catch_up=self._catch_up)
        self.executor = Executor(clock, ledger, self.keeper, origin, self.recovery.left_open)
        self._loop_watch = LoopWatch(clock, self.keeper.shortest_ttl, self.executor.job_of, ledger)
        self.keeper.on_held = self._loop_watch.watch
        self.states: dict[str, JobState] = {}
        self.turns = Turns(store, clock, node, self.states)
        self.claimer = Claimer(
            store,
            clock,
            executor=self.executor,
            keeper=self.keeper,
            ledger=ledger,
            outage=self.outage,
            recovery=self.recovery,
            turns=self.turns,
            logger=logger,
            put_back=self._put_back,
        )
        self._plain: Timeline[JobState] = Timeline()
        self._guarded: Timeline[JobState] = Timeline()
        self._immediate: list[JobState] = []
        self._alarm = asyncio.Event()
        self._timer: Timer | None = None
        self._timer_us = 0
        self._known_lag_us = 0
        self._stopping = False
        self._failure: BaseException | None = None
        self._leftovers: asyncio.Task[None] | None = None

    # Jobs

    def adopt(self, job: Job, defaults: JobSettings) -> None:
        """Schedule a complete job from now on; its immediate run is fired at the next turn."""
        state = JobState(job, job.freeze(defaults))
        self.states[job.name] = state
        now = now_us(self._clock)
        if self._store.time() is not None:
            state.decided_us = now - self._lag_us()  # what lies before is not this job's, should both clocks step back
        self._set_next(state, None if state.step is None else self._step(state, now))
        if state.step is not None and state.next_us is None:
            self._logger.warning("job=%s has no fire time in the future", job.name)
        if self._bus.wants(events.JobAdded):
            fire_time = None if state.next_us is None else from_us(state.next_us)
            self._bus.emit(
                events.JobAdded(at=self._ledger.now(), node=self.node, job=job.name, next_fire_time=fire_time)
            )
        self.recovery.adopt(state, now)
        self.turns.adopt(state)
        if job.runs_immediately:
            self._immediate.append(state)
            self._alarm.set()

    def retire(self, name: str) -> None:
        """Schedule the job no more; its active runs go on."""
        state = self.states.pop(name, None)
        if state is not None:
            state.retired = True
            self.turns.retire(state)
            self._timeline(state).remove(state)
            if self._bus.wants(events.JobRemoved):
                self._bus.emit(events.JobRemoved(at=self._ledger.now(), node=self.node, job=name))

    async def trigger(self, name: str) -> Run:
        """Start a run now, or learn why not."""
        state = self.states[name]
        now = now_us(self._clock)
        run, claim = self._fire(state, ClaimKind.TRIGGER, now, now)
        if claim is not None:
            await self.claimer.wait_decided(claim)
        return run

    def _timeline(self, state: JobState) -> Timeline[JobState]:
        return self._guarded if state.job.is_guarded else self._plain

    def _step(self, state: JobState, after_us: int) -> int | None:
        """Return the next fire time; a trigger that breaks its rules ends its own job's schedule, nothing else."""
        assert state.step is not None
        try:
            return state.step(after_us)
        except Exception:
            self._logger.exception("job=%s gets no more fire times: its trigger failed", state.job.name)
            return None

    def _set_next(self, state: JobState, next_us: int | None) -> None:
        state.next_us = next_us
        if next_us is None:
            self._timeline(state).remove(state)
        else:
            self._timeline(state).add(next_us, state)
            if next_us < self._timer_us:
                self._alarm.set()

    # The loop

    async def serve(self) -> None:
        """Run until asked to stop, then drain. Raises what stopped the engine, if that was a fault of its own."""
        siblings = self._siblings()
        claiming = siblings[0]
        for task in siblings:
            task.add_done_callback(self._sibling_ended)
        try:
            await self._turn_until_stopped()
        except asyncio.CancelledError:
            self.hurry()  # the event loop itself is being closed: drain, but at once
        except Exception as error:
            self._fail(error)
        try:
            await self._drain(claiming)
        finally:
            await cancel_until_ended(*siblings)
            await self._close()
        if self._failure is not None:
            raise self._failure

    def _siblings(self) -> list[asyncio.Future[None]]:
        lives = [
            self.claimer.claiming(),
            self.keeper.renewing(),
            self.keeper.releasing(),
            self.recovery.surveying(),
            self.turns.hearing(),
        ]
        if self._store.refresh_interval is not None:
            lives.append(self._health.refreshing(self._store.refresh_interval, self._alarm.set))
        return [asyncio.ensure_future(life) for life in lives]

    async def _turn_until_stopped(self) -> None:
        while not self._stopping:
            self._alarm.clear()  # before the turn: a handler that starts at once may ring it, to stop
            self._turn()
            if self._arm():
                await self._alarm.wait()
            else:
                await asyncio.sleep(0)  # more is due already: let others have a turn first

    def _turn(self) -> None:
        """Hand over everything that is due."""
        now = now_us(self._clock)
        immediate, self._immediate = self._immediate, []
        for state in immediate:
            if not state.retired:
                self._fire(state, ClaimKind.START, now, now)
        for fire_us, state in self._plain.pop_due(now):
            self._due(state, fire_us, now)
        if len(self._guarded):
            lag = self._lag_us()
            if lag > self._known_lag_us + REBASE_FROM_US:
                self._rebase_guarded(now - lag)
            self._known_lag_us = lag
            for fire_us, state in self._guarded.pop_due(now - lag):
                self._due(state, fire_us, now - lag)

    def _rebase_guarded(self, store_now: int) -> None:
        """Look for fire times that were passed over before it was known that this node's clock is ahead: without that,
        a node whose clock is a day ahead would wait a day for its first tick."""
        for state in tuple(self.states.values()):
            # a tick that is due by the store's clock was not passed over: the turn under way will take it up
            if state.job.is_guarded and state.next_us is not None and state.next_us > store_now:
                if state.last_us > store_now + FAR_AHEAD_US:  # it came due, and was given up, by the wrong clock
                    state.last_us = state.decided_us
                self._set_next(state, self._step(state, max(state.last_us, store_now)))

    def _put_back(self, state: JobState, fire_us: int) -> None:
        """Wait for the tick ``fire_us`` by the store's clock: it came due, but by that it had not. Unless that was
        found out before: then ticks that are truly due may have been claimed since, and must not be again."""
        if not state.retired and state.last_us >= fire_us:
            store_now = now_us(self._clock) - self._lag_us()
            state.last_us = max(state.decided_us, store_now)
            self._set_next(state, self._step(state, state.last_us))

    def _lag_us(self) -> int:
        """Return by how many microseconds this node's clock is ahead of the store's; 0 if it is not."""
        skew = skew_of(self._clock, self._store)
        return 0 if skew is None else max(0, math.ceil((skew - AHEAD_TOLERANCE) * 1e6))

    def _arm(self) -> bool:
        """Set the timer for the next fire time; return ``False`` if one is due already."""
        guarded_us = self._guarded.next_us()
        if guarded_us is not None:
            guarded_us += self._lag_us()
        wakes = [us for us in (self._plain.next_us(), guarded_us) if us is not None]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_us = min(wakes, default=2**63)
        if self._timer_us <= now_us(self._clock):
            return False
        if wakes:
            self._timer = self._clock.call_at(self._timer_us / 1e6, self._alarm.set)
        return True

    def _due(self, state: JobState, fire_us: int, now: int) -> None:
        due = coalesce(fire_us, now, state.grace_us, lambda after_us: self._step(state, after_us), state.grid)
        state.last_us = due.run_us or due.last_missed_us
        self._set_next(state, due.next_us)
        if due.missed:
            if self._store.time() is not None:
                state.decided_us = max(state.decided_us, due.last_missed_us)
            self._ledger.missed(state, due.missed, due.first_missed_us, due.last_missed_us)
        if due.run_us is not None:
            self._fire(state, ClaimKind.TICK, due.run_us, now)

    def _fire(self, state: JobState, kind: ClaimKind, fire_us: int, now: int) -> tuple[Run, Claim | None]:
        run = self.executor.new_run(state, kind, fire_us)
        if state.job.is_guarded:
            return run, self.claimer.submit(state, run, late_by=(now - fire_us) / 1e6, next_us=state.next_us)
        if self._store.is_paused(run.job):
            run.end(Outcome.SKIPPED, skip_reason=SkipReason.PAUSED)
            self._ledger.skipped(state, fire_us, SkipReason.PAUSED, kind)
        else:
            self.executor.start(state, run)
        return run, None

    def _rerun(self, state: JobState, fire_us: int) -> None:
        """Claim a tick again whose run was interrupted."""
        run = self.executor.new_run(state, ClaimKind.TICK, fire_us)
        self.claimer.submit(state, run, next_us=state.next_us, rerun=True)

    def _catch_up(self, state: JobState, fire_us: int) -> None:
        """Claim a tick that came due while no node lived, unless a later one has come due meanwhile."""
        is_late = state.last_us >= fire_us or any(claim.is_tick for claim in state.claims or ())
        if not is_late:
            run = self.executor.new_run(state, ClaimKind.TICK, fire_us)
            self.claimer.submit(state, run, next_us=state.next_us)

    # Stopping

    def request_stop(self) -> None:
        """Start no new ticks, and drain."""
        self._stopping = True
        self._alarm.set()

    def hurry(self) -> None:
        """Stop without waiting for active runs."""
        self.request_stop()
        self.executor.hurry()

    @property
    def is_stopping(self) -> bool:
        """Whether the engine drains, or has drained."""
        return self._stopping

    async def _drain(self, claiming: asyncio.Future[None]) -> None:
        self.request_stop()
        if self._timer is not None:
            self._timer.cancel()
        self.recovery.close()
        self.claimer.close()
        await self.turns.leave()
        await asyncio.wait([claiming], timeout=CANCEL_TIMEOUT)  # the answer that is on its way
        await cancel_until_ended(claiming)
        self.claimer.abandon()
        await self.executor.drain(self._shutdown_timeout, CANCEL_TIMEOUT)

    async def _close(self) -> None:
        """Give everything back. What a handler that will not end still holds follows when it ends."""
        self.keeper.close()
        self._loop_watch.close()
        await self._release_all()
        self.outage.close()
        unfinished = tuple(sorted({run.job for run in self.executor.active}))
        if unfinished:
            self._logger.error(
                "stopped with handlers that would not end: %s; each keeps its locks until it ends or they expire",
                ", ".join(unfinished),
            )
            self._leftovers = asyncio.ensure_future(self._close_after_leftovers())
        else:
            await self._close_store(self)
        if self._bus.wants(events.SchedulerStopped):
            self._bus.emit(events.SchedulerStopped(at=self._ledger.now(), node=self.node, unfinished=unfinished))
        await self._bus.drain(self._clock, CANCEL_TIMEOUT)

    async def _close_after_leftovers(self) -> None:
        while self.executor.active:
            # the end of asyncio.run cancels this task too; but it waits for the handlers, and so does their release
            with suppress(asyncio.CancelledError):
                await self.executor.wait_next_end()
            await self._release_all()
        await self._close_store(self)

    async def _release_all(self) -> None:
        until = self._clock.monotonic() + RELEASE_TIMEOUT
        while not await self.keeper.release_pending():
            if self._clock.monotonic() >= until:
                self._logger.error(
                    "stopped without an answer of the store: %d locks may last until they expire",
                    self.keeper.pending_releases,
                )
                return
            await sleep(self._clock, 0.1)

    # What must be said aloud

    def _sibling_ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        elif not self._stopping:  # unless all tasks are being cancelled, which the engine will learn in this turn too
            asyncio.get_running_loop().call_soon(self._check_siblings)

    def _check_siblings(self) -> None:
        if not self._stopping:
            self._fail(SchedulerError("one of the engine's coroutines was cancelled by something other than a stop"))

    def _fail(self, error: BaseException) -> None:
        """Stop because of a fault of the engine's own."""
        self._logger.critical("the scheduler stops: its engine failed", exc_info=error)
        self._failure = self._failure or error
        self.request_stop()

    def _threads(self) -> CapacityLimiter:
        if self._limiter is None:
            from anyio import CapacityLimiter

            self._limiter = CapacityLimiter(THREADS)
        return self._limiter
