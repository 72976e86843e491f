"""Owns the command that serves the dashboard. Knows nothing of what that shows."""

from __future__ import annotations

from typing import Annotated

import typer

from asyncsched.cli._commands import adder
from asyncsched.cli._desk import Desk
from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._layout import Piece
from asyncsched.cli._text import one_line
from asyncsched.exceptions import ConfigurationError

serving = typer.Typer()


@adder(serving, acts=True, output=False, interrupt=Exit.OK)("dashboard")
async def dashboard(
    desk: Desk,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8210,
    root_path: Annotated[str, typer.Option(help="Under which a proxy shows it, such as /jobs.")] = "",
    actions: Annotated[
        bool, typer.Option("--actions", help="Let who looks act as well; on this machine only.")
    ] = False,
    expose: Annotated[bool, typer.Option("--expose", help="Let other machines look: there is no login.")] = False,
    name: Annotated[list[str] | None, typer.Option(help="A further host name by which it may be asked for.")] = None,
) -> None:
    """Serve the dashboard of the cluster, until Ctrl-C or SIGTERM."""
    names = tuple(name or ())
    async with desk.console() as console:
        try:
            from asyncsched.dashboard._serve import server_for

            server = server_for(console, "", host, port, root_path, actions, exposed=expose, hosts=names, who=desk.by)
        except ConfigurationError as error:
            raise Refusal(one_line(str(error)), Exit.USAGE) from None
        desk.show(Piece(f"http://{f'[{host}]' if ':' in host else host}:{port}/ (Ctrl-C ends it)"))
        await server.serve()
