"""Owns how triggers are joined: the ``|`` of every trigger, and the ``Union`` that it yields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._instants import require_aware, to_us
from asyncsched._values import Value
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._answers import checked_next, is_trigger, require_trigger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from asyncsched.protocols import Trigger


class Joinable:
    """Gives a trigger the ``|`` operator, with any object that has ``next_fire_time`` on either side."""

    __slots__ = ()

    def __or__(self: Trigger, other: Trigger) -> Union:
        return Union(self, other) if is_trigger(other) else NotImplemented

    def __ror__(self: Trigger, other: Trigger) -> Union:
        return Union(other, self) if is_trigger(other) else NotImplemented


class Union(Joinable, Value):
    """Fires whenever one of its members does; members that name the same instant make one fire time.

    Args:
        triggers: one or more triggers, own or a user's. A union among them is replaced by its members.

    Raises:
        ConfigurationError: no trigger at all, or a value without ``next_fire_time``.
    """

    __slots__ = ("triggers",)

    triggers: tuple[Trigger, ...]

    def __init__(self, *triggers: Trigger) -> None:
        if not triggers:
            raise ConfigurationError("Union(): no trigger given; at least one is needed")
        object.__setattr__(self, "triggers", tuple(_flat(triggers)))

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the earliest answer of the members, in the time zone of the member that gave it.

        Raises:
            ConfigurationError: ``after`` is naive, or a user's trigger answered against the rule.
        """
        require_aware(after, what="next_fire_time()")
        answers = [checked_next(trigger, after) for trigger in self.triggers]
        # By integers: within one zone datetimes compare by wall time, which is wrong in a repeated hour.
        return min((answer for answer in answers if answer is not None), key=to_us, default=None)

    def __repr__(self) -> str:
        return f"Union({', '.join(map(repr, self.triggers))})"


def _flat(triggers: tuple[Trigger, ...]) -> Iterator[Trigger]:
    for trigger in triggers:
        if type(trigger) is Union:
            yield from trigger.triggers
        else:
            yield require_trigger(trigger, what="Union()")
