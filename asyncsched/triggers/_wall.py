"""Owns what a local clock does: how wall times become instants where clocks are put forward or back.

Triggers step in plain wall time, where no clock ever jumps (a naive ``datetime``: the date and time on the
clock's face), and everything about daylight saving time is decided here. The authority is Debian's cron,
cron(8), "Notes":

* jobs at fixed times "which would have run in the time that was skipped will be run soon after the change",
  and "those jobs that fall into the repeated time will not be re-run": ``next_fixed``;
* "jobs which are specified with wildcards are run based on the new time immediately": ``next_elapsed``.

Fixed times may be given another rule, by name (``DST_RULES``): what is skipped does not fire, or what is repeated
fires twice.

We go further than Debian in two ways. Debian calls a change of three hours or more a correction of the clock
and drops what was skipped; we know that it is a rule of the zone, so a skipped day (Pacific/Apia, 2011-12-30)
loses nothing either. And several fixed times within one gap fire once, not once each: they are one instant.

The fold (PEP 495) says which pass of a repeated time is meant. At a gap or a repetition, a wall time has two
offsets: ``fold=0`` gives the one before the change, ``fold=1`` the one after it.

    gap         before < after      wall times between do not exist
    repetition  before > after      wall times come twice: first pass with ``before``, second with ``after``
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta, tzinfo
from functools import partial

from asyncsched.exceptions import ConfigurationError

Step = Callable[[datetime], datetime | None]
"""A rule in plain wall time: the first wall time strictly later than the given one. Both naive."""

MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of a zone's offset. ``instant`` is the whole second at which it happens, naive in UTC."""

    instant: datetime
    before: timedelta
    after: timedelta

    @property
    def is_gap(self) -> bool:
        return self.before < self.after

    @property
    def old_wall(self) -> datetime:
        """Where the clock stands when it is changed: the excluded end of a repetition's first pass."""
        return self.instant + self.before

    @property
    def new_wall(self) -> datetime:
        """Where it is put: the first wall time after a gap, or the one with which a second pass begins."""
        return self.instant + self.after


def _existing(wall: datetime | None, tz: tzinfo, step: Step) -> datetime | None:
    """Return ``wall``, or the next wall time of the rule that is not inside a gap, as its first instant."""
    while wall is not None:
        change = _change_at(wall, tz)
        if change is None or not change.is_gap:
            return _aware(wall, tz)
        wall = step(change.new_wall - MICROSECOND)
    return None


def _moved(wall: datetime | None, tz: tzinfo, _step: Step) -> datetime | None:
    """Return ``wall`` as its first instant, or the end of the gap that it is inside of."""
    if wall is None:
        return None
    change = _change_at(wall, tz)
    return _aware(change.new_wall if change and change.is_gap else wall, tz)


def next_fixed(
    after: datetime, tz: tzinfo, step: Step, place: Callable[..., datetime | None] = _moved
) -> datetime | None:
    """Return the next instant of a rule of fixed times: each wall time fires once.

    A wall time fires at the first instant at which the local clock shows it *or a later one*: that one
    sentence puts a time inside a gap at the gap's end and a repeated time in its first pass. So what is still
    to come is what lies beyond the latest wall time that the clock has ever shown.
    """
    local = _local(after, tz)
    if local is None:
        return None
    shown = local.replace(tzinfo=None)
    change = _change_at(shown, tz)
    if change and local.utcoffset() == change.after:  # in the second pass, all of the first has been shown
        shown = change.old_wall - MICROSECOND
    return place(step(shown), tz, step)


def next_elapsed(
    after: datetime, tz: tzinfo, step: Step, place: Callable[..., datetime | None] = _existing
) -> datetime | None:
    """Return the next instant at which the local clock shows a wall time of the rule.

    Repeated wall times fire in both passes, and those inside a gap never: the rule follows the time that
    elapses.
    """
    local = _local(after, tz)
    if local is None:
        return None
    shown = local.replace(tzinfo=None)
    change = _change_at(shown, tz)
    if change is None:
        return place(step(shown), tz, step)
    if local.utcoffset() == change.before:
        wall = step(shown)
        if wall is not None and wall < change.old_wall:
            return _aware(wall, tz)
        shown = change.new_wall - MICROSECOND
    wall = step(shown)
    if wall is not None and wall < change.old_wall:
        return _aware(wall, tz, fold=1)
    return place(wall, tz, step)


