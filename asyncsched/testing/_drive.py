"""Owns how time moves: one or more dials together, from one waiter's instant to the next, each left to settle.

    settle ──▶ who is due next? ──▶ move all dials there ──▶ make the calls ──▶ settle …

Settled means: no task can go on before time does. Work in a thread is waited for in real time, unless its run itself
waits for one of the dials.

Where the event loop tells what it is about to call, that is called right here, in the same order, many turns in one:
of a year, the loop's own part of each turn would be a large share. What is not of this time, such as the test's own
timers, comes in between, with the loop's real turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from asyncsched._handlers import THREAD_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched._run import RunContext
    from asyncsched.testing._dial import Dial

QUIET_TURNS = 10
"""Turns of the event loop in which nobody set a timer, after which everything that was woken counts as settled, on an
event loop that does not tell whether more is ready. With a single turn most of a chain of awaits is cut off in silence,
and runs go missing."""
SPINNING_TURNS = 1000
"""The same on asyncio's own event loop, which does tell: a task that spins without end must not stop time."""
ROUNDING = 2e-6
"""Seconds by which a dial may show more than has elapsed, since it shows whole microseconds."""
TURNS_AT_ONCE = 100
"""Turns and moves that are made in one real turn of the event loop."""
THREAD_PATIENCE = 10.0
"""Seconds of real time for which work in threads is waited for, while nothing else happens."""


