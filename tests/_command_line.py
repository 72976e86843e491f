"""Owns how tests give command lines: in this process, at a fixed time, against a canned console."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from _canned_cluster import NOW, CannedConsole
from typer.testing import CliRunner

from asyncsched.cli._app import app
from asyncsched.cli._loading import load_scheduler
from asyncsched.cli._target import Setting
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from click.testing import Result

    from asyncsched import Scheduler


SHOWS_TIMES = {"list", "next", "preview", "history", "runs", "nodes", "locks", "why", "watch", "maintenance"}


@dataclass
class Line:
    """A terminal of ``width`` columns, or a pipe (0)."""

    console: CannedConsole = field(default_factory=CannedConsole)
    width: int = 80
    more: dict[str, str] = field(default_factory=dict)
    """Variables besides."""
    app: Scheduler | None = None
    """What any ``--app`` is; ``None``: what it names."""
    step: float = 0.5
    """Seconds by which time moves on whenever a command waits."""
    is_interrupted: bool = False
    """Whether somebody presses Ctrl-C while a command runs."""
    targets: list[tuple[str, str, str | None]] = field(default_factory=list)

    def open_store(self, url: str, prefix: str, by: str | None) -> Any:
        self.targets.append((url, prefix, by))
        return self.console

    def setting(self) -> Setting:
        """Return what commands have from outside. Their waits are over at once: the clock moves on meanwhile."""
        clock = FakeClock(NOW)

        def run(command: Coroutine[Any, Any, Any]) -> Any:
            if self.is_interrupted:
                command.close()
                raise KeyboardInterrupt  # as asyncio.run does, once the command's task has been cancelled
            return asyncio.run(moving(command))

        async def moving(command: Coroutine[Any, Any, Any]) -> Any:
            running = asyncio.ensure_future(command)
            while not running.done():
                await clock.advance(self.step)
            return running.result()

        def load(path: str) -> Scheduler:
            return load_scheduler(path) if self.app is None else self.app

        return Setting(clock=clock, load=load, open_store=self.open_store, run=run)

    def give(self, *arguments: str) -> Result:
        """Run one command line; a fault of the program is raised."""
        columns = {"COLUMNS": str(self.width)} if self.width else {"COLUMNS": ""}
        variables = {"ASYNCSCHED_URL": "redis://db", **columns, **self.more}
        zone = [] if "--timezone" in arguments or arguments[:1] not in SHOWS_TIMES else ["--timezone", "UTC"]
        named = {"obj": self.setting(), "prog_name": "asyncsched"}
        return CliRunner().invoke(app, [*arguments, *zone], env=variables, catch_exceptions=False, **named)

    def out(self, *arguments: str) -> str:
        """Return what a command prints, which must succeed."""
        result = self.give(*arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    def json(self, *arguments: str) -> Any:
        """Return what a command tells machines."""
        return json.loads(self.out(*arguments, "--json"))

    def refused(self, *arguments: str) -> tuple[int, str]:
        """Return the code and the one line with which a command ends that cannot do what it should."""
        result = self.give(*arguments)
        assert result.stderr.startswith("asyncsched: ")
        assert result.stderr.endswith("\n")
        assert result.stderr.count("\n") == 1
        return result.exit_code, result.stderr.removeprefix("asyncsched: ").rstrip("\n")
