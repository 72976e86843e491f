"""Imports go down the layers only, and what a store needs is imported in that store alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import asyncsched

ROOT = Path(asyncsched.__file__).parent

LAYERS = [
    # words: values, protocols, how a handler is called
    [
        "exceptions",
        "protocols",
        "_durations",
        "_instants",
        "_kinds",
        "_values",
        "_grants",
        "_run",
        "_tasks",
        "_logs",
        "_lazy",
        "events",
        "_seeds",
        "_extras",
        "_progress",
        "_records",
        "_record_texts",
    ],
    ["_handlers", "_base_handler"],
    # pure time: no I/O; _clock alone reads time and sleeps
    ["triggers", "_clock", "_side_tasks", "_timeline", "_misfire"],
    # a job: words and a trigger put together
    ["_job_settings", "_job_plan", "_retries", "_hooks", "_pings", "_run_policies", "_tick_policies"],
    ["_job_schedules"],
    ["_job_runs"],
    ["_job_ticks", "_job_rules"],
    ["_job"],
    # stores
    ["stores"],
    # engine: one run, claims, leases, accounting, the loop
    [
        "_events",
        "_terms",
        "_notes",
        "_job_state",
        "_accounting",
        "_outage",
        "_store_health",
        "_loop_watch",
        "_pulse",
        "_trace_ids",
        "_lease",
        "_execution",
        "_hook_calls",
        "_conditions",
        "_failures",
        "_monitors",
    ],
    [
        "_recovery",
        "_catch_up",
        "_claim",
        "_patience",
        "_queue",
        "_early",
        "_ready",
        "_turns",
        "_claims",
        "_ticker",
        "_guide",
        "_engine",
    ],
    ["_catalogue", "_orders", "_recorder"],
    # facade
    ["_schedule_texts", "_cluster_view", "_why_words", "_why", "console", "_recording"],
    [
        "_registry",
        "_groups",
        "_group_settings",
        "_preview",
        "_snapshot",
        "_health",
        "_signals",
        "_steering",
        "_scheduler",
    ],
    # shells
    ["__init__", "testing", "contrib", "dashboard"],
    ["cli", "__main__"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
PURE = ["triggers", "_timeline", "_misfire"]


def part(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def sources(*parts: str) -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if not parts or part(path) in parts]


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports when it runs, at its top or in a function."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    assert part(path) in RANK, f"{path.name} belongs to no layer"
    for module in imports(path):
        package, _, rest = module.partition(".")
        if package == "asyncsched" and part(path) != "__init__":
            below = rest.split(".")[0]
            assert RANK[below] <= RANK[part(path)], f"{path.name} imports {module}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_redis_is_imported_in_the_redis_store_only(path: Path) -> None:
    uses_redis = any(module.split(".")[0] == "redis" for module in imports(path))
    assert not uses_redis or path.parent.name == "stores"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_sqlite3_is_imported_in_the_sqlite_store_only(path: Path) -> None:
    uses_sqlite = any(module.split(".")[0] == "sqlite3" for module in imports(path))
    assert not uses_sqlite or path.name in {"_database.py", "_schema.py"}


@pytest.mark.parametrize("path", sources(*PURE), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_time_knows_no_clock_and_no_loop(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(path)} & {"asyncio", "anyio", "time", "socket"}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_clock_reads_time_and_sleeps(path: Path) -> None:
    if part(path) == "_clock":
        return
    assert "time" not in {module.split(".")[0] for module in imports(path)}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"sleep", "now"}:
            owner = ast.unparse(node.func.value)
            yields = owner == "asyncio" and ast.unparse(node.args[0]) == "0" if node.args else False
            assert yields or owner not in {"asyncio", "time", "datetime"}, f"{path.name}:{node.lineno}"
