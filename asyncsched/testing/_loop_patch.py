"""Owns how asyncio's own timers come to follow a fake clock: those that runs set, and no others.

What a test awaits by itself, its time limits and those of its framework go on in real time: who asks is told apart by
the context that asyncio gives to every task.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asyncsched._run import current_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextvars import Context

    from asyncsched.testing._dial import Dial
    from asyncsched.testing._drive import Drive

PATCHED = ("time", "call_at", "call_later", "run_in_executor")


class DialTimer(asyncio.TimerHandle):
    """What ``loop.call_at`` returns to those whose time is a dial's."""

    def __init__(
        self,
        dial: Dial,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self._call = dial.call_later(when - dial.monotonic(), self._run)

    def cancel(self) -> None:
        """Forget the call."""
        self._call.cancel()
        super().cancel()


class DueTimer(asyncio.TimerHandle):
    """The same, where the time has come already: a turn of the loop is enough."""

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self._call = loop.call_soon(self._run)

    def cancel(self) -> None:
        """Forget the call."""
        self._call.cancel()
        super().cancel()


class LoopPatch:
    """The methods that an event loop has instead of its own while it is patched."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, drive: Drive, dial_of_caller: Callable[[], Dial | None]
    ) -> None:
        self._loop = loop
        self._drive = drive
        self._dial_of_caller = dial_of_caller
        self._real_time, self._real_call_at, self._real_run_in_executor = loop.time, loop.call_at, loop.run_in_executor

    def time(self) -> float:
        dial = self._dial_of_caller()
        return self._real_time() if dial is None else dial.monotonic()

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        dial = self._dial_of_caller()
        if dial is None:
            return self._real_call_at(when, callback, *args, context=context)
        if when <= dial.monotonic():
            return DueTimer(when, callback, args, self._loop, context)
        return DialTimer(dial, when, callback, args, self._loop, context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        call = self._real_run_in_executor(executor, function, *args)
        run = current_run()
        if run is not None:
            self._drive.note_executor_call(call, run)
        return call


@contextmanager
def patched_loop(drive: Drive, dial_of_caller: Callable[[], Dial | None]) -> Iterator[None]:
    """Let the running loop's timers follow the dial of who sets them; ``None``: real time.

    That is ``loop.time``, ``call_later`` and ``call_at``, and so ``asyncio.sleep``, ``timeout`` and ``wait_for``, and
    those of anyio. What is given to ``loop.run_in_executor``, as by ``asyncio.to_thread``, is waited for in real time.
    """
    loop = asyncio.get_running_loop()
    patch = LoopPatch(loop, drive, dial_of_caller)
    before = {name: vars(loop)[name] for name in PATCHED if name in vars(loop)}
    vars(loop).update({name: getattr(patch, name) for name in PATCHED})
    try:
        yield
    finally:
        for name in PATCHED:
            del vars(loop)[name]
        vars(loop).update(before)
