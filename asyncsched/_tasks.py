"""Owns what asyncio leaves to its users about cancelling tasks, and about calls from other threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def is_being_cancelled() -> bool:
    """Return whether somebody cancels this task: if not, a ``CancelledError`` was raised by what it calls."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def cancel_until_ended(*tasks: asyncio.Future[Any], again_after: float = 0.5) -> None:
    """Cancel ``tasks`` until they have ended: a client library may swallow a cancellation that comes in mid-command.

    It waits in real time, whatever the scheduler's clock: what it bounds is the work of the event loop itself.

    Args:
        tasks: what is to end.
        again_after: seconds after which those that have not ended are cancelled once more.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=again_after)


def on_loop(loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
    """Do ``action`` on the event loop: now if the caller is on it, soon if it is in a thread."""
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop:
        action()
    else:
        loop.call_soon_threadsafe(action)
