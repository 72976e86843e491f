"""The contestants, one module each: a class ``Contest`` that registers periodic jobs in one process, or, in the modules
``cluster_*``, a coroutine ``serve`` that is one node of a cluster. ``docs/benchmarks.md`` says how each is set up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Handler = Callable[[], Awaitable[None]]


class UnsupportedError(Exception):
    """The contestant cannot do the scenario; the message says why."""


class LocalContest(Protocol):
    """Registers jobs and runs them in this process. ``first_at`` (wall seconds) and ``interval`` describe a grid of
    fire times, which may have begun long ago."""

    def add(self, handler: Handler, first_at: float, interval: float) -> Awaitable[object] | None: ...

    async def start(self) -> None: ...
