"""The documentation is run, and compared with the code, so that it cannot go out of date in silence.

No block connects to a Redis: those that name one only construct a ``Scheduler``, which does not connect. Blocks that
need time to pass use a fake clock; a block marked ``python no-run`` is compiled only.
"""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import functools
import importlib
import inspect
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from _pages import BY_NAME, PAGES, ROOT, code

import asyncsched
from asyncsched import Health, Job, Run, RunContext, Scheduler, Snapshot, events, testing, triggers
from asyncsched._groups import Group
from asyncsched._preview import FireTime
from asyncsched._snapshot import JobSnapshot, RunSnapshot
from asyncsched.contrib._metrics import DISTRIBUTIONS, METRICS

if TYPE_CHECKING:
    from pathlib import Path
    from types import CodeType

    from _pages import Block, Page

ALL_TEXT = "\n".join(page.text for page in PAGES)


def compiled(block: Block, page: Page) -> CodeType:
    """Compile a block so that a failure names the page and the line in it."""
    text = "\n" * block.line + block.text
    return compile(text, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


# Code


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")  # the client of Starlette's own tests
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_blocks_run(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}

    async def run() -> None:
        for block in page.blocks("python"):
            program = compiled(block, page)
            if block.info == "python":
                result = eval(program, names)
                if inspect.isawaitable(result):
                    await result

    asyncio.run(run())


def test_the_tests_of_the_service_pass_as_a_user_runs_them(tmp_path: Path) -> None:
    service, its_tests, *_ = BY_NAME["docs/testing.md"].blocks("python")
    program = tmp_path / "test_service.py"
    program.write_text(service.text + its_tests.text)
    options = ["-p", "no:anyio", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(tmp_path), *options, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


LANGUAGES = {"python", "python no-run", "console", "text", "mermaid", "yaml", "ini", "dockerfile", "promql", "php"}


def test_blocks_are_python_or_say_what_else() -> None:
    for page in PAGES:
        for fence in re.findall(r"^```(.*)$", page.text, re.MULTILINE)[::2]:
            assert fence in LANGUAGES, f"{page.name}: ```{fence}"


@pytest.mark.processes
def test_the_readmes_program_runs_and_ends_quietly_on_ctrl_c(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(BY_NAME["README.md"].blocks("python")[0].text)
    process = subprocess.Popen(
        [sys.executable, "-u", str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, noise = process.communicate(timeout=20)
    finally:
        process.kill()
    assert line.startswith("alive")
    assert (process.returncode, noise) == (0, "")


# Links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Page) -> None:
    for link in page.links:
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in BY_NAME[str(path.relative_to(ROOT))].anchors, f"{page.name}: {link}"


def test_every_page_is_on_the_map() -> None:
    linked = set(BY_NAME["docs/index.md"].links)
    pages = {page.path.name for page in PAGES if page.path.parent.name == "docs"} - {"index.md"}
    assert pages <= linked


# Names


def own_names(kind: type) -> set[str]:
    """Return the public names of a class and of what it is made of."""
    return {name for part in kind.__mro__[:-1] for name in vars(part) if not name.startswith("_")}


def test_every_public_name_is_in_the_reference() -> None:
    prose = BY_NAME["docs/reference.md"].text
    public = {*asyncsched.__all__, *events.__all__, *triggers.__all__, *testing.__all__}
    missing = {name for name in public if not re.search(rf"\b{name}\b", prose)}
    assert missing - set(events.__all__) == set()
    assert set(events.__all__) <= set(re.findall(r"\w+", BY_NAME["docs/events.md"].text))


def test_every_public_name_is_in_the_api_reference() -> None:
    named = set(re.findall(r"^::: (\S+)$", BY_NAME["docs/api.md"].text, re.MULTILINE))
    public = {
        f"{module.__name__}.{name}" for module in (asyncsched, events, triggers, testing) for name in module.__all__
    }
    assert public <= named
    for name in named:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_every_page_is_in_the_sites_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    pages = {page.path.name for page in PAGES if page.path.parent.name == "docs"}
    assert pages == set(re.findall(r"(?<=[ -])([\w-]+\.md)$", navigation, re.MULTILINE))


def test_the_files_of_yaml_are_that() -> None:
    for page in PAGES:
        for block in page.blocks("yaml"):
            assert yaml.safe_load(block.text), f"{page.name}:{block.line}"


def test_every_scheduler_option_is_documented_with_its_default() -> None:
    table = {
        code(row["option"])[0]: row["default"]
        for row in BY_NAME["docs/reference.md"].table("option", "default", "meaning")
    }
    expected = {}
    for name, parameter in list(inspect.signature(Scheduler).parameters.items()):
        default = parameter.default
        expected[name] = f"`{int(default) if isinstance(default, float) else default!r}`".replace("'", '"')
    assert table == expected


OF_THE_ENGINE = {
    "drawn_delay",
    "freeze",
    "invoke",
    "missing",
    "on_complete",
    "planned",
    "run_policies",
    "tick_policies",
}
OF_THE_DRIVE = {"make_due_calls", "next_due", "waiting_runs"}
RUN_CONTEXT = {"job", "run_id", "trace_id", "fire_time", "started_at", "attempt", "fence", "node", "logger", "progress"}
RUN = {"kind", "outcome", "skip_reason", "errors", "duration", "wait"}  # the other slots are the engine's


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Scheduler, own_names(Scheduler)),
        (Job, own_names(Job) - OF_THE_ENGINE),
        (RunContext, RUN_CONTEXT),
        (Run, RUN),
        (Snapshot, own_names(Snapshot)),
        (Health, own_names(Health)),
        (JobSnapshot, own_names(JobSnapshot)),
        (RunSnapshot, own_names(RunSnapshot)),
        (FireTime, own_names(FireTime)),
        (Group, own_names(Group)),
        (testing.FakeClock, own_names(testing.FakeClock) - OF_THE_DRIVE),
        (testing.Cluster, own_names(testing.Cluster)),
        (testing.Node, own_names(testing.Node) - {"check_alive", "end"}),  # those are the cluster's
        (testing.History, own_names(testing.History)),
        (testing.RecordedRun, own_names(testing.RecordedRun)),
        (testing.SchedulerFactory, own_names(testing.SchedulerFactory)),
    ],
)
def test_every_public_attribute_is_documented(kind: type, names: set[str]) -> None:
    assert names <= set(dir(kind))
    missing = {name for name in names if not re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", ALL_TEXT)}
    assert missing == set()


def test_every_module_is_in_the_architecture() -> None:
    words = set(re.findall(r"`([\w.*/]+)`", BY_NAME["docs/architecture.md"].text))
    modules = {path.stem for path in (ROOT / "asyncsched").glob("*.py")} - {"__init__"}
    parts = {
        f"{package}.{path.stem}"
        for package in ("cli", "contrib", "stores", "testing")
        for path in (ROOT / "asyncsched" / package).glob("*.py")
        if path.stem != "__init__"
    }
    assert modules | parts | {"triggers", "pytest_asyncsched"} <= words


def test_the_skip_reasons_and_outcomes_are_in_the_accounting_table() -> None:
    rows = BY_NAME["docs/events.md"].table("word", "meaning")
    words = {code(row["word"])[0] for row in rows}
    assert words == {*asyncsched.Outcome, *asyncsched.SkipReason, "missed"}


# Events


def test_the_table_of_events_is_complete() -> None:
    documented: dict[str, tuple[str, str]] = {}
    for row in BY_NAME["docs/events.md"].table("event", "base", "fields of its own", "when"):
        documented[code(row["event"])[0]] = (", ".join(code(row["base"])), ", ".join(code(row["fields of its own"])))
    actual = {}
    for name in events.__all__:
        kind = getattr(events, name)
        own = [
            f"{field.name}: {field.type}" for field in dataclasses.fields(kind) if field.name in kind.__annotations__
        ]
        actual[name] = ("" if kind is events.Event else kind.__base__.__name__, ", ".join(own))
    actual["JobEvent"] = ("Event", "job: str")
    run_fields = [
        field for field in dataclasses.fields(events.RunEvent) if field.name in events.RunEvent.__annotations__
    ]
    actual["RunEvent"] = ("JobEvent", ", ".join(f"{field.name}: {field.type}" for field in run_fields))
    assert documented == actual


# Metrics


def test_the_table_of_metrics_is_complete() -> None:
    documented = {
        tuple(code(row["metric"])): (row["type"], tuple(code(row["labels"])))
        for row in BY_NAME["docs/metrics.md"].table("metric", "type", "labels", "what")
    }
    actual = {
        (f"asyncsched_{part.name}_seconds", f"asyncsched.{part.name}"): ("histogram", part.labels)
        for part in DISTRIBUTIONS
    }
    for metric in METRICS:
        name = "_".join(word for word in ("asyncsched", metric.name, metric.unit, "total" * metric.rises) if word)
        actual[name, f"asyncsched.{metric.name}"] = ("counter" if metric.rises else "gauge", metric.labels)
    assert documented == actual


# Log lines


@functools.cache
def documented_lines() -> list[tuple[str, str]]:
    rows = BY_NAME["docs/logs-and-traces.md"].table("level", "line", "when")
    return [(row["level"], code(row["line"])[0]) for row in rows]


@functools.cache
def source_lines() -> set[tuple[str, str]]:
    """All formats that the library logs, with their levels, read from its source."""
    found = set()
    for path in (ROOT / "asyncsched").glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS:
                for argument in call.args[:2]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        found.add((LEVELS[call.func.attr], argument.value))
    return found


LEVELS = {
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
    "log": "",
}


def matches(known: str, documented: str) -> bool:
    """Whether a format of the code can become the documented line."""
    pattern = re.sub(r"%[.\d]*[srdf]", "\0", known)
    return re.fullmatch(re.escape(pattern).replace("\0", ".*"), documented) is not None


def test_every_log_line_is_documented_word_for_word() -> None:
    for level, known in sorted(source_lines()):
        levels = [levels for levels, line in documented_lines() if matches(known, line)]
        assert levels, f"not documented: {known}"
        assert level in ", ".join(levels), f"documented as {levels}: {level} {known}"
    for level, line in documented_lines():
        assert any(matches(known, line) for _, known in source_lines()), f"no code logs {level} {line}"


def documented_as(level: str, message: str) -> bool:
    for levels, line in documented_lines():
        pattern = re.sub(r"<[^>]*>", "\0", line)
        pattern = re.escape(pattern).replace("\0", ".+")
        if level in levels.split(", ") and re.fullmatch(pattern, message, re.DOTALL):
            return True
    return False


class BrokenStore(asyncsched.MemoryStore):
    """A store that can be told not to answer."""

    is_down = False

    def _check(self) -> None:
        if self.is_down:
            raise asyncsched.StoreUnavailableError("redis://db:6379/0 could not do it: no answer within 1 s")

    async def claim(self, requests: Any) -> Any:
        self._check()
        return await super().claim(requests)

    async def renew(self, leases: Any) -> Any:
        self._check()
        return await super().renew(leases)

    async def release(self, leases: Any) -> Any:
        self._check()
        return await super().release(leases)


async def test_log_lines_of_a_busy_day_are_as_documented(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="asyncsched")
    clock = testing.FakeClock()
    store = BrokenStore(clock)
    scheduler = Scheduler(store, clock=clock, shutdown_timeout=1, node="a")
    other = Scheduler(store, clock=clock, node="b")

    async def good() -> None: ...

    async def bad() -> None:
        raise ValueError("no")

    class Reporting(asyncsched.BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.report(ValueError("one"))
            self.report(ValueError("two"))

    async def long() -> None:
        await asyncio.Event().wait()

    scheduler.add_job("good", good).per_seconds(10).on_one_server()
    other.add_job("good", good).per_seconds(10).on_one_server()
    scheduler.add_job("bad", bad).per_seconds(10)
    scheduler.add_job("reporting", Reporting()).per_seconds(10)
    scheduler.add_job("long", long).per_seconds(10).without_overlapping()
    scheduler.subscribe(lambda event: 1 / 0, events.JobPaused)
    async with other, scheduler:
        scheduler.job("unfinished").per_seconds(10)
        await clock.advance(20)
        await scheduler.pause("bad")
        await clock.advance(10)
        await scheduler.resume("bad")
        store.is_down = True
        await clock.advance(20)
        store.is_down = False
        await clock.advance(10)
        clock.shift(7200 + 10 * 3)
        await clock.advance(0)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(10)
        await stopping

    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [line for line in lines if not documented_as(*line)] == []
    outcomes = set(re.findall(r"(?:outcome|reason)=(\w+)", "\n".join(message for _, message in lines)))
    assert outcomes >= {"succeeded", "failed", "cancelled", "skipped", "missed", "elsewhere", "overlap", "paused"}
    nodes = 2  # each says it once
    assert sum("the store does not answer" in message for _, message in lines) == nodes
    assert sum("the store answers again after" in message for _, message in lines) == nodes


# Redis


@pytest.mark.redis
async def test_the_table_of_keys_names_all_keys(redis_server: Any, redis_url: str) -> None:
    from redis.asyncio import Redis

    from asyncsched.stores.redis import RedisStore

    async def work() -> None:
        await asyncio.Event().wait()

    async def end() -> None:
        pass

    store = RedisStore(redis_url, prefix="shop:")
    scheduler = Scheduler(store, shutdown_timeout=0)
    scheduler.add_job("ends", end).per_seconds(0.1)
    scheduler.add_job("now", work).immediate().on_one_server()
    scheduler.add_job("in_turn", work).per_hours(24).on_one_server()
    scheduler.add_job("tick", work).per_seconds(0.1).on_one_server().without_overlapping().rerun_on_crash()
    scheduler.add_job("many", work).per_seconds(0.1).max_concurrent(2)
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        async with scheduler, asyncio.timeout(10):
            while len(scheduler.snapshot().active) < 4:
                await asyncio.sleep(0.02)
            await scheduler.pause("now")
            await store.board.set_note("now", "{}")
            await store.board.place_order("o1", "{}")
            await store.board.answer_order("o1", "{}")
            while not await redis.exists("shop:schedule:jobs:successes"):
                await asyncio.sleep(0.02)
            kinds = {key: await redis.type(key) for key in await redis.keys("*")}
        kinds |= {key: await redis.type(key) for key in await redis.keys("*")}  # with what the stop has handed over
    kinds = {re.sub(r":run:\d+$", ":run:<tick>", key): kind for key, kind in kinds.items()}
    kinds = {re.sub(r":overlap:\d+$", ":overlap:<slot>", key): kind for key, kind in kinds.items()}
    kinds = {re.sub(r":(catalogue):\w+$", r":\1:<digest>", key): kind for key, kind in kinds.items()}
    kinds = {re.sub(r":answer:\w+$", ":answer:<order>", key): kind for key, kind in kinds.items()}
    found = {re.sub(r"(:job(Lock|History)?):\w+", r"\1:<job_name>", key).replace("shop:", "<prefix>") for key in kinds}
    documented = BY_NAME["docs/cluster.md"].table("key", "type", "value", "time to live")
    assert {code(row["key"])[0] for row in documented} == found
    assert {row["type"] for row in documented} == set(kinds.values())


# SQLite


def test_the_table_of_tables_names_all_tables_and_columns(tmp_path: Path) -> None:
    from asyncsched.stores import _schema

    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as connection:
        _schema.prepare(connection)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        actual = {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names}
    rows = BY_NAME["docs/stores.md"].table("table", "columns", "a row")
    assert {code(row["table"])[0]: code(row["columns"]) for row in rows} == actual
