"""Owns the names of the days of the week: how they are read and written. Monday is 0, as in ``date.weekday()``."""

from __future__ import annotations

import re

from asyncsched.exceptions import ConfigurationError

NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WORKING_DAYS, WEEKEND = "mon-fri", "sat-sun"
_TERM = re.compile(r"([A-Za-z]+)(?:-([A-Za-z]+))?")


def weekdays(*values: object) -> tuple[int, ...]:
    """Return the days of the week that are named, sorted.

    Args:
        values: one or more of a day (``"mon"``, in any case), a range (``"mon-fri"``, also over the end of the week:
            ``"fri-mon"``) and a list of these with commas.

    Raises:
        ConfigurationError: no day at all, or anything else.
    """
    found: set[int] = set()
    for value in values:
        if not isinstance(value, str):
            raise ConfigurationError(f"day of week {value!r} is not a string such as 'mon', 'mon-fri' or 'mon,wed'")
        for term in value.split(","):
            match = _TERM.fullmatch(term)
            if match is None:
                raise ConfigurationError(
                    f"day of week {term!r} is not a day such as 'mon' or a range such as 'mon-fri' (in {value!r})"
                )
            first, last = (_day(name or match[1], value) for name in match.groups())
            found |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    if not found:
        raise ConfigurationError("day of week: none given; at least one such as 'mon' is needed")
    return tuple(sorted(found))


def written(days: tuple[int, ...]) -> str:
    """Return sorted days as ``weekdays`` reads them; three or more in a row as a range."""
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(
        f"{NAMES[run[0]]}-{NAMES[run[-1]]}" if len(run) > 2 else ",".join(NAMES[day] for day in run) for run in runs
    )


def _day(name: str, value: str) -> int:
    try:
        return NAMES.index(name.lower())
    except ValueError:
        near = name.lower()[:3]
        hint = f" (did you mean {near!r}?)" if near in NAMES else ""
        raise ConfigurationError(
            f"day of week {name!r} is not one of {', '.join(NAMES)}{hint}"
            + ("" if name == value else f" (in {value!r})")
        ) from None
