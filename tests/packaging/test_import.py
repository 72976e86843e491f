"""What ``import asyncsched`` brings in, and what it names."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module, metadata

import pytest

import asyncsched


def imported_by(code: str) -> set[str]:
    """Return the names of all modules that a fresh interpreter has after ``code``."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(told.stdout))


USED_BY_SOME = {"redis", "hiredis", "fakeredis", "fastapi", "starlette", "rich", "anyio", "sqlite3"}
USED_BY_SOME |= {"typer", "pydantic", "tenacity", "httpx", "sentry_sdk", "prometheus_client", "opentelemetry"}


@pytest.mark.parametrize("code", ["import asyncsched", "import asyncsched; asyncsched.Scheduler()"])
def test_what_is_not_used_is_not_imported(code: str) -> None:
    assert imported_by(code) & USED_BY_SOME == set()


RUNS = """
import asyncio, asyncsched
async def work(): ...
async def main():
    scheduler = asyncsched.Scheduler()
    scheduler.add_job("a", work).per_seconds(30).immediate()
    async with scheduler:
        await scheduler.trigger("a")
asyncio.run(main())
""".strip()
OF_FEW_JOBS = (
    "job_plan",
    "job_rules",
    "hooks",
    "pings",
    "retries",
    "run_policies",
    "tick_policies",
    "seeds",
    "progress",
)
NOT_AT_THE_START = {f"asyncsched._{name}" for name in ("engine", "preview", "snapshot", "group_settings", *OF_FEW_JOBS)}
TRIGGERS = {f"asyncsched.triggers._{name}" for name in ("calendar", "cron", "daily", "filters", "rrule", "wall")}
NOT_WITHOUT_USE = {"asyncsched.events", "asyncsched._guide", "asyncsched._monitors", "cronsim", "zoneinfo"} | TRIGGERS


def test_what_may_never_be_used_is_loaded_late() -> None:
    assert imported_by("import asyncsched; asyncsched.Scheduler()") & (NOT_AT_THE_START | NOT_WITHOUT_USE) == set()
    ran = imported_by(RUNS)
    assert ran & NOT_WITHOUT_USE == set()
    assert "asyncsched._engine" in ran


def test_an_import_brings_little_but_asyncio() -> None:
    brought = imported_by("import asyncsched") - imported_by("import asyncio")
    assert brought & {"dataclasses", "copy", "hashlib", "difflib", "bisect", "random", "zoneinfo"} == set()
    assert "asyncsched._grants" not in brought


@pytest.mark.parametrize(
    "code",
    [
        "from asyncsched.triggers import *; Cron, Daily, RRule, Weekly, Within",
        "from asyncsched import MemoryStore, Snapshot; from asyncsched.events import RunEnded",
        "from asyncsched import *; Snapshot, MemoryStore",
        "import asyncsched, asyncsched.triggers; asyncsched.MemoryStore(); asyncsched.triggers.Cron('* * * * *')",
        "from asyncsched import events; events.RunEnded",
    ],
)
def test_what_is_loaded_late_is_there(code: str) -> None:
    assert "asyncsched" in imported_by(code)


@pytest.mark.parametrize("package", ["asyncsched", "asyncsched.triggers"])
def test_a_name_that_is_not_there(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing'"):
        import_module(package).Nothing  # noqa: B018 - asking is what fails


def test_the_pytest_plugin_brings_nothing_of_the_library() -> None:
    (entry,) = metadata.entry_points(group="pytest11", name="asyncsched")
    assert entry.value == "pytest_asyncsched"
    assert imported_by("import pytest_asyncsched") & {"asyncsched", "asyncio"} == imported_by("import pytest") & {
        "asyncio"
    }


@pytest.mark.parametrize(
    ("module", "package"), [("prometheus", "prometheus_client"), ("opentelemetry", "opentelemetry")]
)
def test_a_way_out_without_its_package_names_the_extra(module: str, package: str) -> None:
    script = f"import sys; sys.modules['{package}'] = None; import asyncsched.contrib.{module}"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert f"pip install 'asyncsched[{module}]'" in told.stderr.splitlines()[-1]


def test_redis_comes_with_its_url() -> None:
    assert "redis" in imported_by("import asyncsched; asyncsched.Scheduler('redis://127.0.0.1:1')")


def test_sqlite_comes_with_its_url_and_nothing_else_does() -> None:
    imported = imported_by("import asyncsched; asyncsched.Scheduler('sqlite:///nowhere/jobs.db')")
    assert imported & USED_BY_SOME == {"sqlite3"}


def test_public_names() -> None:
    def as_ruff_sorts(name: str) -> tuple[int, str]:
        kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
        return kind, name

    assert list(asyncsched.__all__) == sorted(asyncsched.__all__, key=as_ruff_sorts)
    assert len(asyncsched.__all__) <= 25
    assert all(hasattr(asyncsched, name) for name in asyncsched.__all__)


def test_no_public_name_is_left_out() -> None:
    from types import ModuleType

    public = {name for name in (*vars(asyncsched), *asyncsched._LATER) if not name.startswith("_")}
    modules = {name for name in public if isinstance(getattr(asyncsched, name), ModuleType)}
    assert public - modules == set(asyncsched.__all__)


def test_metadata() -> None:
    about = metadata.metadata("asyncsched")
    assert about["Name"] == "asyncsched"
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    classifiers = about.get_all("Classifier") or []
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(classifiers)
    assert {"Typing :: Typed", "Framework :: AsyncIO"} <= set(classifiers)
    extras = {
        "cli",
        "dashboard",
        "docs",
        "holidays",
        "opentelemetry",
        "ping",
        "prometheus",
        "retry",
        "rrule",
        "sentry",
        "test",
    }
    assert set(about.get_all("Provides-Extra") or []) == extras
    needed = [line for line in about.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert any(line.startswith("redis[hiredis]") for line in needed)
