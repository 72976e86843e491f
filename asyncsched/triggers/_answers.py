"""Owns which instants and triggers may be given, and what a trigger may answer. Knows none of ours.

A user's trigger is a stranger: an answer that is naive, or not later than the question, would make the engine
spin or fire at the wrong hour. So each answer is checked where it enters.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from asyncsched._instants import require_aware, to_us
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from asyncsched.protocols import Trigger

FIRST_US = to_us(datetime.min.replace(tzinfo=UTC))
"""First instant that a ``datetime`` can name, in microseconds since the epoch."""

LAST_US = to_us(datetime.max.replace(tzinfo=UTC))
"""Last instant that a ``datetime`` can name, in microseconds since the epoch; later than it, nothing ever
fires."""


def require_instant_us(instant: object, *, what: str) -> int:
    """Return an aware datetime as microseconds since the epoch.

    Raises:
        ConfigurationError: not an aware datetime, or outside the years 1 to 9999 in UTC.
    """
    instant_us = to_us(require_aware(instant, what=what))
    if not FIRST_US <= instant_us <= LAST_US:
        raise ConfigurationError(f"{what}: {instant!r} is outside the years 1 to 9999 in UTC")
    return instant_us


def is_trigger(value: object) -> bool:
    """Tell whether ``value`` can be asked for fire times. A class cannot: it was meant to be called first."""
    return not isinstance(value, type) and callable(getattr(value, "next_fire_time", None))


def require_trigger(value: object, *, what: str) -> Trigger:
    """Return ``value`` if it is a trigger.

    Raises:
        ConfigurationError: it has no ``next_fire_time`` method, or is a class instead of an instance.
    """
    if not is_trigger(value):
        hint = " (a class: call it first)" if isinstance(value, type) else ""
        raise ConfigurationError(f"{what}: {value!r} is not a trigger: it has no next_fire_time(after) method{hint}")
    return cast("Trigger", value)


def checked_next(trigger: Trigger, after: datetime) -> datetime | None:
    """Ask ``trigger`` and return its answer, if the answer keeps the rule.

    Raises:
        ConfigurationError: the answer is neither ``None`` nor an aware datetime strictly later than
            ``after``.
    """
    answer: object = trigger.next_fire_time(after)
    if answer is None:
        return None
    if not isinstance(answer, datetime) or answer.utcoffset() is None:
        raise _broken(trigger, after, answer, "an aware datetime, or None")
    # Compared as integers: two datetimes of one zone would compare by their wall time and ignore the fold.
    if to_us(answer) <= to_us(after):
        raise _broken(trigger, after, answer, "strictly later than `after`")
    return answer


def _broken(trigger: Trigger, after: datetime, answer: object, rule: str) -> ConfigurationError:
    shown = answer.isoformat() if isinstance(answer, datetime) else repr(answer)
    asked = f"next_fire_time({after.isoformat()})"
    return ConfigurationError(f"trigger {trigger!r}: {asked} answered {shown}; the answer must be {rule}")
