"""Owns the life of one run, from a decided tick to the released lease. ``docs/handlers.md`` has it as a table.

    due ──▶ claimed ──▶ delayed ──▶ started ──▶ ended ──▶ released
            (guarded)   (if any)       │                  (guarded)
                │           │          └─ succeeded, failed, timed_out, cancelled, lock_lost
                └───────────┴─ skipped

A plain run is one task, with one coroutine around the handler's; a guarded one carries a lease, which its keeper renews
beside it. Whatever the handler does, the run ends with exactly one outcome, its lease goes back only after the handler,
or its thread, has really ended, and nothing that it raises reaches the scheduler.
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from asyncsched._clock import sleep, wait_until_set
from asyncsched._grants import ClaimKind
from asyncsched._run import Outcome, Run, SkipReason, enter_run, new_ids, run_in
from asyncsched._tasks import is_being_cancelled
from asyncsched.exceptions import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncsched._accounting import Ledger
    from asyncsched._grants import Lease
    from asyncsched._job_state import JobState
    from asyncsched._lease import HeldLease, LeaseKeeper
    from asyncsched._run import Origin
    from asyncsched.protocols import Clock

    Spawned = tuple[JobState, Run, HeldLease | None]

_SUCCEEDED = Outcome.SUCCEEDED
_TICK = ClaimKind.TICK
Task: Callable[..., asyncio.Task[None]] = asyncio.Task
EAGER = sys.version_info >= (3, 12)
"""Whether the handler of a plain tick takes its first step at once, as Python can, instead of in the event loop's next
turn."""
PLAIN_LOOPS = ("asyncio", "uvloop")
"""Packages whose event loops make tasks as ``asyncio.Task`` does, if the service gave them no task factory."""


class Executor:
    """Starts the runs of one scheduler and keeps them until they have ended."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        keeper: LeaseKeeper,
        origin: Origin,
        left_open: Callable[[JobState, int], None],
    ) -> None:
        self._clock = clock
        self._time, self._monotonic = clock.time, clock.monotonic
        self._ledger = ledger
        self._bus = ledger.bus
        self._keeper = keeper
        self._origin = origin
        self._left_open = left_open
        self._loop = asyncio.get_running_loop()
        self._random = random.Random()  # noqa: S311 - it spreads load and guards nothing
        self._changed = asyncio.Event()
        self._hurried = False
        self._start_by = float("inf")
        self._starts_at: dict[Run, float] = {}
        self._spawned: list[Spawned] = []
        """Runs that were granted in this turn of the event loop."""
        self._is_plain_loop = False
        """Whether tasks were plain ones then."""
        self._draining = False
        self.active: dict[Run, JobState] = {}
        self.on_freed: Callable[[JobState], None] = lambda _: None
        """Told of a job whose run has ended, if it must not overlap and something is being claimed. Others set it."""

    def new_run(self, state: JobState, kind: ClaimKind, fire_us: int) -> Run:
        """Return a run that has not begun."""
        return Run(self._origin, state.name, fire_us, state.settings.timezone, kind)

    def new_ticks(self, states: Sequence[JobState], fire_us: int) -> list[Run]:
        """Return a run for one tick of each job, that has not begun, but has its id."""
        origin, ids = self._origin, new_ids(len(states))
        return [
            Run(origin, state.name, fire_us, state.settings.timezone, _TICK, run_id)
            for state, run_id in zip(states, ids, strict=True)
        ]

    def start(self, state: JobState, run: Run) -> None:
        """Carry out a run that nothing guards."""
        state.active += 1
        self.active[run] = state
        run.task = self._loop.create_task(self._carry_out(state, run, granted=state.delay is not None))

    def start_ticks(self, states: Iterable[JobState], fire_us: int) -> None:
        """Carry out one tick of many plain jobs. Where Python can, each handler takes its first step here and now, in
        a context of its own; those that never wait have ended on return, and have cost the event loop nothing."""
        loop, origin, active, carry_out = self._loop, self._origin, self.active, self._carry_out
        is_plain_loop, is_eager = self._makes_plain_tasks(), EAGER
        for state in states:
            if state.retired:  # by a handler that came before it
                continue
            run = Run(origin, state.name, fire_us, state.settings.timezone, _TICK)
            state.active += 1
            active[run] = state
            life = carry_out(state, run) if state.delay is None else carry_out(state, run, granted=True)
            try:
                if not is_plain_loop:
                    task = loop.create_task(life, name=state.name)
                elif is_eager:
                    task = Task(life, loop=loop, name=state.name, eager_start=True)
                else:
                    task = Task(life, loop=loop, name=state.name)
            except (KeyboardInterrupt, SystemExit) as error:
                loop.call_soon(_raise, error)  # the program's end is the loop's to raise, not the engine's
            else:
                if run.outcome is None:  # else it has ended, and its task with it
                    run.task = task

    def _makes_plain_tasks(self) -> bool:
        """Return whether the loop would make tasks that are ``asyncio.Task`` and nothing more: then we do, at once."""
        loop = self._loop
        return loop.get_task_factory() is None and type(loop).__module__.partition(".")[0] in PLAIN_LOOPS

    def start_granted(self, state: JobState, run: Run, lease: Lease | None, sent_at: float) -> None:
        """Carry out a run whose claim was won; ``lease`` is what it holds, asked for at ``sent_at`` (monotonic)."""
        held = None
        if lease is not None:
            held = self._keeper.hold(lease, sent_at, partial(self._lose, run))
            if lease.cancellable:
                held.on_unwanted = partial(self._supersede, run)
        state.active += 1
        self.active[run] = state
        if not self._spawned:
            self._loop.call_soon(self._look_behind)
            self._is_plain_loop = self._makes_plain_tasks()
        life = self._carry_out(state, run, held, granted=True)
        if self._is_plain_loop:
            run.task = Task(life, loop=self._loop, name=state.name)
        else:
            run.task = self._loop.create_task(life, name=state.name)
        self._spawned.append((state, run, held))

    def _look_behind(self) -> None:
        """Look, behind the first steps of all tasks that were made in this turn of the loop, which had one."""
        waiting, self._spawned = [each for each in self._spawned if not each[1].begun], []
        if waiting:
            self._loop.call_soon(self._watch_late_starts, waiting)

    def _watch_late_starts(self, spawned: list[Spawned]) -> None:
        for state, run, held in spawned:
            if not run.begun:
                assert run.task is not None
                run.task.add_done_callback(partial(self._end_never_begun, state, run, held))

    def _end_never_begun(self, state: JobState, run: Run, held: HeldLease | None, _: object) -> None:
        """Book a run whose task somebody else cancelled before its first step, such as the end of asyncio.run."""
        if not run.begun:
            self._give_back(state, run, held)
            self._end(state, run)

    # The life of a run

    async def _carry_out(
        self, state: JobState, run: Run, held: HeldLease | None = None, *, granted: bool = False
    ) -> None:
        """Live the run's life, whatever its handler raises. All in one coroutine: each one more costs every run.

        Args:
            held: its lease, if it has one.
            granted: whether it was claimed, or is delayed: a plain run needs none of what these do.
        """
        run.begun = True
        ended_at: float | None = None
        try:
            if granted and state.delay is not None:
                await self._sleep_delay(state, run)
            began_at = self._monotonic()
            if held is not None:
                self._keeper.check(held, began_at)
            if run.asked_to_end is None:
                enter_run(run)
                run.started_us = int(self._time() * 1e6 + 0.5)  # rounded, at half the price of `round`
                if self._bus.is_heard:
                    self._ledger.started(run)
                try:
                    await state.invoke(state.handler, run)
                    run.end(Outcome.FAILED) if run.errors else run.end_well()
                except asyncio.CancelledError:
                    run.interrupted = is_being_cancelled()
                    run.end(Outcome.CANCELLED)
                except KeyboardInterrupt:
                    run.interrupted = True
                    raise  # the program itself is being ended; `_end` still books the run
                except BaseException as error:
                    run.end(Outcome.FAILED, without_own_frame(error))
                finally:
                    ended_at = self._monotonic()
                    run.duration = ended_at - began_at
        finally:
            if granted:
                self._give_back(state, run, held, ended_at)
            self._end(state, run)

    async def _sleep_delay(self, state: JobState, run: Run) -> None:
        """Sleep the job's random delay. A run that is asked to end meanwhile does not start."""
        if run.kind is ClaimKind.TRIGGER:
            return
        delay = state.job.drawn_delay(run.fire_us, self._random)
        try:
            await self._pause(run, delay, starts_at=self._clock.monotonic() + delay)
        except asyncio.CancelledError:
            run.asked_to_end = run.asked_to_end or Outcome.CANCELLED

    async def _pause(self, run: Run, delay: float, *, starts_at: float) -> None:
        self._starts_at[run] = starts_at
        self._give_up_late_start(run)
        try:
            if run.asked_to_end is None:
                await sleep(self._clock, delay)
        finally:
            del self._starts_at[run]

    async def wait_to_retry(self, run: Run, delay: float) -> None:
        """Sleep between two attempts of a run. No stop waits for that: it ends the run at once, as one that it has
        cancelled."""
        await self._pause(run, delay, starts_at=float("inf"))
        if run.asked_to_end is not None:
            raise asyncio.CancelledError

    @property
    def is_draining(self) -> bool:
        """Whether a stop waits for the runs to end."""
        return self._draining

    def _give_back(self, state: JobState, run: Run, held: HeldLease | None, ended_at: float | None = None) -> None:
        """Let go of what the run held for itself; ``ended_at``: just now, if its handler was started (monotonic)."""
        is_called_off = run.side is not None and run.side.is_called_off  # then no other node is to have the tick
        finished = is_called_off or (bool(run.started_us) and not run.interrupted)
        if held is not None:
            if run.started_us:  # a process that was frozen may hear of its handler's end before the timer of the lease
                self._keeper.check(held, ended_at)
            self._keeper.drop(held, finished=finished)
        if state.overlap_lock is not None:
            state.overlap_lock.release()
            if state.claims:
                self.on_freed(state)
        if not finished and state.terms.max_attempts:
            self._left_open(state, run.fire_us)

    def _end(self, state: JobState, run: Run) -> None:
        """Book the run. Its outcome is what became of the handler, unless the lease was lost or the time was over."""
        del self.active[run]
        run.task = None  # its context holds the run: kept, every run that ended would wait for the garbage collector
        state.active -= 1
        if run.asked_to_end is not None or run.outcome is None:
            _settle(run)
        state.last_outcome = run.outcome
        if self._draining:
            self._changed.set()
        if run.skip_reason is not None:
            self._ledger.skipped(state, run.fire_us, run.skip_reason, run.kind, run)
        else:
            self._ledger.ended(state, run)

    def job_of(self, task: asyncio.Task[object] | None) -> str | None:
        """Return the job of the run that a task belongs to, if it is known to belong to one. From any thread."""
        with suppress(RuntimeError):  # the runs changed meanwhile: nobody knows, then
            for run in self.active:
                if run.task is task and task is not None:
                    return run.job
        run_of_context = None if task is None else run_in(task)
        return None if run_of_context is None else run_of_context.job

    # Ending runs before their time

    def _lose(self, run: Run, why: str) -> None:
        self._ledger.lease_lost(run, why)
        self._ask_to_end(run, Outcome.LOCK_LOST)

    def supersede(self, state: JobState) -> None:
        """End the runs of a job, for a newer tick."""
        for run in [run for run, of in self.active.items() if of is state]:
            self._supersede(run)

    def _supersede(self, run: Run) -> None:
        if run.asked_to_end is None and run.outcome is None:
            run.with_side().is_superseded = True
            self._ledger.superseded(run)
            self._ask_to_end(run, Outcome.CANCELLED)

    def call_off(self, run: Run, by: str, why: str = "") -> bool:
        """End a run because somebody orders that. Returns whether it was not being ended already."""
        if run.asked_to_end is not None or run.outcome is not None:
            return False
        side = run.with_side()
        side.by, side.why, side.is_called_off = by, why, True
        self._ledger.called_off(run, by, why)
        self._ask_to_end(run, Outcome.CANCELLED)
        return True

    def _ask_to_end(self, run: Run, outcome: Outcome) -> None:
        if run.asked_to_end is None or outcome is Outcome.LOCK_LOST:
            run.asked_to_end = outcome
        # a task cancelled before its first step would never book its run, and one whose handler has ended needs no end
        if run.begun and run.task is not None and run.outcome is None:
            run.task.cancel()

    def _give_up_late_start(self, run: Run) -> None:
        if self._starts_at[run] > self._start_by:
            self._ask_to_end(run, Outcome.CANCELLED)

    def hurry(self) -> None:
        """Do not wait for active runs any longer: cancel them."""
        self._hurried = True
        self._changed.set()

    async def drain(self, timeout: float, cancel_timeout: float) -> None:
        """Wait ``timeout`` seconds for active runs, then cancel them and wait ``cancel_timeout`` seconds more.

        A run in its random delay is active: it is waited for if it can start in time, and otherwise skipped at once.
        """
        self._draining = True
        self._start_by = self._clock.monotonic() + timeout
        for run in tuple(self._starts_at):
            self._give_up_late_start(run)
        await self._wait_idle(timeout)
        self._start_by = float("-inf")
        for run in tuple(self.active):
            self._ask_to_end(run, Outcome.CANCELLED)
        self._hurried = False
        await self._wait_idle(cancel_timeout)

    async def wait_next_end(self) -> None:
        """Wait, while draining, until a run ends, however long."""
        self._changed.clear()
        self._end_what_never_began()
        if self.active:
            await self._changed.wait()

    def _end_what_never_began(self) -> None:
        """Book unguarded runs whose task somebody else cancelled before its first step. (It is seen only here, so that
        a plain run costs no callback.)"""
        for run, state in tuple(self.active.items()):
            if not state.job.is_guarded and not run.begun and run.task is not None and run.task.done():
                self._end(state, run)

    async def _wait_idle(self, timeout: float) -> None:
        until = self._clock.monotonic() + timeout
        while self.active and not self._hurried and (left := until - self._clock.monotonic()) > 0:
            self._changed.clear()
            self._end_what_never_began()
            if self.active:
                await wait_until_set(self._clock, self._changed, left)


