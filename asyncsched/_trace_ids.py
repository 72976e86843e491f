"""Owns where the trace id of a run comes from: a function, a tracing, or chance. Knows nothing of what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._run import new_id
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncsched._handlers import Invoke
    from asyncsched._logs import SafeLogger
    from asyncsched._run import Run
    from asyncsched.protocols import Tracing


class TraceIds:
    """Gives each run of one scheduler its trace id, and lets its handler run in what a tracing has set up.

    Args:
        make: gives an id; ``None``: 32 random hex digits.
        logger: told of what ``make`` or a tracing does wrong; the run has a default id then.

    Raises:
        ConfigurationError: ``make`` cannot be called.
    """

    def __init__(self, make: Callable[[], str] | None, logger: SafeLogger) -> None:
        if make is not None and not callable(make):
            raise ConfigurationError(f"trace_id {make!r} cannot be called; it must be a function that gives a new id")
        self._source: object = make
        self._give: Callable[[Run], str] | None = None if make is None else lambda _run: make()
        self._logger = logger
        self._tracing: Tracing | None = None

    def come_from(self, tracing: Tracing) -> None:
        """Let ``tracing`` give the ids from now on.

        Raises:
            ConfigurationError: it is none, or there are ids from elsewhere.
        """
        if not all(callable(getattr(tracing, method, None)) for method in ("trace_id", "enter")):
            raise ConfigurationError(f"trace_runs(): {tracing!r} is no tracing: it needs the methods trace_id, enter")
        if self._source is not None:
            raise ConfigurationError(
                f"trace_runs({tracing!r}): trace ids come from {self._source!r} already; the rule is one source"
            )
        self._source = self._tracing = tracing
        self._give = tracing.trace_id

    def of(self, run: Run) -> str:
        """Return a new trace id for a run that has none."""
        if self._give is None:
            return new_id()
        try:
            value: object = self._give(run)
        except Exception:
            self._logger.exception("trace_id %r failed; a default id is used", self._source)
            return new_id()
        if not isinstance(value, str) or not value:
            self._logger.error("trace_id %r gave %r, which is no id; a default id is used", self._source, value)
            return new_id()
        return value

    def triggered(self, run: Run) -> None:
        """Give a run its id in the context of who asked for it."""
        if self._tracing is not None:
            run.trace_id  # noqa: B018 - asking is what makes it

    def traced(self, invoke: Invoke) -> Invoke:
        """Return what calls a handler in what the tracing sets up: ``invoke`` itself, where there is none."""
        tracing = self._tracing
        if tracing is None:
            return invoke

        def enter(handler: object, run: Run) -> Awaitable[object]:  # not async: no frame in the handler's tracebacks
            try:
                tracing.enter(run)
            except Exception:
                self._logger.exception("job=%s runs without its tracing %r, which failed", run.job, tracing)
            return invoke(handler, run)

        return enter