DST_RULES: dict[str, Callable[[datetime, tzinfo, Step], datetime | None]] = {
    "once": next_fixed,
    "skip": partial(next_fixed, place=_existing),
    "both": partial(next_elapsed, place=_moved),
}
"""What becomes of fixed times, by the name of the policy."""


class WallTrigger(ABC):
    """A trigger that steps in plain wall time, with a time zone and a policy for fixed times."""

    __slots__ = ()

    timezone: tzinfo
    dst: str

    @abstractmethod
    def next_wall(self, shown: datetime) -> datetime | None:
        """Return the first wall time of the rule strictly later than ``shown``; both naive."""

    @property
    def has_fixed_times(self) -> bool:
        """Whether ``dst`` applies: the rule does not follow the time that elapses."""
        return True


def checked_dst(policy: object) -> str:
    """Return the name of a rule for fixed times.

    Raises:
        ConfigurationError: it is none of ``DST_RULES``.
    """
    if not isinstance(policy, str) or policy not in DST_RULES:
        raise ConfigurationError(f"dst {policy!r} is not one of {', '.join(map(repr, DST_RULES))}")
    return policy


def skipped_by(gap_end: datetime, tz: tzinfo, step: Step) -> datetime | None:
    """Return the first wall time of a rule that the clock skips when it is put forward at ``gap_end``.

    ``None``: it is not put forward then, or skips none of them.
    """
    wall = wall_of(gap_end, tz)
    change = None if wall is None else _change_at(wall - MICROSECOND, tz)
    if wall is None or change is None or not change.is_gap or change.new_wall != wall:
        return None
    skipped = step(change.old_wall - MICROSECOND)
    return skipped if skipped is not None and skipped < wall else None


def pass_of(instant: datetime, tz: tzinfo) -> str | None:
    """Return whether a local clock shows its time at ``instant`` for the ``"first"`` or the ``"second"`` time.

    ``None``: it shows it once only.
    """
    local = _local(instant, tz)
    change = None if local is None else _change_at(local.replace(tzinfo=None), tz)
    if local is None or change is None:
        return None
    return "first" if local.utcoffset() == change.before else "second"


def wall_of(instant: datetime, tz: tzinfo) -> datetime | None:
    """Return what a local clock shows at ``instant``, naive, or ``None`` if that is the year 10 000."""
    local = _local(instant, tz)
    return None if local is None else local.replace(tzinfo=None, fold=0)


def _local(after: datetime, tz: tzinfo) -> datetime | None:
    """Return ``after`` on the local clock, or ``None`` if that clock shows the year 10 000.

    The way leads through UTC: ``astimezone`` to a datetime's own zone returns it as it is, with a fold that
    may mean nothing and a wall time that may not exist.
    """
    try:
        return after.astimezone(UTC).astimezone(tz)
    except OverflowError:
        return datetime.min.replace(tzinfo=tz) if after.year == 1 else None


def _aware(wall: datetime, tz: tzinfo, fold: int = 0) -> datetime | None:
    """Return the instant of an existing wall time, or ``None`` if it is later than the year 9999 in UTC."""
    instant = wall.replace(tzinfo=tz, fold=fold)
    if wall.year < MAXYEAR:
        return instant
    try:
        instant.astimezone(UTC)
    except OverflowError:
        return None
    return instant


def _change_at(wall: datetime, tz: tzinfo) -> _Change | None:
    """Return the change that makes ``wall`` missing or repeated, or ``None`` if it is neither."""
    if tz is UTC:
        return None
    before, after = _offset(wall, tz, fold=0), _offset(wall, tz, fold=1)
    if before == after:
        return None
    # The change lies later than `early` and not later than `late`. tzinfo does not tell when, so it is
    # searched for.
    second = wall.replace(microsecond=0, fold=0)
    early, late = second - max(before, after), second - min(before, after)
    while late - early > _SECOND:
        middle = early + (late - early) // _SECOND // 2 * _SECOND
        if middle.replace(tzinfo=UTC).astimezone(tz).utcoffset() == before:
            early = middle
        else:
            late = middle
    return _Change(late, before, after)


def _offset(wall: datetime, tz: tzinfo, fold: int) -> timedelta:
    return wall.replace(tzinfo=tz, fold=fold).utcoffset() or timedelta()
