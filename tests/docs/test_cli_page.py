"""The page about the command line shows what the commands print, and lists what machines get."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from _canned_cluster import CannedConsole
from _cli_page import BLOCK, JUST_RUN, PAGE, outputs, shop
from _command_line import Line
from _pages import BY_NAME, code

from asyncsched.cli._app import app
from asyncsched.cli._exits import Exit
from asyncsched.cli._target import APP, PREFIX, URL

TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [match["text"] for match in BLOCK.finditer(TEXT)]


def without_versions(text: str) -> str:
    return re.sub(r"\d+(\.\d+)+", "<version>", text) if "asyncsched version" in text else text


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_the_outputs_are_what_the_commands_print(block: str) -> None:
    assert without_versions(outputs(block)) == without_versions(block), "scripts/cli-page writes them"


def test_every_command_has_an_example() -> None:
    shown = set(re.findall(r"^\$ asyncsched (\w+)", TEXT, re.MULTILINE))
    assert shown == {command.name for command in app.registered_commands}


def test_every_option_is_named() -> None:
    for command in app.registered_commands:
        out = Line(width=200).give(str(command.name), "--help").output
        for option in set(re.findall(r"--[a-z-]+", out)) - {"--help"}:
            assert option in TEXT, f"{command.name} {option}"
    assert {APP, URL, PREFIX} <= set(re.findall(r"\w+", TEXT))


def test_the_exit_codes_are_listed() -> None:
    rows = BY_NAME["docs/cli.md"].table("code", "meaning")
    assert [int(row["code"]) for row in rows] == [code.value for code in Exit]


# JSON


def shapes() -> dict[str, list[dict[str, Any]]]:
    """Return what each record looks like, as the commands print it."""
    line = Line(console=CannedConsole(), app=shop())
    line.console.after_trigger = (JUST_RUN,)
    told = {command: line.json(command) for command in ("list", "next", "history", "runs", "nodes", "locks")}
    waited = line.json("trigger", "daily_cleanup", "--wait")
    doctor = line.give("doctor", "--json")
    assert doctor.exit_code == Exit.FINDINGS
    return {
        "state": [line.json("watch", "--count", "1")],
        "job": told["list"],
        "note": [line.json("maintenance", "on")["maintenance"]],
        "coming fire time": told["next"],
        "fire time": line.json("preview", "invoice_mails", "--app", "shop:scheduler"),
        "ending": [*told["history"], waited.pop("ending"), told["list"][0]["last"]],
        "run": [*told["runs"], *told["nodes"][0]["active"]],
        "node": told["nodes"],
        "lock": told["locks"],
        "answer": [waited, line.json("trigger", "daily_cleanup"), line.json("cancel", "4")],
        "finding": json.loads(doctor.stdout),
        "explanation": [line.json("why", "price_import")],
    }


def test_the_fields_of_each_record_are_listed() -> None:
    listed = {}
    for row in BY_NAME["docs/cli.md"].table("record", "fields"):
        fields = re.sub(r"\([^)]*\)", "", row["fields"]).partition(";")[0]
        listed[row["record"]] = code(fields)
    printed = shapes()
    assert set(listed) == set(printed)
    for record, examples in printed.items():
        assert examples, record
        for example in examples:
            assert list(example) == listed[record], record


def test_what_each_command_prints_is_listed() -> None:
    rows = BY_NAME["docs/cli.md"].table("command", "prints")
    named = [name for row in rows for name in code(row["command"])]
    assert sorted(named) == sorted(str(command.name) for command in app.registered_commands if command.name != "run")
