"""What may be done on the pages, by whom, and that no other site can have it done."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from _cluster_records import CannedConsole
from _dashboard_browser import BASE, browser
from starlette.exceptions import HTTPException
from starlette.requests import Request

from asyncsched import ConfigurationError, StoreUnavailableError

Make = Callable[..., Any]


def dana(request: Request) -> str | None:
    """Everybody is dana, but for those who say that they are not."""
    return None if request.headers.get("x-stranger") else "dana@ops"


async def form_of(page: httpx.AsyncClient, path: str = "/job?name=cleanup") -> dict[str, str]:
    """Load a page as a browser does, which gives a cookie, and return the token of its forms."""
    text = (await page.get(path)).text
    return {"token": re.findall(r'name="token" value="(\w+)"', text)[0]}


async def post(
    page: httpx.AsyncClient, what: str, headers: dict[str, str] | None = None, **fields: str
) -> httpx.Response:
    return await page.post(f"/act/{what}", data=fields, headers={"origin": BASE, **(headers or {})})


@pytest.mark.parametrize(
    ("what", "fields", "done", "said"),
    [
        ("pause", {"job": "mail", "why": "the disk"}, ("pause", "dana@ops", "mail", "the disk"), "mail is paused"),
        ("resume", {"job": "cleanup"}, ("resume", "dana@ops", "cleanup"), "cleanup is resumed"),
        ("trigger", {"job": "mail", "node": "web-2", "why": "try"}, ("trigger", "dana@ops", "mail", "web-2", "try"),
         "mail: started on web-2, run run-1"),
        ("trigger", {"job": "mail", "node": ""}, ("trigger", "dana@ops", "mail", None, ""), "started on web-1"),
        ("maintenance", {"on": "yes", "why": "a move"}, ("maintenance", "dana@ops", True, "a move"), "in maintenance"),
        ("maintenance", {"on": "no"}, ("maintenance", "dana@ops", False, ""), "maintenance has ended"),
    ],
)  # fmt: skip
async def test_it_is_done_by_whom_the_service_names(
    make: Make, console: CannedConsole, what: str, fields: dict[str, str], done: tuple[Any, ...], said: str
) -> None:
    async with browser(make(actions=dana)) as page:
        answer = await post(page, what, **await form_of(page), **fields)
    assert answer.status_code == 200
    assert console.done == [done]
    assert said in answer.text


async def test_what_was_not_done_is_said(make: Make, console: CannedConsole) -> None:
    async with browser(make(actions=dana)) as page:
        form = await form_of(page)
        cancelled = await post(page, "cancel", **form, run="abc", job="mail")
        unknown = await post(page, "pause", **form, job="nobody")
        talkative = await post(page, "pause", **form, job="mail", why="x" * 201)
        undecided = await post(page, "maintenance", **form, on="perhaps")
        console.trouble = StoreUnavailableError("the store did not answer within 1 s")
        away = await post(page, "pause", **form, job="mail")
    assert (cancelled.status_code, "no node has a run" in cancelled.text) == (409, True)
    assert (unknown.status_code, "no job is named" in unknown.text) == (404, True)
    assert (talkative.status_code, undecided.status_code) == (400, 400)
    assert (away.status_code, "did not answer" in away.text) == (503, True)


async def test_an_authorisation_may_be_async_and_is_asked_each_time(make: Make, console: CannedConsole) -> None:
    answers: list[str | None] = ["ada", "ada", None]

    async def authorise(request: Request) -> str | None:
        return answers.pop(0)

    async with browser(make(actions=authorise)) as page:
        form = await form_of(page)
        assert (await post(page, "resume", **form, job="mail")).status_code == 200
        assert (await post(page, "resume", **form, job="mail")).status_code == 403
    assert console.done == [("resume", "ada", "mail")]


async def test_who_may_not_act_is_refused_and_sees_no_forms(make: Make, console: CannedConsole) -> None:
    async with browser(make(actions=dana)) as page:
        form = await form_of(page)
        refused = await post(page, "pause", {"x-stranger": "1"}, **form, job="mail")
        for path in ("/", "/job?name=mail"):
            seen = await page.get(path, headers={"x-stranger": "1"})
            assert "<form" not in seen.text
            assert "<form" in (await page.get(path)).text
    assert refused.status_code == 403
    assert "You may not act here" in refused.text
    assert console.done == []


async def test_without_an_authorisation_there_is_nothing_to_send_a_form_to(page: httpx.AsyncClient) -> None:
    assert "<form" not in (await page.get("/job?name=mail")).text
    assert "set-cookie" not in (await page.get("/")).headers
    assert (await post(page, "pause", job="mail")).status_code == 404


async def test_what_an_authorisation_raises_is_its_own_matter(make: Make, console: CannedConsole) -> None:
    def authorise(request: Request) -> str:
        raise HTTPException(401, "log in first", {"www-authenticate": "Basic"})

    async with browser(make(actions=authorise)) as page:
        answer = await page.get("/")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Basic")
    assert "log in first" in answer.text


@pytest.mark.parametrize("who", [True, 7, "", " ", "a\nb", "x" * 201])
async def test_who_acts_has_to_be_a_name(make: Make, who: Any) -> None:
    async with browser(make(actions=lambda _: who)) as page:
        with pytest.raises(ConfigurationError, match="the rule is None, or 1 to 200"):
            await page.get("/")


@pytest.mark.parametrize("actions", [True, "dana", 1])
def test_there_is_no_shortcut_to_actions(make: Make, actions: Any) -> None:
    with pytest.raises(ConfigurationError, match="the rule is a function that says who acts"):
        make(actions=actions)


# Other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://dash.test.evil.test"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.test"},
    ],
    ids=str,
)
async def test_a_request_from_another_site_is_refused(
    make: Make, console: CannedConsole, headers: dict[str, str]
) -> None:
    async with browser(make(actions=dana)) as page:
        answer = await post(page, "pause", headers, **await form_of(page), job="mail")
    assert (answer.status_code, "Refused" in answer.text) == (403, True)
    assert console.done == []


async def test_a_request_without_an_origin_is_refused(make: Make, console: CannedConsole) -> None:
    async with browser(make(actions=dana)) as page:
        form = await form_of(page)
        answer = await page.post("/act/pause", data={**form, "job": "mail"})
    assert answer.status_code == 403
    assert console.done == []


@pytest.mark.parametrize("token", ["", "x", "ü", "0" * 64])
async def test_a_wrong_token_is_refused(make: Make, console: CannedConsole, token: str) -> None:
    async with browser(make(actions=dana)) as page:
        await form_of(page)
        assert (await post(page, "pause", token=token, job="mail")).status_code == 403
    assert console.done == []


async def test_a_token_belongs_to_one_browser(make: Make, console: CannedConsole) -> None:
    app = make(actions=dana)
    async with browser(app) as mine, browser(app) as other, browser(app) as nobody:
        form = await form_of(mine)
        await form_of(other)
        assert (await post(other, "pause", **form, job="mail")).status_code == 403
        assert (await post(nobody, "pause", **form, job="mail")).status_code == 403
        assert console.done == []
        assert (await post(mine, "pause", **form, job="mail")).status_code == 200


async def test_a_form_of_one_worker_is_taken_by_another(make: Make, console: CannedConsole) -> None:
    async with browser(make(actions=dana)) as page, browser(make(actions=dana)) as other:
        form = await form_of(page)
        other.cookies = page.cookies
        assert (await post(other, "pause", **form, job="mail")).status_code == 200


async def test_the_cookie_is_out_of_reach(make: Make) -> None:
    async with browser(make(actions=dana)) as page:
        cookie = (await page.get("/")).headers["set-cookie"]
        assert "set-cookie" not in (await page.get("/")).headers, "it has it"
    assert "SameSite=strict" in cookie
    assert "HttpOnly" in cookie
    assert "Secure" not in cookie
    async with browser(make(actions=dana)) as page:
        assert "Secure" in (await page.get("https://dash.test/")).headers["set-cookie"]


async def test_origins_may_be_added_for_a_proxy(make: Make, console: CannedConsole) -> None:
    async with browser(make(actions=dana, origins=["https://ops.example"])) as page:
        form = await form_of(page)
        assert (await post(page, "resume", {"origin": "https://ops.example"}, **form, job="mail")).status_code == 200
        assert (
            await post(page, "resume", {"origin": "https://ops.example.evil"}, **form, job="mail")
        ).status_code == 403


@pytest.mark.parametrize(
    "origins", ["https://ops.example", ["ops.example"], ["https://ops.example/"], [7], ["ftp://x"]]
)
def test_origins_that_are_none_are_refused(make: Make, origins: Any) -> None:
    with pytest.raises(ConfigurationError, match="origins"):
        make(origins=origins)


async def test_only_forms_of_a_sensible_size_are_read(make: Make, console: CannedConsole) -> None:
    async with browser(make(actions=dana)) as page:
        form = await form_of(page)
        assert (await page.get("/act/pause")).status_code == 405
        assert (await post(page, "destroy", **form)).status_code == 404
        assert (await post(page, "pause", **form, job="mail", why="x" * 9000)).status_code == 413
        assert (
            await page.post("/act/pause", json={**form, "job": "mail"}, headers={"origin": BASE})
        ).status_code == 415
        raw = {"origin": BASE, "content-type": "application/x-www-form-urlencoded"}
        assert (await page.post("/act/pause", content=b"a=\xff", headers=raw)).status_code == 400
        assert (
            await page.post("/act/pause", content="&".join(f"a{n}=1" for n in range(30)), headers=raw)
        ).status_code == 400
    assert console.done == []


async def test_actions_are_logged_with_who(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="asyncsched.dashboard")
    async with browser(make(actions=dana)) as page:
        form = await form_of(page)
        await post(page, "pause", **form, job="mail")
        await post(page, "cancel", **form, run="abc")
    assert [record.getMessage() for record in caplog.records] == [
        "pause of mail by dana@ops on the dashboard",
        "cancel of abc by dana@ops on the dashboard failed: no node has a run 'abc'",
    ]


async def test_the_next_page_shows_what_was_done(make: Make) -> None:
    async with browser(make(actions=dana)) as page:
        form = await form_of(page)
        await post(page, "pause", **form, job="mail", why="the disk")
        assert "dana@ops" in (await page.get("/job?name=mail")).text
