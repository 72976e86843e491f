"""The dashboard in a real browser: live, with the keyboard, on a phone, in the dark, and with a form.

``ASYNCSCHED_SCREENSHOTS=docs/images`` makes the pictures of the docs anew.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from _processes import ROOT, Program
from _redis_server import free_port
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = os.environ.get("ASYNCSCHED_SCREENSHOTS")

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium"),
]


class Service(Program):
    """The service on a free port."""

    def __init__(self, store_url: str = "") -> None:
        port = free_port()
        super().__init__(
            "tests/processes/_dashboard_service.py",
            environment={"PORT": str(port), "STORE_URL": store_url, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )
        self.at = f"http://127.0.0.1:{port}"
        self.jobs = f"{self.at}/svc/jobs/"
        self.sample = f"{self.at}/sample/"

    def wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + 30
        while "Uvicorn running" not in self.err:
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < give_up_at, self.told()
            time.sleep(0.05)


@pytest.fixture(scope="module", params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    url = "" if request.param == "memory" else request.getfixturevalue("redis_server").url
    with Service(url) as service:
        service.wait_until_ready()
        yield service


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # a sandbox needs rights that containers lack; the pages are our own
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opener:
    """Opens pages, each in a browser of its own, and notes what these complain of."""

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def __call__(self, url: str, *, width: int = 1280, height: int = 860, **options: Any) -> Page:
        context = self._chromium.new_context(viewport={"width": width, "height": height}, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Opener]:
    """Open an address; by the end, the browser must not have complained of anything, such as a refused style."""
    opener = Opener(chromium)
    yield opener
    opener.close()
    assert opener.complaints == []


def is_live(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("live", timeout=15_000)


def test_a_run_that_ends_is_seen_without_loading_the_page_again(service: Service, open_page: Opener) -> None:
    page = open_page(service.jobs)
    is_live(page)
    cell = page.locator('[id="last:beat"] time')
    expect(cell).to_be_visible(timeout=15_000)
    before = cell.get_attribute("datetime")
    page.evaluate("window.isStillHere = true")
    expect(cell).not_to_have_attribute("datetime", before or "", timeout=15_000)
    expect(page.locator('[id="next:beat"]')).to_have_text(re.compile("in|now|due"))
    assert page.evaluate("window.isStillHere")


def test_the_way_to_a_job_with_the_keyboard(service: Service, open_page: Opener) -> None:
    page = open_page(service.jobs)
    page.keyboard.press("Tab")
    skip = page.locator("a.skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("LONG")
    expect(page.locator('[id="job:beat"]')).to_be_hidden()
    link = page.locator('[id="name:long/job#1%"] a')
    for _ in range(10):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    expect(link).to_be_focused()
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("long/job#1%")
    expect(page.locator("#ahead li")).to_have_count(10)


@pytest.mark.parametrize("path", ["", "nodes", "job?name=payments.settle", "job?name=stock.levels"])
def test_a_phone_does_not_scroll_sideways(service: Service, open_page: Opener, path: str) -> None:
    page = open_page(service.sample + path, width=360, height=740)
    is_live(page)
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    assert page.evaluate(widths) == [360, 360]


def test_dark_and_light_and_motion(service: Service, open_page: Opener) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    dark = open_page(service.sample, color_scheme="dark").evaluate(background)
    light = open_page(service.sample, color_scheme="light").evaluate(background)
    assert dark != light
    beats = "[...document.querySelectorAll('.state.running i')].map(dot => getComputedStyle(dot).animationName)"
    assert set(open_page(service.sample, reduced_motion="no-preference").evaluate(beats)) == {"beat"}
    assert set(open_page(service.sample, reduced_motion="reduce").evaluate(beats)) == {"none"}


def test_pausing_and_resuming(service: Service, open_page: Opener) -> None:
    page = open_page(f"{service.jobs}job?name=beat")
    is_live(page)
    page.get_by_text("Pause", exact=True).press("Enter")
    expect(page.get_by_label("Why").locator("visible=true")).to_be_focused()
    page.keyboard.type("<b>the disk</b>")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("beat is paused")
    expect(page.locator("#head")).to_contain_text("Paused by dana@ops: <b>the disk</b>", timeout=15_000)
    page.get_by_text("Resume", exact=True).first.click(timeout=15_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#said")).to_contain_text("beat is resumed")
    expect(page.locator("#head")).not_to_contain_text("Paused", timeout=15_000)


def test_a_run_is_started_and_cancelled(service: Service, open_page: Opener) -> None:
    page = open_page(f"{service.jobs}job?name=long%2Fjob%231%25")
    is_live(page)
    page.get_by_text("Run now", exact=True).first.click()
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("#said")).to_contain_text("started on web-1", timeout=15_000)
    expect(page.locator("#active")).to_contain_text("running on web-1", timeout=15_000)
    page.get_by_text("Cancel the run on web-1").click(timeout=15_000)
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.locator("#history")).to_contain_text("cancelled", timeout=20_000)
    expect(page.locator("#active .run")).to_have_count(0, timeout=15_000)


def test_forms_work_without_scripts(service: Service, open_page: Opener) -> None:
    page = open_page(f"{service.jobs}job?name=beat", java_script_enabled=False)
    page.get_by_text("Resume", exact=True).or_(page.get_by_text("Pause", exact=True)).first.click()
    page.get_by_role("button", name="Pause on all nodes").click()
    expect(page.locator("#message")).to_contain_text("beat is paused")
    page.get_by_role("link", name="beat").click()
    page.get_by_text("Resume", exact=True).first.click()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#message")).to_contain_text("beat is resumed")


def test_another_site_cannot_have_anything_done(service: Service, open_page: Opener) -> None:
    open_page(service.jobs)
    target = f"{service.jobs}act/pause"
    other = service.at.replace("127.0.0.1", "localhost")
    page = open_page(f"{other}/elsewhere?to={target}")
    with page.expect_response(target) as answered:
        page.get_by_role("button").click()
    assert answered.value.status == 403
    seen = open_page(f"{service.jobs}job?name=beat")
    expect(seen.locator("#head")).not_to_contain_text("Paused")
    assert all(" 40" in complaint for complaint in open_page.complaints), "403, and no icon of the other site: 404"
    open_page.complaints.clear()


def test_an_outage_comes_and_goes(service: Service, open_page: Opener) -> None:
    page = open_page(service.sample)
    is_live(page)
    page.request.get(f"{service.at}/trouble?on=true")
    expect(page.locator("#banner")).to_contain_text("The store cannot be read", timeout=15_000)
    expect(page.locator("#banner")).to_contain_text("ago")
    expect(page.locator("#jobs tr")).not_to_have_count(0)
    page.request.get(f"{service.at}/trouble?on=false")
    expect(page.locator("#banner")).not_to_contain_text("cannot be read", timeout=15_000)


def test_filters(service: Service, open_page: Opener) -> None:
    page = open_page(service.sample)
    page.locator("#show").select_option("paused")
    expect(page.locator("#jobs tr:visible th a")).to_have_text(["billing.invoices"])
    expect(page.locator("#shown")).to_contain_text("1 of 14")
    page.locator("#show").select_option("differs")
    expect(page.locator("#jobs tr:visible th a")).to_have_text(["stock.levels"])


def test_open_pages_do_not_keep_a_server_from_stopping(open_page: Opener) -> None:
    with Service() as service:
        service.wait_until_ready()
        page = open_page(service.jobs)
        is_live(page)
        service.send(signal.SIGTERM)
        assert service.wait(15) in (0, -signal.SIGTERM)
    open_page.complaints.clear()  # it cannot connect again


@pytest.mark.redis
def test_the_command_serves_a_store(open_page: Opener, redis_url: str) -> None:
    port = free_port()
    with (
        Service(redis_url) as service,
        Program("-m", "asyncsched", "dashboard", "--url", redis_url, "--port", port) as line,
    ):
        service.wait_until_ready()
        line.wait_for("Ctrl-C ends it", within=30)
        page = None
        while page is None:
            with suppress(PlaywrightError):
                page = open_page(f"http://127.0.0.1:{port}/")
            assert line.process.poll() is None, line.told()
        is_live(page)
        expect(page.locator('[id="state:beat"]')).to_be_visible(timeout=20_000)
        expect(page.locator("form")).to_have_count(0)
        line.send(signal.SIGTERM)
        assert line.wait(15) in (0, -signal.SIGTERM)
    open_page.complaints.clear()  # it cannot connect again


PICTURES = [
    ("overview", "", {"color_scheme": "light"}),
    ("overview-dark", "", {"color_scheme": "dark"}),
    ("job", "job?name=payments.settle", {"color_scheme": "light"}),
    ("nodes", "nodes", {"color_scheme": "light", "height": 480}),
    ("phone", "", {"color_scheme": "light", "width": 360, "height": 740}),
]


@pytest.mark.skipif(not SCREENSHOTS, reason="the pictures of the docs are made with ASYNCSCHED_SCREENSHOTS=docs/images")
def test_pictures(service: Service, open_page: Opener) -> None:
    folder = ROOT / Path(SCREENSHOTS or "")
    for name, path, options in PICTURES:
        page = open_page(service.sample + path, **{"width": 1360, "height": 960, **options}, reduced_motion="reduce")
        is_live(page)
        page.screenshot(path=folder / f"dashboard-{name}.png")
