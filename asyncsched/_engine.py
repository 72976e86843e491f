"""Owns the running scheduler: the loop that turns fire times into runs, the coroutines beside it, and the drain.

    ticker ──plain────▶ executor
       │ └───guarded──▶ claimer ──won──▶ executor      beside the loop: claiming, renewing, releasing,
       └─missed─▶ ledger   └──skipped──▶ ledger        refreshing, surveying

An engine lives from one start to the stop after it, on one event loop; the facade makes a new one for each start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from asyncsched._catch_up import CatchUp
from asyncsched._claim import Claim
from asyncsched._claims import Claimer
from asyncsched._clock import now_us, sleep
from asyncsched._execution import Executor
from asyncsched._grants import ClaimKind
from asyncsched._job_state import JobState
from asyncsched._lazy import LazyModule
from asyncsched._lease import LeaseKeeper
from asyncsched._loop_watch import LoopWatch
from asyncsched._pulse import Pulse
from asyncsched._recovery import Recovery
from asyncsched._run import Origin, Outcome, Run
from asyncsched._store_health import StoreHealth
from asyncsched._tasks import cancel_until_ended
from asyncsched._ticker import Ticker
from asyncsched._turns import Turns
from asyncsched.exceptions import SchedulerError

if TYPE_CHECKING:
    from anyio import CapacityLimiter

    from asyncsched import events
    from asyncsched._accounting import Ledger
    from asyncsched._conditions import Conditions
    from asyncsched._events import EventBus
    from asyncsched._guide import Guide
    from asyncsched._job import Job
    from asyncsched._job_settings import JobSettings
    from asyncsched._logs import SafeLogger
    from asyncsched._trace_ids import TraceIds
    from asyncsched.protocols import Clock, Store
else:
    events = LazyModule("asyncsched.events")

THREADS = 40
"""Worker threads for plain functions: a limiter of our own, because long jobs must not take the threads in which the
service answers its requests."""
CANCEL_TIMEOUT = 5.0
"""Seconds for which a stop waits for cancelled handlers."""
RELEASE_TIMEOUT = 3.0
"""Seconds for which a stop goes on asking a store that does not answer to release the locks."""


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
        trace_ids: TraceIds,
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
        self._trace_ids = trace_ids
        self._limiter: CapacityLimiter | None = None
        self._health = StoreHealth(store, clock, ledger, logger, bus)
        self.outage = self._health.outage
        self.pulse = Pulse(clock)
        self.keeper = LeaseKeeper(store, clock, self.outage)
        loop = asyncio.get_running_loop()
        origin = Origin(node, logger.logger, trace_ids.of, ledger.reported, self._threads, ledger.progressed, loop)
        self._catch_up = CatchUp(store, clock, ledger, logger, bus.beside, self._fire)
        self.recovery = Recovery(store, clock, self.outage, logger, rerun=self._rerun, catch_up=self._catch_up)
        self.executor = Executor(clock, ledger, self.keeper, origin, self.recovery.left_open)
        self._guide: Guide | None = None
        self._conditions: Conditions | None = None
        self._loop_watch = LoopWatch(clock, self.keeper.shortest_ttl, self.executor.job_of, ledger)
        self.keeper.on_held = self._loop_watch.watch
        self._ticker = Ticker(
            store=store,
            clock=clock,
            logger=logger,
            ledger=ledger,
            executor=self.executor,
            claim=self._claim_ticks,
            fire=self._fire,
            expect=lambda at_us: self._health.expect(at_us, self.turns.nodes),
            nodes=lambda: self.turns.nodes,
            is_congested=lambda: self.claimer.is_congested,
        )
        self.keeper.claims_in = self._ticker.claims_in
        self.states: dict[str, JobState] = {}
        self.turns = Turns(store, clock, node, self.states, ledger)
        self.claimer = Claimer(
            store,
            clock,
            executor=self.executor,
            keeper=self.keeper,
            ledger=ledger,
            outage=self.outage,
            recovery=self.recovery,
            turns=self.turns,
            put_back=self._ticker.put_back,
            fire=self._fire,
            finish=self._ticker.finish,
            on_room=self._ticker.alarm.set,
        )
        self._catch_up.claimer = self.claimer
        self._immediate: list[JobState] = []
        self._alarm = self._ticker.alarm
        self._stopping = False
        self._failure: BaseException | None = None
        self._leftovers: asyncio.Task[None] | None = None

    # Jobs

    def adopt(self, job: Job, defaults: JobSettings) -> None:
        """Schedule a complete job from now on; its immediate run is fired at the next turn."""
        state = JobState(job, job.freeze(defaults))
        if job.run_policies is not None:
            state.invoke = self._made_guide().invoker(job, job.run_policies)
        state.invoke = self._trace_ids.traced(state.invoke)
        self.states[job.name] = state
        now = now_us(self._clock)
        self._ticker.schedule(state, now)
        self._ledger.job_added(state)
        if job.is_guarded:
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
            self._catch_up.forget(state)
            self._ticker.forget(state)
            self.forget_failures(name)
            if self._conditions is not None:
                self._conditions.forget(name)
            self._ledger.job_removed(state)

    def _made_guide(self) -> Guide:
        """Return what carries out runs with policies: most schedulers have none, and need not load it."""
        if self._guide is None:
            from asyncsched._guide import Guide

            self._guide = Guide(
                self._store,
                self._clock,
                self._ledger,
                executor=self.executor,
                logger=self._logger,
                beside=self._bus.beside,
                threads=self._threads,
            )
        return self._guide

    def _made_conditions(self) -> Conditions:
        if self._conditions is None:
            from asyncsched._conditions import Conditions

            self._conditions = Conditions(
                self._store,
                self._clock,
                self._ledger,
                beside=self._bus.beside,
                begin=self._begin,
                left_open=self.recovery.left_open,
            )
        return self._conditions

    def forget_failures(self, name: str) -> None:
        """Count the failures of a job in a row anew."""
        if self._guide is not None:
            self._guide.forget_failures(name)

    async def trigger(self, name: str, by: str = "", why: str = "") -> Run:
        """Start a run now, or learn why not; ``by``: who has ordered it, and ``why``, if it was not this process."""
        state = self.states[name]
        run, claim = self._fire(state, ClaimKind.TRIGGER, now_us(self._clock), ordered=(by, why))
        self._trace_ids.triggered(run)
        if claim is not None:
            await self.claimer.wait_decided(claim)
        return run

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
        lives = [self._claiming(), self.keeper.renewing(), self.keeper.releasing()]
        lives += [self.recovery.surveying(), self.turns.hearing()]
        if self._store.refresh_interval is not None:
            lives.append(self._health.refreshing(self._store.refresh_interval, self._ticker.refreshed))
        return [asyncio.ensure_future(life) for life in lives]

    async def _claiming(self) -> None:
        await self._health.has_looked.wait()  # a node that starts amid maintenance has to know of it
        self._alarm.set()  # immediate runs of plain jobs have waited for that too
        await self.claimer.claiming()

    async def _turn_until_stopped(self) -> None:
        while not self._stopping:
            self._alarm.clear()  # before the turn: a handler that starts at once may ring it, to stop
            self._turn()
            if self._ticker.arm():
                await self._alarm.wait()
            else:
                await asyncio.sleep(0)  # more is due already: let others have a turn first

    def _turn(self) -> None:
        """Hand over everything that is due."""
        immediate: list[JobState] = []
        if self._health.has_looked.is_set():
            immediate, self._immediate = self._immediate, []
        for state in immediate:
            if not state.retired:
                self._fire(state, ClaimKind.START, now_us(self._clock))
        self._ticker.turn()

    def _claim_ticks(self, states: Sequence[JobState], tick_us: int, late_by: float) -> None:
        self.claimer.submit_ticks(self._catch_up.take(states, tick_us), tick_us, late_by)

    def _fire(
        self, state: JobState, kind: ClaimKind, fire_us: int, late_by: float = 0.0, ordered: tuple[str, str] = ("", "")
    ) -> tuple[Run, Claim | None]:
        run = self.executor.new_run(state, kind, fire_us)
        if any(ordered):
            side = run.with_side()
            side.by, side.why = ordered
        if state.asks_first and kind is not ClaimKind.TRIGGER:
            self._made_conditions().ask(state, run, late_by)
            return run, None
        return run, self._begin(state, run, late_by, state.next_us)

    def _begin(
        self, state: JobState, run: Run, late_by: float, next_us: int | None, rerun: bool = False
    ) -> Claim | None:
        """Claim a run, or start it if nothing guards it."""
        if state.job.is_guarded:
            return self.claimer.submit(state, run, late_by=late_by, next_us=next_us, rerun=rerun)
        reason = self._ticker.reason_to_skip(state, run.kind)
        if reason is None:
            self.executor.start(state, run)
        else:
            run.end(Outcome.SKIPPED, skip_reason=reason)
            self._ledger.skipped(state, run.fire_us, reason, run.kind, run)
        return None

    def _rerun(self, state: JobState, fire_us: int) -> None:
        """Claim a tick again whose run was interrupted."""
        run = self.executor.new_run(state, ClaimKind.TICK, fire_us)
        if state.asks_first:
            self._made_conditions().ask(state, run, 0.0, rerun=True)
        else:
            self._begin(state, run, 0.0, state.next_us, rerun=True)

    # Stopping

    def request_stop(self) -> None:
        """Start no new ticks, and drain."""
        self._stopping = True
        self._alarm.set()
        self._health.has_looked.set()  # nobody needs to know any more

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
        self._ticker.close()
        self.recovery.close()
        if self._conditions is not None:
            self._conditions.close()
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
        self.pulse.close()
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
        if self._bus.is_heard and self._bus.wants(events.SchedulerStopped):
            self._bus.emit(events.SchedulerStopped(at=self._ledger.now(), node=self.node, unfinished=unfinished))
        await self._bus.beside.drain(self._clock, CANCEL_TIMEOUT)
        if self._guide is not None:
            await self._guide.close()

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
