"""Owns how time moves: one or more dials together, from one waiter's instant to the next, each left to settle.

    settle ──▶ who is due next? ──▶ move all dials there ──▶ make the calls ──▶ settle …

Settled means: no task can go on before time does. Work in a thread is waited for in real time, unless its run itself
waits for one of the dials.
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
THREAD_PATIENCE = 10.0
"""Seconds of real time for which work in threads is waited for, while nothing else happens."""


class Drive:
    """Moves dials, which all show the same monotonic time."""

    def __init__(self, *dials: Dial, waits_for_threads: bool = True) -> None:
        self._dials: list[Dial] = []
        self._waits_for_threads = waits_for_threads
        self._asked = 0
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
        self._asked += 1
        if self._next_ask is not None and not self._next_ask.done():
            self._next_ask.set_result(None)

    async def advance(self, by: float) -> None:
        """Let ``by`` seconds pass."""
        end = self._dials[0].elapsed + by
        await self.settle()
        while (due := self._next_due()) is not None and due <= end + 1e-9:
            await self._move_to(due)
        self._show(end)
        await self.settle()

    async def advance_while(self, goes_on: Callable[[], bool], *, limit: float, what: str) -> None:
        """Let time pass while ``goes_on()``, which is asked whenever all has settled.

        Raises:
            AssertionError: that did not end within ``limit`` seconds, or nobody waits for time to pass.
        """
        end = self._dials[0].elapsed + limit
        await self.settle()
        while goes_on():
            due = self._next_due()
            if due is None or due > end + 1e-9:
                why = "nobody waits for the clock" if due is None else f"{limit:g} s have passed"
                raise AssertionError(f"{what}: it has not come by {self._dials[0].now()}, and {why}")
            await self._move_to(due)

    async def settle(self) -> None:
        """Let the event loop run until no task can go on before time does."""
        while True:
            await self._settle_tasks()
            busy = self._calls_in_threads()
            if not busy:
                return
            await self._wait_for_threads(busy)

    async def _settle_tasks(self) -> None:
        ready = _ready_calls()
        limit = QUIET_TURNS if ready is None else SPINNING_TURNS
        quiet = 0
        while quiet < limit:
            before = self._asked
            await asyncio.sleep(0)
            if ready is not None and not ready:
                return
            quiet = quiet + 1 if before == self._asked else 0

    def _calls_in_threads(self) -> dict[asyncio.Future[Any], str]:
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

    async def _move_to(self, due: float) -> None:
        self._show(due)
        for dial in tuple(self._dials):
            dial.make_due_calls()
        await self.settle()

    def _show(self, elapsed: float) -> None:
        for dial in self._dials:
            if dial.elapsed < elapsed:
                dial.elapsed = elapsed


def _ready_calls() -> deque[object] | None:
    """Return what the running event loop is about to call; ``None``: it does not tell."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    return ready if isinstance(ready, deque) else None
