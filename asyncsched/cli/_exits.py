"""Owns the exit codes, and what becomes of an error: one line that says what to do. Knows no command."""

from __future__ import annotations

from enum import IntEnum

from asyncsched.cli._text import one_line
from asyncsched.exceptions import SchedulerError, StoreUnavailableError, UnknownJobError


class Exit(IntEnum):
    """How the command line ends. `docs/cli.md` lists them; a test compares."""

    OK = 0
    """Done; for ``run`` and ``watch`` also Ctrl-C, which is how they end."""
    FAILED = 1
    """It was understood and could not be done: an unknown job, an order that no node took, a run that failed."""
    USAGE = 2
    """It was not understood, or what was named cannot be used: an option, a URL, an app that cannot be loaded."""
    STORE = 3
    """The store does not answer, or refuses."""
    FINDINGS = 4
    """``doctor`` has found an error."""
    INTERRUPTED = 130
    """Ctrl-C."""
    CLOSED = 141
    """Whoever read the output has closed it, as ``head`` does."""


class Refusal(Exception):  # noqa: N818 - it is how a command ends, not a fault of the program
    """Ends a command with one line, and a code."""

    def __init__(self, line: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(line)
        self.line = line
        self.code = code


def refusal_of(error: Exception) -> Refusal | None:
    """Return how an error ends a command; ``None``: it is a fault of the program, and its traceback is wanted."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, StoreUnavailableError):
        return Refusal(f"{one_line(str(error))}; is it up, and may this host reach it?", Exit.STORE)
    if isinstance(error, UnknownJobError):
        return Refusal(f"{one_line(str(error))}; `asyncsched list` has the names")
    if isinstance(error, SchedulerError):
        return Refusal(one_line(str(error)))
    return None
