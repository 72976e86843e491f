"""Owns how logging and runs meet: the filter that stamps the service's own records, and a logger that cannot harm."""

from __future__ import annotations

import logging
import traceback

from asyncsched._run import current_run
from asyncsched.exceptions import ConfigurationError


class RunFilter(logging.Filter):
    """Stamps log records with ``job``, ``run_id`` and ``trace_id`` of the current run, ``"-"`` where there is none.

    Put it on a handler of the service's own logging, and its format may name ``%(trace_id)s``. It keeps every record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Stamp the record, unless it was stamped where it was made."""
        run = current_run()
        for name in ("job", "run_id", "trace_id"):
            if not hasattr(record, name):
                setattr(record, name, "-" if run is None else getattr(run, name))
        return True


class SafeLogger(logging.LoggerAdapter[logging.Logger]):
    """The engine's way to log: a filter or a handler that raises is told to stderr and never reaches the engine."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, None)

    def log(self, level: int, msg: object, *args: object, **kwargs: object) -> None:
        """Log, or say on stderr why not, as ``logging`` itself does."""
        try:
            self.logger.log(level, msg, *args, stacklevel=2, **kwargs)  # type: ignore[arg-type]
        except Exception:
            if logging.raiseExceptions:
                traceback.print_exc()


def checked_logger(logger: object) -> SafeLogger:
    """Return the engine's way to log to ``logger``; to the logger ``asyncsched`` if none is given.

    Raises:
        ConfigurationError: it is no logger.
    """
    if logger is None:
        return SafeLogger(logging.getLogger("asyncsched"))
    if not isinstance(logger, logging.Logger):
        raise ConfigurationError(f"logger {logger!r} is not a logging.Logger")
    return SafeLogger(logger)
