"""Owns which cron expressions are valid, and says of the others what is wrong. Computes no times.

The parser of cronsim is lenient where a typing error should be heard: it takes U+017F for an S, a no-break
space for a separator and ``*/99999999999999999999`` for a step, and its errors name neither the value nor the
rule. What passes here is ASCII, in range, and in a form that cronsim reads in the way this grammar says:

    field   = term *("," term)
    term    = ("*" / value / value "-" value) ["/" step]     "5/15" is "5-59/15": from 5 on
            / "L" / "LW"                                     day of month: the last day, the last from Mon to
            Fri / day "L" / value "#" nth                        day of week: the last, the nth (1-5) of the
    month value   = one or two digits, or a name (JAN-DEC, SUN-SAT, in any case)
    step    = 1 to the number of values that the field has
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from asyncsched.exceptions import ConfigurationError

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True, slots=True)
class _Field:
    """Values are ``low`` to ``high``; ``names`` stand for those from ``low`` on; ``span`` bounds a step."""

    name: str
    low: int
    high: int
    span: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59, 60),
    _Field("minute", 0, 59, 60),
    _Field("hour", 0, 23, 24),
    _Field("day of month", 1, 31, 31),
    _Field("month", 1, 12, 12, _MONTHS),
    _Field("day of week", 0, 7, 7, _DAYS),  # Sunday is both 0 and 7, so eight values are seven days
)

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_SPECIALS = {
    "day of month": re.compile(r"LW?"),
    "day of week": re.compile(r"([0-9]+)L|([0-9A-Z]+)#([0-9]+)"),
}
_TERM = re.compile(r"(?:\*|([0-9A-Z]+)(?:-([0-9A-Z]+))?)(?:/([0-9]+))?")
_SEPARATORS = re.compile(r"[ \t]+")


class _FieldError(Exception):
    """What is wrong within one field; the caller adds which field, and of which expression."""


def cron_fields(expression: object) -> tuple[str, ...]:
    """Return the five or six fields of ``expression``, upper case, with an alias such as ``@daily`` replaced.

    Raises:
        ConfigurationError: not a string, not ASCII, a wrong number of fields, or a field against the grammar
            above.
    """
    text = _plain(expression)
    if text.startswith("@"):
        text = _alias(text)
    fields = tuple(_SEPARATORS.split(text.upper())) if text else ()
    if len(fields) not in (5, 6):
        raise ConfigurationError(
            f"cron {expression!r} has {len(fields)} fields; the rule is five (minute, hour, day of month, "
            "month, day of week), or six with seconds first"
        )
    for field, value in zip(_FIELDS[-len(fields) :], fields, strict=True):
        try:
            _check_field(field, value)
        except _FieldError as error:
            raise ConfigurationError(f"cron field {field.name!r}: {error} (in {expression!r})") from None
    return fields


def _plain(expression: object) -> str:
    if not isinstance(expression, str):
        raise ConfigurationError(f"cron {expression!r} is not a string such as '*/5 * * * *'")
    odd = next((char for char in expression if char != "\t" and not " " <= char <= "~"), None)
    if odd is not None:
        raise ConfigurationError(
            f"cron {expression!r}: character {odd!r} (U+{ord(odd):04X}) is not allowed; "
            "the rule is ASCII, with spaces or tabs between the fields"
        )
    return expression.strip(" \t")


def _alias(text: str) -> str:
    if text.lower() == "@reboot":
        raise ConfigurationError("cron '@reboot' names no time; for a run when the scheduler starts, use immediate()")
    if text.lower() not in _ALIASES:
        raise ConfigurationError(f"cron {text!r} is not one of {', '.join(sorted(_ALIASES))}")
    return _ALIASES[text.lower()]


def _check_field(field: _Field, text: str) -> None:
    for term in text.split(","):
        special = _SPECIALS.get(field.name)
        if special and (match := special.fullmatch(term)):
            _check_special(field, *match.groups())
        elif match := _TERM.fullmatch(term):
            _check_term(field, term, *match.groups())
        else:
            raise _FieldError(_not_a_term(field, term))


def _check_special(field: _Field, last: str | None = None, day: str | None = None, nth: str | None = None) -> None:
    if last or day:
        _value(field, last or day or "")
    if nth and nth not in {"1", "2", "3", "4", "5"}:
        raise _FieldError(f"#{nth} is not in 1-5")


def _check_term(field: _Field, term: str, start: str | None, end: str | None, step: str | None) -> None:
    if start and end and _value(field, start) > _value(field, end):
        hint = "; as the end of a range, Sunday is 7" if field.names is _DAYS and _value(field, end) == 0 else ""
        raise _FieldError(f"range {term!r} runs backwards{hint}")
    if start:
        _value(field, start)
    if step and not (len(step) <= 2 and 1 <= int(step) <= field.span):
        raise _FieldError(f"step {step} is not in 1-{field.span}")


def _value(field: _Field, text: str) -> int:
    if text in field.names:
        return field.low + field.names.index(text)
    if not text.isdigit():
        raise _FieldError(_not_a_value(field, text))
    # The length first: int() itself refuses thousands of digits, with an error of another kind.
    if len(text) > 2 or not field.low <= int(text) <= field.high:
        raise _FieldError(f"{text} is not in {field.low}-{field.high}")
    return int(text)


def _not_a_value(field: _Field, text: str) -> str:
    if not field.names:
        return f"{text!r} is not a number in {field.low}-{field.high}"
    hint = f" (did you mean {text[:3]!r}?)" if text[:3] in field.names else ""
    return f"{text!r} is neither a number in {field.low}-{field.high} nor a name {'/'.join(field.names)}{hint}"


def _not_a_term(field: _Field, term: str) -> str:
    if term == "?":
        return "'?' is not known here (did you mean '*'?)"
    if not term:
        return f"an empty value; the rule is '*', values in {field.low}-{field.high}, ranges and steps"
    return f"{term!r} is not '*', a value in {field.low}-{field.high}, a range 'a-b' or a step '*/n'"
