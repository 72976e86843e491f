"""Owns the integer form of a trigger, which the engine uses: instants as microseconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from asyncsched._instants import from_us, to_us
from asyncsched.triggers._answers import FIRST_US, LAST_US, checked_next, require_trigger
from asyncsched.triggers._union import Union

if TYPE_CHECKING:
    from asyncsched.protocols import Trigger

Step = Callable[[int], int | None]
"""The next fire time strictly later than the given instant, both in microseconds since the epoch; ``None``:
never."""


def stepper(trigger: Trigger) -> Step:
    """Return the integer form of ``trigger``: by its own ``next_fire_us`` if it has one, else through
    datetimes.

    The step of a user's trigger raises ``ConfigurationError`` for an answer that is naive or not strictly
    later.

    Raises:
        ConfigurationError: ``trigger`` has no ``next_fire_time`` method.
    """
    require_trigger(trigger, what="schedule")
    if type(trigger) is Union:
        return _earliest([stepper(member) for member in trigger.triggers])
    # Only where the class itself defines it: a subclass of Every that overrides next_fire_time must be asked.
    if "next_fire_us" in vars(type(trigger)):
        return cast("Step", trigger.next_fire_us)  # type: ignore[attr-defined]
    return partial(_through_datetimes, trigger)


def _earliest(steps: list[Step]) -> Step:
    if len(steps) == 1:
        return steps[0]

    def step(after_us: int) -> int | None:
        answers = [answer for each in steps if (answer := each(after_us)) is not None]
        return min(answers) if answers else None

    return step


def _through_datetimes(trigger: Trigger, after_us: int) -> int | None:
    if after_us > LAST_US:
        return None
    answer = checked_next(trigger, from_us(max(after_us, FIRST_US)))
    if answer is None:
        return None
    answer_us = to_us(answer)
    return answer_us if answer_us <= LAST_US else None
