"""The policies for crashes, long absences and outages: values against their rules, and the guards that they need."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import ConfigurationError, Job, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")


async def work() -> None:
    """A handler that does nothing."""


def refused(call: Callable[[], object], *parts: str) -> None:
    """Check that ``call`` is refused by a message that contains every one of ``parts``."""
    with pytest.raises(ConfigurationError) as caught:
        call()
    missing = [part for part in parts if part not in str(caught.value)]
    assert not missing, f"{caught.value} does not contain {missing}"


ATTEMPTS = [1, 0, -1, True, False, "2", 2.0, 2.5, None, NAN, [2], timedelta(2)]


@pytest.mark.parametrize("value", ATTEMPTS, ids=repr)
def test_a_number_of_attempts_against_the_rules(value: Any) -> None:
    job = Job("paid", work).on_one_server()
    rule = "max_attempts is a whole number, the first run included, so 2 or more"
    refused(lambda: job.rerun_on_crash(value), f"job 'paid': rerun_on_crash({value!r}): {rule}")
    assert job.max_attempts == 0
    assert job.rerun_on_crash(2).max_attempts == 2, "after a refused value a good one is taken"


@pytest.mark.parametrize("value", [7 * 86_400 + 1, 7 * 86_400.001, timedelta(days=7, microseconds=1)], ids=repr)
def test_a_week_is_the_most_to_catch_up_with(value: Any) -> None:
    job = Job("report", work).on_one_server()
    rule = "the record of the newest tick is kept for 7 days, so that is the most"
    refused(lambda: job.catch_up(value), f"job 'report': catch_up({value!r}): {rule}")
    assert job.catch_up_within is None
    assert job.catch_up(timedelta(days=7)).catch_up_within == 7 * 86_400


@pytest.mark.parametrize(
    ("options", "call", "rule"),
    [
        ({"mode": "each"}, "catch_up(60, mode='each')", "the rule is mode='newest' or mode='all'"),
        ({"mode": None}, "catch_up(60, mode=None)", "the rule is mode='newest' or mode='all'"),
        ({"most": 5}, "catch_up(60, most=5)", "most needs mode='all'"),
        *(
            ({"mode": "all", "most": most}, f"catch_up(60, mode='all', most={most!r})", "a whole number from 1 to 1000")
            for most in (0, -1, 1001, 2.0, True, "5")
        ),
    ],
)
def test_how_much_is_caught_up_with_has_rules(options: Any, call: str, rule: str) -> None:
    job = Job("report", work)
    refused(lambda: job.catch_up(60, **options), f"job 'report': {call}: ", rule)
    assert (job.catch_up_within, job.catch_up_most) == (None, 0)
    assert job.catch_up(60, mode="all", most=1000).catch_up_most == 1000


def test_each_tick_may_be_late_by_a_second_at_least() -> None:
    refused(lambda: Job("report", work).catch_up(0.9, mode="all"), "job 'report': catch_up(0.9, mode='all')", "1")


def test_none_is_no_time_to_catch_up_with() -> None:
    refused(lambda: Job("report", work).catch_up(None), "job 'report'", "catch_up(None)", "neither a number")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["maybe", None, "RUN", "", True, 1, ["run"]], ids=repr)
def test_a_policy_for_outages_against_the_rules(value: Any) -> None:
    job = Job("beat", work).on_one_server()
    refused(
        lambda: job.when_store_unavailable(value),
        f"job 'beat': when_store_unavailable({value!r}): the rule is 'skip' or 'run'",
    )
    assert not job.runs_without_store
    assert job.when_store_unavailable("run").runs_without_store


UNGUARDED: list[tuple[Callable[[Job], Job], str]] = [
    (lambda job: job.rerun_on_crash(), "rerun_on_crash() needs on_one_server(): without it, no record says"),
    (
        lambda job: job.rerun_on_crash().without_overlapping(),
        "rerun_on_crash() needs on_one_server(): without it, no record says",
    ),
    (lambda job: job.catch_up(60), "catch_up() needs on_one_server(): without it, no record says which ticks"),
    (lambda job: job.catch_up(0), "catch_up() needs on_one_server(): without it, no record says which ticks"),
    (
        lambda job: job.when_store_unavailable("run"),
        "when_store_unavailable('run') needs on_one_server() or without_overlapping(): others run anyway",
    ),
]


@pytest.mark.parametrize(
    ("describe", "other"),
    [
        (lambda job: job.misfire_grace(60), "misfire_grace()"),
        (lambda job: job.misfire_grace(None), "misfire_grace()"),
        (lambda job: job.without_overlapping(), "without_overlapping('skip')"),
        (lambda job: job.without_overlapping("cancel_running"), "without_overlapping('cancel_running')"),
        (lambda job: job.max_concurrent(2), "max_concurrent()"),
        (lambda job: job.when_store_unavailable("run"), "when_store_unavailable('run')"),
        (lambda job: job.when(lambda: True), "conditions"),
        (lambda job: job.skip_when(lambda: True), "conditions"),
    ],
)
def test_what_does_not_go_with_each_missed_tick(describe: Callable[[Job], Job], other: str) -> None:
    job = Job("report", work).per_seconds(30).on_one_server()
    describe(job).catch_up(60, mode="all")
    assert (job.missing() or "").startswith(f"catch_up(mode='all') and {other} exclude each other: ")


def test_within_is_the_grace_where_each_missed_tick_runs(scheduler: Scheduler) -> None:
    job = scheduler.add_job("report", work).per_seconds(30).on_one_server().without_overlapping("queue_one")
    job.rerun_on_crash().max_runs(5).random_delay(0, 5).catch_up(60, mode="all")
    assert job.missing() is None
    assert job.freeze(scheduler._defaults).misfire_grace == 60
    assert job.freeze(scheduler._defaults).misfire_grace == 60, "at each start"


@pytest.mark.parametrize(("describe", "reason"), UNGUARDED)
async def test_a_policy_that_needs_a_guard(scheduler: Scheduler, describe: Callable[[Job], Job], reason: str) -> None:
    job = describe(scheduler.add_job("lonely", work).per_seconds(30))
    for start in (scheduler.__aenter__, lambda: scheduler.run(signals=())):
        with pytest.raises(ConfigurationError, match=re.escape(f"job 'lonely': {reason}")):
            await start()
    assert scheduler.snapshot().state == "idle"
    job.on_one_server()  # nothing was frozen by the failed start
    async with scheduler:
        assert scheduler.snapshot().state == "running"


@pytest.mark.parametrize(("describe", "reason"), UNGUARDED)
async def test_a_policy_that_needs_a_guard_on_a_job_that_is_added_later(
    scheduler: Scheduler, lines: Callable[..., list[str]], describe: Callable[[Job], Job], reason: str
) -> None:
    async with scheduler:
        describe(scheduler.add_job("lonely", work).per_seconds(30))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert lines(f"job=lonely was added to a running scheduler but does not run: {reason}")
        with pytest.raises(ConfigurationError, match=re.escape(f"job 'lonely': {reason}")):
            await scheduler.trigger("lonely")


async def test_a_policy_whose_value_is_the_default_needs_no_guard(scheduler: Scheduler) -> None:
    scheduler.add_job("plain", work).per_seconds(30).when_store_unavailable("skip")
    scheduler.add_job("alone", work).per_seconds(30).without_overlapping().when_store_unavailable("run")
    async with scheduler:
        assert scheduler.snapshot().state == "running"
