"""The library's exceptions, one tree.

    SchedulerError
    ├── ConfigurationError (ValueError)    a value or a combination that the rules refuse
    │   └── DuplicateJobError              a job name given twice
    ├── UnknownJobError (KeyError)         a job name that nobody registered
    └── StoreUnavailableError              the store did not decide within its bound

Every message names the value and the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SchedulerError(Exception):
    """Base of every error that asyncsched raises by itself."""


class ConfigurationError(SchedulerError, ValueError):
    """A value, or a combination of values, that the rules refuse."""


class DuplicateJobError(ConfigurationError):
    """A job name that is already registered with this scheduler."""


class UnknownJobError(SchedulerError, KeyError):
    """A job name that is not registered with this scheduler."""

    def __init__(self, name: object, known: Iterable[str] = ()) -> None:
        import difflib

        self.name = name
        self._near = difflib.get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
        hint = f" (did you mean {self._near[0]!r}?)" if self._near else ""
        super().__init__(f"no job is named {name!r}{hint}")

    def __reduce__(self) -> tuple[type[UnknownJobError], tuple[object, list[str]]]:
        """Let it be copied and pickled by what it was made of."""
        return type(self), (self.name, self._near)

    def __str__(self) -> str:
        """Return the message itself: ``KeyError`` would put it in quotes."""
        return str(self.args[0])


class StoreUnavailableError(SchedulerError):
    """The store did not answer, or could not decide, within its time bound."""
