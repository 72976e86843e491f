"""What browsers are told to refuse, and what a page must therefore not need."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _dashboard_browser import BASE, browser, listening

import asyncsched.dashboard
from asyncsched.testing import FakeClock

FOLDER = Path(asyncsched.dashboard.__file__).parent


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/nodes", 200), ("/job?name=mail", 200), ("/static/dashboard.js", 200), ("/job?name=x", 404),
     ("/x", 404), ("/act/pause", 405), ("/events?page=x", 404)],
)  # fmt: skip
async def test_every_answer_has_the_headers(make: Callable[..., Any], path: str, status: int) -> None:
    async with browser(make(actions=lambda _: "dana")) as page:
        answer = await page.get(path)
    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


async def test_streams_and_refusals_have_them_too(make: Callable[..., Any], clock: FakeClock) -> None:
    app = make(actions=lambda _: None)
    async with listening(app, "/events?page=overview") as stream:
        await clock.advance(1)
    assert stream.headers["x-content-type-options"] == "nosniff"
    async with browser(app) as page:
        refused = await page.post("/act/pause", headers={"origin": BASE})
    assert refused.status_code == 403
    assert "frame-ancestors 'none'" in refused.headers["content-security-policy"]


@pytest.mark.parametrize("template", sorted(FOLDER.glob("templates/*.html")), ids=lambda path: path.name)
def test_templates_have_no_script_and_style_of_their_own(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://|\|\s*safe\b", text)
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", text))


def test_nothing_is_loaded_from_elsewhere() -> None:
    for file in FOLDER.glob("static/*"):
        links = re.findall(r"https?://[^\s\"')]+", file.read_text())
        assert set(links) <= {"http://www.w3.org/2000/svg"}, file.name


async def test_no_more_is_answered_under_another_name_than_given(make: Callable[..., Any]) -> None:
    async with browser(make(hosts=["localhost", "[::1]"])) as page:
        for host in ("localhost", "LOCALHOST:8210", "[::1]:8210", "[::1]"):
            assert (await page.get("/", headers={"host": host})).status_code == 200, host
        for host in ("evil.test", "localhost.evil.test", "", "[::2]", "[::1", "evil.test:80"):
            assert (await page.get("/", headers={"host": host})).status_code == 421, host
