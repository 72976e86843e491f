"""Owns reading a schedule that a node has written down as code, such as ``Every(30)``: only our own triggers, only with
plain values. Anything else, which is not run in any way, is not understood."""

from __future__ import annotations

import ast
from contextlib import suppress
from typing import TYPE_CHECKING

from asyncsched import triggers
from asyncsched._instants import from_us, to_us
from asyncsched.protocols import Trigger
from asyncsched.triggers._answers import checked_next

if TYPE_CHECKING:
    from datetime import datetime

UNDERSTOOD = frozenset(
    {"Between", "Cron", "Daily", "Every", "Monthly", "OnDays", "Union", "UnlessBetween", "Weekly", "Yearly"}
)
"""Triggers whose code is read: those that show all that they are made of, and whose next fire time is found quickly
whatever they are given."""
MOST_STEPS = 1_000
"""Fire times that are walked through in search of the newest one."""
SPANS = (2.0, 60.0, 3600.0, 86_400.0, 32 * 86_400.0, 367 * 86_400.0)
"""Seconds before an instant in which the newest fire time is searched for, one span after the other."""


def trigger_of(schedule: str) -> Trigger | None:
    """Return the trigger that a schedule is the code of; ``None``: it is not understood."""
    with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError):
        found = _value(ast.parse(schedule, mode="eval").body)
        return found if isinstance(found, Trigger) else None
    return None


def _value(node: ast.expr) -> object:
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    if not isinstance(node.func, ast.Name) or node.func.id not in UNDERSTOOD:
        raise ValueError("it is none of our triggers")
    kind = getattr(triggers, node.func.id)
    options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    return kind(*map(_value, node.args), **options)


def is_fire_time(trigger: Trigger, at: datetime) -> bool:
    """Return whether a trigger fires at an instant."""
    return next_after(trigger, from_us(to_us(at) - 1)) == at


def next_after(trigger: Trigger, after: datetime) -> datetime | None:
    """Return the first fire time later than ``after``."""
    return checked_next(trigger, after)


def newest_until(trigger: Trigger, until: datetime) -> datetime | None:
    """Return the newest fire time that is not later than ``until``; ``None``: none was found within a year, or it fires
    too often to tell."""
    for span in SPANS:
        found, steps = None, 0
        after = from_us(to_us(until) - round(span * 1e6))
        while (answer := next_after(trigger, after)) is not None and answer <= until and steps < MOST_STEPS:
            found = after = answer
            steps += 1
        if found is not None:
            return found
    return None
