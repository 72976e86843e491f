"""The built wheel: what is in it, and that it works in an environment in which there is nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"asyncsched", "pytest_asyncsched"}
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
PROGRAM = """
import asyncio, sys
from asyncsched import Scheduler
from asyncsched.stores.redis import RedisStore  # its scripts are read from the package

async def main():
    scheduler, ran = Scheduler(), asyncio.Event()

    @scheduler.job("once").immediate().on_one_server().without_overlapping()
    async def once():
        ran.set()

    async with scheduler:
        await asyncio.wait_for(ran.wait(), 5)
    Scheduler("redis://127.0.0.1:1/0")
    print("ran from", sys.modules["asyncsched"].__file__)

asyncio.run(main())
"""

WITHOUT_EXTRA = """
try:
    import asyncsched.dashboard
except ValueError as error:
    print(error)
"""


def run(*arguments: object, cwd: Path) -> str:
    # Without the checkout on any path: what runs must come from the wheel.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(argument) for argument in arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, *PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("asyncsched-*.whl")
    return built


def test_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    shipped = {name for name in names if name.split("/")[0] in PACKAGES}
    in_checkout = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix in (".py", ".lua", ".typed", ".html", ".css", ".js", ".svg")
    }
    assert shipped == in_checkout
    assert "asyncsched/py.typed" in shipped
    assert {name for name in shipped if name.endswith(".lua")}, "the Redis store needs its scripts"
    assert {"asyncsched/dashboard/templates/parts.html", "asyncsched/dashboard/static/dashboard.js"} <= shipped
    assert {name.split("/")[0] for name in names} == {*PACKAGES, metadata_folder(names)}, "nothing but the packages"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: MIT" in metadata


def metadata_folder(names: set[str]) -> str:
    (folder,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    return folder


def test_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "empty"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, *PIP, "install", wheel, cwd=tmp_path)
    told = run(python, "-W", "error", "-c", PROGRAM, cwd=tmp_path)
    assert told.startswith(f"ran from {environment}"), told
    refused = run(python, "-c", WITHOUT_EXTRA, cwd=tmp_path)
    assert "pip install 'asyncsched[dashboard]'" in refused
    told = subprocess.run([environment / "bin" / "asyncsched", "list"], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert told.stderr.endswith("pip install 'asyncsched[cli]'\n")
    installed = run(python, *PIP, "list", "--format", "freeze", cwd=tmp_path).lower()
    assert not any(name in installed for name in ("fakeredis", "fastapi", "pytest")), "only what is needed"
