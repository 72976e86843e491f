"""Real nodes under faults, bounded: the scenarios whose promises name a time.

``scripts/soak`` is the long form, and the one in which everything is mixed. Seeds are fixed, so that a failure is
looked for with the faults that made it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _driver import Plan, observe
from _history import History
from _report import Report, report

pytestmark = [
    pytest.mark.processes,
    pytest.mark.redis,
    pytest.mark.skipif("ASYNCSCHED_LONG" not in os.environ, reason="a minute of faults: ASYNCSCHED_LONG=1 runs it"),
]


async def judged(plan: Plan, folder: Path) -> tuple[History, Report]:
    """Observe, tell the figures (``pytest -s`` shows them), and check that every guarantee held."""
    history = await observe(plan, folder)
    result = report(history)
    print(f"\n{plan}\n{result}")
    assert result.breaches == [], str(result)
    return history, result


async def test_after_kill_9_no_further_tick_is_missed(tmp_path: Path) -> None:
    history, result = await judged(Plan(15, nodes=3, jobs=33, seed=1, only="kill"), tmp_path)
    assert len(history.deaths) >= 3
    lost = int(result.figures.get("  lost_with_its_node", 0))
    assert lost <= len(history.deaths) * len(history.jobs)  # no more than those that were being claimed
    assert "slowest recovery after a crash" in result.figures


async def test_a_frozen_node_loses_its_runs_and_its_late_writes(tmp_path: Path) -> None:
    history, result = await judged(Plan(15, nodes=3, jobs=33, seed=1, only="freeze"), tmp_path)
    assert [fault.name for fault in history.faults] == ["freeze"] * len(history.faults) != []
    assert int(result.figures["stale writes refused"]) > 0
