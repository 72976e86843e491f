"""Owns what a command works on: an app's scheduler, or a bare store, from options and variables. Knows no command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncsched._clock import SystemClock
from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._loading import load_scheduler
from asyncsched.cli._text import one_line
from asyncsched.exceptions import ConfigurationError
from asyncsched.stores.memory import MemoryStore

if TYPE_CHECKING:
    from asyncsched._scheduler import Scheduler
    from asyncsched.protocols import Clock

APP, URL, PREFIX = "ASYNCSCHED_APP", "ASYNCSCHED_URL", "ASYNCSCHED_PREFIX"
HOW = f"--app module:scheduler, or --url redis://host/0 or sqlite:///path (or set {APP} or {URL})"
IN_MEMORY = (
    "its scheduler keeps everything in the memory of its own process, where nobody else sees it; give it a store, "
    "such as sqlite:///path"
)


@dataclass(frozen=True, slots=True)
class Target:
    """An app, or a store and its prefix."""

    app: str = ""
    """Empty: it is a bare store."""
    url: str = ""
    prefix: str = ""


def target_of(app: str | None, url: str | None, prefix: str | None, variables: Mapping[str, str]) -> Target:
    """Return what options and variables name together: an option wins over any variable, an app's over a URL's.

    Raises:
        Refusal: nothing, or two things, or a prefix beside an app.
    """
    if app and url:
        raise Refusal("--app and --url exclude each other: an app has its own store", Exit.USAGE)
    if not app and not url:
        app, url = variables.get(APP), variables.get(URL)
    if app:
        if prefix:
            raise Refusal("--prefix goes with --url: an app's scheduler has its own", Exit.USAGE)
        return Target(app=app)
    if url:
        return Target(url=url, prefix=variables.get(PREFIX, "") if prefix is None else prefix)
    raise Refusal(f"which cluster? Name it with {HOW}", Exit.USAGE)


def open_store(url: str, prefix: str, by: str | None) -> Any:
    """Return a console of the store at a URL.

    Raises:
        Refusal: the URL cannot be used. No credentials are shown.
    """
    from asyncsched.console import Console

    try:
        return Console(url, prefix=prefix, by=by)
    except ConfigurationError as error:
        raise Refusal(one_line(str(error)), Exit.USAGE) from None


@dataclass(frozen=True)
class Setting:
    """What commands have from outside. Tests give them their own."""

    clock: Clock = field(default_factory=SystemClock)
    load: Callable[[str], Scheduler] = load_scheduler
    open_store: Callable[[str, str, str | None], Any] = open_store
    run: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run

    @asynccontextmanager
    async def console(self, target: Target, by: str | None) -> AsyncIterator[Any]:
        """Open the console of a target, and close what was opened for it."""
        if target.app:
            scheduler = self.load(target.app)
            store, is_idle = scheduler._store, scheduler.snapshot(runs=False).state == "idle"  # noqa: SLF001
            if is_idle and isinstance(store, MemoryStore):
                raise Refusal(f"app {one_line(target.app)!r}: {IN_MEMORY}", Exit.USAGE)
            try:
                yield scheduler.console(by=by)
            finally:
                if is_idle:  # then nobody else closes it
                    await store.close()
        else:
            async with self.open_store(target.url, target.prefix, by) as console:
                yield console
