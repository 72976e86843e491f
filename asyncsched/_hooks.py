"""Owns what a hook may be: a function that a job has called before or after its runs. Knows nothing of when."""

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

    async def call(self, argument: object, threads: CapacityLimiter) -> None:
        """Call it, a plain function in one of the worker threads; raises what it raises."""
        call = partial(self.function, argument) if self.shape.wants_argument else self.function
        if self.shape.is_async:
            await call()  # type: ignore[misc]
        else:
            await in_thread(call, threads)

    def __str__(self) -> str:
        """Tell it as it is called."""
        return f"{self.when}({getattr(self.function, '__qualname__', repr(self.function))})"


def checked_hook(when: str, function: HookFunction, job: str) -> Hook:
    """Return the hook of this function.

    Raises:
        ConfigurationError: it is no function, or wants other arguments than none or one.
    """
    argument = "the TickSkipped" if when == "on_skipped" else "the Run"
    return Hook(when, function, function_shape(function, job, what=f"hook {when}()", argument=argument))
