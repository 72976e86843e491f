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
