"""Owns the answer to Ctrl-C and SIGTERM while a scheduler is a program's main thing. Knows nothing of schedulers."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from asyncsched.exceptions import ConfigurationError


@contextmanager
def answered(signals: Iterable[int], answer: Callable[[], None]) -> Iterator[None]:
    """Call ``answer`` on the running loop at each of ``signals``, and put the earlier handlers back afterwards.

    Python delivers signals to the main thread only, so elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def deliver(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(answer)

    before: dict[int, object] = {}
    try:
        for number in _checked(signals):
            before[number] = _install(number, deliver)
        yield
    finally:
        for number, handler in before.items():
            # None: installed by something other than Python, which cannot be put back from here
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]


def _checked(signals: object) -> list[int]:
    if not isinstance(signals, Iterable) or isinstance(signals, str | bytes):
        raise ConfigurationError(f"signals {signals!r} is no collection of signal numbers; () answers none")
    return list(signals)


def _install(number: int, handler: Callable[[int, object], None]) -> object:
    try:
        return signal.signal(number, handler)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"signals: {number!r} cannot be answered: {error}") from None
