"""Importing a package in a fresh interpreter: wall time above the bare interpreter's, and what it brings along."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from benchmarks.measures._local import Order


def _wall(code: str) -> float:
    began_at = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - began_at


def measure(order: Order) -> dict[str, float]:
    code, times = f"import {order['options']['package']}", order["params"]["times"]
    _wall(code)  # compiles it
    walls = [(_wall(code), _wall("pass")) for _ in range(times)]
    told = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(int('redis' in sys.modules))"],
        check=True,
        capture_output=True,
        text=True,
    )
    above = median(with_import - bare for with_import, bare in walls)
    return {"above_ms": above * 1000, "redis": float(told.stdout)}
