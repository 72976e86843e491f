"""Owns the command line as one: the commands in the order of their help. Knows what none of them does."""

from __future__ import annotations

import typer

from asyncsched.cli._acting import acting
from asyncsched.cli._commands import Commands
from asyncsched.cli._exits import Exit
from asyncsched.cli._looking import looking
from asyncsched.cli._running import running
from asyncsched.cli._watching import watching

EPILOG = "Exit codes: 0 ok, 1 failed, 2 usage, 3 the store does not answer, 4 doctor found an error, 130 Ctrl-C."

app = typer.Typer(
    cls=Commands,
    name="asyncsched",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
for part in (looking, watching, acting, running):
    app.registered_commands += part.registered_commands


@app.callback(invoke_without_command=True)
def asyncsched(ctx: typer.Context) -> None:
    """See and steer the jobs of a cluster."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(Exit.USAGE)
