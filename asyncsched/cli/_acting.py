"""Owns the commands that change something: runs, pauses, maintenance. What they order, the nodes do."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncsched._clock import sleep
from asyncsched.cli._commands import JobArgument, WhyOption, adder
from asyncsched.cli._desk import Desk
from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._layout import Piece
from asyncsched.cli._picks import ending_of, is_lost, meant_run
from asyncsched.cli._shapes import ending_shape, plain
from asyncsched.cli._stories import answer_text, ending_text
from asyncsched.cli._tables import STYLES, note_text
from asyncsched.cli._text import one_line

if TYPE_CHECKING:
    from asyncsched._records import Ending, OrderAnswer

acting = typer.Typer()
command = adder(acting, acts=True)
LOOK_EVERY = 0.5
"""Seconds between two looks at a run that is waited for."""
DONE = ("started", "cancelling")
"""Outcomes of an order that was carried out."""


class Switch(StrEnum):
    """What can be asked of the maintenance."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


@command("trigger")
async def trigger(
    desk: Desk,
    job: JobArgument,
    node: Annotated[str | None, typer.Option(help="The node that is to run it; by default any that has it.")] = None,
    why: WhyOption = "",
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; Ctrl-C ends the waiting only.")] = False,
) -> int:
    """Start a run of a job now.

    On any node that has it, or on --node. It is no tick, and respects pause and overlap guards.
    """
    async with desk.console() as console:
        answer = await console.trigger(job, node=node, why=why)
        if not wait or answer.outcome != "started":
            return _answered(desk, answer)
        if not desk.as_json:
            desk.show(Piece(f"{answer_text(answer)}; waiting for its end"))
        ending = await _its_end(desk, console, job, answer)
    shape = {**plain(answer), "ending": ending_shape(ending)}
    desk.answer(shape, [Piece(ending_text(ending), STYLES.get(ending.outcome, ""))])
    return Exit.OK if ending.outcome == "succeeded" else Exit.FAILED


async def _its_end(desk: Desk, console: Any, job: str, answer: OrderAnswer) -> Ending:
    """Wait for the end of a run.

    Raises:
        Refusal: its node vanished, so nobody will tell.
    """
    while True:
        ending = ending_of(answer.run_id, await console.history(job, most=100))
        if ending is not None:
            return ending
        if is_lost(answer.node, await console.state()):
            raise Refusal(
                f"node {answer.node} has vanished or left, and run {answer.run_id} has not been heard of since"
            )
        await sleep(desk.setting.clock, LOOK_EVERY)


@command("cancel")
async def cancel(
    desk: Desk,
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The beginning is enough.", show_default=False)],
    why: WhyOption = "",
) -> int:
    """Ask a run in progress to end, wherever it is."""
    async with desk.console() as console:
        whole = meant_run(run_id, (await console.state()).active)
        return _answered(desk, await console.cancel(whole, why=why))


def _answered(desk: Desk, answer: OrderAnswer) -> int:
    is_done = answer.outcome in DONE
    desk.answer(plain(answer), [Piece(answer_text(answer), "" if is_done else "bad")])
    return Exit.OK if is_done else Exit.FAILED


@command("pause")
async def pause(desk: Desk, job: JobArgument, why: WhyOption = "") -> None:
    """Start no more runs of a job, on any node.

    Until `resume`, also across restarts. Active runs go on.
    """
    async with desk.console() as console:
        await console.pause(job, why=why)
    said = f"{one_line(job)} is paused on all nodes, until `asyncsched resume {one_line(job)}`"
    desk.answer({"job": job, "paused": True}, [Piece(said)])


@command("resume")
async def resume(desk: Desk, job: JobArgument) -> None:
    """Undo `pause`."""
    async with desk.console() as console:
        await console.resume(job)
    desk.answer({"job": job, "paused": False}, [Piece(f"{one_line(job)} is resumed")])


@command("maintenance")
async def maintenance(
    desk: Desk,
    switch: Annotated[Switch, typer.Argument(help="Without it: say whether it is on.")] = Switch.STATUS,
    why: WhyOption = "",
) -> None:
    """Let no tick start in the whole cluster, or end that.

    Active runs go on; jobs that are even_in_maintenance() do not care.
    """
    async with desk.console() as console:
        if switch is not Switch.STATUS:
            await console.maintenance(switch is Switch.ON, why=why)
        state = await console.state()
    note, view = state.maintenance, desk.view(state.taken_at)
    if note is None:
        said = Piece("the cluster is not in maintenance")
    else:
        hint = "" if switch is Switch.STATUS else "; `asyncsched maintenance off` ends it"
        said = Piece(f"MAINTENANCE, no tick starts, {note_text(note, view)}{hint}", "warn")
    desk.answer({"maintenance": plain(note)}, [said])
