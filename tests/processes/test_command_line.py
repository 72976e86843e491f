"""The command line as a shell has it: real processes, signals and pipes; a Redis, and two schedulers that it sees."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _processes import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _redis_server import RedisServer

pytestmark = pytest.mark.processes

HERE = {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}", "COLUMNS": ""}
PROMISED = re.search(r"^\$ asyncsched run .*\n(.*)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)


def command(*words: str, **variables: str) -> Program:
    return Program("-m", "asyncsched", *words, environment={**HERE, **variables})


def ended(*words: str, **variables: str) -> tuple[int, str, str]:
    """Run a command to its end."""
    with command(*words, **variables) as program:
        return program.wait(), program.out, program.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_scheduler_runs_until_it_is_told_to_stop(number: signal.Signals) -> None:
    assert PROMISED is not None
    with command("run", "--app", "_shop:scheduler") as program:
        give_up_at = time.monotonic() + 20
        while "job=tick" not in program.err and time.monotonic() < give_up_at:
            time.sleep(0.05)
        program.send(number)
        assert program.wait() == 0, program.told()
        assert program.out == ""
        (line, *_) = [line for line in program.err.splitlines() if "job=tick" in line]
        assert shape_of(line) == shape_of(PROMISED[1])


def shape_of(line: str) -> str:
    """Return a log line without what differs from run to run."""
    return re.sub(r"(job|run|trace|tick|duration)=\S+", r"\1=", re.sub(r"^[\d-]+ [\d:,]+", "<time>", line))


def test_a_pipe_that_is_closed_is_no_fault() -> None:
    words = ["-m", "asyncsched", "preview", "tick", "--app", "_shop:scheduler", "--count", "10000"]
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=HERE, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert (process.wait(30), process.stderr.read()) == (141, b"")


# With a Redis


@pytest.fixture
def shop(redis_url: str) -> Iterator[dict[str, str]]:
    """Two nodes; the variables by which the command line finds them."""
    run = ("run", "--app", "_shop:scheduler")
    named = {"ASYNCSCHED_URL": redis_url, "ASYNCSCHED_PREFIX": "shop:"}
    with command(*run, SHOP_URL=redis_url), command(*run, SHOP_URL=redis_url):
        wait_for(lambda: len(told("nodes", **named)) == 2 and told("history", "tick", **named) != [])
        yield named


def told(*words: str, **variables: str) -> Any:
    code, out, err = ended(*words, "--json", **variables)
    assert code == 0, err
    return json.loads(out)


def wait_for(is_so: Callable[[], bool], within: float = 60) -> None:
    give_up_at = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.1)


@pytest.mark.redis
def test_a_cluster_of_two_processes_is_seen_and_steered(shop: dict[str, str]) -> None:
    jobs = {job["job"]: job for job in told("list", **shop)}
    assert {name: len(job["nodes"]) for name, job in jobs.items()} == {"tick": 2, "broken": 2, "long": 2}
    assert not any(job["differs"] for job in jobs.values())
    assert "last error: ValueError: it is broken" in ended("list", **shop)[1]
    failed = told("history", "broken", "--limit", "1", **shop)[0]
    assert failed["trace_id"], "it is in the log, so it is here"
    explained = told("why", "broken", "--at", failed["fire_time"], **shop)
    assert (explained["verdict"], explained["endings"][0]["error"]) == ("ran", "ValueError: it is broken")
    assert ended("doctor", **shop)[0] == 0

    code, out, _ = ended("trigger", "tick", "--wait", "--by", "ann", **shop)
    assert (code, "succeeded after" in out) == (0, True)
    assert ended("trigger", "broken", "--wait", **shop)[0] == 1

    run = told("trigger", "long", **shop)["run_id"]
    wait_for(lambda: [one["run_id"] for one in told("runs", **shop)] == [run])
    assert re.search("long +overlap", ended("locks", **shop)[1])
    with command("trigger", "long", "--wait", **shop) as waiting:  # it overlaps with the first one
        assert waiting.wait() == 1, waiting.told()
    assert ended("cancel", run[:8], "--by", "ann", **shop)[0] == 0
    wait_for(lambda: [one["by"] for one in told("history", "long", "--outcome", "cancelled", **shop)] == ["ann"])

    ended("pause", "tick", "--by", "ann", "--why", "#4711", **shop)
    assert "by ann: #4711" in ended("list", **shop)[1]
    wait_for(lambda: told("history", "tick", "--outcome", "skipped", **shop) != [])
    ended("resume", "tick", **shop)
    assert told("maintenance", "on", "--by", "bob", **shop)["maintenance"]["by"] == "bob"
    assert told("maintenance", "off", **shop) == {"maintenance": None}


@pytest.mark.redis
def test_ctrl_c_while_a_run_is_waited_for_ends_the_waiting_only(shop: dict[str, str]) -> None:
    with command("trigger", "long", "--wait", **shop) as waiting:
        waiting.wait_for("waiting for its end")
        waiting.send(signal.SIGINT)
        assert (waiting.wait(), waiting.err) == (130, "")
    wait_for(lambda: [run["job"] for run in told("runs", **shop)] == ["long"], within=10)  # nodes report each second


@pytest.mark.redis
def test_watching_in_a_pipe_until_ctrl_c(shop: dict[str, str]) -> None:
    with command("watch", "--interval", "0.2", **shop) as watching:
        watching.wait_for(r"2 nodes, 3 jobs", times=2)
        watching.send(signal.SIGINT)
        assert (watching.wait(), watching.err) == (0, "")
        assert "\x1b" not in watching.out


@pytest.mark.redis
@pytest.mark.parametrize(
    "words", ["list", "history", "locks", "why tick", "doctor", "trigger tick", "pause tick", "maintenance on", "watch"]
)
def test_a_redis_that_is_away_is_one_line(words: str) -> None:
    code, out, err = ended(*words.split(), "--url", "redis://ann:secret@127.0.0.1:1/0")
    assert (code, out) == (3, "")
    assert err.startswith("asyncsched: ")
    assert err.endswith("is it up, and may this host reach it?\n")
    assert err.count("\n") == 1
    assert "secret" not in err


@pytest.mark.redis
def test_a_right_that_is_missing_is_one_line(make_redis_server: Callable[..., RedisServer]) -> None:
    server = make_redis_server()
    server.command("ACL", "SETUSER", "ann", "on", ">secret", "~*", "+ping", "+hello", "+client", "+select", "+info")
    for password, advice in (("secret", "needs the rights that docs/cluster.md lists"), ("wrong", "look at the user")):
        code, out, err = ended("list", "--url", f"redis://ann:{password}@127.0.0.1:{server.port}/0")
        assert (code, out) == (3, "")
        assert advice in err
        assert err.count("\n") == 1
        assert password not in err
