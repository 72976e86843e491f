"""Real nodes under faults, bounded: everything mixed once, and the scenarios whose promises name a time.

``scripts/soak`` is the long form. Seeds are fixed, so that a failure is looked for with the faults that made it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from _driver import OF_NODES, OF_THE_FILE, OF_THE_STORE, Plan, observe
from _history import History
from _report import Report, report

pytestmark = pytest.mark.processes


async def judged(plan: Plan, folder: Path) -> tuple[History, Report]:
    """Observe, tell the figures (``pytest -s`` shows them), and check that every guarantee held."""
    history = await observe(plan, folder)
    result = report(history)
    print(f"\n{plan}\n{result}")
    assert result.breaches == [], str(result)
    return history, result


@pytest.mark.redis
async def test_all_faults_mixed(tmp_path: Path) -> None:
    plan = Plan(70, nodes=3, jobs=33, seed=7, pauses=(0.1, 0.5))
    history, result = await judged(plan, tmp_path)
    assert {fault.name for fault in history.faults} >= {*OF_NODES, "redis_absent_at_start"}
    assert len({fault.name for fault in history.faults} & set(OF_THE_STORE)) > len(OF_THE_STORE) / 2
    assert int(result.figures["guarded ticks"]) > 3000
    assert int(result.figures["  ran"]) > int(result.figures["guarded ticks"]) / 3


@pytest.mark.redis
async def test_after_kill_9_no_further_tick_is_missed(tmp_path: Path) -> None:
    history, result = await judged(Plan(15, nodes=3, jobs=33, seed=1, only="kill"), tmp_path)
    assert len(history.deaths) >= 3
    lost = int(result.figures.get("  lost_with_its_node", 0))
    assert lost <= len(history.deaths) * len(history.jobs)  # no more than those that were being claimed
    assert "slowest recovery after a crash" in result.figures


@pytest.mark.redis
async def test_a_frozen_node_loses_its_runs_and_its_late_writes(tmp_path: Path) -> None:
    history, result = await judged(Plan(15, nodes=3, jobs=33, seed=1, only="freeze"), tmp_path)
    assert [fault.name for fault in history.faults] == ["freeze"] * len(history.faults) != []
    assert int(result.figures["stale writes refused"]) > 0


async def test_all_faults_of_nodes_on_one_file_mixed(tmp_path: Path) -> None:
    plan = Plan(40, nodes=3, jobs=33, store="sqlite", seed=7, pauses=(0.1, 0.5))
    history, result = await judged(plan, tmp_path)
    assert {fault.name for fault in history.faults} >= {*OF_THE_FILE, "kill", "freeze"}
    assert int(result.figures["guarded ticks"]) > 1500
    assert int(result.figures["  ran"]) > int(result.figures["guarded ticks"]) / 3
