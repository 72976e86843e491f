"""Owns how browsers hear of changes: a stream of server-sent events for each, with what it lacks. Nothing is queued:
who is slow gets the changes of several looks at once. Knows nothing of what the parts show."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from asyncsched._clock import TimeLimit
from asyncsched.dashboard._guard import token_of
from asyncsched.dashboard._views import ACTS, Page, filled
from asyncsched.exceptions import UnknownJobError

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from asyncsched.dashboard._pages import Dashboard
    from asyncsched.dashboard._parts import Change

MOST_LISTENERS = 200
LOOK = 2.0
"""Seconds after which a stream looks whether the server stops, and whether it is time for a sign of life."""
BEAT = 10.0
LIFE = 300.0
"""Seconds after which a stream ends; browsers connect again by themselves, and lack nothing then."""
SLOWEST = 30.0
"""Seconds for which a browser may not read, before it is given up."""
KINDS = ("overview", "nodes", "job")


def events_url(page: Page, version: str) -> str:
    """Return the address of a page's stream, relative to the page."""
    return f"events?page={page.kind}&job={quote(page.job, safe='')}&version={quote(version, safe='')}"


class Live:
    """Answers with streams."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    async def __call__(self, request: Request) -> Response:
        """Answer with the changes of a page."""
        page = Page(request.query_params.get("page", ""), request.query_params.get("job", ""))
        if page.kind not in KINDS:
            raise HTTPException(404)
        if self._dashboard.poller.listeners >= MOST_LISTENERS:
            raise HTTPException(503, f"{MOST_LISTENERS} browsers look already.")
        who = await self._dashboard.guard.who(request)
        seen = request.headers.get("last-event-id") or request.query_params.get("version", "")
        token = token_of(self._dashboard.guard.cookie_of(request)) if who else None
        return _Stream(self._dashboard, page, self._version(seen), token)

    def _version(self, seen: str) -> int:
        """Return which version a browser has; 0: none that this process knows of."""
        life, _, number = seen.rpartition("-")
        return int(number) if life == self._dashboard.life and number.isdecimal() and len(number) < 16 else 0


class _Stream(Response):
    """One browser's stream."""

    def __init__(self, dashboard: Dashboard, page: Page, version: int, token: str | None) -> None:
        super().__init__()
        self._dashboard = dashboard
        self._page = page
        self._version = version
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the browser leaves, or the server stops."""
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with self._dashboard.poller.listening():
            tasks = [asyncio.ensure_future(self._write(send)), asyncio.ensure_future(_wait_until_left(receive))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        clock, poller = self._dashboard.clock, self._dashboard.poller
        began_at = said_at = clock.monotonic()
        await self._send(send, "retry: 2000\n\n")
        while clock.monotonic() - began_at < LIFE and not _server_stops():
            text = self._news()
            if not text and clock.monotonic() - said_at >= BEAT:
                text = ": alive\n\n"
            if text:
                said_at = clock.monotonic()
                await self._send(send, text)
            if text.startswith("event: gone"):
                break
            await poller.wait_for_news(self._version, LOOK)
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send, text: str) -> None:
        message: Message = {"type": "http.response.body", "body": text.encode(), "more_body": True}
        with TimeLimit(self._dashboard.clock, SLOWEST) as limit:
            await send(message)
        if limit.is_over:
            raise ConnectionError("the browser does not read")

    def _news(self) -> str:
        """Return an event with what has changed since the last one; empty: nothing has."""
        known = self._dashboard.poller.known
        if known.version == self._version:
            return ""
        try:
            change = self._dashboard.views.parts(self._page).since(self._version)
        except UnknownJobError:
            return "event: gone\ndata:\n\n" if known.state is not None else ""
        self._version = known.version
        return self._event(change) if change else ""

    def _event(self, change: Change) -> str:
        drawing, now = self._dashboard.views.drawing, self._dashboard.poller.now()
        window = 0 if now is None else drawing.window(now)
        parts = {
            name: filled(html, window=window, token=self._token or "")
            for name, html in change.parts.items()
            if self._token is not None or not name.startswith(ACTS)
        }
        told = {
            "parts": parts,
            "lists": change.lists,
            "now": 0 if now is None else round(now.timestamp(), 3),
            "origin": drawing.origin,
        }
        return f"id: {self._dashboard.life}-{self._version}\nevent: change\ndata: {json.dumps(told)}\n\n"


async def _wait_until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _server_stops() -> bool:
    """Return whether the server is about to stop, as far as it tells: uvicorn waits for open streams before it says
    anything to an app, so its answer to SIGTERM is asked."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True
