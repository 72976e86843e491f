"""Owns how the dashboard is put together: what it is given, and what answers where."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from asyncsched._clock import checked_clock
from asyncsched._durations import seconds
from asyncsched.dashboard._actions import Actions
from asyncsched.dashboard._assets import asset
from asyncsched.dashboard._guard import Guard
from asyncsched.dashboard._headers import SafeHeaders
from asyncsched.dashboard._live import Live
from asyncsched.dashboard._pages import Dashboard, Pages
from asyncsched.dashboard._poller import Poller
from asyncsched.dashboard._source import source_of
from asyncsched.dashboard._views import Views
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from asyncsched._durations import Duration
    from asyncsched.dashboard._guard import Authorise
    from asyncsched.protocols import Clock

SHORTEST, LONGEST = 0.2, 60.0
"""Seconds between two looks at the store."""


def dashboard(
    source: Any,
    *,
    prefix: str = "",
    actions: Authorise | None = None,
    refresh: Duration = 1.0,
    origins: Sequence[str] = (),
    hosts: Sequence[str] | None = None,
    clock: Clock | None = None,
) -> Starlette:
    """Return an ASGI app that shows a cluster: its jobs, its nodes, what ran and what is to come.

    Mount it, as in ``app.mount("/jobs", dashboard(scheduler))``, or serve it alone. Everybody whom the service
    lets through to it can read it, and it changes nothing unless ``actions`` is given.

    Args:
        source: a ``Scheduler``, whose triggers tell more than the next fire time; a ``Console``; or a store, as
            ``Scheduler`` takes it. A store that is given as a URL is closed with the app if that is not mounted.
        prefix: of the keys, with a store.
        actions: a function that is given the request and returns who acts, or ``None``: refused. It may be async, it is
            asked for each page as well as for each action, and what it raises is the service's matter. Without it there
            are no actions.
        refresh: seconds between two looks at the store, for all browsers together, while somebody looks at a page; 0.2
            to 60.
        origins: origins, such as ``https://ops.example``, from which forms are taken, beside the host that a request
            names: for proxies that do not pass the host on.
        hosts: names by which it may be asked for; ``None``: any.
        clock: where time comes from, for tests.

    Raises:
        ConfigurationError: an argument breaks its rule.
    """
    checked = checked_clock(clock)
    interval = seconds(refresh, what="dashboard(refresh)", at_least=SHORTEST)
    if interval > LONGEST:
        raise ConfigurationError(f"dashboard(refresh={refresh!r}): it is longer than {LONGEST:g} s")
    guard = Guard(actions, origins)
    facts = source_of(source, prefix)
    poller = Poller(facts, checked, interval)
    shared = Dashboard(facts, checked, poller, Views(facts, poller), guard)
    pages = Pages(shared)
    routes = [
        Route("/", pages.overview),
        Route("/nodes", pages.nodes),
        Route("/job", pages.job),
        Route("/events", Live(shared).__call__),
        Route("/static/{name}", asset),
    ]
    if guard.is_open:
        routes.append(Route("/act/{what}", Actions(shared, pages).__call__, methods=["POST"]))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await facts.close()

    return Starlette(
        routes=routes,
        middleware=[Middleware(SafeHeaders, hosts=hosts)],
        exception_handlers={HTTPException: cast("Callable[..., Any]", pages.refused)},
        lifespan=lifespan,
    )
