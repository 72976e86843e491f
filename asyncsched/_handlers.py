"""Owns the four forms of a handler: which form a given object has, and how each is called.

    async function    awaited in the run's task
    plain function    called in a worker thread
    protocol object   exec, error and done awaited side by side
    protocol class    the same, on a fresh instance for every run

Knows nothing of claims, leases and accounting: to it, a run is what it passes to the handler.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from asyncsched._run import MOST_ERRORS, Run, current_run
from asyncsched._tasks import is_being_cancelled
from asyncsched.exceptions import ConfigurationError
from asyncsched.protocols import Handler

if TYPE_CHECKING:
    from anyio import CancelScope, CapacityLimiter

Invoke = Callable[[Any, Run], Awaitable[object]]
"""Calls a handler of one form for one run."""

FORMS = "an async function, a plain function, or an object or a class with the methods exec, error and done"
PROTOCOL = ("exec", "error", "done")
THREAD_NAME = "asyncsched-thread"
"""Begins the name of a task that waits for a plain function in its thread; the run's id and its job follow. A fake
clock looks for it: time must not pass by what is at work in real time."""


def invoker(handler: object, job: str) -> Invoke:
    """Return the function that calls ``handler``.

    Raises:
        ConfigurationError: ``handler`` has none of the four forms, or wants other arguments than none or the context.
    """
    if inspect.iscoroutine(handler):
        handler.close()
        raise ConfigurationError(
            f"job {job!r}: the handler is a coroutine; pass the function itself, without calling it"
        )
    methods = [callable(getattr(handler, name, None)) for name in PROTOCOL]
    if all(methods):
        return _class_invoker(handler, job) if inspect.isclass(handler) else invoke_object
    if any(methods):
        raise ConfigurationError(f"job {job!r}: {handler!r} is no handler: it must be {FORMS}")
    if _is_simple(handler) and handler.__code__.co_flags & _KINDS == inspect.CO_COROUTINE:
        return invoke_async  # what nearly all are, found out at a fraction of the price
    shape = function_shape(handler, job, forms=FORMS)
    if shape.is_async:
        return invoke_async_with_context if shape.wants_argument else invoke_async
    return invoke_in_thread_with_context if shape.wants_argument else invoke_in_thread


_KINDS = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _is_simple(handler: object) -> TypeGuard[FunctionType]:
    """Whether it is a function of Python's own that stands for no other and takes nothing."""
    if type(handler) is not FunctionType or hasattr(handler, "__wrapped__"):
        return False
    code = handler.__code__
    return not code.co_argcount and not code.co_kwonlyargcount


class Shape(NamedTuple):
    """How a function is called."""

    is_async: bool
    wants_argument: bool


def function_shape(
    function: object,
    job: str,
    *,
    what: str = "handler",
    argument: str = "the RunContext",
    forms: str = "an async or a plain function",
) -> Shape:
    """Return how ``function`` is called.

    Args:
        what: it is to the job, and
        argument: that it may take, and
        forms: that it may have: for messages.

    Raises:
        ConfigurationError: it is no function, or wants other arguments than none or one.
    """
    if inspect.isclass(function) or not callable(function):
        raise ConfigurationError(f"job {job!r}: {function!r} is no {what}: it must be {forms}")
    called = function if inspect.isroutine(function) or _is_partial(function) else type(function).__call__
    if inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
        raise ConfigurationError(f"job {job!r}: {function!r} is a generator; a {what} must be {forms}")
    return Shape(inspect.iscoroutinefunction(called), _wants_argument(function, job, what, argument))


def _is_partial(handler: object) -> bool:
    return isinstance(handler, functools.partial)


def _class_invoker(handler: type, job: str) -> Invoke:
    try:
        inspect.signature(handler).bind()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"job {job!r}: {handler!r} cannot be made without arguments ({error}); give an instance"
        ) from None
    return invoke_class


def _wants_argument(handler: Callable[..., object], job: str, what: str, argument: str) -> bool:
    if _is_simple(handler):  # by far the most common: spares a signature
        return False
    try:
        parameters = inspect.signature(handler).parameters.values()
    except ValueError:  # some builtins do not tell
        raise ConfigurationError(
            f"job {job!r}: the {what} {handler!r} does not tell its arguments; wrap it in a function"
        ) from None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(required) > 1 or any(p.kind is p.KEYWORD_ONLY for p in required):
        names = ", ".join(p.name for p in required)
        raise ConfigurationError(
            f"job {job!r}: the {what} requires the arguments ({names}); it may take none or one, {argument}"
        )
    return bool(required) or bool(positional and positional[0].name == "ctx")


def invoke_async(handler: Callable[[], Awaitable[object]], _run: Run) -> Awaitable[object]:
    """Call an async function without parameters."""
    return handler()


def invoke_async_with_context(handler: Callable[[Run], Awaitable[object]], run: Run) -> Awaitable[object]:
    """Call an async function of the run's context."""
    return handler(run)


def invoke_in_thread(handler: Callable[[], object], run: Run) -> Awaitable[object]:
    """Call a plain function in a worker thread."""
    return in_thread(handler, run.origin.threads())


def invoke_in_thread_with_context(handler: Callable[[Run], object], run: Run) -> Awaitable[object]:
    """Call a plain function of the run's context in a worker thread."""
    return in_thread(functools.partial(handler, run), run.origin.threads())


