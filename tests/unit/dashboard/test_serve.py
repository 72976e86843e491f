"""The dashboard as a program of its own: where it may be, and who may act there. tests/processes starts it for real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from _cluster_records import NOON, CannedConsole, record
from _dashboard_browser import BASE, browser

from asyncsched import ConfigurationError, MemoryStore, Scheduler
from asyncsched.console import Console
from asyncsched.dashboard import dashboard, serve
from asyncsched.dashboard._serve import app_for, is_loopback, server_for
from asyncsched.testing import FakeClock


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", ""])
def test_other_addresses_are_refused_unless_that_is_meant(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigurationError, match="there is no login"):
        serve(MemoryStore(), host=host)
    app_for(MemoryStore(), "", host, actions=False, exposed=True)


@pytest.mark.parametrize(("host", "hosts"), [("0.0.0.0", ()), ("127.0.0.1", ("ops.example",))])
def test_actions_are_for_this_machine_alone(host: str, hosts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="whoever reaches it may act"):
        app_for(MemoryStore(), "", host, actions=True, exposed=True, hosts=hosts)


@pytest.mark.parametrize("options", [{"port": -1}, {"port": 65536}, {"port": True}, {"port": "80"}])
def test_bad_ports(options: Any) -> None:
    with pytest.raises(ConfigurationError, match="port"):
        serve(MemoryStore(), **options)


@pytest.mark.parametrize("root_path", ["jobs", "/jobs/"])
def test_bad_root_paths(root_path: str) -> None:
    with pytest.raises(ConfigurationError, match="root_path"):
        serve(MemoryStore(), root_path=root_path)


async def test_it_answers_to_the_names_of_this_machine_alone() -> None:
    store = CannedConsole(record("a"))
    async with browser(app_for(store, "", "127.0.0.1", actions=True, exposed=False)) as page:
        answer = await page.get("/", headers={"host": "127.0.0.1:8210"})
        assert re.search(r"You act as <strong>[^<]+@[^<]+</strong>", answer.text)
        assert (await page.get("/", headers={"host": "rebound.example"})).status_code == 421
    async with browser(app_for(store, "", "127.0.0.1", actions=False, exposed=False, hosts=["ops.example"])) as page:
        answer = await page.get("/", headers={"host": "ops.example"})
        assert answer.status_code == 200
        assert "You act as" not in answer.text
    async with browser(app_for(store, "", "0.0.0.0", actions=False, exposed=True)) as page:
        assert (await page.get("/", headers={"host": "any.example"})).status_code == 200


@pytest.mark.parametrize("refresh", [0, 0.1, 61, "1", True, None])
def test_the_interval_is_bound(refresh: Any) -> None:
    with pytest.raises(ConfigurationError, match="refresh"):
        dashboard(Scheduler(), refresh=refresh)


def test_it_takes_what_a_scheduler_takes() -> None:
    with pytest.raises(ConfigurationError):
        dashboard("nonsense://x")
    with pytest.raises(ConfigurationError):
        dashboard(None)


def test_what_serves_is_set_up_as_asked() -> None:
    server = server_for(MemoryStore(), "", "localhost", 0, "/jobs")
    assert (server.config.host, server.config.port, server.config.root_path) == ("localhost", 0, "/jobs")
    assert server.config.timeout_graceful_shutdown == 5, "an open page does not keep it from stopping"


def test_serving_ends_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[uvicorn.Server] = []

    async def serve_at_once(server: uvicorn.Server) -> None:
        served.append(server)

    monkeypatch.setattr(uvicorn.Server, "serve", serve_at_once)
    serve(MemoryStore(), port=8211)
    assert served[0].config.port == 8211


async def run_lifespan(app: Any) -> list[str]:
    """Start an app and stop it, as a server does."""
    inbox, told = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        told.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    return told


async def test_only_what_it_has_opened_is_closed_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Console] = []

    async def close(console: Console) -> None:
        closed.append(console)

    monkeypatch.setattr(Console, "close", close)
    whole = ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert await run_lifespan(dashboard(f"sqlite://{tmp_path}/jobs.db")) == whole
    assert len(closed) == 1
    assert await run_lifespan(dashboard(Console(MemoryStore()))) == whole
    assert await run_lifespan(dashboard(Scheduler())) == whole
    assert len(closed) == 1, "a console, or a scheduler's, is somebody else's"


@pytest.mark.parametrize("kind", ["scheduler", "console", "store"])
async def test_a_real_cluster_from_each_of_its_sides(kind: str) -> None:
    clock = FakeClock(NOON)
    store = MemoryStore(clock)
    one, two = (Scheduler(store, clock=clock, node=name) for name in ("web-1", "web-2"))

    async def work() -> None: ...

    for scheduler in (one, two):
        scheduler.add_job("prices", work).per_seconds(10).on_one_server()
    two.add_job("only-there", work).daily_at("13:00")
    source = {"scheduler": one, "console": Console(store, clock=clock), "store": store}[kind]
    app = dashboard(source, clock=clock, actions=lambda _: "dana")
    async with one, two, browser(app) as page:
        await clock.advance(25)
        overview = (await page.get("/")).text
        assert overview.count('<tr id="job:') == 2
        assert re.search(r'id="last:prices".*?succeeded', overview, re.DOTALL)
        there = (await page.get("/job?name=only-there")).text
        assert there.count("13:00:00 UTC</span>") == 10, "this node has no such job: read from the code of the other"
        assert (await page.get("/nodes")).text.count('<tr id="node:web-') == 2
        form = {"token": re.findall(r'name="token" value="(\w+)"', there)[0], "job": "prices", "why": "a test"}
        assert (await page.post("/act/pause", data=form, headers={"origin": BASE})).status_code == 200
        await clock.advance(2)
        assert "dana: a test" in (await page.get("/")).text
        assert one.snapshot().jobs[0].paused
