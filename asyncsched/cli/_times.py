"""Owns how times are read and shown: lengths, and instants as people and as machines see them. Reads no clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._text import glued

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
FORMS = "an instant such as 2026-11-28T23:30 (or with a zone, +01:00 or Z), or a length such as 90s, 15m, 2h, 3d"

_LENGTH = re.compile(r"(?P<ahead>\+?)(?P<number>\d{1,9}(\.\d{1,6})?)(?P<unit>[a-z]+)", re.ASCII)


def read_instant(text: str, now: datetime, zone: tzinfo | None, *, option: str) -> datetime:
    """Return the instant that a user means.

    Args:
        text: ISO 8601, or a length: ``2h`` is two hours ago, ``+2h`` in two hours.
        now: what a length counts from.
        zone: of an instant that names none; ``None``: the machine's.
        option: how the message names the value.

    Raises:
        Refusal: it is neither.
    """
    match = _LENGTH.fullmatch(text.strip().lower())
    try:
        if match is not None and match["unit"] in UNITS:
            length = timedelta(seconds=float(match["number"]) * UNITS[match["unit"]])
            return now + length if match["ahead"] else now - length
        instant = datetime.fromisoformat(text.strip())
        if instant.utcoffset() is None:
            instant = instant.astimezone() if zone is None else instant.replace(tzinfo=zone)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise Refusal(f"{option} {text!r} is no time: give {FORMS}", Exit.USAGE) from None


def span(seconds: float) -> str:
    """Return a length for people: its two largest units, ``4 h 12 min``. Its sign is left out; an ``int`` is shown
    without parts of a second."""
    seconds = abs(seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s" if isinstance(seconds, float) else f"{seconds} s"
    if seconds < 60:
        return f"{int(seconds + 0.05)} s"
    if seconds < 3600:
        return _of(int(seconds), 60, "min", 1, "s") if seconds < 600 else f"{int(seconds) // 60} min"
    if seconds < 86_400:
        return _of(int(seconds), 3600, "h", 60, "min")
    return _of(int(seconds), 86_400, "d", 3600, "h")


def _of(seconds: int, large: int, large_name: str, small: int, small_name: str) -> str:
    whole, rest = divmod(seconds, large)
    tail = rest // small
    return f"{whole} {large_name}" + (f" {tail} {small_name}" if tail else "")


def relative(instant: datetime, now: datetime) -> str:
    """Return ``in 4 h 12 min``, ``3 min ago``; within a second, ``now``."""
    seconds = (instant - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {span(int(seconds))}" if seconds > 0 else f"{span(int(seconds))} ago"


def absolute(instant: datetime, now: datetime, zone: tzinfo | None) -> str:
    """Return ``23:30:00 CET``, with the date unless that is today's, and with the year unless that is this one's;
    ``zone`` ``None``: the machine's."""
    local, today = instant.astimezone(zone), now.astimezone(zone)
    is_today = local.date() == today.date()
    date = "" if is_today else f"{local:%d %b} " if local.year == today.year else f"{local:%Y-%m-%d} "
    return f"{date}{local:%H:%M:%S} {local:%Z}"


def both(instant: datetime, now: datetime, zone: tzinfo | None) -> str:
    """Return ``in 4 h 12 min (23:30:00 CET)``, which folds between the two."""
    return f"{glued(relative(instant, now))} ({glued(absolute(instant, now, zone))})"


def since(instant: datetime, now: datetime, zone: tzinfo | None) -> str:
    """Return ``22:49:07 CET (52 min)``: from when on, and for how long."""
    seconds = int((now - instant).total_seconds())
    return f"{glued(absolute(instant, now, zone))} ({glued(span(seconds) if seconds else 'just now')})"


def iso(instant: datetime) -> str:
    """Return an instant for machines: UTC, always with microseconds, so that texts sort as instants do."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
