"""Owns who is told of which event. Knows nothing of what the events mean."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from asyncsched._logs import SafeLogger
from asyncsched._side_tasks import SideTasks
from asyncsched._tasks import is_being_cancelled
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from asyncsched.events import Event

Subscriber = Callable[["Event"], object]


class EventBus:
    """Calls the subscribers of an event, each on its own: what one raises is logged and reaches nobody else."""

    def __init__(self, logger: SafeLogger) -> None:
        self._logger = logger
        self._subscribers: list[tuple[Subscriber, tuple[type[Event], ...]]] = []
        self._wanted: dict[type[Event], bool] = {}
        self.beside = SideTasks()
        """Async subscribers at work, and whatever else a stop has to wait for as well."""
        self.is_heard = False
        """Whether there are subscribers at all: the cheapest question, for the path that every run takes."""

    def subscribe(self, callback: Subscriber, *types: type[Event]) -> Callable[[], None]:
        """Call ``callback`` for each event of ``types`` (none: all) and return what ends that.

        Raises:
            ConfigurationError: ``callback`` cannot be called, or a type is no event type.
        """
        from asyncsched.events import Event

        if not callable(callback):
            raise ConfigurationError(f"subscribe(): {callback!r} cannot be called")
        for event_type in types:
            if not (isinstance(event_type, type) and issubclass(event_type, Event)):
                raise ConfigurationError(f"subscribe(): {event_type!r} is not one of the types of asyncsched.events")
        entry = (callback, types or (Event,))
        self._subscribers.append(entry)
        self._changed()

        def unsubscribe() -> None:
            if entry in self._subscribers:
                self._subscribers.remove(entry)
                self._changed()

        return unsubscribe

    def _changed(self) -> None:
        self._wanted.clear()
        self.is_heard = bool(self._subscribers)

    def wants(self, event_type: type[Event]) -> bool:
        """Return whether anyone would be told of such an event: if not, it need not be made."""
        wanted = self._wanted.get(event_type)
        if wanted is None:
            wanted = any(issubclass(event_type, types) for _, types in self._subscribers)
            self._wanted[event_type] = wanted
        return wanted

    def emit(self, event: Event) -> None:
        """Tell everyone who wants to know."""
        for callback, types in tuple(self._subscribers):
            if isinstance(event, types):
                try:
                    result = callback(event)
                except KeyboardInterrupt:
                    raise
                except (
                    BaseException
                ):  # a CancelledError or SystemExit of a subscriber's must not look like the engine's
                    self._log_failure(callback, event)
                else:
                    if result is not None and inspect.isawaitable(result):
                        self.beside.start(self._await(callback, event, result))

    async def _await(self, callback: Subscriber, event: Event, result: Awaitable[object]) -> None:
        try:
            await result
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not (isinstance(error, asyncio.CancelledError) and is_being_cancelled()):
                self._log_failure(callback, event)

    def _log_failure(self, callback: Subscriber, event: Event) -> None:
        self._logger.exception("subscriber %r failed on %s; it goes on being called", callback, type(event).__name__)
