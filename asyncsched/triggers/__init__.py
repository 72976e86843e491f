"""Owns the rules that yield fire times. Pure time: no state, no clock, no I/O, no asyncio.

A trigger answers one question, ``next_fire_time(after)``: the first fire time strictly later than ``after``,
or ``None`` for never again. The answer depends on nothing else, so every node and every restart sees the same
fire times.

All triggers here are immutable, hashable, equal by value and picklable, and join with ``|``. They take any
aware ``after`` and refuse a naive one with ``ConfigurationError``. Instants later than the year 9999 (UTC)
are ``None``.
"""

from __future__ import annotations

import importlib
import typing

from asyncsched._instants import EPOCH
from asyncsched.triggers._every import Every
from asyncsched.triggers._union import Union

if typing.TYPE_CHECKING:
    from asyncsched.triggers._calendar import Monthly, Weekly, Yearly
    from asyncsched.triggers._cron import Cron
    from asyncsched.triggers._daily import Daily
    from asyncsched.triggers._filters import Between, Excluding, OnDays, UnlessBetween, Within
    from asyncsched.triggers._once import Once
    from asyncsched.triggers._rrule import RRule

__all__ = [
    "EPOCH",
    "Between",
    "Cron",
    "Daily",
    "Every",
    "Excluding",
    "Monthly",
    "OnDays",
    "Once",
    "RRule",
    "Union",
    "UnlessBetween",
    "Weekly",
    "Within",
    "Yearly",
]

_LATER = {
    **dict.fromkeys(("Monthly", "Weekly", "Yearly"), "_calendar"),
    **dict.fromkeys(("Between", "Excluding", "OnDays", "UnlessBetween", "Within"), "_filters"),
    "Cron": "_cron",
    "Daily": "_daily",
    "Once": "_once",
    "RRule": "_rrule",
}
"""Names whose modules are loaded when they are first asked for: they bring a lot along, and many services have none."""


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
