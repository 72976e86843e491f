"""What the pages show, and that nothing in the records of a cluster can become a part of them that it should not."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from _cluster_records import NOON, CannedConsole, definition, ending, node, record, running
from _dashboard_browser import browser
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from asyncsched import Scheduler
from asyncsched._records import Note
from asyncsched.dashboard import dashboard
from asyncsched.testing import FakeClock

HOSTILE = "<script>alert(1)</script>\"'&"


def words(text: str) -> str:
    """The text of a page, without its elements."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)))


def row_of(text: str, job: str) -> str:
    found = re.search(rf'<tr id="job:{re.escape(job)}".*?</tr>', text, re.DOTALL)
    assert found is not None
    return found[0]


async def test_the_overview_has_every_job_with_state_last_and_next(page: httpx.AsyncClient) -> None:
    answer = await page.get("/")
    assert answer.status_code == 200
    cleanup, mail, report = (words(row_of(answer.text, job)) for job in ("cleanup", "mail", "report"))
    assert "every 30 seconds" in cleanup
    assert "failed" in cleanup
    assert "took 1.5 s" in cleanup
    assert "ValueError: no such table" in cleanup
    assert "12:00:30" in cleanup
    assert "running web-1" in mail
    assert "waiting nothing yet" in report
    assert re.search(r"Jobs 3 Running now 1 Failing 1 Paused 0 Nodes 2", words(answer.text))
    assert "0 succeeded 1 failed 0 skipped 0 missed" in words(answer.text)


async def test_lanes_show_what_was_run_by_whom_and_what_comes(page: httpx.AsyncClient, console: CannedConsole) -> None:
    console.ends(*(ending("report", NOON - timedelta(minutes=m), o) for m, o in ((9, "skipped"), (6, "missed"))))
    console.ends(ending("report", NOON - timedelta(minutes=3), node="web-2"))
    row = row_of((await page.get("/")).text, "report")
    drawn = re.findall(r'<path class="(\w+)"', row)
    assert drawn == ["ok", "skipped", "missed", "coming", "n1"]
    assert 'aria-label="last hour: 1 succeeded, 1 missed, 1 skipped"' in row


async def test_pauses_and_maintenance_say_who_and_why(page: httpx.AsyncClient, console: CannedConsole) -> None:
    note = Note(by="dana@ops", why="the bank is closed", at=NOON)
    console.change("cleanup", paused=note)
    console.now = replace(console.now, maintenance=replace(note, why="a move"))
    text = (await page.get("/")).text
    assert "paused dana@ops: the bank is closed" in words(row_of(text, "cleanup"))
    assert "The cluster is in maintenance by dana@ops : a move" in words(text)
    assert 'class="paused"' in row_of(text, "report"), "what is held back is marked in all lanes"


async def test_the_page_of_a_job(page: httpx.AsyncClient, console: CannedConsole) -> None:
    other = definition("cleanup", "Daily('23:30:00', timezone='Europe/Berlin')", timezone="Europe/Berlin")
    console.change("cleanup", definitions={"web-1": definition("cleanup"), "web-2": other})
    console.ends(ending("cleanup", NOON + timedelta(seconds=9), duration=2.5, node="web-2", trace_id="t" * 32))
    text = words((await page.get("/job?name=cleanup")).text)
    assert "Daily('23:30:00', timezone='Europe/Berlin')" in text
    assert "daily at 23:30 (Europe/Berlin)" in text
    assert "Nodes declare it differently" in text
    assert "t" * 32 in text
    assert "ValueError: no such table" in text
    assert "Duration median 1.5 s · 95 % within 2.5 s · most 2.5 s" in text
    assert text.count("23:30:00 CET") == 10, "read from the code of the node that started last"
    assert "differs" in words(row_of((await page.get("/")).text, "cleanup"))


async def test_a_scheduler_tells_the_next_ten_fire_times(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)

    @scheduler.job("nightly").daily_at("23:30").timezone("Europe/Berlin")
    async def nightly() -> None: ...

    async with scheduler, browser(dashboard(scheduler, clock=clock)) as page:
        text = words((await page.get("/job?name=nightly")).text)
    assert text.count("23:30:00 CET") == 10
    assert "Mon 2 Mar 2026 23:30:00 CET" in text


async def test_of_a_trigger_that_is_not_known_only_the_next_fire_time_is(
    page: httpx.AsyncClient, console: CannedConsole
) -> None:
    for schedule, zone in (("Mine()", "UTC"), ("Every(30)", "Mars/Olympus"), ("Every(1e30)", "UTC")):
        console.change("mail", definitions={"web-1": definition("mail", schedule, timezone=zone)})
        console.pass_time(1)
        await page.get("/")
    text = words((await page.get("/job?name=mail")).text)
    assert "Only the next one is known here" in text


async def test_runs_in_progress_are_shown_with_their_ids(page: httpx.AsyncClient, console: CannedConsole) -> None:
    console.change("mail", active=(running("mail", attempt=2, kind="trigger", progress="3 of 10", run_id="abc123"),))
    text = words((await page.get("/job?name=mail")).text)
    assert re.search(r"running on web-1 started 12:00:00 trigger attempt 2 3 of 10 run abc123 trace 0af7", text)


async def test_the_nodes(console: CannedConsole, make: Callable[..., Any]) -> None:
    gone = node("web-9", state="vanished", seen_at=NOON - timedelta(minutes=9))
    odd = node("web-3", version="0.8.0", clock_skew=-1.4, jobs=("cleanup", "mail"), active=(running("mail"),))
    console.now = replace(console.now, nodes=(node("web-1"), node("web-2"), odd, gone))
    async with browser(make()) as page:
        text = (await page.get("/nodes")).text
    assert "web-9 vanished" in words(text)
    assert "another version than most" in words(re.findall(r'<tr id="node:web-3".*?</tr>', text, re.DOTALL)[0])
    assert text.count("another version than most") == 1
    assert "1.4 s behind" in words(text)
    assert "10 ms ahead" in words(text)
    assert "2 jobs cleanup mail" in words(text)
    assert "mail started" in words(text)


