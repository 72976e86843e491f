"""Owns the commands that need no cluster: running an app's scheduler, and the versions."""

from __future__ import annotations

import logging
import platform
import sys
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from asyncsched.cli._commands import adder
from asyncsched.cli._desk import Desk
from asyncsched.cli._exits import Exit
from asyncsched.cli._layout import Piece

running = typer.Typer()
PACKAGES = ("asyncsched", "redis", "typer", "rich")


class Level(StrEnum):
    """From which on log records are shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@adder(running, output=False, interrupt=Exit.OK)("run")
async def run(
    desk: Desk, log_level: Annotated[Level, typer.Option(help="Unless the app has set up logging itself.")] = Level.INFO
) -> None:
    """Run the app's scheduler, until Ctrl-C or SIGTERM.

    It drains on the way out; a second Ctrl-C does not wait for active runs. Needs --app.
    """
    scheduler = desk.scheduler("run")
    # Without effect if the app has done it.
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    await scheduler.run()


@adder(running, cluster=False)("version")
async def versions(desk: Desk) -> None:
    """Say which versions these are."""
    numbers = {package: _version_of(package) for package in PACKAGES}
    found = {"python": platform.python_version(), **{package: number for package, number in numbers.items() if number}}
    line = ", ".join(f"{name} {number}" for name, number in found.items() if name != "asyncsched")
    desk.answer(found, [Piece(f"asyncsched {numbers['asyncsched']}"), Piece(line, "dim")])


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
