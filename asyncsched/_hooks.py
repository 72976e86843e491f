"""Owns what a hook may be: a function that a job has called before or after its runs, or asked whether there shall be
one. Knows nothing of when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from asyncsched._handlers import Shape, function_shape, in_thread

if TYPE_CHECKING:
    from anyio import CapacityLimiter

HookFunction = Callable[..., object]
"""Async or plain; it takes no argument, or one."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook of a job."""

    when: str
    """The policy that it was given to."""
    function: HookFunction
    shape: Shape

    async def call(self, argument: object, threads: CapacityLimiter) -> object:
        """Call it, a plain function in one of the worker threads; returns and raises what it does."""
        call = partial(self.function, argument) if self.shape.wants_argument else self.function
        return await (call() if self.shape.is_async else in_thread(call, threads))  # type: ignore[misc]

    def __str__(self) -> str:
        """Tell it as it is called."""
        return f"{self.when}({getattr(self.function, '__qualname__', repr(self.function))})"


def checked_hook(when: str, function: HookFunction, job: str, *, what: str = "hook") -> Hook:
    """Return the hook of this function; ``what`` it is, for messages.

    Raises:
        ConfigurationError: it is no function, or wants other arguments than none or one.
    """
    argument = "the TickSkipped" if when == "on_skipped" else "the Run"
    return Hook(when, function, function_shape(function, job, what=f"{what} {when}()", argument=argument))
