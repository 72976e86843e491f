"""The commands that change something: what is asked of the console, and how they end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from _canned_cluster import (
    CHECKING,
    NOBODY,
    STATE,
    SYNCING,
    CannedConsole,
    ending,
    identity,
    run,
)
from _command_line import Line

from asyncsched import SchedulerError
from asyncsched._records import NodeRecord, OrderAnswer


def test_who_acts_and_on_what(line: Line) -> None:
    line.out("pause", "sync_orders", "--by", "ann", "--why", "too slow", "--url", "redis://here", "--prefix", "shop:")
    assert line.targets == [("redis://here", "shop:", "ann")]
    assert line.console.asked == [("pause", "sync_orders", "too slow")]
    line.out("list")
    assert line.targets[1:] == [("redis://db", "", None)]


def test_pausing_and_resuming(line: Line) -> None:
    assert line.out("pause", "sync_orders") == (
        "sync_orders is paused on all nodes, until `asyncsched resume sync_orders`\n"
    )
    assert line.out("resume", "sync_orders") == "sync_orders is resumed\n"
    assert line.json("pause", "sync_orders") == {"job": "sync_orders", "paused": True}
    assert line.json("resume", "sync_orders") == {"job": "sync_orders", "paused": False}


def test_maintenance(line: Line) -> None:
    assert line.out("maintenance") == "the cluster is not in maintenance\n"
    assert line.json("maintenance", "status") == {"maintenance": None}
    line.width = 0
    assert line.out("maintenance", "on", "--why", "moving") == (
        "MAINTENANCE, no tick starts, since 23:41:07 UTC (just now) by ann@ops-1: moving; "
        "`asyncsched maintenance off` ends it\n"
    )
    assert ("maintenance", True, "moving") in line.console.asked
    assert line.json("maintenance") == {
        "maintenance": {"by": "ann@ops-1", "why": "moving", "at": "2026-11-28T23:41:07.000000Z"}
    }
    assert line.out("maintenance", "off") == "the cluster is not in maintenance\n"
    assert line.refused("maintenance", "maybe")[0] == 2


def test_a_run_now(line: Line) -> None:
    assert line.out("trigger", "daily_cleanup") == f"run {identity('2')} has started on web-1\n"
    assert line.json("trigger", "daily_cleanup", "--node", "web-1", "--why", "again") == {
        "node": "web-1",
        "run_id": identity("2"),
        "outcome": "started",
        "detail": "",
    }
    assert line.console.asked[1] == ("trigger", "daily_cleanup", "web-1", "again")


def test_a_run_that_did_not_start(line: Line) -> None:
    line.console.answer = OrderAnswer(node="web-1", run_id="", outcome="skipped", detail="overlap")
    result = line.give("trigger", "daily_cleanup")
    assert (result.exit_code, result.stdout) == (1, "the run was skipped on web-1: overlap\n")
    assert line.give("trigger", "daily_cleanup", "--wait").exit_code == 1


def test_an_order_that_nobody_takes(line: Line) -> None:
    line.console.answer = NOBODY
    assert line.refused("trigger", "daily_cleanup") == (
        1,
        "trigger('daily_cleanup'): no node took it within 5 s; it is withdrawn",
    )


@pytest.mark.parametrize(("outcome", "code"), [("succeeded", 0), ("failed", 1), ("skipped", 1), ("cancelled", 1)])
def test_waiting_for_the_end_of_a_run(line: Line, outcome: str, code: int) -> None:
    over = ending("daily_cleanup", STATE.taken_at, outcome, run_id=identity("2"), kind="trigger", duration=3.2)
    line.console.endings = (over,)
    result = line.give("trigger", "daily_cleanup", "--wait")
    assert result.exit_code == code
    assert result.stdout.splitlines()[0] == f"run {identity('2')} has started on web-1; waiting for its end"
    assert result.stdout.replace("\n", " ").endswith(f"run {identity('2')} {outcome} after 3.2 s on web-1 ")
    told = line.give("trigger", "daily_cleanup", "--wait", "--json")
    assert (told.exit_code, f'"outcome": "{outcome}"' in told.stdout) == (code, True)


@pytest.mark.parametrize("nodes", [(), (replace(STATE.nodes[0], state="vanished"),)])
def test_waiting_ends_with_the_node(line: Line, nodes: tuple[NodeRecord, ...]) -> None:
    line.console = CannedConsole(replace(STATE, nodes=nodes), endings=())
    code, said = line.refused("trigger", "daily_cleanup", "--wait")
    assert code == 1
    assert said == f"node web-1 has vanished or left, and run {identity('2')} has not been heard of since"


def test_the_beginning_of_an_id_is_enough(line: Line) -> None:
    assert (
        line.out("cancel", SYNCING.run_id[:3], "--why", "stuck") == f"run {SYNCING.run_id} is asked to end on web-2\n"
    )
    assert line.console.asked[-1] == ("cancel", SYNCING.run_id, "stuck")
    line.out("cancel", SYNCING.run_id.upper())
    assert line.console.asked[-1] == ("cancel", SYNCING.run_id, "")


def test_an_id_that_means_no_run_or_several(line: Line) -> None:
    assert line.refused("cancel", "zz") == (
        1,
        "no run in progress has an id that begins with 'zz'; `asyncsched runs` lists them",
    )
    assert line.refused("cancel", "")[0] == 1
    twins = (SYNCING, run("sync_orders", "web-2", "4", run_id=SYNCING.run_id[:10] + "0" * 22), CHECKING)
    line.console = CannedConsole(replace(STATE, nodes=(replace(STATE.nodes[0], active=twins),)))
    code, said = line.refused("cancel", SYNCING.run_id[:10])
    assert code == 1
    assert said.startswith(f"'{SYNCING.run_id[:10]}' is the beginning of 2 runs' ids: {SYNCING.run_id[:10]}")
    assert said.endswith("; give more of it")


def test_a_whole_id_is_asked_for_though_no_node_has_reported_it(line: Line) -> None:
    line.console.answer = SchedulerError("no node has such a run")
    assert line.refused("cancel", identity("1")) == (1, "no node has such a run")
