"""The pytest plugin, in runs of pytest of its own: beside each plugin that runs async tests, and where tests
misbehave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
import asyncio
from datetime import UTC, datetime

{header}

def declare(scheduler):
    @scheduler.job("report").cron("0 8 * * mon-fri")
    async def report():
        await asyncio.sleep(3)


{mark}
async def test_the_report(scheduler_factory, asyncsched_clock):
    scheduler = scheduler_factory(declare)
    async with scheduler:
        await asyncsched_clock.advance("7 days")
    scheduler_factory.history.ran_at("report", [datetime(2026, 1, day, 8, tzinfo=UTC) for day in (1, 2, 5, 6, 7)])
    assert scheduler.snapshot().counters == {{"succeeded": 5}}


{mark}
async def test_the_factory_stops_what_was_started(scheduler_factory):
    await scheduler_factory(declare).__aenter__()
    await scheduler_factory.clock.advance("8 hours")  # at work: it ends within the drain


class TestInAClass:
    {mark}
    async def test_the_clock_alone(self, asyncsched_clock):
        await asyncsched_clock.advance("1 h")


def test_without_a_loop(scheduler_factory, asyncsched_clock):
    asyncio.run(asyncsched_clock.run_until(datetime(2026, 1, 2, tzinfo=UTC), scheduler_factory(declare)))
    scheduler_factory.history.ran_once_per_tick("report")
"""
LOOP_SCOPE = ["-o", "asyncio_default_fixture_loop_scope=function"]
PLUGINS = {
    "auto": (["-p", "no:anyio", "-o", "asyncio_mode=auto", *LOOP_SCOPE], "", ""),
    "strict": (["-p", "no:anyio", "-o", "asyncio_mode=strict", *LOOP_SCOPE], "import pytest", "@pytest.mark.asyncio"),
    "anyio": (
        ["-p", "no:asyncio"],
        "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n",
        "@pytest.mark.anyio",
    ),
    "both": (["-o", "asyncio_mode=auto", *LOOP_SCOPE], "", ""),
}
BAD = """
import asyncio
import pytest
from asyncsched import MemoryStore


async def forever():
    await asyncio.Event().wait()


async def nothing(): ...


async def test_leaks_a_run(scheduler_factory):
    scheduler = scheduler_factory(shutdown_timeout=5)
    scheduler.add_job("endless", forever).per_seconds(1)
    await scheduler.__aenter__()
    await scheduler_factory.clock.advance(1)


async def test_its_engine_fails(scheduler_factory):
    class Broken(MemoryStore):
        async def claim(self, requests):
            raise KeyError("broken store")

    scheduler = scheduler_factory(store=Broken(scheduler_factory.clock))
    scheduler.add_job("a", nothing).per_seconds(1).on_one_server()
    await scheduler.__aenter__()
    await scheduler_factory.clock.advance(1)


async def test_fails_itself_and_leaks_too(scheduler_factory):
    scheduler = scheduler_factory(lambda it: it.add_job("endless", forever).immediate(), shutdown_timeout=5)
    await scheduler.__aenter__()
    await scheduler_factory.clock.settle()
    assert 1 + 1 == 3


def test_leaves_it_running_without_a_loop(scheduler_factory):
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(scheduler_factory(lambda it: it.add_job("a", nothing).per_seconds(1)).__aenter__())
        assert scheduler_factory.clock.monotonic() == 0
    finally:
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False
        loop.close()
"""


def run_pytest(folder: Path, text: str, *options: str) -> str:
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder)]
    done = subprocess.run(
        [*command, *options, str(folder)], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("plugin", PLUGINS)
def test_it_works_with(plugin: str, tmp_path: Path) -> None:
    options, header, mark = PLUGINS[plugin]
    told = run_pytest(tmp_path, GOOD.format(header=header, mark=mark), "-W", "error", *options)
    assert "4 passed" in told, told


def test_a_test_that_leaves_something_behind_fails_and_says_what(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, BAD, "-p", "no:anyio", "-o", "asyncio_mode=auto", *LOOP_SCOPE, "-p", "no:logging")
    assert "3 failed" in told, told
    leaked = "job 'endless' leaked a run, which did not end by itself: tick 2026-01-01 00:00:01Z on s0: attempt 1, from"
    for message in (leaked, "engine failed: KeyError('broken store')", "assert (1 + 1) == 3", "start run on s0"):
        assert message in told, told
    assert "1 error" in told, told
    assert "was not stopped" in told, told


def test_it_imports_nothing_before_a_test_wants_it(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, "import sys\n\ndef test_it():\n    assert 'asyncsched' not in sys.modules\n")
    assert "1 passed" in told, told
    told = run_pytest(tmp_path, "", "--fixtures")
    assert "asyncsched_clock -- " in told, told
    assert "scheduler_factory -- " in told, told
