"""How the command line ends, whatever is given to it: an exit code, and at most one line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from _command_line import Line
from typer.testing import CliRunner

from asyncsched.cli import _commands
from asyncsched.cli._app import EPILOG, app
from asyncsched.cli._exits import Exit


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lst", "No such command 'lst'. Did you mean 'list'?; see `asyncsched --help`"),
        ("list --colour", "No such option: --colour"),
        ("pause", "Missing argument 'JOB'; see `asyncsched pause --help`"),
        ("next --limit 0", "Invalid value for '--limit':"),
        ("history --outcome good", "--outcome 'good' is none of succeeded, failed, "),
        ("history --since never", "--since 'never' is no time: give an instant such as "),
        ("why job --at never", "--at 'never' is no time"),
        ("list --timezone Mars", "--timezone: time zone 'Mars' is not a known IANA key"),
        ("list --app a:b --url redis://c", "--app and --url exclude each other"),
        ("watch --interval 0", "Invalid value for '--interval':"),
        ("preview job --app a:b --after x", "app 'a:b': there is no module 'a' in "),
    ],
)
def test_what_is_not_understood(line: Line, given: str, said: str) -> None:
    code, line_said = line.refused(*given.split())
    assert code == Exit.USAGE
    assert line_said.startswith(said)


def test_nothing_named_at_all(line: Line) -> None:
    line.more = {"ASYNCSCHED_URL": "", "ASYNCSCHED_APP": ""}
    code, said = line.refused("list")
    assert code == Exit.USAGE
    assert said.startswith("which cluster? Name it with --app module:scheduler, or --url redis://")


def test_without_a_command_there_is_help(line: Line) -> None:
    result = line.give()
    assert result.exit_code == Exit.USAGE
    assert "See and steer the jobs of a cluster." in result.stdout


def test_each_command_is_one_line_of_the_help(line: Line) -> None:
    out = line.give("--help").stdout
    for command in app.registered_commands:
        assert re.search(rf"│ {command.name} +[A-Z][^│]*\. +│", out), command.name
    for code in (Exit.OK, Exit.FAILED, Exit.USAGE, Exit.STORE, Exit.FINDINGS, Exit.INTERRUPTED):
        assert re.search(rf"\b{code.value} ", EPILOG)


@pytest.mark.parametrize(("given", "code"), [("list", 130), ("trigger daily_cleanup --wait", 130), ("watch", 0)])
def test_ctrl_c_is_quiet(line: Line, given: str, code: int) -> None:
    line.is_interrupted = True
    result = line.give(*given.split())
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", "")


def test_output_that_nobody_reads_any_more(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = []
    monkeypatch.setattr(_commands, "_forget_output", lambda: forgotten.append(True))
    line.console.fails = BrokenPipeError()
    result = line.give("list")
    assert (result.exit_code, result.stderr, forgotten) == (Exit.CLOSED, "", [True])


def test_the_versions(line: Line) -> None:
    assert re.match(r"asyncsched \d+\.\d+\.\d+\npython 3\.\d+\.\d+.*, redis \d", line.out("version"))
    assert {"asyncsched", "python", "redis", "typer", "rich"} == set(line.json("version"))


def test_a_terminal_that_knows_ascii_only() -> None:
    code = "from asyncsched.cli._desk import Output; from asyncsched.cli._layout import Piece; "
    code += "Output().write([(Piece('für 日本'),)])"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={"PYTHONIOENCODING": "ascii"}, check=True, timeout=60
    )
    assert told.stdout == b"f?r ??\n"


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_its_packages_the_command_line_names_the_extra(package: str) -> None:
    code = f"import sys; sys.modules['{package}'] = None; from asyncsched.cli import main; main()"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 1
    needs = f"the command line needs packages that are not installed ({package}): pip install 'asyncsched[cli]'"
    assert told.stderr == f"asyncsched: {needs}\n"


def test_the_module_is_the_command() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "asyncsched", "lst"], capture_output=True, text=True, check=False, timeout=60
    )
    assert told.returncode == Exit.USAGE
    assert told.stderr.startswith("asyncsched: No such command 'lst'.")


# Completion


def completed(line: Line, words: str, **variables: str) -> list[str]:
    given = {"_ASYNCSCHED_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    setting = {"obj": line.setting(), "prog_name": "asyncsched"}
    env = {"ASYNCSCHED_URL": "redis://db", **given, **variables}
    return CliRunner().invoke(app, [], env=env, **setting).stdout.split()


def test_commands_and_jobs_complete(line: Line) -> None:
    assert completed(line, "asyncsched ma") == ["maintenance"]
    assert completed(line, "asyncsched pause ") == [
        "daily_cleanup",
        "health_check",
        "invoice_mails",
        "price_import",
        "sync_orders",
    ]
    assert completed(line, "asyncsched history s") == ["sync_orders"]
    assert completed(line, "asyncsched pause --url redis://other in") == ["invoice_mails"]
    assert line.targets[-1] == ("redis://other", "", None)


def test_completion_says_nothing_of_what_goes_wrong(line: Line) -> None:
    line.console.fails = RuntimeError("no")
    assert completed(line, "asyncsched pause s") == []
    assert completed(line, "asyncsched pause s", ASYNCSCHED_URL="") == []
    assert completed(line, "asyncsched pause s", ASYNCSCHED_APP="nowhere:scheduler") == []
