"""Owns the pages: what is asked for becomes HTML with status and cookie. Knows nothing of what the parts show."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from asyncsched.dashboard import _assets
from asyncsched.dashboard._guard import token_of
from asyncsched.dashboard._views import Page, filled, templates
from asyncsched.exceptions import UnknownJobError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from asyncsched.dashboard._guard import Guard
    from asyncsched.dashboard._poller import Poller
    from asyncsched.dashboard._source import Source
    from asyncsched.dashboard._views import Views
    from asyncsched.protocols import Clock

NO_JOB = 404
UNKNOWN_YET = 503


@dataclass(frozen=True)
class Dashboard:
    """What the parts of one app share."""

    source: Source
    clock: Clock
    poller: Poller
    views: Views
    guard: Guard
    life: str = field(default_factory=lambda: secrets.token_hex(4))
    """Tells versions of this process from those of another."""


class Pages:
    """Answers with pages."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    async def overview(self, request: Request) -> Response:
        """Answer with all jobs."""
        return await self._page(request, Page("overview"), "Jobs")

    async def nodes(self, request: Request) -> Response:
        """Answer with all nodes."""
        return await self._page(request, Page("nodes"), "Nodes")

    async def job(self, request: Request) -> Response:
        """Answer with one job."""
        job = request.query_params.get("name", "")
        await self._dashboard.poller.look()
        known = self._dashboard.poller.known
        if known.state is None:
            return await self.message(request, UNKNOWN_YET, "Nothing is known yet", known.trouble or "Try again soon.")
        if any(record.job == job for record in known.state.jobs):
            await self._dashboard.poller.history_of(job)
        try:
            return await self._page(request, Page("job", job), job)
        except UnknownJobError as error:
            return await self.message(request, NO_JOB, "No such job", f"{str(error)[0].upper()}{str(error)[1:]}.")

    async def message(
        self, request: Request, status: int, title: str, message: str, *, back: str = "./", back_words: str = "All jobs"
    ) -> Response:
        """Answer with a message alone."""
        tone = "bad" if status >= 400 else "good"
        frame = self._frame(Page("message"), title) | {"up": _up(request)}
        back = frame["up"] + back if frame["up"] else back
        html = (
            templates()
            .get_template("message.html")
            .render(frame, message=message, tone=tone, back=back, back_words=back_words, who=None)
        )
        return HTMLResponse(html, status)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Answer to what there is not, or is not allowed."""
        assert isinstance(error, HTTPException)
        titles = {403: "Not allowed", 404: "Nothing is here", 405: "Not allowed"}
        title = titles.get(error.status_code, f"Error {error.status_code}")
        answer = await self.message(request, error.status_code, title, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    async def _page(self, request: Request, page: Page, title: str) -> Response:
        dashboard = self._dashboard
        await dashboard.poller.look()
        who = await dashboard.guard.who(request)
        cookie = dashboard.guard.cookie_of(request) if who else ""
        parts = dashboard.views.parts(page)
        lists = {"overview": "jobs", "nodes": "nodes", "job": "history"}
        listed = parts.listed(lists[page.kind])
        html = (
            templates()
            .get_template(f"{page.kind}.html")
            .render(
                self._frame(page, title, parts.version),
                part=parts.html,
                listed=parts.listed,
                is_empty=not listed,
                who=who,
            )
        )
        response = HTMLResponse(filled(html, window=self._window(), token=token_of(cookie) if who else ""))
        if who:
            dashboard.guard.keep(request, response, cookie)
        return response

    def _window(self) -> int:
        now = self._dashboard.poller.now()
        return 0 if now is None else self._dashboard.views.drawing.window(now)

    def _frame(self, page: Page, title: str, version: int = 0) -> dict[str, Any]:
        """Return what is around every page."""
        from asyncsched import __version__
        from asyncsched.dashboard._live import events_url

        now = self._dashboard.poller.now()
        return {
            "title": title,
            "up": "",
            "kind": page.kind,
            "events": "" if page.kind == "message" else events_url(page, f"{self._dashboard.life}-{version}"),
            "now": 0 if now is None else round(now.timestamp(), 3),
            "origin": self._dashboard.views.drawing.origin,
            "clock": "–" if now is None else f"{now:%H:%M:%S}",
            "assets": _assets.version(),
            "version": __version__,
        }


def _up(request: Request) -> str:
    """Return how a page leads back to the overview: addresses are relative, whatever proxies make of paths."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 1)
