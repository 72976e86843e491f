"""Owns what is said of the fire times to come, and of what changes them. Asks triggers only: it reads no clock, runs
nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from random import Random
from typing import TYPE_CHECKING

from asyncsched._instants import require_aware, to_us
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Union, Within
from asyncsched.triggers._answers import checked_next
from asyncsched.triggers._filters import Filter
from asyncsched.triggers._wall import DST_RULES, WallTrigger, pass_of, skipped_by, wall_of

if TYPE_CHECKING:
    from asyncsched._job import Job
    from asyncsched.protocols import Trigger

MOST = 10_000
"""The most fire times that one preview lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FireTime:
    """One fire time to come."""

    at: datetime
    """In UTC."""
    local: datetime
    """The same instant in the job's time zone."""
    delay: float | None
    """Seconds by which its run is delayed; ``None``: not at all, or drawn only when it runs."""
    notes: tuple[str, ...]
    """What brought it here: a change of the clock, what was kept back before it, a delay that is yet to be drawn."""


def preview(job: Job, timezone: tzinfo, after: datetime, count: object) -> tuple[FireTime, ...]:
    """Return the next ``count`` fire times later than ``after``, fewer if there are no more.

    Args:
        job: it may lack a handler; without a schedule it has no fire times.
        timezone: of its scheduler, for a job that has none.
        after: aware.
        count: 1 to ``MOST``.

    Raises:
        ConfigurationError: an argument against its rule, or a user's trigger that answers against its.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise ConfigurationError(f"preview({job.name!r}): count {count!r} is not a whole number in 1-{MOST}")
    previous = require_aware(after, what=f"preview({job.name!r}): after")
    trigger, tz = job.planned(timezone)
    found: list[FireTime] = []
    while trigger is not None and len(found) < count and (answer := checked_next(trigger, previous)) is not None:
        at = answer.astimezone(UTC)
        found.append(_fire_time(job, trigger, tz, previous, at))
        previous = at
    return tuple(found)


def _fire_time(job: Job, trigger: Trigger, tz: tzinfo, previous: datetime, at: datetime) -> FireTime:
    notes = [*_kept_back(trigger, previous, at), *_skipped(trigger, previous, at), *_repeated(at, tz)]
    delay = job.drawn_delay(to_us(at), Random()) if job.is_delay_seeded else None  # noqa: S311 - it is not asked
    if job.delay is not None and delay is None:
        notes.append(f"a delay of {job.delay[0]:g} to {job.delay[1]:g} s is drawn when it runs")
    return FireTime(at=at, local=at.astimezone(tz), delay=delay, notes=tuple(notes))


def _kept_back(trigger: Trigger, previous: datetime, at: datetime) -> Iterator[str]:
    """Tell of each filter what it kept back first since the previous fire time."""
    while isinstance(trigger, Filter | Within):
        first = checked_next(trigger.trigger, previous)
        if first is not None and to_us(first) < to_us(at) and not trigger.lets_pass(first):
            filtered = f"{type(trigger).__name__}({trigger.describe()})"
            yield f"{filtered} keeps back what comes before it, from {first.isoformat()} on"
        trigger = trigger.trigger


def _skipped(trigger: Trigger, previous: datetime, at: datetime) -> Iterator[str]:
    """Tell of wall times that the clock skips, and that are therefore fired later or not at all."""
    for fixed in _fixed_times(trigger):
        moved = DST_RULES["once"](previous, fixed.timezone, fixed.next_wall)
        if moved is None or to_us(moved) > to_us(at):
            continue
        wall = skipped_by(moved, fixed.timezone, fixed.next_wall)
        if wall is not None and fixed.dst == "skip":
            yield f"the clock skips {wall.isoformat(' ')}, which does not fire"
        elif wall is not None and to_us(moved) == to_us(at):
            yield f"the clock skips {wall.isoformat(' ')}, which fires at the end of the gap"


def _fixed_times(trigger: Trigger) -> Iterator[WallTrigger]:
    while isinstance(trigger, Filter | Within):
        trigger = trigger.trigger
    if isinstance(trigger, Union):
        for member in trigger.triggers:
            yield from _fixed_times(member)
    elif isinstance(trigger, WallTrigger) and trigger.has_fixed_times:
        yield trigger


def _repeated(at: datetime, tz: tzinfo) -> Iterator[str]:
    which = pass_of(at, tz)
    if which:
        yield f"the clock shows {wall_of(at, tz):%H:%M:%S} twice; this is the {which} time"