async def test_everything_is_escaped(clock: FakeClock) -> None:
    name = f"job-{HOSTILE}"
    note = Note(by=HOSTILE, why=HOSTILE, at=NOON)
    given = definition(name, HOSTILE, policies=(HOSTILE,), timezone=HOSTILE)
    job = record(
        name,
        definitions={HOSTILE: given},
        paused=note,
        active=(running(name, HOSTILE, progress=HOSTILE, run_id=HOSTILE),),
    )
    nodes = (node(HOSTILE, host=HOSTILE, version=HOSTILE, environment=HOSTILE, python=HOSTILE, jobs=(HOSTILE,)),)
    console = CannedConsole(job, nodes=nodes)
    console.now = replace(console.now, maintenance=note)
    console.ends(
        ending(
            name, outcome="failed", error=HOSTILE, by=HOSTILE, why=HOSTILE, node=HOSTILE, trace_id=HOSTILE, kind=HOSTILE
        )
    )
    async with browser(dashboard(console, clock=clock, actions=lambda _: HOSTILE)) as page:
        for path in ("/", "/nodes", f"/job?name={httpx.QueryParams({'n': name})['n']}"):
            answer = await page.get(path.partition("?")[0], params={"name": name})
            assert answer.status_code == 200
            assert "<script>alert" not in answer.text
            assert HOSTILE in words(answer.text.replace("</script>", "&lt;/script&gt;")) or "alert(1)" in answer.text
            assert len(re.findall("<script", answer.text)) == 1, "its own"
            assert not re.search(r"<[^>]*\son\w+=", answer.text), "no handlers of events"


@pytest.mark.parametrize(
    "name", ["a/b", "..", "a%2Fb", "a#b", "a&b=c", "a+b", "größe", "a\\b", "<window>", "?x", "a;b'\""]
)
async def test_names_with_odd_characters_have_pages(name: str, clock: FakeClock) -> None:
    console = CannedConsole(record(name))
    async with browser(dashboard(console, clock=clock)) as page:
        overview = await page.get("/")
        (link,) = re.findall(r'href="(job\?name=[^"]*)"', overview.text)
        answer = await page.get(urljoin("/", html.unescape(link)))
    assert answer.status_code == 200
    assert f"<h1>{html.escape(name, quote=False)}</h1>" in answer.text.replace("&#39;", "'").replace("&#34;", '"')


async def test_an_unknown_job_is_not_found_and_a_near_one_named(page: httpx.AsyncClient) -> None:
    answer = await page.get("/job?name=cleanupp")
    assert answer.status_code == 404
    assert "did you mean 'cleanup'?" in words(answer.text)


async def test_other_paths_are_not_found(page: httpx.AsyncClient) -> None:
    for path in ("/static/../pyproject.toml", "/static/x.css", "/nowhere", "/deep/er/path", "/events?page=x"):
        assert (await page.get(path)).status_code == 404, path
    assert 'href="../../static/dashboard.css' in (await page.get("/deep/er/path")).text


def mounted_in_starlette(app: Any) -> Any:
    return Starlette(routes=[Mount("/jobs", app)])


def mounted_in_fastapi(app: Any) -> Any:
    service = FastAPI()
    service.mount("/jobs", app)
    return service


@pytest.mark.parametrize("mount", [mounted_in_starlette, mounted_in_fastapi])
@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
async def test_all_links_lead_somewhere_where_it_is_mounted(
    make: Callable[..., Any], mount: Callable[[Any], Any], root_path: str
) -> None:
    service = mount(make(actions=lambda _: "dana"))
    async with browser(service, root_path=root_path) as page:
        start = await page.get(f"{root_path}/jobs", follow_redirects=True)
        assert start.url.path == f"{root_path}/jobs/"
        assert f"Path={root_path}/jobs/;" in start.headers["set-cookie"]
        seen: set[str] = set()
        todo = [str(start.url)]
        while todo:
            url = todo.pop()
            answer = await page.get(url)
            assert answer.status_code == 200, url
            seen.add(url)
            for link in re.findall(
                r'(?:href|src)="([^"#]+)"', answer.text if "html" in answer.headers["content-type"] else ""
            ):
                found = urljoin(url, html.unescape(link))
                if found not in seen and found not in todo:
                    todo.append(found)
    assert {httpx.URL(url).path.removeprefix(f"{root_path}/jobs/") for url in seen} == {
        "", "nodes", "job", "static/dashboard.css", "static/dashboard.js", "static/icon.svg",
    }  # fmt: skip


async def test_assets_are_kept_by_browsers_until_they_change(page: httpx.AsyncClient) -> None:
    link = re.findall(r'href="(static/dashboard.css\?\w+)"', (await page.get("/")).text)[0]
    assert "immutable" in (await page.get(f"/{link}")).headers["cache-control"]
    assert (await page.get("/static/dashboard.css?other")).headers["cache-control"] == "no-store"


async def test_an_empty_cluster_says_so(clock: FakeClock) -> None:
    console = CannedConsole()
    console.now = replace(console.now, nodes=())
    async with browser(dashboard(console, clock=clock)) as page:
        assert "No jobs yet" in (await page.get("/")).text
        assert "No node has reported" in (await page.get("/nodes")).text
