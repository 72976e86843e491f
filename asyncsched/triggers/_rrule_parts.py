"""Owns which recurrence rules (RFC 5545) are valid, and says of the others what is wrong. Computes no times.

dateutil reads rules leniently: it takes ``BYMONTH=13`` for a month that never comes, and looks for it up to the year
9999. What passes here is in range, and every part that the rule leaves to its start is written out, so that the rule
means the same from wherever it is stepped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from asyncsched.exceptions import ConfigurationError

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
"""From the rarest; the same order as dateutil's numbers."""

_MONTHLY, _WEEKLY, _DAILY, _HOURLY = 1, 2, 3, 4
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_MOST_COUNTED = 1_000
_NUMBERS = {
    # part: its least and greatest value, and whether values may count from the end (negative, never zero)
    "BYSETPOS": (1, 366, True),
    "BYMONTH": (1, 12, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYSECOND": (0, 59, False),
}
_SINGLE = {"INTERVAL": (1, 1_000_000), "COUNT": (1, _MOST_COUNTED)}
_KNOWN = ("FREQ", "UNTIL", "WKST", "BYDAY", *_SINGLE, *_NUMBERS)
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_INSTANT = re.compile(r"[0-9]{8}T[0-9]{6}")


@dataclass(frozen=True, slots=True)
class RuleParts:
    """A rule as it was read. ``numbers`` has the parts that are lists of numbers; ``days`` has ``(day, nth)``."""

    frequency: int
    interval: int
    week_start: int
    count: int | None
    until: str | None
    numbers: dict[str, tuple[int, ...]]
    days: tuple[tuple[int, int | None], ...]
    start: str | None
    """What ``DTSTART`` says."""

    def filled(self, first: datetime) -> RuleParts:
        """Return the rule with the parts that it leaves to its start written out."""
        numbers, days = dict(self.numbers), self.days
        if not days and not {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY"} & numbers.keys():
            if self.frequency < _MONTHLY:
                numbers.setdefault("BYMONTH", (first.month,))
            if self.frequency <= _MONTHLY:
                numbers["BYMONTHDAY"] = (first.day,)
            elif self.frequency == _WEEKLY:
                days = ((first.weekday(), None),)
        for step, (part, value) in enumerate(
            (("BYHOUR", first.hour), ("BYMINUTE", first.minute), ("BYSECOND", first.second))
        ):
            if self.frequency < _HOURLY + step:
                numbers.setdefault(part, (value,))
        return RuleParts(
            self.frequency, self.interval, self.week_start, self.count, self.until, numbers, days, self.start
        )


class _PartError(Exception):
    """What is wrong with one part; the caller adds of which rule."""


def rule_parts(text: object) -> RuleParts:
    """Read ``FREQ=…;…``, also with ``RRULE:`` in front of it and a line ``DTSTART:YYYYMMDDTHHMMSS`` before it.

    Raises:
        ConfigurationError: not a string, an unknown part or one given twice, or a value out of its range.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"rrule {text!r} is not a string such as 'FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9'")
    try:
        return _read(text.strip())
    except _PartError as error:
        raise ConfigurationError(f"rrule {text!r}: {error}") from None


def _read(text: str) -> RuleParts:
    start = None
    lines = text.upper().split("\n")
    if len(lines) == 2 and lines[0].startswith("DTSTART"):
        start = _instant("DTSTART", lines.pop(0).strip().removeprefix("DTSTART").removeprefix(":"))
    if len(lines) != 1:
        raise _PartError("the rule is one line, below a line DTSTART or alone; for more, join triggers with |")
    parts = _split(lines[0].strip().removeprefix("RRULE:"))
    if parts.get("FREQ") not in FREQUENCIES:
        raise _PartError(f"FREQ={parts.get('FREQ', '')} is not one of {', '.join(FREQUENCIES)}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise _PartError("COUNT and UNTIL exclude each other")
    frequency = FREQUENCIES.index(parts["FREQ"])
    numbers = {part: _numbers(part, parts[part]) for part in _NUMBERS if part in parts}
    days = tuple(_day(day, frequency) for day in parts["BYDAY"].split(",")) if "BYDAY" in parts else ()
    _check_positions(frequency, numbers, days)
    if parts.get("WKST", "MO") not in _DAYS:
        raise _PartError(f"WKST={parts['WKST']} is not one of {', '.join(_DAYS)}")
    return RuleParts(
        frequency=frequency,
        interval=_single("INTERVAL", parts.get("INTERVAL", "1")),
        week_start=_DAYS.index(parts.get("WKST", "MO")),
        count=_single("COUNT", parts["COUNT"]) if "COUNT" in parts else None,
        until=_until(parts["UNTIL"]) if "UNTIL" in parts else None,
        numbers=numbers,
        days=days,
        start=start,
    )


def _split(line: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for term in line.split(";"):
        name, _, value = term.partition("=")
        if name not in _KNOWN or not value:
            raise _PartError(f"{term!r} is no part of a rule; they are {', '.join(_KNOWN)}, each with '=' and a value")
        if name in parts:
            raise _PartError(f"{name} is given twice")
        parts[name] = value
    return parts


def _numbers(part: str, text: str) -> tuple[int, ...]:
    low, high, is_signed = _NUMBERS[part]
    found = []
    for term in text.split(","):
        number = int(term) if re.fullmatch(r"[+-]?[0-9]{1,3}", term) else None
        if number is None or not low <= (abs(number) if is_signed else number) <= high:
            signed = f" or -{high} to -{low}" if is_signed else ""
            raise _PartError(f"{part}={term} is not in {low}-{high}{signed}")
        found.append(number)
    return tuple(sorted(set(found)))


def _single(part: str, text: str) -> int:
    low, high = _SINGLE[part]
    if not re.fullmatch(r"[0-9]{1,7}", text) or not low <= int(text) <= high:
        raise _PartError(f"{part}={text} is not in {low}-{high}")
    return int(text)


def _day(text: str, frequency: int) -> tuple[int, int | None]:
    match = _DAY.fullmatch(text)
    if match is None:
        raise _PartError(f"BYDAY={text} is not a day such as MO, or the nth such as 2MO or -1FR")
    nth = int(match[1]) if match[1] else None
    if nth is not None and frequency > _MONTHLY:
        raise _PartError(f"BYDAY={text}: the nth day is for MONTHLY and YEARLY only")
    most = 5 if frequency == _MONTHLY else 53
    if nth is not None and not 1 <= abs(nth) <= most:
        raise _PartError(f"BYDAY={text}: {nth} is not in 1-{most} or -{most} to -1")
    return _DAYS.index(match[2]), nth


def _instant(part: str, text: str) -> str:
    try:
        if _INSTANT.fullmatch(text):
            datetime.strptime(text, "%Y%m%dT%H%M%S")  # noqa: DTZ007  wall time is naive by nature
            return text
    except ValueError:
        pass
    also = "; an instant in UTC or another zone is given as starting=" if part == "DTSTART" else ", also with Z for UTC"
    raise _PartError(f"{part} {text!r} is not YYYYMMDDTHHMMSS{also}")


def _until(text: str) -> str:
    local = text.removesuffix("Z")
    return _instant("UNTIL", local) + text[len(local) :]


def _check_positions(frequency: int, numbers: dict[str, tuple[int, ...]], days: tuple[object, ...]) -> None:
    """Refuse positions that no period has: dateutil would look for them up to the year 9999."""
    if "BYSETPOS" not in numbers:
        return
    if not days and len(numbers) == 1:
        raise _PartError("BYSETPOS needs another BY part to choose from")
    if frequency >= _DAILY:
        size = 1
        for step, part in enumerate(("BYHOUR", "BYMINUTE", "BYSECOND")):
            if frequency < _HOURLY + step:
                size *= len(numbers.get(part, (0,)))
        if min(map(abs, numbers["BYSETPOS"])) > size:
            raise _PartError(f"BYSETPOS={numbers['BYSETPOS'][0]} is never reached: a period has {size} times")
