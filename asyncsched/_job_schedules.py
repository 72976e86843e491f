"""Owns the methods of a job that say when it runs: its schedule, and what is put around it. Knows no policies."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from asyncsched._durations import Duration, seconds
from asyncsched._instants import EPOCH
from asyncsched._lazy import LazyModule
from asyncsched.exceptions import ConfigurationError
from asyncsched.protocols import Trigger
from asyncsched.triggers import Every, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, tzinfo

    from asyncsched import _job_plan, triggers
    from asyncsched._job_plan import FilterCall, Plan, Rank
    from asyncsched.triggers import _days, _wall
    from asyncsched.triggers._filters import Calendar, Filter
else:
    triggers, _job_plan = LazyModule("asyncsched.triggers"), LazyModule("asyncsched._job_plan")
    _days, _wall = LazyModule("asyncsched.triggers._days"), LazyModule("asyncsched.triggers._wall")

T = TypeVar("T")
P = ParamSpec("P")


class JobSchedules:
    """The part of ``Job`` that says when. A job sets up its slots."""

    __slots__ = ("_frozen", "_immediate", "_name", "_plan", "_timezone", "_trigger", "on_complete")

    _name: str
    _frozen: bool
    _immediate: bool
    _plan: Plan | None
    _timezone: tzinfo | None
    _trigger: Trigger | None
    on_complete: Callable[[], None] | None
    """Called when a part that was missing is given, on a scheduler that runs already."""

    # Schedules

    def immediate(self) -> Self:
        """Run once when the scheduler starts. With ``on_one_server()``: once in the cluster per ``lock_ttl``.

        May be combined with one other schedule.
        """
        self._check_changeable("immediate()")
        self._immediate = True
        self._tell_complete()
        return self

    def daily_at(self, *times: str) -> Self:
        """Run each day at ``times`` (``"HH:MM:SS"`` or ``"HH:MM"``) in the job's time zone."""
        return self._schedule_in_zone(_shown("daily_at", *times), partial(triggers.Daily, *times))

    def weekly_on(self, days: str, *times: str) -> Self:
        """Run on ``days`` of each week (``"mon"``, ``"mon-fri"``, ``"mon,wed"``), at ``times``, in the job's zone."""
        return self._schedule_in_zone(_shown("weekly_on", days, *times), partial(triggers.Weekly, days, *times))

    def monthly_on(self, days: int | str | tuple[int | str, ...], *times: str) -> Self:
        """Run on a day of each month (1 to 31, ``"last"``, or several in a tuple), at ``times``, in the job's zone.

        A month without the day is left out.
        """
        return self._schedule_in_zone(_shown("monthly_on", days, *times), partial(triggers.Monthly, days, *times))

    def last_day_of_month(self, *times: str) -> Self:
        """Run on the last day of each month, at ``times``, in the job's time zone."""
        return self._schedule_in_zone(_shown("last_day_of_month", *times), partial(triggers.Monthly, "last", *times))

    def yearly_on(self, month: int, day: int | str, *times: str) -> Self:
        """Run on one day of each year (month 1 to 12; a day that it has, or ``"last"``), at ``times``, in the job's
        time zone. 29 February comes in leap years only."""
        return self._schedule_in_zone(
            _shown("yearly_on", month, day, *times), partial(triggers.Yearly, month, day, *times)
        )

    def per_seconds(self, interval: float) -> Self:
        """Run every ``interval`` seconds, at least 0.001, on a grid that starts at the Unix epoch."""
        return self._every("per_seconds", interval, 1.0)

    def per_minutes(self, interval: float) -> Self:
        """Run every ``interval`` minutes on a grid that starts at the Unix epoch."""
        return self._every("per_minutes", interval, 60.0)

    def per_hours(self, interval: float) -> Self:
        """Run every ``interval`` hours on a grid that starts at the Unix epoch."""
        return self._every("per_hours", interval, 3600.0)

    def every(self, interval: Duration, *, anchor: datetime = EPOCH) -> Self:
        """Run every ``interval`` (seconds or timedelta, at least 1 ms) on a grid through ``anchor`` (aware)."""
        return self._schedule(f"every({interval!r})", lambda: Every(interval, anchor=anchor))

    def cron(self, *expressions: str) -> Self:
        """Run by cron expressions: five fields, six with seconds first, or ``@daily`` and the like; in the job's time
        zone."""
        return self._schedule_in_zone(_shown("cron", *expressions), partial(_crons, expressions))

    def rrule(self, rule: str, *, starting: datetime | None = None) -> Self:
        """Run by a recurrence rule of RFC 5545, such as ``"FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9"``, in the job's time zone.

        Args:
            rule: needs the extra ``rrule``.
            starting: aware; what the rule leaves open is taken from it. A rule with a line ``DTSTART`` has its own.
        """
        make = partial(triggers.RRule, rule, starting=starting)
        return self._schedule_in_zone(f"rrule({rule!r})", make)

    def at(self, *instants: datetime) -> Self:
        """Run once at each of ``instants``, which must be aware."""
        return self._schedule("at()", partial(triggers.Once, *instants))

    def schedule(self, trigger: Trigger) -> Self:
        """Run at the fire times of any trigger."""
        if isinstance(trigger, type) or not callable(getattr(trigger, "next_fire_time", None)):
            raise self._refusal("schedule()", f"{trigger!r} is no trigger: it has no method next_fire_time(after)")
        return self._schedule(f"schedule({trigger!r})", lambda: trigger)

    # What is put around a schedule

    def weekdays(self) -> Self:
        """Keep back what does not fall on Monday to Friday, in the job's time zone."""
        return self._put_around(self._filter(_job_plan.Rank.DAYS, "weekdays()", triggers.OnDays, _days.WORKING_DAYS))

    def weekends(self) -> Self:
        """Keep back what does not fall on Saturday or Sunday, in the job's time zone."""
        return self._put_around(self._filter(_job_plan.Rank.DAYS, "weekends()", triggers.OnDays, _days.WEEKEND))

    def days(self, *days: str) -> Self:
        """Keep back what does not fall on ``days`` (``"mon"``, ``"mon-fri"``, ``"mon,wed"``), in the job's zone."""
        return self._put_around(self._filter(_job_plan.Rank.DAYS, _shown("days", *days), triggers.OnDays, *days))

    def between(self, start: str, end: str) -> Self:
        """Keep back what does not fall between two times of day, both included, in the job's zone; over midnight if
        ``end`` is before ``start``."""
        call = _shown("between", start, end)
        return self._put_around(self._filter(_job_plan.Rank.WINDOW, call, triggers.Between, start, end))

    def unless_between(self, start: str, end: str) -> Self:
        """Keep back what falls between two times of day, both included, in the job's zone; over midnight if ``end``
        is before ``start``."""
        call = _shown("unless_between", start, end)
        return self._put_around(self._filter(_job_plan.Rank.WINDOW, call, triggers.UnlessBetween, start, end))

    def exclude(self, *dates: date | Iterable[date] | Calendar) -> Self:
        """Keep back what falls on ``dates``, in the job's time zone.

        Args:
            dates: ``datetime.date`` values, collections of them, and calendars: whatever answers ``date in calendar``,
                such as those of the package ``holidays``. A calendar must answer alike on all nodes.
        """
        return self._put_around(self._exclusion("exclude", *dates))

    def business_days(self, calendar: Iterable[date] | Calendar) -> Self:
        """Keep back what does not fall on Monday to Friday, and what falls on a holiday of ``calendar``."""
        working = self._filter(_job_plan.Rank.DAYS, "business_days()", triggers.OnDays, _days.WORKING_DAYS)
        return self._put_around(working, self._exclusion("business_days", calendar))

    def starting(self, instant: datetime) -> Self:
        """Have no fire time earlier than ``instant`` (aware), which itself may be one. It moves no grid."""
        return self._limit("starting", instant)

    def until(self, instant: datetime) -> Self:
        """Have no fire time later than ``instant`` (aware), which itself may be one."""
        return self._limit("until", instant)

    def phase(self, phase: Duration | str) -> Self:
        """Move the grid of an interval by ``phase`` seconds, less than the interval, or by ``"spread"``: an amount that
        follows from the job's name, so that many jobs do not fire in the same second."""
        call = f"phase({phase!r})"
        if phase != _job_plan.SPREAD:
            if isinstance(phase, str):
                raise self._refusal(call, f"the rule is a number of seconds, a timedelta or {_job_plan.SPREAD!r}")
            phase = self._named(seconds, phase, what=call)
        return self._once("phase", phase, call)

    def dst(self, policy: str) -> Self:
        """Say what becomes of fixed wall times that the clock skips or repeats. ``"once"``, the default: each fires
        once, at the end of the gap or in the first pass; ``"skip"``: a skipped one does not fire that day; ``"both"``:
        a repeated one fires in both passes."""
        return self._once("dst", self._named(_wall.checked_dst, policy), f"dst({policy!r})")

    def planned(self, timezone: tzinfo) -> tuple[Trigger | None, tzinfo]:
        """Return the trigger and the time zone that the job has with a scheduler of this time zone."""
        tz = self._timezone or timezone
        if self._plan is None or (self._plan.is_judged and tz is (self._timezone or UTC)):
            return self._trigger, tz
        return self._named(self._plan.built, tz, self._name, is_final=True), tz

    # How it is put together

    def _every(self, method: str, interval: object, unit: float) -> Self:
        call = f"{method}({interval!r})"
        if isinstance(interval, timedelta):  # which has a unit of its own
            raise self._refusal(call, "it takes a number; every() takes a timedelta")
        number = self._named(seconds, interval, what=call)
        return self._schedule(call, partial(_fixed_interval, number * unit))

    def _schedule(self, call: str, make: Callable[[], Trigger]) -> Self:
        self._check_unscheduled(call)
        try:
            trigger = make()
        except ConfigurationError as error:
            raise self._refusal(call, str(error)) from None
        if self._plan is None:
            self._trigger = trigger
        else:
            self._replan(call, base=trigger)
        self._tell_complete()
        return self

    def _schedule_in_zone(self, call: str, make: Callable[..., Trigger]) -> Self:
        self._check_unscheduled(call)
        self._replan(call, zoned=make)
        self._tell_complete()
        return self

    def _exclusion(self, method: str, *dates: object) -> FilterCall:
        read = self._named(triggers.Excluding, Every(1), *dates)  # once: what is given may be an iterator
        call = f"{method}({', '.join(map(_brief, dates))})"
        return self._filter(_job_plan.Rank.DATES, call, triggers.Excluding, read.dates, *read.calendars)

    def _filter(self, rank: Rank, call: str, kind: Callable[..., Filter], *args: object) -> FilterCall:
        def around(trigger: Trigger, timezone: tzinfo) -> Filter:
            return kind(trigger, *args, timezone=timezone)

        self._named(around, Every(1), UTC)
        return _job_plan.FilterCall(rank, call, around)

    def _put_around(self, *filters: FilterCall) -> Self:
        before = () if self._plan is None else self._plan.filters
        return self._replan(filters[-1].call, filters=(*before, *filters))

    def _limit(self, name: str, instant: datetime) -> Self:
        self._named(triggers.Within, Every(1), **{name: instant})
        return self._once(name, instant, f"{name}({instant!r})")

    def _once(self, name: str, value: object, call: str) -> Self:
        before = getattr(self._plan, name, None)
        self._check_changeable(call)
        if before is not None and before != value:
            raise self._refusal(call, f"it was given before with the value {before!r}")
        return self._replan(call, **{name: value})

    def _replan(self, call: str, **changes: Any) -> Self:
        """Put the trigger together anew, with ``changes``; if they do not go together, everything stays as it was."""
        self._check_changeable(call)
        before = self._plan or _job_plan.Plan(base=self._trigger)
        plan = before.changed(**changes)
        try:
            trigger = plan.built(self._timezone or UTC, self._name, is_final=self._timezone is not None)
        except ConfigurationError as error:
            raise self._refusal(call, str(error)) from None
        self._plan, self._trigger = plan, trigger
        return self

    def _tell_complete(self) -> None:
        if self.on_complete is not None:
            self.on_complete()

    # How it is refused

    def _named(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``check`` and put the job's name in front of what it refuses."""
        try:
            return check(*args, **kwargs)
        except ConfigurationError as error:
            raise ConfigurationError(f"job {self._name!r}: {error}") from None

    def _check_unscheduled(self, call: str) -> None:
        self._check_changeable(call)
        if self._trigger is not None:
            raise self._refusal(
                call, f"it already has the schedule {self._trigger!r}; join two triggers with | in schedule()"
            )

    def _check_changeable(self, call: str) -> None:
        if self._frozen:
            raise self._refusal(call, "it is already scheduled; remove_job() and add_job() again to change it")

    def _refusal(self, call: str, rule: str) -> ConfigurationError:
        return ConfigurationError(f"job {self._name!r}: {call}: {rule}")


@lru_cache
def _fixed_interval(interval: float) -> Every:
    """Return the grid of this interval: one for all jobs that have it, since it never changes."""
    return Every(interval)


def _shown(method: str, *args: object) -> str:
    """Return a call as it was written."""
    return f"{method}({', '.join(map(repr, args))})"


def _brief(value: object) -> str:
    """Return a date as it was written, and of what holds many of them only what it is."""
    return repr(value) if isinstance(value, date | str | int) else type(value).__name__


def _crons(expressions: tuple[str, ...], timezone: str | tzinfo, dst: str) -> Trigger:
    if not expressions:
        raise ConfigurationError("at least one expression is needed")
    crons = [triggers.Cron(expression, timezone=timezone, dst=dst) for expression in expressions]
    return crons[0] if len(crons) == 1 else Union(*crons)
