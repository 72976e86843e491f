"""Owns the two shapes of an instant, and the way between them.

Inside the engine an instant is an ``int``: microseconds since the Unix epoch, UTC (``..._us``), exact and cheap to
compare. Users see aware ``datetime`` objects.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from asyncsched.exceptions import ConfigurationError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The Unix epoch: the default anchor of every interval grid."""

_EXACT_UNTIL_US = 4_000_000_000_000_000
"""Up to here (the year 2096) a float of seconds tells microseconds apart."""
_MICROSECOND = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Return an aware ``instant`` as microseconds since the epoch, exactly."""
    return (instant - EPOCH) // _MICROSECOND


def from_us(instant_us: int, timezone: tzinfo = UTC) -> datetime:
    """Return the instant as an aware datetime in ``timezone``.

    Raises:
        OverflowError: outside the years 1 to 9999.
    """
    if 0 <= instant_us < _EXACT_UNTIL_US:
        return datetime.fromtimestamp(instant_us / 1e6, timezone)  # the same, in half the time
    instant = EPOCH + timedelta(microseconds=instant_us)
    return instant if timezone is UTC else instant.astimezone(timezone)


def require_aware(instant: object, *, what: str) -> datetime:
    """Return ``instant`` if it is an aware datetime.

    Raises:
        ConfigurationError: it is something else, or naive.
    """
    if not isinstance(instant, datetime):
        raise ConfigurationError(f"{what}: {instant!r} is not a datetime")
    if instant.utcoffset() is None:
        raise ConfigurationError(f"{what}: {instant!r} is naive; give it a time zone")
    return instant
