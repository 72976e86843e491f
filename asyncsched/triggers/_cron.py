"""Owns cron expressions as a trigger. The authority is Debian's: crontab(5) for fields, cron(8) for DST.

cronsim, which reads expressions and knows which days match, keeps to the same authority. The time of day is looked
up here, in plain wall time, where no clock jumps, and ``_wall`` does the rest. cronsim's own walk goes hour by hour;
and in a time zone, cronsim 2.8 answers with an instant in the past from inside a repeated hour, loses fires where a
clock is not changed by or at a full hour, and exempts expressions with seconds from the rule below (each is in
``test_cron.py``).

Two of Debian's rules are odd enough to cite:

* Which jobs are special at a DST change: "Only jobs that run at a particular time (not specified as @hourly,
  nor with '*' in the hour or minute specifier) are affected", cron(8). It is the first character that counts,
  so ``*/15`` is a wildcard and ``0-59/15`` is not. Seconds are no field of Debian's and do not count.
* Which days match: "If both fields are restricted (i.e., don't contain the "*" character), the command will
  be run when either field matches the current time", crontab(5). Here too it is the first character that
  counts: with ``*/2`` in one of the two, both must match.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from functools import partial

from cronsim import CronSim, CronSimError

from asyncsched._instants import require_aware
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._cron_fields import cron_fields
from asyncsched.triggers._times import ONE_DAY, dst_argument
from asyncsched.triggers._union import Joinable
from asyncsched.triggers._wall import DST_RULES, WallTrigger, checked_dst, next_elapsed
from asyncsched.triggers._zones import zone, zone_argument

_MOST_YEARS_APART = 50
_ANY_DAY = datetime(2000, 1, 1)  # noqa: DTZ001  wall time is naive by nature


@dataclass(init=False, repr=False, frozen=True, slots=True)
class Cron(Joinable, WallTrigger):
    """Fires when a local clock matches a cron expression.

    At a DST change an expression whose minute and hour both do not begin with ``*`` behaves like ``Daily``:
    what the clock skips fires once at the end of the gap, what it repeats fires in the first pass. All others
    follow the time that elapses: they fire in both passes, and what is skipped does not exist; no policy changes that.

    Args:
        expression: five fields (minute, hour, day of month, month, day of week), six with seconds first, or
            one of ``@hourly @daily @midnight @weekly @monthly @yearly @annually``. Equality looks at this
            text.
        timezone: an IANA key or a ``tzinfo``.
        dst: as for ``Daily``; only ``"once"`` where minute or hour begins with ``*``.

    Raises:
        ConfigurationError: an expression against the rules (``_cron_fields``), one whose day never comes,
            such as the 30th of February, an unknown time zone, or a policy that has no effect.
    """

    expression: str
    timezone: tzinfo
    dst: str
    _follows_elapsed: bool = field(compare=False)
    _rule: CronSim = field(compare=False)  # never stepped: it is asked which days match
    _times: tuple[list[int], list[int], list[int]] = field(compare=False)
    """The hours, the minutes and the seconds that match, sorted."""

    def __init__(self, expression: str, timezone: str | tzinfo = "UTC", *, dst: str = "once") -> None:
        fields = cron_fields(expression)
        follows_elapsed = any(text.startswith("*") for text in fields[-5:-3])
        if checked_dst(dst) != "once" and follows_elapsed:
            raise ConfigurationError(
                f"cron {expression!r}: dst {dst!r} is for fixed times; where minute or hour begins with '*', fire "
                "times follow the time that elapses (a range such as 0-59/15 makes them fixed)"
            )
        object.__setattr__(self, "expression", " ".join(expression.split()))
        object.__setattr__(self, "timezone", zone(timezone))
        object.__setattr__(self, "dst", dst)
        object.__setattr__(self, "_follows_elapsed", follows_elapsed)
        rule = _simulation(expression, fields)
        object.__setattr__(self, "_rule", rule)
        object.__setattr__(self, "_times", (sorted(rule.hours), sorted(rule.minutes), sorted(rule.seconds)))

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than ``after``, in the trigger's time zone.

        ``None`` also means that no date matches: the calendar repeats, so 50 years without one settle it.

        Raises:
            ConfigurationError: ``after`` is not an aware datetime.
        """
        rule = next_elapsed if self._follows_elapsed else DST_RULES[self.dst]
        return rule(require_aware(after, what="next_fire_time()"), self.timezone, self.next_wall)

    def next_wall(self, shown: datetime) -> datetime | None:
        """Return the first wall time of the rule strictly later than ``shown``; both naive."""
        today = shown.date()
        if today.month in self._rule.months and self._rule.match_day(today):
            later = self._time_after(shown.time())
            if later is not None:
                return datetime.combine(today, later)
        try:
            day = self._day_after(today)
        except OverflowError:
            return None
        hours, minutes, seconds = self._times
        return None if day is None else datetime.combine(day, time(hours[0], minutes[0], seconds[0]))

    def _time_after(self, shown: time) -> time | None:
        """Return the first time of day of the rule later than ``shown``, if the day has one left."""
        hours, minutes, seconds = self._times
        hour, minute, second = shown.hour, shown.minute, shown.second
        if hour in hours:
            if minute in minutes and second < seconds[-1]:
                return time(hour, minute, _later(seconds, second))
            if minute < minutes[-1]:
                return time(hour, _later(minutes, minute), seconds[0])
        return time(_later(hours, hour), minutes[0], seconds[0]) if hour < hours[-1] else None

    def _day_after(self, day: date) -> date | None:
        """Return the first day of the rule later than ``day``."""
        months, has_day = self._rule.months, self._rule.match_day
        day += ONE_DAY
        latest = day.year + _MOST_YEARS_APART
        while day.month not in months or not has_day(day):
            day = day + ONE_DAY if day.month in months else (day.replace(day=1) + timedelta(32)).replace(day=1)
            if day.year > latest:
                return None
        return day

    @property
    def has_fixed_times(self) -> bool:
        """Whether ``dst`` applies: the rule does not follow the time that elapses."""
        return not self._follows_elapsed

    def __reduce__(self) -> tuple[Callable[[], Cron], tuple[()]]:
        """Pickle what the user gave: a cronsim object would tie the pickle to one version of cronsim."""
        return partial(type(self), self.expression, self.timezone, dst=self.dst), ()

    def __repr__(self) -> str:
        return f"Cron({self.expression!r}{zone_argument(self.timezone)}{dst_argument(self.dst)})"


def _later(values: list[int], than: int) -> int:
    return values[bisect_right(values, than)]


def _simulation(expression: str, fields: tuple[str, ...]) -> CronSim:
    try:
        return CronSim(" ".join(fields), _ANY_DAY)
    except CronSimError:  # the fields are valid, so this is the one thing cronsim finds out beyond them
        raise ConfigurationError(f"cron {expression!r}: the day of month never comes in the given months") from None
