"""Owns what a run says of where and when it was made. No names: neither the host's nor the user's."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from typing import Any

from benchmarks._environment import ROOT, Environment


def describe(main: Environment, eager: Environment | None) -> dict[str, Any]:
    """Return the machine, the interpreters and the versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": _dotted(main.version),
        "python_eager": None if eager is None else _dotted(eager.version),
        "redis_server": _first_line(["redis-server", "--version"]),
        "commit": _first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
        "peers": main.versions(),
    }


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            return next(line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _first_line(command: list[str]) -> str:
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.split(" sha")[0].strip()