def _raise(error: BaseException) -> None:
    raise error


def _settle(run: Run) -> None:
    """Give a run that others had a say in, or whose handler was not started, the outcome that this means."""
    is_superseded = run.side is not None and run.side.is_superseded
    if run.asked_to_end in (Outcome.LOCK_LOST, Outcome.TIMED_OUT):
        run.end(run.asked_to_end)
    elif run.side is not None and run.side.is_called_off:
        if run.outcome in (None, Outcome.CANCELLED):
            run.end(Outcome.CANCELLED, SchedulerError(f"cancelled by order of {run.side.by}"))
    elif is_superseded and run.started_us:
        run.end(Outcome.CANCELLED, SchedulerError("a newer tick has taken its place"))
    elif is_superseded:
        run.end(Outcome.SKIPPED, skip_reason=SkipReason.OVERLAP)
    elif run.outcome is None and not run.started_us:
        run.end(Outcome.SKIPPED, skip_reason=SkipReason.SHUTTING_DOWN)
    elif run.outcome is None:
        run.end(Outcome.FAILED)


def without_own_frame(error: BaseException) -> BaseException:
    """Let the traceback begin in the handler: our frame holds the run, which holds the error."""
    trace = error.__traceback__
    if trace is not None and trace.tb_next is not None:
        error.__traceback__ = trace.tb_next
    return error
