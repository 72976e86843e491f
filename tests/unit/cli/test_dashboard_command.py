"""The command that serves the dashboard: what it hands on, and what it refuses. tests/processes starts it for real."""

from __future__ import annotations

from typing import Any

import pytest
from _command_line import Line

from asyncsched.cli._exits import Exit
from asyncsched.dashboard import _serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was served."""
    calls: list[tuple[Any, ...]] = []

    class Server:
        async def serve(self) -> None: ...

    def server_for(source: Any, *given: Any, **named: Any) -> Server:
        calls.append((source, given, named))
        return Server()

    monkeypatch.setattr(_serve, "server_for", server_for)
    return calls


def test_it_serves_the_cluster_that_is_named(line: Line, served: list[tuple[Any, ...]]) -> None:
    said = line.out("dashboard")
    assert said == "http://127.0.0.1:8210/ (Ctrl-C ends it)\n"
    ((source, given, named),) = served
    assert source is line.console
    assert given == ("", "127.0.0.1", 8210, "", False)
    assert named == {"exposed": False, "hosts": (), "who": None}


def test_its_options(line: Line, served: list[tuple[Any, ...]]) -> None:
    options = "--host :: --port 80 --root-path /jobs --expose --name a.example --name b.example --actions --by dana"
    assert line.out("dashboard", *options.split()) == "http://[::]:80/ (Ctrl-C ends it)\n"
    ((_, given, named),) = served
    assert given == ("", "::", 80, "/jobs", True)
    assert named == {"exposed": True, "hosts": ("a.example", "b.example"), "who": "dana"}
    assert line.targets == [("redis://db", "", "dana")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--host 0.0.0.0", "other machines reach it, and there is no login"),
        ("--host 0.0.0.0 --expose --actions", "whoever reaches it may act"),
        ("--root-path jobs", "the rule is a path"),
        ("--port 70000", "Invalid value for '--port'"),
    ],
)
def test_what_it_refuses(line: Line, options: str, said: str) -> None:
    result = line.give("dashboard", *options.split())
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr


def test_ctrl_c_is_its_end(line: Line) -> None:
    line.is_interrupted = True
    assert line.give("dashboard").exit_code == Exit.OK
