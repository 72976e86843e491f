"""Owns how a time zone is named and found. Every way of failing ends in one error that names the value."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from asyncsched._lazy import LazyModule
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    import difflib
    import zoneinfo
else:
    difflib, zoneinfo = LazyModule("difflib"), LazyModule("zoneinfo")

_LONGEST_HINTED = 64
"""Names beyond this length get no suggestion: searching for a near miss would take seconds."""

_NOT_KEYS = frozenset({"localtime", "posix", "posixrules", "right"})
"""Files that lie beside the zones but are no IANA keys.

``localtime`` differs from machine to machine, and the zones below ``right/`` count leap seconds: with either
of them two nodes would see different fire times.
"""


def zone(value: object) -> tzinfo:
    """Return the time zone that ``value`` names.

    Args:
        value: an IANA key such as ``"Europe/Berlin"``, or a ``tzinfo`` (``ZoneInfo``, ``datetime.timezone``),
            which is returned as it is. UTC in each of these forms is ``datetime.UTC``.

    Raises:
        ConfigurationError: an unknown key, a value of another type, or a pytz zone: those ignore the fold,
            without which a repeated hour cannot be told apart.
    """
    if value is UTC:
        return UTC
    if isinstance(value, str):
        return UTC if value == "UTC" else _by_key(value)
    if not isinstance(value, tzinfo):
        raise ConfigurationError(f"time zone {value!r} is neither an IANA key such as 'Europe/Berlin' nor a tzinfo")
    if hasattr(value, "localize"):
        raise ConfigurationError(f"time zone {value!r} is a pytz zone, which has no fold; give its key, {str(value)!r}")
    return UTC if isinstance(value, zoneinfo.ZoneInfo) and value.key == "UTC" else value


def zone_name(tz: tzinfo) -> str:
    """Return the IANA key, or for a zone without one what it calls itself (``UTC+02:00``)."""
    return str(tz)


def zone_argument(tz: tzinfo) -> str:
    """Return how ``timezone=`` is written in a trigger's ``repr``: empty for UTC, which is the default."""
    if tz is UTC:
        return ""
    named = isinstance(tz, zoneinfo.ZoneInfo) and tz.key is not None
    return f", timezone={zone_name(tz)!r}" if named else f", timezone={tz!r}"


def _by_key(key: str) -> zoneinfo.ZoneInfo:
    # ZoneInfo fails in many ways: ValueError for "../x", IsADirectoryError for "Europe", OSError for a name
    # that the file system finds too long, UnicodeEncodeError for a lone surrogate.
    if key.partition("/")[0] not in _NOT_KEYS:
        try:
            return zoneinfo.ZoneInfo(key)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ConfigurationError(f"time zone {key!r} is not a known IANA key, such as 'Europe/Berlin'{_hint(key)}")


def _hint(key: str) -> str:
    if not 0 < len(key) <= _LONGEST_HINTED:
        return ""
    known = sorted(zoneinfo.available_timezones() - _NOT_KEYS)
    if not known:
        return "; this machine has no time zone data: install the package 'tzdata'"
    near = _near(key.strip().casefold().replace(" ", "_"), known)
    return f" (did you mean {near!r}?)" if near else ""


def _near(key: str, known: list[str]) -> str | None:
    """Return the known key that differs by case, has ``key`` as its city, or is spelt almost alike."""
    by_folded = {name.casefold(): name for name in known}
    by_city = {name.rpartition("/")[2].casefold(): name for name in known if not name.startswith("Etc/")}
    exact = by_folded.get(key) or by_city.get(key)
    if exact:
        return exact
    # Only names with a place: among the short ones (EST, MST) the nearest is as a rule another zone.
    places = [name for name in by_folded if "/" in name]
    close = difflib.get_close_matches(key, places, n=1, cutoff=0.75)
    return by_folded[close[0]] if close else None
