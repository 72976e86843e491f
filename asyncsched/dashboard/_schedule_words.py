"""Owns schedules in words: it reads a trigger's code, such as ``Every(30)``. Knows nothing of triggers themselves: the
code comes from nodes of any version, so what it does not know it leaves alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

_CALL = re.compile(r"(?P<name>[A-Z]\w*)\((?P<rest>.*)\)", re.DOTALL)
_KEYWORD = re.compile(r"(?P<name>[a-z_]+)=(?P<value>.*)", re.DOTALL)
_DEEPEST = 20
_DAYS = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))

Arguments = Sequence[str]
Options = Mapping[str, str]


def in_words(code: str) -> str:
    """Return a schedule in words; empty if it cannot be said."""
    if not code:
        return "only when a scheduler starts"
    try:
        return _said(code, _DEEPEST)
    except (ValueError, IndexError, KeyError):
        return ""


def _said(code: str, depth: int) -> str:
    call = _CALL.fullmatch(code.strip())
    if call is None or depth == 0:
        raise ValueError(code)
    arguments, options = _split(call["rest"])
    if call["name"] in _FILTERS:
        return f"{_said(arguments[0], depth - 1)}, {_FILTERS[call['name']](arguments[1:], options)}"
    if call["name"] == "Union":
        return "; and ".join(_said(argument, depth - 1) for argument in arguments)
    said = _PLAIN[call["name"]](arguments, options)
    return said + (f" ({_text(options['timezone'])})" if "timezone" in options else "")


def _split(rest: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments of a call and its keywords, without reading what is inside of them."""
    parts, depth, quote, begin = [], 0, "", 0
    for at, letter in enumerate(rest):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "()[]":
            depth += 1 if letter in "([" else -1
        elif letter == "," and depth == 0:
            parts.append(rest[begin:at].strip())
            begin = at + 1
    parts.append(rest[begin:].strip())
    named = [match for part in parts if (match := _KEYWORD.fullmatch(part))]
    return [part for part in parts if part and not _KEYWORD.fullmatch(part)], {m["name"]: m["value"] for m in named}


def _text(argument: str) -> str:
    return argument.strip().strip("'\"")


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _times(arguments: Arguments) -> str:
    """Return times of day, without seconds that are zero."""
    return _listed([_text(argument).removesuffix(":00") for argument in arguments])


def _every(arguments: Arguments, options: Options) -> str:
    interval = float(arguments[0])
    size, unit = next(
        ((size, unit) for size, unit in _UNITS if interval >= size and interval % size == 0), (1, "second")
    )
    number = interval / size
    said = f"every {unit}" if number == 1 else f"every {number:g} {unit}s"
    return said + (f", counted from {_instant(options['anchor'])}" if "anchor" in options else "")


def _days(text: str) -> str:
    ranges = []
    for part in _text(text).split(","):
        first, _, last = part.strip().partition("-")
        ranges.append(f"{_DAYS[first]} to {_DAYS[last]}" if last else _DAYS[first])
    return _listed(ranges)


def _monthly(arguments: Arguments, _: Options) -> str:
    days = [_text(day) for day in arguments[0].strip("()").split(",") if day.strip()]
    which = "the last day" if days == ["last"] else f"day{'s' if len(days) > 1 else ''} {_listed(days)}"
    return f"on {which} of each month at {_times(arguments[1:])}"


def _yearly(arguments: Arguments, _: Options) -> str:
    month, day = _MONTHS[int(arguments[0]) - 1], _text(arguments[1])
    which = f"the last day of {month}" if day == "last" else f"{int(day)} {month}"
    return f"on {which} each year at {_times(arguments[2:])}"


def _instant(text: str) -> str:
    return _text(text).replace("T", " ").replace("+00:00", " UTC")


def _within(_: Arguments, options: Options) -> str:
    words = {"starting": "from", "until": "until"}
    return " ".join(f"{words[name]} {_instant(value)}" for name, value in options.items())


_PLAIN: Mapping[str, Callable[[Arguments, Options], str]] = {
    "Every": _every,
    "Daily": lambda arguments, _: f"daily at {_times(arguments)}",
    "Weekly": lambda arguments, _: f"on {_days(arguments[0])} at {_times(arguments[1:])}",
    "Monthly": _monthly,
    "Yearly": _yearly,
    "Cron": lambda arguments, _: f"cron {_text(arguments[0])}",
    "Once": lambda arguments, _: f"once, at {_listed([_instant(argument) for argument in arguments])}",
    "RRule": lambda arguments, _: f"by the rule {_text(arguments[0])}",
}
_FILTERS: Mapping[str, Callable[[Arguments, Options], str]] = {
    "OnDays": lambda arguments, _: f"only {_listed([_days(argument) for argument in arguments])}",
    "Between": lambda arguments, _: f"between {_times(arguments)}",
    "UnlessBetween": lambda arguments, _: f"not between {_times(arguments)}",
    "Excluding": lambda arguments, _: f"not on {_listed([_text(argument) for argument in arguments])}",
    "Within": _within,
}
