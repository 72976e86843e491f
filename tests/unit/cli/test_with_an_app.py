"""Command lines against real schedulers that share a store in memory: what the console tells is what is shown."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from asyncsched import MemoryStore, RunContext, Scheduler
from asyncsched.cli._app import app
from asyncsched.cli._target import Setting
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from click.testing import Result


class Service:
    """Two nodes, and a shell beside them: while a command runs, time goes on, on a slow machine by minutes. So what is
    looked at begins once an hour."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        store = MemoryStore(self.clock)
        self.nodes = [Scheduler(store, clock=self.clock, node=name) for name in ("one", "two")]
        self.gate = asyncio.Event()
        for node in self.nodes:
            self.add_jobs(node)

    def add_jobs(self, node: Scheduler) -> None:
        @node.job("sync").per_hours(1).phase(60).on_one_server().without_overlapping()
        async def sync(ctx: RunContext) -> None:
            ctx.progress(3, 10, "orders")
            await self.gate.wait()

        @node.job("mail").per_seconds(60).on_one_server()
        async def mail() -> None:
            raise ValueError("no server")

        @node.job("quick").per_hours(1).on_one_server()
        async def quick() -> None: ...

    async def give(self, *arguments: str) -> Result:
        loop = asyncio.get_running_loop()

        def run(command: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(command, loop).result()

        setting = Setting(clock=self.clock, load=lambda _: self.nodes[0], run=run)
        named: dict[str, Any] = {"obj": setting, "env": {"COLUMNS": "", "ASYNCSCHED_APP": "service:scheduler"}}
        running = asyncio.ensure_future(asyncio.to_thread(CliRunner().invoke, app, arguments, **named))
        while not running.done():
            await self.clock.advance(0.01)
        return running.result()

    async def out(self, *arguments: str) -> str:
        result = await self.give(*arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    async with AsyncExitStack() as running:
        for node in service.nodes:
            await running.enter_async_context(node)
        await service.clock.advance(60)
        yield service
        service.gate.set()


async def test_the_cluster_is_seen(service: Service) -> None:
    jobs = {job["job"]: job for job in json.loads(await service.out("list", "--json"))}
    assert set(jobs) == {"sync", "mail", "quick"}
    assert set(jobs["sync"]["nodes"]) == {"one", "two"}
    assert jobs["mail"]["last"]["error"] == "ValueError: no server"
    assert jobs["sync"]["active"][0]["progress"].startswith("3")
    out = await service.out("list")
    assert "last error: ValueError: no server" in out
    assert "running on " in out
    assert "ValueError: no server" in await service.out("history", "mail")
    assert (await service.out("next")).splitlines()[0].split() == ["NEXT", "AT", "JOB"]
    assert "sync" in await service.out("runs")
    assert "two" in await service.out("nodes")
    assert "sync  overlap" in await service.out("locks", "sync")
    assert "mail, the tick" in await service.out("why", "mail")
    assert "ok " in await service.out("doctor")


async def test_a_pause_is_seen_by_all(service: Service) -> None:
    await service.out("pause", "quick", "--why", "#4711", "--by", "ann")
    assert "by ann: #4711" in await service.out("list")
    assert service.nodes[1].snapshot().jobs[2].paused
    await service.out("resume", "quick")
    assert "PAUSED" not in await service.out("list")
    await service.out("maintenance", "on", "--by", "ann")
    assert "MAINTENANCE, no tick starts, since" in await service.out("maintenance")
    await service.out("maintenance", "off")
    assert "not in maintenance" in await service.out("maintenance")


async def test_a_run_is_triggered_and_waited_for(service: Service) -> None:
    assert " succeeded after " in await service.out("trigger", "quick", "--wait", "--node", "two", "--by", "ann")
    told = json.loads(await service.out("history", "quick", "--json"))
    assert (told[0]["kind"], told[0]["node"], told[0]["by"]) == ("trigger", "two", "ann")
    result = await service.give("trigger", "mail", "--wait")
    assert result.exit_code == 1
    assert "failed after" in result.stdout
    assert result.stdout.rstrip().endswith("ValueError: no server")


async def test_a_run_is_cancelled(service: Service) -> None:
    (run,) = json.loads(await service.out("runs", "--json"))
    assert "is asked to end" in await service.out("cancel", run["run_id"][:6], "--by", "ann", "--why", "wrong data")
    await service.clock.advance(1)
    (ended,) = json.loads(await service.out("history", "sync", "--json"))
    assert (ended["outcome"], ended["by"], ended["why"]) == ("cancelled", "ann", "wrong data")
    assert "by ann: wrong data" in await service.out("history", "sync")


async def test_what_nobody_can_do(service: Service) -> None:
    result = await service.give("trigger", "quick", "--node", "three")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "asyncsched: node 'three' is not there; those that are: one, two\n"
    result = await service.give("cancel", "0" * 32)
    assert result.exit_code == 1
    assert "no node has taken it within 5 s" in result.stderr


async def test_the_memory_of_a_process_that_is_not_this_one() -> None:
    service = Service()
    result = await service.give("maintenance", "on")
    assert result.exit_code == 2
    assert "keeps everything in the memory of its own process" in result.stderr