class Drive:
    """Moves dials, which all show the same monotonic time."""

    def __init__(self, *dials: Dial, waits_for_threads: bool = True) -> None:
        self._dials: list[Dial] = []
        self._waits_for_threads = waits_for_threads
        self.asked = 0
        """How many timers were set so far."""
        self._next_ask: asyncio.Future[Any] | None = None
        self._executor_calls: dict[asyncio.Future[Any], RunContext] = {}
        for dial in dials:
            self.attach(dial)

    def attach(self, dial: Dial) -> None:
        """Move this dial, too, from now on."""
        dial.on_asked = self._note
        self._dials.append(dial)

    def detach(self, dial: Dial) -> None:
        """Move it no more."""
        self._dials.remove(dial)

    def note_executor_call(self, call: asyncio.Future[Any], run: RunContext) -> None:
        """Wait in real time for a call that a run has given to an executor."""
        self._executor_calls[call] = run
        call.add_done_callback(lambda _: self._executor_calls.pop(call, None))

    def _note(self) -> None:
        self.asked += 1
        if self._next_ask is not None and not self._next_ask.done():
            self._next_ask.set_result(None)

    async def advance(self, by: float) -> None:
        """Let ``by`` seconds pass."""
        end = self._dials[0].elapsed + by

        def next_due() -> float | None:
            due = self._next_due()
            return due if due is not None and due <= end + 1e-9 else None

        await self._move(next_due)
        self._show(end)
        await self.settle()

    async def advance_while(self, goes_on: Callable[[], bool], *, limit: float, what: str) -> None:
        """Let time pass while ``goes_on()``, which is asked whenever all has settled.

        Raises:
            AssertionError: that did not end within ``limit`` seconds, or nobody waits for time to pass.
        """
        end = self._dials[0].elapsed + limit

        def next_due() -> float | None:
            if not goes_on():
                return None
            due = self._next_due()
            if due is None or due > end + 1e-9:
                why = "nobody waits for the clock" if due is None else f"{limit:g} s have passed"
                raise AssertionError(f"{what}: it has not come by {self._dials[0].now()}, and {why}")
            return due

        await self._move(next_due)

    async def _move(self, next_due: Callable[[], float | None]) -> None:
        """Settle, and move on to what ``next_due`` returns whenever all has settled, until that is ``None``."""
        await self.settle()
        loop, ready = asyncio.get_running_loop(), _ready_calls()
        if ready is None or loop.get_debug():
            while (due := next_due()) is not None:
                self.move_to(due)
                await self.settle()
            return
        while busy := await _Course(self, next_due, ready, loop).ended:
            if isinstance(busy, BaseException):
                raise busy
            await self._wait_for_threads(busy)
            await self.settle()

    async def settle(self) -> None:
        """Let the event loop run until no task can go on before time does."""
        while True:
            await self._settle_tasks()
            busy = self.calls_in_threads()
            if not busy:
                return
            await self._wait_for_threads(busy)

    async def _settle_tasks(self) -> None:
        ready = _ready_calls()
        limit = QUIET_TURNS if ready is None else SPINNING_TURNS
        quiet = 0
        while quiet < limit:
            before = self.asked
            await asyncio.sleep(0)
            if ready is not None and not ready:
                return
            quiet = quiet + 1 if before == self.asked else 0

    def calls_in_threads(self) -> dict[asyncio.Future[Any], str]:
        """Return the calls in threads whose runs do not wait for a dial, with their jobs."""
        if not self._waits_for_threads or threading.active_count() == 1:
            return {}
        calls = {call: (run.run_id, run.job) for call, run in self._executor_calls.items()}
        for task in asyncio.all_tasks():
            match task.get_name().split(" "):
                case [name, run_id, job] if name == THREAD_NAME:
                    calls[task] = (run_id, job)
        if not calls:
            return {}
        waiting: set[str] = set().union(*(dial.waiting_runs() for dial in self._dials))
        return {call: job for call, (run_id, job) in calls.items() if run_id not in waiting}

    async def _wait_for_threads(self, calls: dict[asyncio.Future[Any], str]) -> None:
        asked = self._next_ask = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([*calls, asked], timeout=THREAD_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        self._next_ask = None
        if not done:
            raise AssertionError(
                f"the fake clock cannot move on: for {THREAD_PATIENCE:g} s of real time there has been work in threads "
                f"that does not wait for it, of {', '.join(sorted(set(calls.values())))}"
            )

    def _next_due(self) -> float | None:
        earliest: float | None = None
        for dial in self._dials:
            due = dial.next_due()
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def move_to(self, due: float) -> None:
        """Let it be ``due``, which was the next one, and wake whom that wakes."""
        self._show(due)
        for dial in [dial for dial in self._dials if dial.due_at <= due + ROUNDING]:
            dial.make_due_calls()

    def _show(self, elapsed: float) -> None:
        for dial in self._dials:
            if dial.elapsed < elapsed:
                dial.elapsed = elapsed


class _Course:
    """Moves from one instant to the next, as long as nothing has to be waited for in real time.

    Attributes:
        ended: done when no move is left to make, and then it is empty; or there is work in threads to be waited for,
            with the jobs; or something has failed.
    """

    def __init__(
        self,
        drive: Drive,
        next_due: Callable[[], float | None],
        ready: deque[asyncio.Handle],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._drive = drive
        self._next_due = next_due
        self._ready = ready
        self._loop = loop
        self._quiet = 0
        self.ended: asyncio.Future[dict[asyncio.Future[Any], str] | BaseException] = loop.create_future()
        loop.call_soon(self._go_on)  # it is no task, so that tasks can take their steps within it

    def _go_on(self) -> None:
        try:
            for _ in range(TURNS_AT_ONCE):
                if self.ended.done():  # nobody waits for it any more
                    return
                if self._ready and self._quiet < SPINNING_TURNS:
                    self._make_turn()
                elif not self._make_move():
                    return
        except BaseException as error:
            if self.ended.done():
                raise
            self.ended.set_result(error)
        else:
            self._loop.call_soon(self._go_on)

    def _make_turn(self) -> None:
        """Call what is ready now, as the event loop would."""
        asked, ready = self._drive.asked, self._ready
        for _ in range(len(ready)):
            call = ready.popleft()
            if not call.cancelled():
                call._run()  # noqa: SLF001 - as the event loop does
        self._quiet = self._quiet + 1 if asked == self._drive.asked else 0

    def _make_move(self) -> bool:
        self._quiet = 0
        busy = self._drive.calls_in_threads()
        due = None if busy else self._next_due()
        if self.ended.done():  # who asked what is next has ended this
            return False
        if due is None:
            self.ended.set_result(busy)
            return False
        self._drive.move_to(due)
        return True


def _ready_calls() -> deque[asyncio.Handle] | None:
    """Return what the running event loop is about to call; ``None``: it does not tell."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    return ready if isinstance(ready, deque) else None
