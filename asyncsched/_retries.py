"""Owns when a run that failed is tried again, and after which wait. Knows nothing of carrying that out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from asyncsched._durations import Duration, seconds
from asyncsched._extras import needed
from asyncsched.exceptions import ConfigurationError

Backoff = Duration | tuple[Duration, Duration]
Retriable = type[Exception] | tuple[type[Exception], ...] | Callable[[BaseException], bool]
"""Which errors are worth another attempt: of these types, or those for which the function says so."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """What ``Job.retry`` was given."""

    attempts: int
    """Tries in all."""
    backoff: float | tuple[float, float]
    on: Retriable
    _wait: Any = field(compare=False)
    """A wait strategy of tenacity."""

    @property
    def shortest_wait(self) -> float:
        """The least number of seconds between two attempts."""
        return self.backoff[0] if isinstance(self.backoff, tuple) else self.backoff

    def wait_after(self, failed: int) -> float:
        """Return the seconds to wait after so many failed attempts."""
        tenacity = _tenacity()
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = failed
        return float(self._wait(state))

    def applies_to(self, error: BaseException) -> bool:
        """Return whether an attempt that failed with ``error`` is worth another one. May raise what ``on`` raises."""
        if isinstance(self.on, type | tuple):
            return isinstance(error, self.on)
        return bool(self.on(error))

    def __str__(self) -> str:
        """Tell it as it is called."""
        backoff = self.backoff
        shown = f"({backoff[0]:g}, {backoff[1]:g})" if isinstance(backoff, tuple) else f"{backoff:g}"
        on = "" if self.on is Exception else f", on={_named(self.on)}"
        return f"retry({self.attempts}, backoff={shown}{on})"


def checked_retry(attempts: object, backoff: object, on: object) -> RetryRule:
    """Return the rule of these values.

    Raises:
        ConfigurationError: a value against its rule, or tenacity is not installed.
    """
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 2:
        raise ConfigurationError("attempts is a whole number, the first one included, so 2 or more")
    tenacity = _tenacity()
    if isinstance(backoff, tuple):
        low, high = _checked_range(backoff)
        wait = tenacity.wait_random_exponential(multiplier=2 * low, min=low, max=high)
        return RetryRule(attempts, (low, high), _checked_on(on), wait)
    fixed = seconds(cast("Duration", backoff), what="backoff")
    return RetryRule(attempts, fixed, _checked_on(on), tenacity.wait_fixed(fixed))


def _tenacity() -> Any:
    return needed("tenacity", "tenacity", "retry", "retries")


def _checked_range(backoff: tuple[Any, ...]) -> tuple[float, float]:
    if len(backoff) == 2:
        low, high = (seconds(value, what="backoff") for value in backoff)
        if 0 < low <= high:
            return low, high
    raise ConfigurationError(f"backoff {backoff!r}: the rule is (min, max) with 0 < min <= max, or a number of seconds")


def _checked_on(on: Any) -> Retriable:
    kinds = on if isinstance(on, tuple) else (on,)
    if kinds and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        return cast("Retriable", on)
    if isinstance(on, tuple | type) or not callable(on) or inspect.iscoroutinefunction(on):
        raise ConfigurationError(
            f"on {on!r}: the rule is a type of exceptions, several in a tuple, or a plain function of the error"
        )
    return cast("Retriable", on)


def _named(on: Retriable) -> str:
    if isinstance(on, tuple):
        return f"({', '.join(kind.__name__ for kind in on)})"
    return getattr(on, "__qualname__", repr(on))
