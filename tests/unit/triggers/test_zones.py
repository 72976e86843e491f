"""How time zones are found, and what is said of those that are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest

from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._zones import zone, zone_name

PLUS_TWO = timezone(timedelta(hours=2))


class Pytz(tzinfo):
    """Has the method by which a pytz zone is known."""

    def localize(self, wall: datetime) -> datetime:
        raise NotImplementedError

    utcoffset = dst = tzname = lambda self, wall: None

    def __str__(self) -> str:
        return "Europe/Berlin"


@pytest.mark.parametrize(
    ("value", "expected", "name"),
    [
        ("UTC", UTC, "UTC"),
        (UTC, UTC, "UTC"),
        (ZoneInfo("UTC"), UTC, "UTC"),
        ("Europe/Berlin", ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
        (ZoneInfo("Asia/Tokyo"), ZoneInfo("Asia/Tokyo"), "Asia/Tokyo"),
        (PLUS_TWO, PLUS_TWO, "UTC+02:00"),
        (timezone(timedelta(hours=1), "CET"), timezone(timedelta(hours=1)), "CET"),
    ],
)
def test_found(value: str | tzinfo, expected: tzinfo, name: str) -> None:
    assert zone(value) == expected
    assert zone_name(zone(value)) == name


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        (" Europe/Berlin ", "Europe/Berlin"),
        ("right/Europe/Berlin", "Europe/Berlin"),
        ("utc", "UTC"),
        *((key, None) for key in ("Europe", "../x", "/etc/passwd", "", "x" * 5000, "a/" * 200, "Mars/Phobos")),
        *((key, None) for key in ("CEST", "localtime", "posixrules", "\ud800", "Europe\0", "tzdata.zi", ".")),
    ],
)
def test_unknown_key(key: str, hint: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        zone(key)
    suggestion = f" (did you mean {hint!r}?)" if hint else ""
    assert str(caught.value) == f"time zone {key!r} is not a known IANA key, such as 'Europe/Berlin'{suggestion}"


@pytest.mark.parametrize("value", [None, b"UTC", 2, timedelta(hours=2), ["UTC"], ZoneInfo])
def test_other_types(value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        zone(value)
    assert str(caught.value) == (f"time zone {value!r} is neither an IANA key such as 'Europe/Berlin' nor a tzinfo")


def test_pytz_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is a pytz zone, which has no fold; give its key, 'Europe/Berlin'"):
        zone(Pytz())


def test_machine_without_zone_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncsched.triggers._zones.zoneinfo.available_timezones", set)
    with pytest.raises(ConfigurationError, match="no time zone data: install the package 'tzdata'"):
        zone("Nowhere/Land")
