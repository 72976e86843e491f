"""Owns what the measurements run in: for each interpreter a virtual environment with what asyncsched needs, and beside
it a folder of packages for each peer, since two of them want different versions of the same thing.

A peer that cannot be installed does not end the run: its rows say why.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEERS: dict[str, tuple[str, ...]] = {
    "apscheduler3": ("apscheduler>=3.11,<4",),
    "apscheduler4": ("apscheduler==4.0.0a6",),
    "aiocron": ("aiocron>=2.1",),
    "schedule": ("schedule>=1.2.2",),
    "croniter": ("croniter>=6",),
    "uvloop": ("uvloop>=0.21",),
    "docket": ("pydocket>=0.27",),
    "arq": ("arq>=0.28",),
    "taskiq": ("taskiq>=0.13", "taskiq-redis>=1.2.4"),
    "saq": ("saq[redis]>=0.26",),
    "streaq": ("streaq>=7.2",),
}
SHOWN = {"docket": "pydocket", "apscheduler3": "apscheduler", "apscheduler4": "apscheduler"}
"""Names of distributions, where the folder's name differs."""
EAGER_FROM = (3, 12)
INSTALL_TIMEOUT = 300.0


def version_of(python: str) -> tuple[int, ...]:
    """Return an interpreter's version; ``()`` if it does not run."""
    try:
        told = subprocess.run(
            [python, "-c", "import sys, ensurepip, venv; print(*sys.version_info[:3])"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(map(int, told.stdout.split()))


def find_eager(python: str) -> str | None:
    """Return an interpreter with eager tasks: ``python`` itself if it has them."""
    here = sorted((Path.home() / ".pyenv" / "versions").glob("3.1[2-9].*/bin/python"))
    for candidate in (python, "python3.13", "python3.12", *map(str, reversed(here))):
        if version_of(candidate) >= EAGER_FROM:
            return candidate
    return None


class Environment:
    """The packages for one interpreter."""

    def __init__(self, folder: Path, python: str) -> None:
        self.version = version_of(python)
        if not self.version:
            raise SystemExit(f"{python} does not run, or cannot make virtual environments")
        self._base = python
        self._folder = folder / "python{}.{}.{}".format(*self.version)
        self.python = str(self._folder / "venv" / "bin" / "python")
        self.failures: dict[str, str] = {}

    def prepare(self, peers: Iterable[str]) -> None:
        """Install what is not there yet."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        if not self._is_done("venv", project["dependencies"]):
            shutil.rmtree(self._folder / "venv", ignore_errors=True)
            subprocess.run([self._base, "-m", "venv", str(self._folder / "venv")], check=True)
            failure = self._install("venv", project["dependencies"])
            if failure:
                raise SystemExit(f"what asyncsched needs could not be installed: {failure}")
        for peer in peers:
            if not self._is_done(peer, PEERS[peer]):
                shutil.rmtree(self._folder / peer, ignore_errors=True)
                failure = self._install(peer, PEERS[peer], "--target", str(self._folder / peer))
                if failure:
                    self.failures[peer] = failure

    def variables(self, peer: str | None) -> dict[str, str]:
        """Return the environment variables of a measurement."""
        path = [str(ROOT / "tests"), str(ROOT)]
        if peer is not None:
            path.insert(0, str(self._folder / peer))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**kept, "PYTHONPATH": os.pathsep.join(path), "TZ": "UTC"}

    def versions(self) -> dict[str, str]:
        """Return which version of each peer is installed."""
        found = {}
        for peer in PEERS:
            wanted = SHOWN.get(peer, peer).replace("-", "_")
            for path in (self._folder / peer).glob("*.dist-info"):
                name, _, version = path.name.removesuffix(".dist-info").rpartition("-")
                if name.lower() == wanted:
                    found[peer] = version
        return found

    def _is_done(self, name: str, wanted: Iterable[str]) -> bool:
        stamp = self._folder / f"{name}.installed"
        return stamp.exists() and stamp.read_text() == _stamp(wanted)

    def _install(self, name: str, wanted: Iterable[str], *options: str) -> str:
        sys.stderr.write(f"installing {', '.join(wanted)}\n")
        command = [self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *options, *wanted]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT)
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if line.startswith("ERROR")]
            return (lines or ["pip failed"])[-1][:200]
        except subprocess.TimeoutExpired:
            return "pip took too long"
        (self._folder / f"{name}.installed").write_text(_stamp(wanted))
        return ""


def _stamp(wanted: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(wanted).encode()).hexdigest()
