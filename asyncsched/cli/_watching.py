"""Owns ``watch``: the cluster again and again, on a terminal in place, in a pipe one snapshot after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.live import Live

from asyncsched._clock import sleep
from asyncsched.cli._commands import adder
from asyncsched.cli._desk import Desk, text_of
from asyncsched.cli._exits import Exit, refusal_of
from asyncsched.cli._layout import Line, Piece
from asyncsched.cli._picks import summary
from asyncsched.cli._shapes import state_shape
from asyncsched.cli._tables import banner, job_table, run_table
from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from asyncsched._records import ClusterState
    from asyncsched.cli._desk import Part
    from asyncsched.cli._tables import View

watching = typer.Typer()
command = adder(watching, interrupt=Exit.OK)


@command("watch")
async def watch(
    desk: Desk,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 2.0,
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0: at Ctrl-C.")] = 0,
) -> None:
    """Show the cluster live, until Ctrl-C.

    Jobs that somebody should look at come first. In a pipe it prints one snapshot after the other.
    """
    in_place = desk.out.is_terminal and not desk.as_json
    live = Live(console=desk.out, screen=True, auto_refresh=False) if in_place else None
    state, looks = None, 0
    async with desk.console() as console:
        with live or nullcontext():
            while True:
                trouble = ""
                try:
                    state = await console.state()
                except StoreUnavailableError as error:
                    if state is None:
                        raise
                    trouble = str(refusal_of(error))
                _show(desk, live, state, trouble)
                looks += 1
                if looks == count:
                    return
                await sleep(desk.setting.clock, interval)


def _show(desk: Desk, live: Live | None, state: ClusterState, trouble: str) -> None:
    if desk.as_json:
        desk.tell(state_shape(state), indent=None)
        return
    lines = desk.out.lines(frame(state, desk.view(desk.now if trouble else state.taken_at), trouble))
    if live is None:
        desk.out.write([*lines, ()])
        desk.out.file.flush()
    else:
        live.update(Group(*map(text_of, cropped(lines, desk.out.height))), refresh=True)


def frame(state: ClusterState, view: View, trouble: str) -> Iterator[Part]:
    """Return one snapshot: what is wrong first, then what runs, then the jobs."""
    yield Piece(f"{view.clock(view.now)}  {summary(state)}", "title")
    if trouble:
        yield Piece(f"NO ANSWER since {view.since(state.taken_at)}: {trouble}", "bad")
    yield from banner(state, view)
    yield Piece("")
    if state.active:
        yield run_table(state, view, brief=True)
        yield Piece("")
    yield job_table(state, view, brief=True)


def cropped(lines: list[Line], height: int) -> list[Line]:
    """Return as many lines as a window has, the last one saying how many are missing."""
    if len(lines) <= height:
        return lines
    kept = max(height - 1, 0)
    return [*lines[:kept], (Piece(f"... {len(lines) - kept} more lines; a taller window shows them", "dim"),)]
