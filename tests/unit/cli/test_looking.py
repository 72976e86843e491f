"""The commands that look: what they ask, what people read, what machines get."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from _canned_cluster import AWAY, EMPTY, FINDINGS, MAINTENANCE, NOW, PAUSE, STATE, CannedConsole, identity
from _command_line import Line

from asyncsched import SchedulerError


def test_a_job_is_listed_with_all_that_is_to_be_known(line: Line) -> None:
    line.width = 0
    out = line.out("list")
    assert "price_import   Every(3600)              held: paused" in out
    assert "  on_one_server, timeout(900)\n" in out
    assert "  PAUSED since 22:49:07 UTC (52 min) by ann@ops-1: the supplier sends broken files, #4711\n" in out
    assert "  DIFFERS: 2 versions of the job, on web-4 / web-1, web-2; the one that started last is shown\n" in out
    assert "  last error: SMTPServerDisconnected: Connection unexpectedly closed: timed out\n" in out
    assert "  last success: 1 d 17 h ago (27 Nov 06:00:07 UTC)\n" in out
    assert "  running on web-2, 7 s ago (23:41:00 UTC): 1840 of 5200 orders\n" in out
    assert "VANISHED web-3: no report since 23:36:56 UTC (4 min 11 s)\n" in out
    assert "3 nodes, 5 jobs, 2 runs in progress, 1 vanished, 1 failing, 1 paused\n" in out


def test_a_pause_of_which_nobody_has_said_anything(line: Line) -> None:
    paused = replace(STATE.jobs[0], paused=replace(PAUSE, by="", why="", at=None))
    line.console = CannedConsole(replace(STATE, jobs=(paused,)))
    assert "  PAUSED and nobody has said why\n" in line.out("list")
    paused = replace(STATE.jobs[0], paused=replace(PAUSE, why=""))
    line.console = CannedConsole(replace(STATE, jobs=(paused,)))
    assert "by ann@ops-1: no reason given\n" in line.out("list")


def test_a_job_that_no_node_has_and_one_that_is_overdue(line: Line) -> None:
    gone = replace(STATE.jobs[0], definitions={}, last=None, next_fire_time=None)
    late = replace(STATE.jobs[4], next_fire_time=NOW - timedelta(minutes=3))
    line.console = CannedConsole(replace(STATE, jobs=(gone, late)))
    out = line.out("list")
    assert "NO NODE has this job now" in out
    assert "nothing yet" in out
    assert "overdue 3 min" in out


def test_an_empty_cluster_says_so(line: Line) -> None:
    line.console = CannedConsole(EMPTY, endings=())
    assert line.out("list").splitlines() == [
        "NO NODE is running, as far as this store knows",
        "0 nodes, 0 jobs, 0 runs in progress",
        "no jobs are known",
    ]
    assert "no job has a fire time to come" in line.out("next")
    assert "no run is in progress" in line.out("runs")
    assert line.out("nodes") == "no node is running\n"
    assert line.out("locks") == "there are no locks\n"
    assert line.out("history") == "nothing has ended yet\n"
    assert line.out("history", "--since", "2h") == "nothing that was asked for has ended\n"
    assert [line.json(command) for command in ("list", "next", "runs", "nodes", "locks", "history")] == [[]] * 6


def test_what_comes_next_and_what_keeps_it_back(line: Line) -> None:
    assert [one["job"] for one in line.json("next", "--limit", "2")] == ["health_check", "sync_orders"]
    assert line.json("next")[2] == {
        "job": "price_import",
        "next_fire_time": "2026-11-29T00:00:00.000000Z",
        "in": 1133.0,
        "held_by": "paused",
    }
    exempt = replace(STATE.jobs[0].definitions["web-1"], policies=("even_in_maintenance",))
    jobs = (replace(STATE.jobs[0], definitions={"web-1": exempt}), *STATE.jobs[1:])
    line.console = CannedConsole(replace(MAINTENANCE, jobs=jobs))
    held = {one["job"]: one["held_by"] for one in line.json("next")}
    assert held["daily_cleanup"] == ""
    assert held["sync_orders"] == "maintenance"
    assert "MAINTENANCE, no tick starts, since 23:38:07 UTC (3 min) by bob@ops-2: moving the" in line.out("next")


def test_history_is_asked_for_what_is_wanted(line: Line) -> None:
    line.out("history", "sync_orders", "--since", "2h", "--until", "2026-11-28T23:40:50Z", "--limit", "3")
    since, until = NOW - timedelta(hours=2), NOW - timedelta(seconds=17)
    assert line.console.asked == [("history", "sync_orders", 3, since, until)]
    assert [one["outcome"] for one in line.json("history", "--outcome", "failed,missed")] == ["missed", "failed"]
    assert [one["outcome"] for one in line.json("history", "--outcome", "failed", "--outcome", "skipped")] == [
        "skipped",
        "failed",
    ]
    assert len(line.json("history", "--outcome", "succeeded", "--limit", "2")) == 2


def test_history_tells_errors_and_trace_ids(line: Line) -> None:
    line.width = 0
    out = line.out("history", "invoice_mails")
    assert "failed   1 min 3 s  web-2" in out
    ids = f"run {identity('e')[:12]}, trace {identity('9')}"
    assert f"tick of 06:00:00 UTC, started 4.0 s late, attempt 3, {ids}" in out
    assert "  SMTPServerDisconnected: Connection unexpectedly closed: timed out\n" in out
    assert "missed 4 ticks" in line.out("history", "sync_orders")
    assert "skipped: paused" in line.out("history", "price_import")
    assert "by ann@ops-1" in line.out("history", "daily_cleanup")


def test_the_zone_of_times_is_the_machines_or_the_one_that_is_asked_for(line: Line) -> None:
    assert "00:41:00 CET" in line.out("runs", "--timezone", "Europe/Berlin")
    assert "23:41:00 UTC" in line.out("runs")


def test_why_a_tick_did_not_run(line: Line) -> None:
    out = line.out("why", "invoice_mails", "--at", "2026-11-28T06:00")
    assert out.startswith("invoice_mails, the tick 17 h 41 min ago (06:00:00 UTC): RAN\n  web-2 ran it (attempt 3), ")
    assert line.console.asked[0] == ("why", "invoice_mails", NOW.replace(hour=6, minute=0, second=0))
    told = line.json("why", "invoice_mails")
    assert line.console.asked[1] == ("why", "invoice_mails", None)
    assert (told["verdict"], told["tick"]) == ("ran", "2026-11-28T06:00:00.000000Z")
    assert told["endings"][0]["late_by"] == 4.0


@pytest.mark.parametrize(("findings", "code"), [(FINDINGS, 4), (FINDINGS[:2], 0), ((), 0)])
def test_the_doctors_exit_code_is_for_errors_only(line: Line, findings: tuple[object, ...], code: int) -> None:
    line.console.findings = findings  # type: ignore[assignment]
    assert line.give("doctor").exit_code == code
    assert line.give("doctor", "--json").exit_code == code


@pytest.mark.parametrize("command", ["history", "locks", "why", "pause", "resume", "trigger"])
def test_an_unknown_job_is_named_with_its_near_miss(line: Line, command: str) -> None:
    code, said = line.refused(command, "sync_order")
    assert code == 1
    assert said == "no job is named 'sync_order' (did you mean 'sync_orders'?); `asyncsched list` has the names"


COMMANDS = ["list", "next", "history", "runs", "nodes", "locks", "why x", "doctor", "trigger x", "cancel x", "pause x"]
COMMANDS += ["resume x", "maintenance on", "maintenance", "watch"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_does_not_answer_is_one_line_and_a_code(line: Line, command: str) -> None:
    line.console.fails = AWAY
    code, said = line.refused(*command.split())
    assert code == 3
    assert said.startswith("redis://db:6379/0 could not read the cluster: no answer within 1 s; ")


def test_a_store_without_a_board_is_one_line(line: Line) -> None:
    line.console.fails = SchedulerError("this store keeps no\ncluster state")
    assert line.refused("list") == (1, "this store keeps no cluster state")


def test_a_fault_of_the_program_is_not_hidden(line: Line) -> None:
    line.console.fails = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        line.give("list")


def test_the_console_is_closed_also_after_an_error(line: Line) -> None:
    line.console.fails = AWAY
    line.refused("list")
    assert line.console.is_closed


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "command", ["list", "next", "history", "runs", "nodes", "locks", "why invoice_mails", "watch --count 1"]
)
def test_what_is_shown_fits(line: Line, command: str, width: int) -> None:
    line.width = width
    assert max(map(len, line.out(*command.split()).splitlines())) <= width


@pytest.mark.parametrize("command", ["list", "history", "doctor"])
def test_no_colours_where_nobody_sees_them(line: Line, command: str) -> None:
    assert "\x1b" not in line.give(command).stdout


def test_what_comes_from_the_store_does_not_steer_the_terminal(line: Line) -> None:
    evil = replace(PAUSE, by="\x1b[2J", why="a\x1b]0;title\x07\nb")
    jobs = tuple(replace(job, paused=evil) for job in STATE.jobs)
    nodes = tuple(replace(node, node="\x1b[2J", host="\x1b[2J") for node in STATE.nodes)
    endings = tuple(replace(one, error="\x1b[2J", node="\x1b[2J", trace_id="\x1b[2J") for one in line.console.endings)
    line.console = CannedConsole(replace(STATE, jobs=jobs, nodes=nodes, maintenance=evil), endings)
    for command in ("list", "history", "nodes", "runs", "maintenance", "watch --count 1"):
        assert "\x1b" not in line.out(*command.split())
