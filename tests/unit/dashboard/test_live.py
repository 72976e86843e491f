"""What browsers hear of changes, how often the store is asked for it, and what becomes of outages and slow browsers."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from _cluster_records import NOON, CannedConsole, ending, record, running
from _dashboard_browser import Stream, browser, listening

from asyncsched import StoreUnavailableError
from asyncsched._records import Note
from asyncsched.dashboard import _live, dashboard
from asyncsched.testing import FakeClock

Make = Callable[..., Any]


async def events_of(page: httpx.AsyncClient, path: str = "/") -> str:
    """Load a page, and return the address of its events."""
    text = (await page.get(path)).text
    return "/" + re.findall(r'data-events="([^"]*)"', text)[0].replace("&amp;", "&")


async def test_a_change_arrives_and_only_what_has_changed(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    async with listening(app, events) as stream:
        await clock.advance(3)
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.changes == [], "the page has everything already"
        console.pass_time(5)
        console.ends(ending("report", NOON + timedelta(seconds=4)))
        await clock.advance(10)
        (first, *_) = stream.changes
        assert {"last:report", "summary"} <= set(first["parts"])
        assert not {"name:report", "last:cleanup", "job:report"} & set(first["parts"])
        assert "succeeded" in first["parts"]["last:report"]
        assert first["lists"] == {}
        assert first["now"] == (NOON + timedelta(seconds=5)).timestamp()
        (lane,) = [change["parts"]["lane:report"] for change in stream.changes if "lane:report" in change["parts"]]
        assert 'class="ok"' in lane
        assert "<window>" not in lane


async def test_jobs_that_come_and_go_change_the_list(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    async with listening(app, events) as stream:
        await clock.advance(1)
        console.now = replace(console.now, jobs=(*console.now.jobs[1:], record("zebra")))
        await clock.advance(2)
        (change,) = stream.changes
    assert change["lists"] == {"jobs": ["job:mail", "job:report", "job:zebra"]}
    assert change["parts"]["job:zebra"].startswith('<tr id="job:zebra" role="row"><th id="name:zebra"')
    assert not any(name.endswith(":mail") for name in change["parts"])
    assert "lane:zebra" not in change["parts"], "it is in the row"


async def test_a_job_page_gets_its_new_endings(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page, "/job?name=cleanup")
    async with listening(app, events) as stream:
        await clock.advance(1)
        console.ends(ending("cleanup", NOON + timedelta(seconds=1)))
        await clock.advance(2)
        (change,) = stream.changes
    newest, older = change["lists"]["history"]
    assert newest in change["parts"]
    assert older not in change["parts"]
    assert {"head", "charts"} <= set(change["parts"])
    assert "act-job" not in change["parts"]


async def test_forms_come_with_the_browsers_own_token(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    app = make(actions=lambda request: "ada" if request.headers.get("x-ada") else None)
    async with browser(app, headers={"x-ada": "1"}) as page:
        events = await events_of(page, "/job?name=mail")
        cookie = f"asyncsched_dashboard={page.cookies['asyncsched_dashboard']}"
        token = re.findall(r'name="token" value="(\w+)"', (await page.get("/job?name=mail")).text)[0]
    note = Note(by="bo", why="", at=NOON)
    async with listening(app, events, {"x-ada": "1", "cookie": cookie}) as ada, listening(app, events) as other:
        await clock.advance(1)
        console.change("mail", paused=note)
        await clock.advance(2)
        assert f'value="{token}"' in ada.changes[0]["parts"]["act-job"]
        assert "act/resume" in ada.changes[0]["parts"]["act-job"]
        assert "act-job" not in other.changes[0]["parts"], "who may not act gets no forms"


async def test_reconnecting_browsers_get_what_they_lack(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    async with listening(app, events) as stream:
        await clock.advance(1)
        console.change("mail", active=())
        await clock.advance(2)
        seen = stream.changes[-1]["id"]
    console.change("report", active=(running("report"),))
    async with listening(app, events, {"last-event-id": seen}) as stream:
        await clock.advance(2)
        (change,) = stream.changes
        assert "state:report" in change["parts"]
        assert not any(name.endswith((":mail", ":cleanup")) for name in change["parts"])
    async with listening(app, events, {"last-event-id": "another-7"}) as stream:
        await clock.advance(2)
        assert {"job:mail", "job:cleanup", "job:report"} <= set(stream.changes[0]["parts"]), "of another process: all"
    for odd in ("", "-", "x-1-y", seen.partition("-")[0] + "-" + "9" * 30):
        async with listening(app, events, {"last-event-id": odd}) as stream:
            await clock.advance(1)
            assert stream.status == 200


async def test_all_browsers_share_one_look_at_the_store(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
        async with listening(app, events), listening(app, events), listening(app, events):
            console.asked.clear()
            await clock.advance(10)
            assert 9 <= console.asked.count("state") <= 11
            assert len(console.asked) == console.asked.count("state"), "no history is asked for if nothing has ended"
            await page.get("/")
            assert console.asked.count("state") <= 11
        console.asked.clear()
        await clock.advance(60)
        assert console.asked == [], "nobody listens"
        await page.get("/")
        assert console.asked == ["state"], "a page looks for itself"


async def test_only_new_endings_are_asked_for(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    many = [ending("mail", NOON - timedelta(minutes=n)) for n in range(50, 0, -1)]
    console.ends(*many)
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    async with listening(app, events):
        await clock.advance(1)
        console.asked.clear()
        console.ends(*(ending("mail", NOON + timedelta(seconds=n)) for n in range(1, 30)))
        await clock.advance(2)
        assert [asked for asked in console.asked if asked != "state"] == ["history mail"] * 2, "more than a few are new"
    async with browser(app) as page:
        text = (await page.get("/job?name=mail")).text
        assert text.count('<tr id="ending:') == 79


async def test_a_browser_that_does_not_read_holds_up_nobody(
    make: Make, console: CannedConsole, clock: FakeClock
) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    async with listening(app, events) as slow, listening(app, events) as other:
        await clock.advance(1)
        slow.reads.clear()
        for second in range(1, 11):
            console.ends(ending("report", NOON + timedelta(seconds=second)))
            await clock.advance(1)
        assert len(other.changes) >= 9
        assert len(slow.changes) <= 1
        slow.reads.set()
        await clock.advance(1)
        assert len(slow.changes) <= 3, "it gets the newest, not each"
        assert "12:00:10" in slow.changes[-1]["parts"]["last:report"]


async def test_a_browser_that_never_reads_is_given_up(make: Make, clock: FakeClock, console: CannedConsole) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    async with listening(app, events) as stuck:
        stuck.reads.clear()
        await clock.advance(_live.SLOWEST + 2)
        console.asked.clear()
        await clock.advance(10)
        assert console.asked == [], "nobody listens any more"


async def test_a_quiet_stream_gives_signs_of_life_and_ends_some_day(make: Make, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    async with listening(app, events) as stream:
        await clock.advance(_live.BEAT * 3)
        assert stream.texts.count(": alive\n\n") in (2, 3)
        assert not stream.ended
        await clock.advance(_live.LIFE)
        assert stream.ended


async def test_it_ends_when_the_server_stops(make: Make, clock: FakeClock) -> None:
    class Server:
        should_exit = False

        def handle_exit(self, *_: object) -> None: ...

    server = Server()
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    before = signal.signal(signal.SIGTERM, server.handle_exit)
    try:
        async with listening(app, events) as stream:
            await clock.advance(3)
            assert not stream.ended
            server.should_exit = True
            await clock.advance(3)
            assert stream.ended
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_there_is_a_bound_to_listeners(make: Make, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "MOST_LISTENERS", 1)
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
        async with listening(app, events):
            await clock.advance(1)
            assert (await page.get(events)).status_code == 503


async def test_the_page_of_a_job_that_goes_hears_that(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page, "/job?name=cleanup")
    async with listening(app, events) as stream:
        await clock.advance(1)
        console.now = replace(console.now, jobs=console.now.jobs[1:])
        await clock.advance(2)
        assert stream.texts[-2:] == ["event: gone\ndata:\n\n", ""]
        assert stream.ended


# Outages


async def test_an_outage_is_a_banner_above_what_was_known(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
        async with listening(app, events) as stream:
            await clock.advance(1)
            console.trouble = StoreUnavailableError("redis://db:6379 did not answer within 1 s")
            await clock.advance(3)
            assert "did not answer within 1 s" in stream.changes[-1]["parts"]["banner"]
            for path in ("/", "/nodes", "/job?name=cleanup"):
                answer = await page.get(path)
                assert answer.status_code == 200
                assert "The store cannot be read" in answer.text
                assert "did not answer within 1 s" in answer.text
                assert 'What is shown is from <time datetime="2026-03-02T12:00:00+00:00"' in answer.text
            assert "no such table" in (await page.get("/")).text, "the last known state"
            console.trouble = None
            await clock.advance(3)
            assert "cannot be read" not in stream.changes[-1]["parts"]["banner"]


async def test_an_outage_from_the_start(make: Make, console: CannedConsole, clock: FakeClock) -> None:
    console.trouble = StoreUnavailableError("no answer")
    async with browser(make()) as page:
        for path in ("/", "/nodes"):
            answer = await page.get(path)
            assert answer.status_code == 200
            assert "nothing is known yet" in answer.text
        assert (await page.get("/job?name=mail")).status_code == 503
        console.trouble = None
        await clock.advance(1)
        assert "cannot be read" not in (await page.get("/")).text


async def test_what_nobody_expected_is_told_and_logged(
    make: Make, console: CannedConsole, caplog: pytest.LogCaptureFixture
) -> None:
    console.trouble = KeyError("secret detail")
    async with browser(make()) as page:
        text = (await page.get("/")).text
    assert "it could not be read (KeyError)" in text
    assert "secret detail" not in text
    assert "the dashboard could not read the cluster" in caplog.text


async def test_a_store_that_hangs_does_not_hang_the_page(console: CannedConsole, clock: FakeClock) -> None:
    app = dashboard(console, clock=clock)
    async with browser(app) as page:
        await page.get("/")
        free = asyncio.Event()

        async def hangs() -> Any:
            await free.wait()
            return console.now

        console.state = hangs  # type: ignore[method-assign]
        await clock.advance(2)
        asked = asyncio.ensure_future(page.get("/"))
        await clock.advance(1)
        assert asked.done()
        assert (await asked).status_code == 200
        free.set()
        await clock.advance(1)


async def test_a_history_that_fails_is_an_outage_too(console: CannedConsole, clock: FakeClock) -> None:
    async def fails(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("half of it is away")

    console.history = fails  # type: ignore[method-assign]
    async with browser(dashboard(console, clock=clock)) as page:
        text = (await page.get("/")).text
        assert "half of it is away" in text
        assert "cleanup" in text
        assert (await page.get("/job?name=cleanup")).status_code == 200


async def test_leaving_streams_leave_no_tasks(make: Make, clock: FakeClock) -> None:
    app = make()
    async with browser(app) as page:
        events = await events_of(page)
    before = len(asyncio.all_tasks())
    for _ in range(3):
        async with listening(app, events) as stream:
            await clock.advance(1)
    assert isinstance(stream, Stream)
    await clock.advance(1)
    assert len(asyncio.all_tasks()) == before
