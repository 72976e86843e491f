"""Owns what may be done on the pages: it is checked who asks, done, and said. Knows nothing of how it is done."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException

from asyncsched.dashboard._cells import job_url
from asyncsched.exceptions import ConfigurationError, SchedulerError, StoreUnavailableError, UnknownJobError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from asyncsched._records import OrderAnswer
    from asyncsched.dashboard._pages import Dashboard, Pages
    from asyncsched.dashboard._source import Acting

logger = logging.getLogger("asyncsched.dashboard")

LONGEST_BODY = 8192
LONGEST_WHY = 200
WHAT = ("trigger", "pause", "resume", "cancel", "maintenance")


class Actions:
    """Answers to forms."""

    def __init__(self, dashboard: Dashboard, pages: Pages) -> None:
        self._dashboard = dashboard
        self._pages = pages

    async def __call__(self, request: Request) -> Response:
        """Do what a form asks for, if whoever sends it may."""
        what = request.path_params["what"]
        if what not in WHAT:
            raise HTTPException(404)
        who = await self._dashboard.guard.who(request)
        if who is None:
            raise HTTPException(403, "You may not act here.")
        form = await _form_of(request)
        refusal = self._dashboard.guard.refusal(request, form.get("token", ""))
        if refusal:
            raise HTTPException(403, f"Refused: {refusal}.")
        status, title, message = await self._done(what, who, form)
        self._dashboard.poller.is_old()
        job = form.get("job", "")
        back = (job_url(job), job) if job else ("./", "All jobs")
        return await self._pages.message(request, status, title, message, back=back[0], back_words=back[1])

    async def _done(self, what: str, who: str, form: Mapping[str, str]) -> tuple[int, str, str]:
        """Return status, title and message of what was done, or why it was not."""
        about = form.get("job") or form.get("run") or "the cluster"
        try:
            said = await _do(self._dashboard.source.acting(who), what, form)
        except SchedulerError as error:
            logger.warning("%s of %s by %s on the dashboard failed: %s", what, about, who, error)
            statuses = ((UnknownJobError, 404), (StoreUnavailableError, 503), (ConfigurationError, 400))
            status = next((status for kind, status in statuses if isinstance(error, kind)), 409)
            return status, "It was not done", f"It was not done: {error}"
        logger.info("%s of %s by %s on the dashboard", what, about, who)
        return 200, "Done", said


async def _do(acting: Acting, what: str, form: Mapping[str, str]) -> str:
    job, why = form.get("job", ""), form.get("why", "").strip()
    if len(why) > LONGEST_WHY:
        raise ConfigurationError(f"why has {len(why)} characters; the rule is at most {LONGEST_WHY}")
    if what == "pause":
        await acting.pause(job, why=why)
        return f"{job} is paused: no node starts a run of it within 2 s from now."
    if what == "resume":
        await acting.resume(job)
        return f"{job} is resumed."
    if what == "trigger":
        return _told(job, await acting.trigger(job, node=form.get("node") or None, why=why))
    if what == "cancel":
        return _told(job, await acting.cancel(form.get("run", ""), why=why))
    is_on = {"yes": True, "no": False}.get(form.get("on", ""))
    if is_on is None:
        raise ConfigurationError(f"maintenance on={form.get('on')!r}: the rule is yes or no")
    await acting.maintenance(is_on, why=why)
    return "The cluster is in maintenance." if is_on else "The maintenance has ended."


def _told(job: str, answer: OrderAnswer) -> str:
    detail = f": {answer.detail}" if answer.detail else ""
    run = f", run {answer.run_id}" if answer.run_id else ""
    return f"{job}: {answer.outcome} on {answer.node}{run}{detail}."


async def _form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form, the last of each name."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "That is no form.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise HTTPException(413, f"That is longer than {LONGEST_BODY} bytes.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise HTTPException(400, "That is no form.") from None
