"""The dashboard as a program of its own: where it may be, and who may act there. tests/processes starts it for real."""

from __future__ import annotations

import re
from typing import Any

import pytest
from _cluster_records import CannedConsole, record
from _dashboard_browser import browser

from asyncsched import ConfigurationError, MemoryStore, Scheduler
from asyncsched.dashboard import dashboard, serve
from asyncsched.dashboard._serve import app_for, is_loopback


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
