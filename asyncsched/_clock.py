"""Owns real time: the only module that reads a clock or waits for one.

Two clocks, two questions: the wall clock says *when* a job is due, the monotonic clock says *how long* a lease, a delay
or a retry takes. The event loop's own timers count on a clock that stands still while the machine sleeps and knows
nothing of steps of the wall clock, so no timer of the loop is ever set further ahead than ``SLICE``: a step, or the
end of a suspend, is noticed within that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Self, cast

from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

    from asyncsched.protocols import Clock

SLICE = 1.0
"""Longest wait, in seconds, between two looks at the clocks while somebody waits for one of them."""


FEW_CALLS = 100
"""Pending calls up to which cancelled ones among them do no harm."""


def chosen_boottime() -> Callable[[], float]:
    """Return what reads the seconds that go on while the system sleeps, where it has such a clock; else
    ``time.monotonic``. No function of Python's own: each run asks twice."""
    return partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


boottime = chosen_boottime()


def now_us(clock: Clock) -> int:
    """Return the clock's wall time in microseconds since the epoch, never rounded up.

    ``us / 1e6 <= clock.time()`` holds for the result and for no larger one, so a timer that was set for ``us / 1e6``
    always finds its tick due, and nothing is due before.
    """
    now = clock.time()
    us = int(now * 1e6) + 1
    while us / 1e6 > now:
        us -= 1
    return us


async def sleep(clock: Clock, delay: float) -> None:
    """Wait ``delay`` seconds of the clock's monotonic time."""
    woken = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    call = clock.call_later(delay, wake)
    try:
        await woken
    finally:
        call.cancel()


async def wait_until_set(clock: Clock, event: asyncio.Event, timeout: float) -> bool:
    """Wait for ``event``, at most ``timeout`` seconds of the clock's monotonic time; return whether it is set."""
    if not event.is_set() and timeout > 0:
        # setting another's event would lie to its other waiters: race the two on an event of our own
        either = asyncio.Event()
        waiter = asyncio.ensure_future(event.wait())
        waiter.add_done_callback(lambda _: either.set())
        call = clock.call_later(timeout, either.set)
        try:
            await either.wait()
        finally:
            call.cancel()
            waiter.cancel()
    return event.is_set()


