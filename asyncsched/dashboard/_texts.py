"""Owns how instants, durations and sizes are written on the pages. Reads no clock: how long ago something was is said
by the browser, or it would change each second."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup


def duration(seconds: float | None) -> str:
    """Return a length of time in at most two units; ``None``: an en dash."""
    if seconds is None:
        return "–"
    sign, seconds = ("−" if seconds < 0 else ""), abs(seconds)
    if seconds < 1:
        return (
            f"{sign}{seconds * 1000:.0f} ms" if seconds >= 0.001 or seconds == 0 else f"{sign}{seconds * 1000:.1f} ms"
        )
    if seconds < 60:
        return f"{sign}{seconds:.{1 if seconds < 10 else 0}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{sign}{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{sign}{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(hours, 24)
    return f"{sign}{days} d" + (f" {hours} h" if hours else "")


def moment(at: datetime | None, how: str = "") -> Markup:
    """Return an instant as an element, in UTC. ``how``: ``ago`` or ``in``, the browser says how far away it is;
    ``short``: the time of day alone."""
    if at is None:
        return Markup('<span class="none">–</span>')
    at = at.astimezone(UTC)
    text = f"{at:%H:%M:%S}" if how else f"{at.day} {at:%b %H:%M:%S}"
    kept = Markup(' data-rel="{}"').format(how) if how in ("ago", "in") else ""
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S} UTC", kept, text
    )


def local(at: datetime) -> str:
    """Return an instant by the clock of its own time zone."""
    return f"{at:%a} {at.day} {at:%b %Y %H:%M:%S} {at:%Z}"


def number(value: int) -> str:
    """Return a count with thin spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f")
