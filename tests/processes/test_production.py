"""Three replicas of the service in ``examples/production.py`` on one Redis, seen and steered as an on-call engineer
does: by its endpoints, the command line, and the dashboard of any replica. One of them is killed."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from _processes import ROOT, Program
from _redis_server import free_port

pytestmark = [pytest.mark.processes, pytest.mark.redis]

ADA = httpx.BasicAuth("ada", "secret")


class Replica(Program):
    """The service, on a free port."""

    def __init__(self, url: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        super().__init__(
            *("-m", "uvicorn", "examples.production:app", "--port", self.url.rpartition(":")[2]),
            environment={"JOBS_STORE": url, "JOBS_OPERATORS": "secret:ada", "PYTHONPATH": str(ROOT)},
        )

    @property
    def node(self) -> str:
        """Its name in the cluster, as far as the test needs to know it."""
        return f"-{self.process.pid}-"

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10, follow_redirects=True, **options)

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False


class Shell:
    """A shell from which the cluster is seen and steered."""

    def __init__(self, url: str) -> None:
        self._environment = {"ASYNCSCHED_URL": url, "COLUMNS": "", "PYTHONPATH": str(ROOT)}

    def run(self, *words: str, by: str = "oncall") -> tuple[int, str, str]:
        with Program("-m", "asyncsched", *words, "--by", by, environment=self._environment) as program:
            return program.wait(40), program.out, program.err

    def told(self, *words: str) -> Any:
        """Return what a command says, for machines."""
        with Program("-m", "asyncsched", *words, "--json", environment=self._environment) as program:
            assert program.wait(40) == 0, program.told()
            return json.loads(program.out)


@pytest.fixture
def replicas(redis_url: str) -> Iterator[list[Replica]]:
    with ExitStack() as stack:
        started = [stack.enter_context(Replica(redis_url)) for _ in range(3)]
        for replica in started:
            until(replica.is_ready, replica.told)
        yield started


def until(is_so: Callable[[], object], told: Callable[[], str] = str, within: float = 60.0) -> None:
    give_up_at = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < give_up_at, f"not within {within:g} s. {told()}"
        time.sleep(0.1)


def test_a_service_of_three_replicas_is_seen_and_steered(redis_url: str, replicas: list[Replica]) -> None:
    shell = Shell(redis_url)
    until(lambda: len(shell.told("nodes")) == 3)
    until(lambda: len(endings(shell, "collect")) >= 4)
    nodes = {node["pid"]: node["node"] for node in shell.told("nodes")}
    assert set(nodes) == {replica.process.pid for replica in replicas}
    assert {job["job"]: len(job["nodes"]) for job in shell.told("list")} == dict.fromkeys(
        ("collect", "import_prices", "refresh_cache", "report", "send_invoices"), 3
    )
    each_answers_for_itself(replicas)
    pausing_reaches_every_replica(shell, replicas)
    a_run_is_asked_for_on_one_node(shell, nodes[replicas[1].process.pid])
    a_run_in_progress_is_cancelled(shell)
    maintenance_holds_all(shell, replicas)
    a_replica_is_killed(shell, replicas, nodes)
    ticks = sorted(at(ending["fire_time"]) for ending in endings(shell, "collect") if ending["outcome"] != "skipped")
    assert len(ticks) == len(set(ticks)), "a tick ran twice"
    until(lambda: time.time() % 1 < 0.4)  # a stop in the middle of a second
    for replica in replicas[1:]:
        replica.send(signal.SIGTERM)
    for replica in replicas[1:]:
        replica.wait(40)
        assert "Application shutdown complete" in replica.err, replica.told()
    assert {node["state"] for node in shell.told("nodes")} <= {"vanished"}, "who leaves says so; who was killed did not"
    assert shell.told("history"), "the history outlives the nodes"


def each_answers_for_itself(replicas: list[Replica]) -> None:
    for replica in replicas:
        assert replica.get("/healthz").json() == {"live": True, "reasons": []}
    scraped = [float(x) for replica in replicas for x in counted(replica, "collect", "succeeded")]
    assert sum(scraped) >= 4, "the replicas' numbers together are the cluster's"
    pages = [replica.get("/jobs/").text for replica in replicas]
    assert all("import_prices" in page and "act/" not in page for page in pages), "nobody may act without saying who"
    assert replicas[0].get("/sign-in").headers["WWW-Authenticate"].startswith("Basic"), "or no browser would ask"
    assert replicas[0].get("/sign-in", auth=ADA).url.path == "/jobs/"


def counted(replica: Replica, job: str, outcome: str) -> list[str]:
    pattern = rf'^asyncsched_runs_total{{job_name="{job}",outcome="{outcome}"}} (\S+)$'
    return re.findall(pattern, replica.get("/metrics").text, re.MULTILINE)


def pausing_reaches_every_replica(shell: Shell, replicas: list[Replica]) -> None:
    """Paused from the shell, seen everywhere, explained, and resumed by the dashboard of another replica."""
    assert shell.run("pause", "collect", "--why", "the feed is down")[0] == 0
    until(lambda: all("the feed is down" in replica.get("/jobs/job?name=collect").text for replica in replicas))
    (collect,) = [job for job in shell.told("list") if job["job"] == "collect"]
    assert (collect["paused"]["by"], collect["paused"]["why"]) == ("oncall", "the feed is down")
    time.sleep(2.5)  # a pause reaches each node within 2 s
    newest = last_run(shell, "collect")
    time.sleep(2)
    assert last_run(shell, "collect") == newest
    explained = shell.told("why", "collect")
    assert explained["verdict"] in {"paused", "skipped"}
    assert "the feed is down" in " ".join(explained["because"])
    act(replicas[2], "resume", job="collect")
    until(lambda: last_run(shell, "collect") != newest)


def act(replica: Replica, what: str, **form: str) -> None:
    """Do what the buttons of the dashboard do."""
    with httpx.Client(auth=ADA, base_url=f"{replica.url}/jobs/", timeout=20) as browser:
        page = browser.get(f"job?name={form['job']}").text
        (token, *_) = re.findall(r'name="token" value="([^"]+)"', page)
        refused = browser.post(f"act/{what}", data={**form, "token": "guessed"})
        assert refused.status_code == 403
        done = browser.post(f"act/{what}", data={**form, "token": token}, headers={"Origin": replica.url})
        assert done.status_code in {200, 303}, done.text


def a_run_is_asked_for_on_one_node(shell: Shell, node: str) -> None:
    code, out, err = shell.run("trigger", "send_invoices", "--node", node, "--why", "a customer asked", by="ada")
    assert code == 0, err
    assert node in out

    def asked_for() -> list[dict[str, Any]]:  # at night its own tick may come due beside it
        return [each for each in endings(shell, "send_invoices") if each["kind"] == "trigger"]

    until(asked_for)
    (ending,) = asked_for()
    assert (ending["node"], ending["outcome"]) == (node, "succeeded")
    assert (ending["by"], ending["why"]) == ("ada", "a customer asked")
    code, _, err = shell.run("trigger", "send_invoice")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "send_invoices" in err, "a name that nearly fits is named"


def a_run_in_progress_is_cancelled(shell: Shell) -> None:
    """It may end before the order reaches it: then the next one is tried."""
    run: dict[str, Any] = {}

    def is_cancelled() -> bool:
        run.update(next((run for run in shell.told("runs") if run["job"] == "report"), {}))
        return bool(run) and shell.run("cancel", run["run_id"], "--why", "stuck")[0] == 0

    until(is_cancelled, within=90)
    until(lambda: [each for each in endings(shell, "report") if each["run_id"] == run["run_id"]])
    (ending,) = [each for each in endings(shell, "report") if each["run_id"] == run["run_id"]]
    assert (ending["outcome"], ending["by"]) == ("cancelled", "oncall")


def maintenance_holds_all(shell: Shell, replicas: list[Replica]) -> None:
    assert shell.run("maintenance", "on", "--why", "migration")[0] == 0
    until(lambda: all("migration" in replica.get("/jobs/").text for replica in replicas))
    time.sleep(2.5)
    newest = last_run(shell, "import_prices")
    time.sleep(2.5)
    assert last_run(shell, "import_prices") == newest
    assert shell.run("maintenance", "off")[0] == 0
    until(lambda: last_run(shell, "import_prices") != newest)


def a_replica_is_killed(shell: Shell, replicas: list[Replica], nodes: dict[int, str]) -> None:
    replicas[0].process.kill()
    killed_at = last_run(shell, "collect")
    killed = nodes[replicas[0].process.pid]
    until(lambda: {"vanished"} == {node["state"] for node in shell.told("nodes") if node["node"] == killed})
    until(lambda: last_run(shell, "collect") > killed_at + timedelta(seconds=3))
    assert "vanished" in replicas[1].get("/jobs/nodes").text
    ticks = sorted(at(ending["fire_time"]) for ending in endings(shell, "collect") if ending["outcome"] == "succeeded")
    gaps = [later - earlier for earlier, later in pairwise(ticks) if earlier > killed_at]
    assert set(gaps) <= {timedelta(seconds=1)}, "the others go on at once"
    assert {finding["level"] for finding in shell.told("doctor")} <= {"ok", "warning"}


def endings(shell: Shell, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shell.told("history", job)
    return found


def last_run(shell: Shell, job: str) -> datetime:
    return max(
        at(ending["fire_time"]) for ending in endings(shell, job) if ending["outcome"] in {"succeeded", "failed"}
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)
