"""The demo: what it prints, how it ends, and that nothing is left behind. What its table shows is tested by itself."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from _demo_jobs import Fact, fact_from_json, make_scheduler
from _demo_view import View
from _processes import ROOT, Program, wait_until_gone
from redis import Redis

if TYPE_CHECKING:
    from collections.abc import Sequence

DEMO = ROOT / "examples" / "demo.py"
LINE = re.compile(
    r"\d\d:\d\d:\d\d\.\d{3}  (?P<node>\S+) +(?P<job>\w+) +tick=(?P<tick>[\d:.]+)  (?P<outcome>\w+) \((?P<note>.*)\)"
)
RAN = {"succeeded", "failed", "cancelled"}


def lines_of(out: str) -> list[re.Match[str]]:
    return [match for line in out.splitlines() if (match := LINE.fullmatch(line))]


def pids_of_nodes(program: Program, number: int) -> list[int]:
    (line,) = program.wait_for(r"try it: kill -9 (.*)\n")
    pids = [int(pid) for pid in re.findall(r"(\d+) \(node-\d\)", line)]
    assert len(pids) == number
    return pids


# What is shown


class TestView:
    TICK = "2026-01-01T00:00:01.000+00:00"

    def view(self, facts: Sequence[tuple[str, str, str, str]], capsys: pytest.CaptureFixture[str]) -> str:
        view = View(make_scheduler(lambda _fact: None, daily_at="12:00", node="n").jobs)
        for node, job, outcome, note in facts:
            view.show(Fact(self.TICK, node, job, self.TICK, outcome, note))
        view.summarise()
        return capsys.readouterr().out

    def test_a_line_has_job_tick_and_outcome(self, capsys: pytest.CaptureFixture[str]) -> None:
        out = self.view([("a", "heartbeat", "skipped", "overlap")], capsys)
        assert "00:00:01.000  a       heartbeat      tick=00:00:01  skipped (overlap)" in out

    def test_a_duplicate_is_counted(self, capsys: pytest.CaptureFixture[str]) -> None:
        out = self.view([("a", "heartbeat", "succeeded", ""), ("b", "heartbeat", "succeeded", "")], capsys)
        assert re.search(r"heartbeat +ticks=1 +runs=2 .* duplicates=1 ", out)
        assert "all jobs: duplicates=1 lost=0" in out

    def test_a_job_without_guard_has_a_tick_on_each_node(self, capsys: pytest.CaptureFixture[str]) -> None:
        out = self.view([("a", "refresh_cache", "succeeded", ""), ("b", "refresh_cache", "succeeded", "")], capsys)
        assert re.search(r"refresh_cache +ticks=2 +runs=2 .* duplicates=0 ", out)

    def test_a_tick_that_is_only_known_as_elsewhere_is_lost(self, capsys: pytest.CaptureFixture[str]) -> None:
        out = self.view([("a", "heartbeat", "skipped", "elsewhere")], capsys)
        assert "all jobs: duplicates=0 lost=1" in out

    def test_a_skipped_tick_is_none_that_ran(self, capsys: pytest.CaptureFixture[str]) -> None:
        facts = [("a", "long_import", "skipped", "overlap"), ("b", "long_import", "skipped", "overlap")]
        assert re.search(r"long_import +ticks=1 +runs=0 .* skipped=1 ", self.view(facts, capsys))

    def test_a_reader_that_goes_away_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone(*_: object, **__: object) -> None:
            raise BrokenPipeError

        view = View({})
        monkeypatch.setattr("builtins.print", gone)
        monkeypatch.setattr("os.dup2", lambda *_: None)
        monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
        view.say("hello")
        assert view.is_closed


def test_facts_survive_their_way() -> None:
    fact = Fact("2026-01-01T00:00:00.000+00:00", "node-1", "job", "2026-01-01T00:00:00.000+00:00", "failed", 'a "note"')
    assert fact_from_json(fact.to_json()) == fact
    assert fact_from_json("Traceback (most recent call last):") is None
    assert fact_from_json("[1]") is None


# One process


@pytest.mark.processes
def test_alone() -> None:
    with Program(DEMO, "--seconds", 7.5) as program:
        assert program.wait() == 0, program.told()
        assert program.err == ""
        out = program.out
    lines = lines_of(out)
    jobs = {line["job"] for line in lines if line["outcome"] in RAN}
    # Each kind: intervals, a thread, cron, daily, immediate, failing, long, delayed, unguarded.
    assert jobs == {
        *("heartbeat", "shrink_images", "cron_report", "daily_report", "warm_up"),
        *("flaky_sync", "long_import", "spread_out", "refresh_cache"),
    }
    assert any((line["job"], line["outcome"], line["note"]) == ("long_import", "skipped", "overlap") for line in lines)
    ticks = [line["tick"] for line in lines if line["job"] == "heartbeat"]
    assert len(ticks) == len(set(ticks)) >= 6
    assert "all jobs: duplicates=0 lost=0" in out


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_alone_interrupted(number: signal.Signals) -> None:
    with Program(DEMO) as program:
        program.wait_for("heartbeat")
        program.send(number)
        assert program.wait(8) == 0, program.told()
        assert program.err == ""
        assert "summary:" in program.out


# Several processes


@pytest.mark.processes
@pytest.mark.redis
def test_replicas(redis_url: str) -> None:
    with Program(DEMO, "--redis", redis_url, "--replicas", 3, "--seconds", 6) as program:
        pids = pids_of_nodes(program, 3)
        assert program.wait(30) == 0, program.told()
        assert program.err == ""
        out = program.out
    wait_until_gone(pids, within=0.5)
    ran = [(line["job"], line["tick"]) for line in lines_of(out) if line["outcome"] in RAN]
    guarded = [tick for tick in ran if tick[0] != "refresh_cache"]
    assert len(guarded) == len(set(guarded)) > 5
    assert {line["node"] for line in lines_of(out)} == {"node-1", "node-2", "node-3"}
    assert "all jobs: duplicates=0 lost=0" in out
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0, "the demo's keys stay behind"


@pytest.mark.processes
@pytest.mark.redis
def test_replicas_interrupted_after_one_was_killed(redis_url: str) -> None:
    with Program(DEMO, "--redis", redis_url, "--replicas", 2) as program:
        pids = pids_of_nodes(program, 2)
        program.wait_for("node-1 +heartbeat +tick")
        program.wait_for("node-2 +heartbeat +tick")
        os.kill(pids[0], signal.SIGKILL)
        program.wait_for("node-1 +ended with code -9; the others go on")
        before = len(program.wait_for(r"node-2 +heartbeat +tick=\S+  succeeded"))
        program.wait_for(r"node-2 +heartbeat +tick=\S+  succeeded", times=before + 2)
        program.send(signal.SIGINT)
        assert program.wait(15) == 0, program.told()
        assert program.err == ""
    wait_until_gone(pids, within=0.5)


@pytest.mark.processes
@pytest.mark.redis
def test_replicas_do_not_outlive_their_parent(redis_url: str) -> None:
    with Program(DEMO, "--redis", redis_url, "--replicas", 2) as program:
        pids = pids_of_nodes(program, 2)
        program.wait_for("heartbeat")
        program.send(signal.SIGKILL)
        program.wait(5)
        wait_until_gone(pids)


# What cannot be


@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--redis", "http://localhost"), 2, "'http://localhost' is not a supported URL"),
        (("--redis", "redis://user:secret@127.0.0.1:1/0"), 1, "demo: this Redis does not answer: "),
        (("--replicas", "3"), 2, "--replicas: several processes need a Redis to share"),
        (("--redis", "redis://localhost", "--replicas", "0"), 2, "--replicas: 0 is not in 1-50"),
        (("--seconds", "-1"), 2, "'-1' is not a number of seconds above 0"),
        (("--seconds", "nan"), 2, "'nan' is not a number of seconds above 0"),
    ],
)
def test_refusals(arguments: tuple[str, ...], code: int, message: str) -> None:
    with Program(DEMO, *arguments) as program:
        assert program.wait() == code, program.told()
        assert message in program.err
        assert "Traceback" not in program.err
        assert "secret" not in program.err
