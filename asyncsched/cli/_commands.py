"""Owns what all commands share: their options, how one is carried out, and how the command line ends.

A command is an async function of a desk and of its own parameters; what it returns is its exit code, ``None`` for 0.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperGroup

from asyncsched.cli._completion import job_names
from asyncsched.cli._desk import Desk
from asyncsched.cli._exits import Exit, Refusal, refusal_of
from asyncsched.cli._target import APP, PREFIX, URL, Setting, target_of
from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers._zones import zone

Command = Callable[..., Coroutine[Any, Any, int | None]]
C = TypeVar("C", bound=Command)

CLUSTER, OUTPUT = "Which cluster", "Output"
AppOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:NAME",
        help=f"The app's scheduler, or a function giving it. (Or ${APP}.)",
        rich_help_panel=CLUSTER,
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help=f"A bare store: redis://…, sqlite:///…. (Or ${URL}.)", rich_help_panel=CLUSTER),
]
PrefixOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help=f"Of the keys at --url. (Or ${PREFIX}.)", rich_help_panel=CLUSTER)
]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who acts; by default user@host.", rich_help_panel=CLUSTER)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="For machines; docs/cli.md has the shapes.", rich_help_panel=OUTPUT)
]
ZoneOption = Annotated[
    str | None,
    typer.Option(
        "--timezone", metavar="ZONE", help="Of the times shown; by default the machine's.", rich_help_panel=OUTPUT
    ),
]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", autocompletion=job_names, show_default=False)]
OptionalJob = Annotated[str | None, typer.Argument(metavar="JOB", autocompletion=job_names, show_default=False)]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for those who look next.")]

_CLUSTER = {"app": AppOption, "url": UrlOption, "prefix": PrefixOption}
_OUTPUT = {"timezone": ZoneOption, "as_json": JsonOption}


class Commands(TyperGroup):
    """The command line as a whole: whatever happens ends in an exit code, and in at most one line of complaint."""

    def main(self, *arguments: Any, **named: Any) -> Any:
        """Carry out one command, and leave with its exit code."""
        named["standalone_mode"] = False
        sys.exit(_ended(lambda: super(Commands, self).main(*arguments, **named)))


def _ended(carry_out: Callable[[], object]) -> int:
    try:
        code = carry_out()
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return Exit.CLOSED
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except Exception as error:
        refusal = refusal_of(error) or _usage(error)
        if refusal is None:
            raise
        sys.stderr.write(f"asyncsched: {refusal.line}\n")
        return refusal.code
    return code if isinstance(code, int) else Exit.OK


def _usage(error: Exception) -> Refusal | None:
    """Return what is wrong with the arguments, if that is it. Versions of Typer differ in their errors' types."""
    tell = getattr(error, "format_message", None)
    if tell is None:
        return None
    context = getattr(error, "ctx", None)
    command = "asyncsched" if context is None else context.command_path
    return Refusal(f"{tell().rstrip('.')}; see `{command} --help`", Exit.USAGE)


def _forget_output() -> None:
    """Let nothing more be written to a pipe that is closed, not even what is flushed at the very end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends


def adder(
    app: typer.Typer,
    *,
    cluster: bool = True,
    acts: bool = False,
    output: bool = True,
    interrupt: Exit = Exit.INTERRUPTED,
) -> Callable[[str], Callable[[C], C]]:
    """Return a decorator that makes an async function a command of ``app``, with the options that its kind shares.

    Args:
        app: what it becomes a part of.
        cluster: whether it looks at a cluster.
        acts: whether it changes something, so that it matters who does.
        output: whether it prints something to read.
        interrupt: the exit code of Ctrl-C.
    """
    shared = {**(_CLUSTER if cluster else {}), **({"by": ByOption} if acts else {}), **(_OUTPUT if output else {})}

    def named(name: str) -> Callable[[C], C]:
        def add(command: C) -> C:
            def carry_out(ctx: typer.Context, **values: Any) -> int:
                given = {option: values.pop(option, None) for option in [*_CLUSTER, "by", *_OUTPUT]}
                setting = ctx.obj if isinstance(ctx.obj, Setting) else Setting()
                return _carried_out(_desk(setting, given, cluster=cluster), command, values, interrupt)

            _let_typer_see(carry_out, command, shared)
            app.command(name)(carry_out)
            return command

        return add

    return named


def _let_typer_see(carry_out: Callable[..., int], command: Command, shared: dict[str, Any]) -> None:
    """Give a function the parameters of a command, without its desk and with the shared options."""
    hints = get_type_hints(command, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    _, *own = inspect.signature(command).parameters.values()
    parameters = [inspect.Parameter("ctx", keyword, annotation=typer.Context)]
    parameters += [part.replace(annotation=hints[part.name], kind=keyword) for part in own]
    for name, kind in shared.items():
        default = False if name == "as_json" else None
        parameters.append(inspect.Parameter(name, keyword, default=default, annotation=kind))
    carry_out.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    carry_out.__annotations__ = {part.name: part.annotation for part in parameters}
    carry_out.__doc__ = command.__doc__


def _desk(setting: Setting, given: dict[str, Any], *, cluster: bool) -> Desk:
    try:
        shown_in = None if given["timezone"] is None else zone(given["timezone"])
    except ConfigurationError as error:
        raise Refusal(f"--timezone: {error}", Exit.USAGE) from None
    target = target_of(given["app"], given["url"], given["prefix"], os.environ) if cluster else None
    return Desk(setting, target, given["by"], bool(given["as_json"]), shown_in)


def _carried_out(desk: Desk, command: Command, values: dict[str, Any], interrupt: Exit) -> int:
    # A one-line complaint says all that the library's records would.
    logging.getLogger("asyncsched").addHandler(logging.NullHandler())
    try:
        return desk.setting.run(command(desk, **values)) or Exit.OK
    except KeyboardInterrupt:
        return interrupt
