"""Each example is run as its reader would run it."""

from __future__ import annotations

import importlib.util
import re
import signal
import sqlite3
import time
import urllib.request
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from _processes import ROOT, Program
from _redis_server import free_port
from redis import Redis

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

EXAMPLES = ROOT / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.processes
def test_minimal() -> None:
    with Program(EXAMPLES / "minimal.py") as program:
        beats = program.wait_for(r"heartbeat of (\S+)", times=3)
        program.wait_for("crunched")
        program.send(signal.SIGINT)
        assert program.wait(5) == 0, program.told()
        assert program.err == ""
    at = [datetime.strptime(beat, "%H:%M:%S") for beat in beats]
    gaps = [(later - earlier) % timedelta(days=1) for earlier, later in pairwise(at)]
    assert gaps[:2] == [timedelta(seconds=1)] * 2


@pytest.mark.processes
def test_handler_protocol() -> None:
    with Program(EXAMPLES / "handler_protocol.py", "--seconds", 2.2) as program:
        assert program.wait() == 0, program.told()
        lines = program.out.splitlines()
    started = lines.index("import_feeds: exec returned, the work goes on")
    assert lines.index("import_feeds: fetched sport") > started, "the run went on after exec"
    told = "\n".join(lines)
    assert re.search(r"^import_feeds: failed after \d\.\d s, errors: weather did not answer$", told, re.MULTILINE)
    assert re.search(r"^count_down: succeeded after \d\.\d s, errors: none$", told, re.MULTILINE)


@pytest.mark.processes
def test_fenced_writes() -> None:
    with Program(EXAMPLES / "fenced_writes.py") as program:
        assert program.wait() == 0, program.told()
        assert program.err == ""
        second, first, table = program.out.splitlines()
    written = re.fullmatch(r"run 2 fence=(\d+) cents=102 written", second)
    refused = re.fullmatch(r"run 1 fence=(\d+) cents=101 REFUSED", first)
    assert written is not None
    assert refused is not None
    assert int(refused[1]) < int(written[1])
    assert table == f"the table has cents=102 fence={written[1]}"


@pytest.mark.processes
@pytest.mark.redis
def test_replicas(redis_url: str) -> None:
    with Program(EXAMPLES / "replicas.py", "--redis", redis_url, "--seconds", 5) as program:
        assert program.wait(30) == 0, program.told()
        ran = re.findall(r"replica-(\d)  (\w+)  tick=(\S+)  fence=(\d+)", program.out)
        assert "Traceback" not in program.err
    ticks = [tick for _, job, tick, _ in ran if job == "every_second"]
    assert len(ticks) >= 3
    assert len(set(ticks)) == len(ticks), "a tick ran twice"
    assert any(job == "slow" for _, job, _, _ in ran)


@pytest.mark.processes
def test_replicas_with_a_wrong_url() -> None:
    with Program(EXAMPLES / "replicas.py", "--redis", "http://localhost") as program:
        assert program.wait() == 2
        assert "is not a supported URL" in program.err
        assert "Traceback" not in program.err


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
def test_fastapi_app_through_the_test_client(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    monkeypatch.delenv("JOBS_STORE", raising=False)
    module = load("fastapi_app")
    for _ in range(2):  # an app may be started again
        with TestClient(module.app) as client:
            ran = client.post("/jobs/collect/run").json()
            assert ran["outcome"] == "succeeded"
            assert client.get("/figures").json()[-1]["fence"] > 0
            names = [job["name"] for job in client.get("/jobs").json()]
            assert names == ["collect", "compact"]
            unknown = client.post("/jobs/colect/run")
            assert (unknown.status_code, unknown.json()) == (
                404,
                {"detail": "no job is named 'colect' (did you mean 'collect'?)"},
            )
    assert module.figures.newest() == [], "closed with the app"


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
def test_healthz_through_the_test_client(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")  # where nobody answers
    module = load("healthz")
    with TestClient(module.app) as client:
        give_up_at = time.monotonic() + 10
        while (down := client.get("/readyz")).json()["store_lost_at"] is None and time.monotonic() < give_up_at:
            time.sleep(0.02)
        assert down.status_code == 503
        assert down.json()["reasons"][0].startswith("the store has not answered for")
        live = client.get("/healthz")
        assert (live.status_code, live.json()["live"], live.json()["ready"]) == (200, True, False)

    monkeypatch.delenv("REDIS_URL")
    module = load("healthz")
    with TestClient(module.app) as client:
        ready = client.get("/readyz")
        told = ready.json()
        assert 0 <= told.pop("loop_lag") < 5
        assert (ready.status_code, told) == (
            200,
            {"live": True, "ready": True, "reasons": [], "state": "running", "store_lost_at": None},
        )


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/jobs", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.processes
@pytest.mark.redis
@pytest.mark.parametrize("kind", ["memory", "file", "redis"])
def test_fastapi_app_under_uvicorn(redis_url: str, tmp_path: Path, kind: str) -> None:
    port, file = free_port(), tmp_path / "jobs.db"
    store = {"memory": "", "file": f"sqlite://{file}", "redis": redis_url}[kind]
    environment = {"JOBS_STORE": store}
    workers = 1 if kind == "memory" else 4
    uvicorn = ("-m", "uvicorn", "examples.fastapi_app:app", "--host", "127.0.0.1")
    with Program(*uvicorn, "--port", port, "--workers", workers, environment=environment) as program:
        give_up_at = time.monotonic() + 20
        while not answers(port):
            assert time.monotonic() < give_up_at, program.told()
            time.sleep(0.05)
        time.sleep(1.5)
        program.send(signal.SIGTERM)
        assert program.wait() in (0, -signal.SIGTERM), program.told()
        assert "Traceback" not in program.err
    with Redis.from_url(redis_url, decode_responses=True) as client:
        keys = client.keys("*jobLock*")
    assert keys == (["schedule:jobLock:collect:tick"] if kind == "redis" else [])
    assert file.exists() == (kind == "file")
    if kind == "file":
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("SELECT job FROM ticks").fetchall() == [("collect",)]
