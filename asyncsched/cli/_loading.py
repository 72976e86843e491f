"""Owns how an import path becomes a scheduler, and what is said if it does not. Asks no store and runs no job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib import import_module
from inspect import iscoroutinefunction, signature
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import NoReturn

from asyncsched._scheduler import Scheduler
from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._text import listed, one_line


def load_scheduler(path: str) -> Scheduler:
    """Return the scheduler at ``module:name``; a function there is called, without arguments, and gives one.

    Modules are found as ``python -m`` finds them, from the current folder first. What they print goes to standard
    error, so that standard output holds what the command says only.

    Raises:
        Refusal: there is none; the message says what was missing.
    """
    module_name, separator, names = path.partition(":")
    if not (separator and module_name and all(name.isidentifier() for name in names.split("."))):
        _refuse(path, "write it as module:name, such as myservice.main:scheduler")
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with redirect_stdout(sys.stderr):
        return _scheduler_of(path, _named(path, _imported(path, module_name), names))


def _imported(path: str, name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            _refuse(path, f"there is no module {missing!r} in {Path.cwd()}, nor is one installed for {sys.executable}")
        _fail(path, f"importing {name}", error)
    except (Exception, SystemExit) as error:
        _fail(path, f"importing {name}", error)


def _named(path: str, module: ModuleType, names: str) -> object:
    found: object = module
    for name in names.split("."):
        if not hasattr(found, name):
            there = [key for key, value in vars(module).items() if isinstance(value, Scheduler)]
            near = get_close_matches(name, [key for key in dir(found) if not key.startswith("__")], n=1)
            hint = f"; its schedulers: {listed(there)}" if there else f" (did you mean {near[0]!r}?)" if near else ""
            _refuse(path, f"{module.__name__} has no {name!r}{hint}")
        found = getattr(found, name)
    return found


def _scheduler_of(path: str, found: object) -> Scheduler:
    if isinstance(found, Scheduler):
        return found
    if not callable(found) or isinstance(found, type) or not _wants_nothing(found):
        _refuse(
            path, f"it is a {type(found).__name__}: neither a Scheduler nor a function without arguments that gives one"
        )
    if iscoroutinefunction(found):
        _refuse(path, "an async function cannot make the scheduler here; name a plain function, or the scheduler")
    try:
        made = found()
    except (Exception, SystemExit) as error:
        _fail(path, "calling it", error)
    if not isinstance(made, Scheduler):
        _refuse(path, f"calling it gives a {type(made).__name__}, and no Scheduler")
    return made


def _wants_nothing(function: Callable[..., object]) -> bool:
    try:
        signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def _fail(path: str, what: str, error: BaseException) -> NoReturn:
    """Refuse with the error of the user's own code, and the line of it where that came from."""
    own = [frame for frame in extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f" ({own[-1].filename}:{own[-1].lineno})" if len(own) > 1 else ""
    _refuse(path, f"{what} failed: {type(error).__name__}: {one_line(str(error))}{place}")


def _refuse(path: str, why: str) -> NoReturn:
    raise Refusal(f"app {one_line(path)!r}: {why}", Exit.USAGE) from None
