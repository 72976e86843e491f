"""Owns where a command finds its target, the time, and its way out: lines for people, JSON for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.console import Console as Terminal
from rich.text import Text
from rich.theme import Theme

from asyncsched._clock import now_us
from asyncsched._instants import from_us
from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._layout import Line, Piece, Table, lines_of, paragraph
from asyncsched.cli._tables import View

if TYPE_CHECKING:
    from asyncsched._scheduler import Scheduler
    from asyncsched.cli._target import Setting, Target

THEME = Theme(
    {"title": "bold", "name": "bold", "good": "green", "bad": "bold red", "warn": "yellow", "dim": "dim"}, inherit=False
)
Part = Table | Piece


class Output(Terminal):
    """Standard output, with colours where it is a terminal that wants them."""

    def __init__(self) -> None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 shows a question mark
        super().__init__(file=sys.stdout, theme=THEME, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line, as for any output."""
        raise BrokenPipeError

    @property
    def columns(self) -> int | None:
        """Columns to fit into; ``None``: it is read by a program, so each row stays in one line."""
        if self.is_terminal:
            return self.width
        columns = os.environ.get("COLUMNS", "")
        return int(columns) if columns.isdecimal() and int(columns) else None

    def lines(self, parts: Iterable[Part]) -> list[Line]:
        """Return tables and sentences as lines that fit."""
        lines: list[Line] = []
        for part in parts:
            if isinstance(part, Table):
                lines += lines_of(part, self.columns)
            else:
                lines += paragraph(part, self.columns)
        return lines

    def write(self, lines: Iterable[Line]) -> None:
        """Print lines as they are."""
        for line in lines:
            self.print(text_of(line), soft_wrap=True)


def text_of(line: Line) -> Text:
    """Return a line as what a terminal shows."""
    return Text.assemble(*((piece.text, piece.style) for piece in line))


@dataclass
class Desk:
    """What each command is given."""

    setting: Setting
    target: Target | None
    """``None``: the command has none."""
    by: str | None
    as_json: bool
    zone: tzinfo | None
    """``None``: the machine's."""

    @cached_property
    def out(self) -> Output:
        return Output()

    @property
    def now(self) -> datetime:
        """The time by this machine's clock."""
        return from_us(now_us(self.setting.clock))

    def view(self, now: datetime | None = None) -> View:
        """Return from where times are looked at."""
        return View(now or self.now, self.zone)

    def console(self) -> AbstractAsyncContextManager[Any]:
        """Open the console of the target."""
        assert self.target is not None
        return self.setting.console(self.target, self.by)

    def scheduler(self, what: str) -> Scheduler:
        """Return the app's scheduler.

        Raises:
            Refusal: the target is a bare store.
        """
        assert self.target is not None
        if not self.target.app:
            raise Refusal(f"{what} needs the code of the jobs: name it with --app module:scheduler", Exit.USAGE)
        return self.setting.load(self.target.app)

    def show(self, *parts: Part) -> None:
        """Print for people."""
        self.out.write(self.out.lines(parts))

    def tell(self, shape: object, *, indent: int | None = 2) -> None:
        """Print for machines; ``indent`` ``None``: in one line."""
        sys.stdout.write(json.dumps(shape, indent=indent) + "\n")

    def answer(self, shape: object, parts: Sequence[Part]) -> None:
        """Print for whoever asks."""
        if self.as_json:
            self.tell(shape)
        else:
            self.show(*parts)
