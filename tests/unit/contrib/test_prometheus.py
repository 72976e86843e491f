"""What a scrape of a scheduler has, and what the dashboard and the alerts make of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from asyncsched import ConfigurationError, Scheduler
from asyncsched.contrib._metrics import DISTRIBUTIONS, METRICS
from asyncsched.contrib.prometheus import instrument
from asyncsched.events import Event, LeaseLost, StoreLost
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MONITORING = Path(__file__).parents[3] / "docs" / "monitoring"
Samples = dict[tuple[str, tuple[str, ...]], float]


def scraped(registry: CollectorRegistry) -> Samples:
    """Scrape from another thread, as the server of prometheus_client does; values by name and labels."""
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(generate_latest(registry).decode()))
    thread.start()
    thread.join()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(texts[0])
        for sample in family.samples
    }


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_a_scrape_tells_what_has_happened(
    scheduler: Scheduler, clock: FakeClock, registry: CollectorRegistry, live: Callable[[], Awaitable[None]]
) -> None:
    instrument(scheduler, registry)
    told: Counter[type[Event]] = Counter()
    scheduler.subscribe(lambda event: told.update([type(event)]), LeaseLost, StoreLost)
    async with scheduler:
        await live()
        values = scraped(registry)
        counters = {job.name: job.counters for job in scheduler.snapshot().jobs}
    assert values["asyncsched_runs_total", ("works", "succeeded")] == counters["works"]["succeeded"] > 3
    assert values["asyncsched_runs_total", ("works", "failed")] == 0
    assert values["asyncsched_runs_total", ("fails", "failed")] == counters["fails"]["failed"] > 3
    assert values["asyncsched_runs_total", ("held", "lock_lost")] == counters["held"]["lock_lost"] == 2
    assert values["asyncsched_lease_losses_total", ("held",)] == told[LeaseLost] == 2
    assert values["asyncsched_lease_losses_total", ("works",)] == 0
    assert values["asyncsched_skips_total", ("paused", "paused")] == counters["paused"]["paused"] > 3
    assert values["asyncsched_skips_total", ("held", "overlap")] == counters["held"]["overlap"]
    assert values["asyncsched_misses_total", ("works",)] == counters["works"]["missed"] == 9
    assert values["asyncsched_store_outages_total", ()] == told[StoreLost] > 0
    assert values["asyncsched_store_up", ()] == 1
    assert values["asyncsched_live", ()] == values["asyncsched_ready", ()] == 1
    assert values["asyncsched_clock_skew_seconds", ()] == 0
    assert values["asyncsched_active_runs", ("held",)] == 1
    assert (values["asyncsched_paused", ("paused",)], values["asyncsched_paused", ("works",)]) == (1, 0)
    assert ("asyncsched_last_success_timestamp_seconds", ("fails",)) not in values
    assert values["asyncsched_last_success_timestamp_seconds", ("works",)] == pytest.approx(clock.time(), abs=1)
    due_in = values["asyncsched_next_fire_timestamp_seconds", ("works",)] - clock.time()
    assert 0 < due_in <= 60
    assert values["asyncsched_run_duration_seconds_count", ("works",)] == counters["works"]["succeeded"]
    assert values["asyncsched_run_lateness_seconds_count", ("works",)] == counters["works"]["succeeded"]
    assert values["asyncsched_claim_latency_seconds_sum", ()] == pytest.approx(
        0.25 * values["asyncsched_claim_latency_seconds_count", ()]
    )


async def test_the_loop_is_measured_from_the_first_scrape_on(
    scheduler: Scheduler, clock: FakeClock, registry: CollectorRegistry
) -> None:
    instrument(scheduler, registry)
    async with scheduler:
        await clock.advance(5)
        clock.elapsed += 30
        await clock.advance(5)
        assert scraped(registry)["asyncsched_loop_lag_seconds", ()] == 0
        await clock.advance(5)
        clock.elapsed += 30.0
        values = scraped(registry)
        assert values["asyncsched_loop_lag_seconds", ()] == pytest.approx(29)
        assert values["asyncsched_live", ()] == 0


def test_an_idle_scheduler_can_be_scraped(registry: CollectorRegistry) -> None:
    scheduler = Scheduler()
    scheduler.add_job("a", print).per_hours(1)
    instrument(scheduler, registry)
    values = scraped(registry)
    assert values["asyncsched_ready", ()] == 0
    assert values["asyncsched_runs_total", ("a", "succeeded")] == 0
    assert ("asyncsched_next_fire_timestamp_seconds", ("a",)) not in values


async def test_a_job_that_was_removed_is_no_longer_told_of(
    scheduler: Scheduler, registry: CollectorRegistry, live: Callable[[], Awaitable[None]]
) -> None:
    instrument(scheduler, registry)
    async with scheduler:
        await live()
        scheduler.remove_job("works")
        values = scraped(registry)
    assert ("asyncsched_last_success_timestamp_seconds", ("works",)) not in values
    assert ("asyncsched_runs_total", ("works", "succeeded")) not in values


async def test_it_ends_when_it_is_told_to(scheduler: Scheduler, clock: FakeClock, registry: CollectorRegistry) -> None:
    end = instrument(scheduler, registry)
    assert scheduler._bus.is_heard
    end()
    assert scraped(registry) == {}
    assert not scheduler._bus.is_heard
    instrument(scheduler, registry)


def test_a_registry_has_one_scheduler(registry: CollectorRegistry) -> None:
    instrument(Scheduler(), registry)
    other = Scheduler()
    with pytest.raises(ConfigurationError, match="the rule is one registry for each"):
        instrument(other, registry)
    assert not other._bus.is_heard


# The dashboard and the alerts


NAME = re.compile(r"\basyncsched_\w+")
LABELS = {  # none is called job: Prometheus gives each target a label of that name, and renames ours
    f"asyncsched_{metric.name}" + (f"_{metric.unit}" if metric.unit else "") + ("_total" if metric.rises else ""): {
        *metric.labels
    }
    for metric in METRICS
}
LABELS |= {
    f"asyncsched_{distribution.name}_seconds_{part}": {*distribution.labels} | ({"le"} if part == "bucket" else set())
    for distribution in DISTRIBUTIONS
    for part in ("bucket", "count", "sum")
}


def expressions_of_the_dashboard() -> list[str]:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return targets + [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]


def expressions_of_the_alerts() -> list[str]:
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("expressions", [expressions_of_the_dashboard, expressions_of_the_alerts])
async def test_what_is_looked_at_is_there(
    expressions: Callable[[], list[str]],
    scheduler: Scheduler,
    registry: CollectorRegistry,
    live: Callable[[], Awaitable[None]],
) -> None:
    instrument(scheduler, registry)
    async with scheduler:
        await live()
        names = {name for name, _ in scraped(registry)}
    asked_for = set()
    for expression in expressions():
        found = NAME.findall(expression)
        assert found, f"asks for nothing of ours: {expression}"
        labels = set().union(*(LABELS[name] for name in found)) | {"instance"}
        for words in re.findall(r"(?:by|on) \(([\w, ]+)\)|[{,] ?(\w+)(?==|!)", expression):
            assert set(re.findall(r"\w+", " ".join(words))) <= labels, f"no such label: {expression}"
        asked_for |= set(found)
    assert asked_for <= names


def test_the_dashboard_shows_every_metric() -> None:
    shown = {
        re.sub("_(bucket|count|sum)$", "", name) for name in NAME.findall(" ".join(expressions_of_the_dashboard()))
    }
    assert shown == {re.sub("_(bucket|count|sum)$", "", name) for name in LABELS}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus, which is not here")
def test_prometheus_takes_the_alerts() -> None:
    command = ["promtool", "check", "rules", str(MONITORING / "alerts.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus, which is not here")
def test_prometheus_takes_what_the_dashboard_asks(tmp_path: Path) -> None:
    panels = [query.replace("$job", ".*") for query in expressions_of_the_dashboard() if "label_values" not in query]
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(panels)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
