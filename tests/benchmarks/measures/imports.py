"""Importing a package in a fresh interpreter: CPU time above the bare interpreter's, and what it brings along."""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median

from benchmarks.measures._local import Order


def _cpu(code: str) -> float:
    before = _of_children()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return _of_children() - before


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(order: Order) -> dict[str, float]:
    options, times = order["options"], order["params"]["times"]
    code = f"import {options['package']}\n{options.get('then', '')}"
    _cpu(code)  # compiles it
    spent = [(_cpu(code), _cpu("pass")) for _ in range(times)]
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(int('redis' in sys.modules))"],
        check=True,
        capture_output=True,
        text=True,
    )
    above = median(with_import - bare for with_import, bare in spent)
    return {"above_ms": above * 1000, "redis": float(told.stdout)}
