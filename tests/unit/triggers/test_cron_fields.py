"""Which cron expressions are refused, and what the message says."""

from __future__ import annotations

import pytest

from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Cron

COUNT = "the rule is five (minute, hour, day of month, month, day of week), or six with seconds first"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("73 * * * *", "cron field 'minute': 73 is not in 0-59 (in '73 * * * *')"),
        ("60 * * * * *", "cron field 'second': 60 is not in 0-59"),
        ("* 24 * * *", "cron field 'hour': 24 is not in 0-23"),
        ("* * 0 * *", "cron field 'day of month': 0 is not in 1-31"),
        ("* * 32 * *", "cron field 'day of month': 32 is not in 1-31"),
        ("* * * 13 *", "cron field 'month': 13 is not in 1-12"),
        ("* * * * 8", "cron field 'day of week': 8 is not in 0-7"),
        ("005 * * * *", "cron field 'minute': 005 is not in 0-59"),
        ("1,2,99 * * * *", "cron field 'minute': 99 is not in 0-59"),
        ("5-99 * * * *", "cron field 'minute': 99 is not in 0-59"),
        ("*/0 * * * *", "cron field 'minute': step 0 is not in 1-60"),
        ("*/61 * * * *", "cron field 'minute': step 61 is not in 1-60"),
        ("* */25 * * *", "cron field 'hour': step 25 is not in 1-24"),
        ("* * */32 * *", "cron field 'day of month': step 32 is not in 1-31"),
        ("* * * */13 *", "cron field 'month': step 13 is not in 1-12"),
        ("* * * * */8", "cron field 'day of week': step 8 is not in 1-7"),
        ("30-10 * * * *", "cron field 'minute': range '30-10' runs backwards"),
        ("0 0 * * FRI-SUN", "range 'FRI-SUN' runs backwards; as the end of a range, Sunday is 7"),
        ("0 0 * DEC-FEB *", "cron field 'month': range 'DEC-FEB' runs backwards"),
        ("a * * * *", "cron field 'minute': 'A' is not a number in 0-59"),
        ("* MON * * *", "cron field 'hour': 'MON' is not a number in 0-23"),
        ("* * * * MONDAY", "nor a name SUN/MON/TUE/WED/THU/FRI/SAT (did you mean 'MON'?)"),
        ("* * * january *", "(did you mean 'JAN'?)"),
        ("* * * * xyz", "cron field 'day of week': 'XYZ' is neither a number in 0-7 nor a name"),
        ("0 0 ? * *", "cron field 'day of month': '?' is not known here (did you mean '*'?)"),
        ("1,,2 * * * *", "cron field 'minute': an empty value"),
        ("1, * * * *", "cron field 'minute': an empty value"),
        (
            "-5 * * * *",
            "cron field 'minute': '-5' is not '*', a value in 0-59, a range 'a-b' or a step '*/n'",
        ),
        ("+5 * * * *", "'+5' is not '*', a value"),
        ("1-2-3 * * * *", "'1-2-3' is not '*', a value"),
        ("*/2/3 * * * *", "'*/2/3' is not '*', a value"),
        ("*/ * * * *", "'*/' is not '*', a value"),
        ("*5 * * * *", "'*5' is not '*', a value"),
        ("1.5 * * * *", "'1.5' is not '*', a value"),
        ("L * * * *", "cron field 'minute': 'L' is not a number in 0-59"),
        ("0 0 L-3 * *", "cron field 'day of month': 'L' is not a number in 1-31"),
        ("0 0 15W * *", "cron field 'day of month': '15W' is not a number in 1-31"),
        ("0 0 * * L", "cron field 'day of week': 'L' is neither a number"),
        ("0 0 * * 8L", "cron field 'day of week': 8 is not in 0-7"),
        ("0 0 * * 9#1", "cron field 'day of week': 9 is not in 0-7"),
        ("0 0 * * MON#6", "cron field 'day of week': #6 is not in 1-5"),
        ("0 0 * * MON#0", "cron field 'day of week': #0 is not in 1-5"),
        ("0 0 1#2 * *", "cron field 'day of month': '1#2' is not '*', a value"),
        ("0 0 30 2 *", "cron '0 0 30 2 *': the day of month never comes in the given months"),
        ("0 0 31 4,6,9,11 *", "the day of month never comes in the given months"),
        ("", f"cron '' has 0 fields; {COUNT}"),
        (" \t ", "has 0 fields"),
        ("* * * *", f"cron '* * * *' has 4 fields; {COUNT}"),
        ("0 0 12 * * MON 2026", "has 7 fields"),
        ("* * * * *\n", "character '\\n' (U+000A) is not allowed"),
        ("*\u2003* * * *", "character '\\u2003' (U+2003) is not allowed"),
        (
            "\u0661 * * * *",
            "(U+0661) is not allowed; the rule is ASCII, with spaces or tabs between the fields",
        ),
        ("@reboot", "cron '@reboot' names no time; for a run when the scheduler starts, use immediate()"),
        (
            "@dayly",
            "cron '@dayly' is not one of @annually, @daily, @hourly, @midnight, @monthly, @weekly, @yearly",
        ),
        (None, "cron None is not a string such as '*/5 * * * *'"),
        (5, "cron 5 is not a string"),
        (b"* * * * *", "is not a string"),
    ],
)
def test_refused_expressions(expression: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Cron(expression)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "*/60 */24 * * *",
        "59 23 31 12 7",
        "05 09 * * *",
        "1,2-4,5/6,*/7 * * * *",
        "0 0 LW,15,L * *",
        "0 0 * * 1L,SUN#5,3",
        "0 0 * * SUN-SAT/2",
        "0 0 * JAN-DEC/3 *",
        "0 0 31 * 1",
        "0 0 30 2 1",
    ],
)
def test_accepted_expressions(expression: str) -> None:
    assert Cron(expression).expression == expression