def in_thread(call: Callable[[], object], threads: CapacityLimiter) -> Awaitable[object]:
    """Make a call in one of the worker threads, and wait for its end, whatever becomes of the caller. Gives what it
    returns, awaited if it can be."""
    return _ThreadCall(call).wait_ended(threads)


class _ThreadCall:
    """A call in a worker thread. A thread cannot be cancelled, so waiting for it ends only when it has ended: until
    then the run is in progress and keeps its locks, whatever was asked of it, and even if every task is cancelled."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._turn = threading.Lock()  # whoever takes it first: the thread begins, or the run gives the call up
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[tuple[object, BaseException | None]] = self._loop.create_future()

    def _in_thread(self) -> None:
        if not self._turn.acquire(blocking=False):
            return
        result: object = None
        failure: BaseException | None = None
        try:
            result = self._call()
        except BaseException as error:
            # handed over as a value: a SystemExit raised in a task of its own would end the event loop
            failure = error
        with suppress(RuntimeError):  # the loop was closed over a thread that outlived it
            self._loop.call_soon_threadsafe(self._end, result, failure)

    def _end(self, result: object, failure: BaseException | None) -> None:
        if not self._ended.done():
            self._ended.set_result((result, failure))

    def _not_started(self, work: asyncio.Future[None]) -> None:
        if not work.cancelled() and (error := work.exception()) is not None:
            self._end(None, error)

    async def wait_ended(self, threads: CapacityLimiter) -> object:
        from anyio import to_thread

        run = current_run()
        of_run = "" if run is None else f" {run.run_id} {run.job}"
        call = to_thread.run_sync(self._in_thread, limiter=threads)
        work = asyncio.get_running_loop().create_task(call, name=THREAD_NAME + of_run)
        work.add_done_callback(self._not_started)
        cancelled = False
        while True:
            try:
                result, failure = await asyncio.shield(self._ended)
                await asyncio.wait([work])  # the thread is on its way back to its pool: leave no task behind
                break
            except asyncio.CancelledError:
                if self._turn.acquire(blocking=False):  # it still waits for a free thread
                    work.cancel()
                    raise
                cancelled = True
        if failure is not None:
            raise failure
        if inspect.isawaitable(result):  # such as `lambda: work()` of an async function
            return await self._go_on(result, cancelled=cancelled)
        return result

    async def _go_on(self, result: Awaitable[object], *, cancelled: bool) -> object:
        if cancelled:  # it was asked to end while the thread worked: that counts for what would follow
            if inspect.iscoroutine(result):
                result.close()
            raise asyncio.CancelledError
        return await result


class Channel:
    """What the two sides of one run of a protocol handler tell each other."""

    __slots__ = ("errors", "exec_returned", "finished", "held", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.exec_returned = asyncio.Event()
        self.held = False
        self.finished = asyncio.Event()


def invoke_class(handler: Callable[[], Handler], run: Run) -> Awaitable[object]:
    """Make a fresh instance and carry the run out on it."""
    return invoke_object(handler(), run)


def invoke_object(handler: Handler, run: Run) -> Awaitable[object]:
    """Await ``exec``, ``error`` and ``done`` of a protocol handler side by side.

    Ends when ``exec`` has returned and ``done`` has resolved. Raises at once what ``exec`` raises, and what ``done`` or
    ``error`` themselves raise.
    """
    return _ProtocolRun(handler, run).wait_ended()


class _ProtocolRun:
    """One run of a protocol handler: ``exec`` in the run's own task, ``error`` and ``done`` in tasks beside it."""

    def __init__(self, handler: Handler, run: Run) -> None:
        self._handler = handler
        self._run = run
        self._channel = run.with_side().channel = Channel()
        self._completed = asyncio.Event()
        self._failures: list[BaseException] = []

    async def wait_ended(self) -> None:
        from anyio import create_task_group

        try:
            async with create_task_group() as group:
                group.start_soon(self._beside, self._collect_errors, group.cancel_scope)
                group.start_soon(self._beside, self._wait_done, group.cancel_scope)
                await self._exec()
                group.cancel_scope.cancel()
        except asyncio.CancelledError:
            if not self._failures:
                raise  # else what was raised in the course of being cancelled counts, as it does for a function
        if self._failures:
            self._run.errors += tuple(self._failures[1:])
            raise self._failures[0]

    async def _exec(self) -> None:
        try:
            await self._handler.exec(self._run)
            self._channel.exec_returned.set()
            await self._completed.wait()
            await _settle_errors(self._run)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failures.insert(0, error)

    async def _beside(self, life: Callable[[], Awaitable[None]], scope: CancelScope) -> None:
        """Carry ``life`` out in a task of its own; what it raises ends the run, and is raised in the run's task: that
        knows what to do with each class of it."""
        try:
            await life()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            self._failures.append(error)
            scope.cancel()

    async def _wait_done(self) -> None:
        await self._handler.done()
        self._completed.set()

    async def _collect_errors(self) -> None:
        while True:
            error = await self._handler.error()
            if not isinstance(error, Exception):
                raise TypeError(f"error() of {self._handler!r} returned {error!r}, which is no exception")
            self._run.report(error)
            await asyncio.sleep(0)  # an error() that never waits must not take the loop for itself


async def _settle_errors(run: Run) -> None:
    """Give errors that were reported before the end the few turns of the loop that they need to arrive."""
    for _ in range(MOST_ERRORS):
        before = len(run.errors)
        for _ in range(5):
            await asyncio.sleep(0)
        if len(run.errors) == before:
            return