class TimeLimit:
    """Cancels what is awaited inside of it after ``delay`` seconds of the clock's monotonic time, and takes back that
    cancellation at its end, as ``asyncio.timeout`` does. What does not heed a cancellation is waited for.

    Args:
        on_over: called when the time is over, before the cancellation.
    """

    __slots__ = ("_call", "_cancelling", "_clock", "_delay", "_on_over", "_task", "is_over")

    def __init__(self, clock: Clock, delay: float, on_over: Callable[[], object] | None = None) -> None:
        self._clock = clock
        self._delay = delay
        self._on_over = on_over
        self.is_over = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._call = self._clock.call_later(self._delay, self._end)
        return self

    def _end(self) -> None:
        self.is_over = True
        if self._on_over is not None:
            self._on_over()
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Swallow the cancellation if it was this limit's, and nobody else's as well."""
        self._call.cancel()
        if not self.is_over:
            return False
        is_alone = self._task.uncancel() <= self._cancelling
        return is_alone and kind is not None and issubclass(kind, asyncio.CancelledError)


class PendingCall:
    """A call to come. A cancelled one stays in its heap for a while, or until it comes up."""

    __slots__ = ("_queue", "callback")

    def __init__(self, callback: Callable[[], object], queue: CallQueue) -> None:
        self.callback: Callable[[], object] | None = callback
        self._queue = queue

    def cancel(self) -> None:
        """Forget the call."""
        if self.callback is not None:
            self.callback = None
            self._queue.cancelled(self)


class CallQueue:
    """The pending calls of one clock, by their instant on it.

    Time limits are nearly all cancelled long before they come up, so the heap is rid of such calls whenever it has
    grown to twice of what was left the last time.

    Args:
        on_first_cancelled: called when the first of them is cancelled.
    """

    def __init__(self, on_first_cancelled: Callable[[], object] = lambda: None) -> None:
        self._on_first_cancelled = on_first_cancelled
        self._heap: list[tuple[float, int, PendingCall]] = []
        self._order = count()
        self._most = FEW_CALLS

    def push(self, when: float, callback: Callable[[], object]) -> PendingCall:
        """Add a call for the instant ``when``."""
        call = PendingCall(callback, self)
        heappush(self._heap, (when, next(self._order), call))
        if len(self._heap) > self._most:
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapify(self._heap)
            self._most = max(2 * len(self._heap), FEW_CALLS)
        return call

    def cancelled(self, call: PendingCall) -> None:
        """Hear that a call was cancelled."""
        if self._heap and self._heap[0][2] is call:
            self._on_first_cancelled()

    def next_at(self) -> float | None:
        """Return the instant of the next call, or ``None``."""
        heap = self._heap
        while heap:
            when, _, call = heap[0]
            if call.callback is not None:
                return when
            heappop(heap)
        return None

    def pop_due(self, now: float) -> list[PendingCall]:
        """Remove and return the calls whose instant is not after ``now``, in order."""
        due = []
        while (when := self.next_at()) is not None and when <= now:
            due.append(heappop(self._heap)[2])
        return due


def make_calls(calls: list[PendingCall]) -> None:
    """Make each call, unless an earlier one of the list has cancelled it; raise the first error after the last call."""
    failure: BaseException | None = None
    for call in calls:
        if call.callback is not None:
            try:
                call.callback()
            except BaseException as error:
                failure = failure or error
    if failure is not None:
        raise failure


class SystemClock:
    """The machine's clocks, waited for on the running event loop with a single timer."""

    time = staticmethod(time.time)
    """Returns the wall clock: seconds since the Unix epoch."""
    monotonic = staticmethod(boottime)
    """Returns seconds that are never set back and count the time a system sleeps, where it has such a clock."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._walls, self._monotonics = self._new_queues()

    def _new_queues(self) -> tuple[CallQueue, CallQueue]:
        return CallQueue(self._wait_anew), CallQueue(self._wait_anew)

    def call_at(self, when: float, callback: Callable[[], object]) -> PendingCall:
        """Call back once the wall clock has reached ``when`` (seconds since the epoch), never before."""
        self._adopt_running_loop()
        call = self._walls.push(when, callback)
        self._arm(when - self.time())
        return call

    def call_later(self, delay: float, callback: Callable[[], object]) -> PendingCall:
        """Call back after ``delay`` seconds of monotonic time, never before."""
        self._adopt_running_loop()
        call = self._monotonics.push(self.monotonic() + delay, callback)
        self._arm(delay)
        return call

    def _adopt_running_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # calls made on an earlier loop ended with it
            self._loop, self._timer = loop, None
            self._walls, self._monotonics = self._new_queues()

    def _arm(self, wait: float) -> None:
        """Make sure of a look at the clocks within ``wait`` seconds, or ``SLICE``."""
        assert self._loop is not None
        wait = min(max(wait, 0.0), SLICE)
        at = self._loop.time() + wait
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._wake), at

    def _wake(self) -> None:
        self._timer = None
        try:
            make_calls(self._monotonics.pop_due(self.monotonic()) + self._walls.pop_due(self.time()))
        finally:
            self._arm_for_next()

    def _wait_anew(self) -> None:
        """Wait for the next call after the first one was cancelled: to wake up for nothing costs more than that."""
        if self._timer is not None and self._loop is not None and not self._loop.is_closed():
            self._timer.cancel()
            self._timer = None
            self._arm_for_next()

    def _arm_for_next(self) -> None:
        wall_at, monotonic_at = self._walls.next_at(), self._monotonics.next_at()
        if wall_at is not None:
            self._arm(wall_at - self.time())
        if monotonic_at is not None:
            self._arm(monotonic_at - self.monotonic())


def checked_clock(clock: object) -> Clock:
    """Return a clock, the machine's if none is given.

    Raises:
        ConfigurationError: it is none.
    """
    if clock is None:
        return SystemClock()
    methods = ("time", "monotonic", "call_at", "call_later")
    if isinstance(clock, type) or not all(callable(getattr(clock, method, None)) for method in methods):
        raise ConfigurationError(f"clock {clock!r} is no clock: it needs the methods {', '.join(methods)}")
    return cast("Clock", clock)
