"""Owns recurrence rules (RFC 5545) as a trigger. dateutil expands them in plain wall time; ``_wall`` does the rest.

dateutil walks from the start of a rule, each time it is asked. So the start is moved, by whole intervals, to the period
that is asked about, which changes nothing once all that the rule takes from its start is written out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import partial
from itertools import islice
from typing import Any

from asyncsched._extras import needed
from asyncsched._instants import from_us, require_aware
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._answers import require_instant_us
from asyncsched.triggers._rrule_parts import FREQUENCIES, RuleParts, rule_parts
from asyncsched.triggers._times import dst_argument
from asyncsched.triggers._union import Joinable
from asyncsched.triggers._wall import DST_RULES, WallTrigger, checked_dst, wall_of
from asyncsched.triggers._zones import zone, zone_argument

_END = datetime.max  # noqa: DTZ901  wall time is naive by nature
_PROBED_YEARS = 60
_PROBED_INTERVALS = 400
_STEPS = {"DAILY": timedelta(days=1), "HOURLY": timedelta(hours=1), "MINUTELY": timedelta(minutes=1)}
_PER_YEAR = (1, 12, 53, 366, 366 * 24, 366 * 1440, 366 * 86_400)
"""Periods in a year, at most, by frequency."""


@dataclass(init=False, repr=False, frozen=True, slots=True)
class RRule(Joinable, WallTrigger):
    """Fires by a recurrence rule of RFC 5545, in the wall time of a time zone. Needs the package ``python-dateutil``.

    Args:
        rule: ``FREQ=…;…``. It may be preceded by a line ``DTSTART:YYYYMMDDTHHMMSS``, in wall time.
        starting: the start of a rule without ``DTSTART``: aware, rounded down to a second. No fire time is earlier, and
            what the rule leaves open (its time of day, its day, where an ``INTERVAL`` counts from) is taken from
            it. It is a fire time itself only if the rule says so.
        timezone: an IANA key or a ``tzinfo``.
        dst: as for ``Daily``.

    Raises:
        ConfigurationError: a rule against RFC 5545, one that never fires, ``COUNT`` above 1 000, no start or two of
            them, an unknown time zone or policy; or the package is not installed.
    """

    rule: str
    starting: datetime | None
    timezone: tzinfo
    dst: str
    _first: datetime = field(compare=False)  # the start, in wall time
    _until: datetime = field(compare=False)
    _parts: RuleParts = field(compare=False)
    _expand: Callable[..., Any] = field(compare=False)
    _counted: tuple[datetime, ...] | None = field(compare=False)

    def __init__(
        self, rule: str, *, starting: datetime | None = None, timezone: str | tzinfo = "UTC", dst: str = "once"
    ) -> None:
        parts = rule_parts(rule)
        tz = zone(timezone)
        first = _first(rule, parts.start, starting, tz)
        parts = parts.filled(first)
        values = {
            "rule": rule.strip(),
            "starting": None if starting is None else starting.astimezone(UTC),
            "timezone": tz,
            "dst": checked_dst(dst),
            "_first": first,
            "_until": _END if parts.until is None else _wall(parts.until, tz),
            "_parts": parts,
            "_expand": _expander(parts, rule),
            "_counted": None,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if not self._ever_fires():
            raise ConfigurationError(f"rrule {rule!r} never fires")
        if parts.count is not None:
            object.__setattr__(self, "_counted", tuple(islice(self._expand(dtstart=first), parts.count)))

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than ``after``, in the trigger's time zone.

        Raises:
            ConfigurationError: ``after`` is not an aware datetime.
        """
        return DST_RULES[self.dst](require_aware(after, what="next_fire_time()"), self.timezone, self.next_wall)

    def next_wall(self, shown: datetime) -> datetime | None:
        """Return the first wall time of the rule strictly later than ``shown``; both naive."""
        if self._counted is not None:
            index = bisect_right(self._counted, shown)
            return self._counted[index] if index < len(self._counted) else None
        if shown >= self._until:
            return None
        wall: datetime
        for wall in self._expand(dtstart=self._start_near(shown)):
            if wall > shown:
                return wall if wall <= self._until else None
        return None

    def _start_near(self, shown: datetime) -> datetime:
        """Return a start that has the fire times later than ``shown``, and few others before them."""
        first, interval, frequency = self._first, self._parts.interval, FREQUENCIES[self._parts.frequency]
        if shown <= first:
            return first
        if frequency in ("YEARLY", "MONTHLY"):
            per_period = interval * (12 if frequency == "YEARLY" else 1)
            begun = (first.year * 12 + first.month - 1) // 12 * 12 if frequency == "YEARLY" else _months(first)
            months = begun + (_months(shown) - begun) // per_period * per_period
            near = datetime(months // 12, months % 12 + 1, 1)  # noqa: DTZ001  wall time is naive by nature
        elif frequency == "WEEKLY":
            week = datetime.combine(first, time()) - timedelta((first.weekday() - self._parts.week_start) % 7)
            near = week + (shown - week) // timedelta(weeks=interval) * timedelta(weeks=interval)
        else:
            step = _STEPS.get(frequency, timedelta(seconds=1)) * interval
            begun_at = _floor(first, frequency)
            near = begun_at + (shown - begun_at) // step * step
        return max(first, near)

    def _ever_fires(self) -> bool:
        """Look at the last years that there are: dateutil ends there, and calendars repeat."""
        periods = max(_PROBED_YEARS * _PER_YEAR[self._parts.frequency], _PROBED_INTERVALS * self._parts.interval)
        years = min(9998, -(-periods // _PER_YEAR[self._parts.frequency]))
        near = self._start_near(datetime(9999 - years, 1, 1))  # noqa: DTZ001  wall time is naive by nature
        return next(iter(self._expand(dtstart=near)), None) is not None

    def __reduce__(self) -> tuple[Callable[[], RRule], tuple[()]]:
        """Pickle what the user gave: an object of dateutil would tie the pickle to one version of it."""
        make = partial(type(self), self.rule, starting=self.starting, timezone=self.timezone, dst=self.dst)
        return make, ()

    def __repr__(self) -> str:
        starting = "" if self.starting is None else f", starting={self.starting.isoformat()}"
        return f"RRule({self.rule!r}{starting}{zone_argument(self.timezone)}{dst_argument(self.dst)})"


def _expander(parts: RuleParts, rule: str) -> Callable[..., Any]:
    """Return what makes a rule of dateutil from a start."""
    dateutil = needed("dateutil.rrule", "python-dateutil", "rrule", "recurrence rules")
    numbers: dict[str, Any] = {part.lower(): values for part, values in parts.numbers.items()}
    if parts.days:
        numbers["byweekday"] = [dateutil.weekday(day, nth) for day, nth in parts.days]

    def expand(dtstart: datetime) -> Any:
        try:
            return dateutil.rrule(
                parts.frequency, dtstart=dtstart, interval=parts.interval, wkst=parts.week_start, **numbers
            )
        except ValueError:  # an interval that never meets the hours, minutes or seconds
            raise ConfigurationError(f"rrule {rule!r} never fires") from None

    return expand


def _months(wall: datetime) -> int:
    return wall.year * 12 + wall.month - 1


def _floor(wall: datetime, frequency: str) -> datetime:
    if frequency == "DAILY":
        return datetime.combine(wall, time())
    if frequency == "HOURLY":
        return wall.replace(minute=0, second=0)
    return wall.replace(second=0) if frequency == "MINUTELY" else wall


def _first(rule: str, written: str | None, given: object, tz: tzinfo) -> datetime:
    """Return the start of a rule in wall time."""
    if (written is None) == (given is None):
        raise ConfigurationError(f"rrule {rule!r}: the rule is one start, either a line DTSTART or starting=")
    if written is not None:
        return _wall(written, tz)
    instant = from_us(require_instant_us(given, what="starting"))
    return (wall_of(instant, tz) or _END).replace(microsecond=0)


def _wall(text: str, tz: tzinfo) -> datetime:
    """Return an instant that a rule names, in wall time."""
    wall = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007  wall time is naive by nature
    return (wall_of(wall.replace(tzinfo=UTC), tz) or _END) if text.endswith("Z") else wall
