"""Groups: jobs share policies, have their own before these, and nothing leaks out of a group."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from asyncsched import ConfigurationError, DuplicateJobError, Job, Scheduler
from asyncsched._group_settings import GroupSettings
from asyncsched._job_runs import JobRuns
from asyncsched._job_schedules import JobSchedules
from asyncsched._job_ticks import JobTicks
from asyncsched.triggers import Daily

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


async def work() -> None:
    """A handler that does nothing."""


ALL: dict[str, Any] = {
    "on_one_server": True, "without_overlapping": True, "random_delay": (1, 5), "timezone": "Asia/Tokyo",
    "lock_ttl": 60, "misfire_grace": None, "rerun_on_crash": 3, "catch_up": 600, "when_store_unavailable": "skip",
    "even_in_maintenance": True, "max_runs": 9, "timeout": 30, "retry": 3, "pause_after_failures": 5, "before": work,
    "after": work, "on_success": work, "on_failure": work, "on_skipped": work,
    "when": work, "skip_when": work, "environments": "production",
}  # fmt: skip


def test_every_policy_is_a_setting() -> None:
    methods = {name: value for name, value in vars(Job).items() if name[0] != "_" and callable(value)}
    policies = {name for name, method in methods.items() if method.__annotations__["return"] == "Job"}
    for part in (JobRuns, JobTicks):
        policies |= {name for name, value in vars(part).items() if name[0] != "_" and callable(value)}
    policies -= {"ping", "sentry_checkin"}  # a monitor watches one job
    assert set(GroupSettings.__annotations__) == policies == {*ALL, "max_concurrent"}  # which some of them exclude
    assert not set(ALL) & set(vars(JobSchedules))


def test_jobs_share_all_settings(scheduler: Scheduler) -> None:
    with scheduler.group(**ALL) as group:
        shared = group.add_job("shared", work).daily_at("09:00")

        @group.job("decorated").daily_at("09:00")
        async def decorated() -> None: ...

    own = scheduler.add_job("own", work).daily_at("09:00")
    for policy, value in ALL.items():
        getattr(own, policy)(*(() if value is True else value if isinstance(value, tuple) else (value,)))
    assert repr(shared).replace("shared", "own") == repr(own)
    assert scheduler.get_job("decorated").policies == own.policies
    defaults = scheduler._defaults
    assert shared.freeze(defaults) == own.freeze(defaults)


def test_a_job_outside_of_it_has_nothing_of_it(scheduler: Scheduler) -> None:
    with scheduler.group(on_one_server=True, lock_ttl=60) as group:
        outside = scheduler.add_job("outside", work).per_seconds(1)
        assert group.add_job("inside", work).is_on_one_server
    assert outside.policies == ()
    assert type(outside) is Job


@pytest.mark.parametrize(
    ("own", "policies"),
    [
        (lambda j: j.random_delay(7, 9), ("random_delay(7, 9)",)),
        (lambda j: j.random_delay(1, 5, seed="tick"), ("random_delay(1, 5, seed='tick')",)),
        (lambda j: j.random_delay(1, 5), ("random_delay(1, 5)",)),
    ],
)
def test_a_job_has_its_own_before_the_groups(
    scheduler: Scheduler, own: Callable[[Job], Job], policies: tuple[str, ...]
) -> None:
    assert own(scheduler.group(random_delay=(1, 5)).add_job("j", work)).policies == policies


def test_a_seeded_delay(scheduler: Scheduler) -> None:
    job = scheduler.group(random_delay=(1, 5, "tick")).add_job("j", work)
    assert job.policies == ("random_delay(1, 5, seed='tick')",)


def test_hooks_of_the_group_come_first(scheduler: Scheduler) -> None:
    async def own() -> None: ...

    job = scheduler.group(on_failure=(work, print)).add_job("j", work).on_failure(own)
    assert job.policies[:2] == ("on_failure(work)", "on_failure(print)")
    assert len(job.policies) == 3


def test_own_values_of_every_policy(scheduler: Scheduler) -> None:
    job = scheduler.group(**ALL).add_job("j", work).daily_at("09:00")
    job.timezone("UTC").lock_ttl(5).misfire_grace(7).rerun_on_crash(2).catch_up(1).when_store_unavailable("skip")
    settings = job.freeze(scheduler._defaults)
    assert (settings.timezone, settings.lock_ttl, settings.misfire_grace) == (UTC, 5, 7)
    assert (job.max_attempts, job.catch_up_within, job.runs_without_store) == (2, 1, False)
    assert job.trigger == Daily("09:00")


def test_what_is_caught_up_with_by_name(scheduler: Scheduler) -> None:
    group = scheduler.group(on_one_server=True, catch_up={"within": 60, "mode": "all", "most": 7})
    job = group.add_job("j", work).per_seconds(1)
    assert (job.catch_up_within, job.catch_up_most) == (60, 7)
    assert job.catch_up(5).catch_up_most == 0
    for bad in ({"mode": "all"}, {"within": 60, "modus": "all"}):
        with pytest.raises(ConfigurationError, match="the rule is a number, or within, mode and most by name"):
            scheduler.group(catch_up=bad)


def test_a_second_own_value_is_refused(scheduler: Scheduler) -> None:
    job = scheduler.group(lock_ttl=60).add_job("j", work).lock_ttl(5)
    with pytest.raises(ConfigurationError, match=r"job 'j': lock_ttl\(6\): it was given before with the value 5.0"):
        job.lock_ttl(6)


async def test_no_change_after_it_was_scheduled(scheduler: Scheduler) -> None:
    job = scheduler.group(lock_ttl=60).add_job("j", work).per_seconds(1)
    async with scheduler:
        with pytest.raises(ConfigurationError, match="it is already scheduled"):
            job.lock_ttl(5)
    assert job.freeze(scheduler._defaults).lock_ttl == 60


def test_groups_of_groups(scheduler: Scheduler) -> None:
    outer = scheduler.group(on_one_server=True, lock_ttl=60, timezone="Asia/Tokyo")
    inner = outer.group(without_overlapping=True, lock_ttl=5)
    free = inner.group(on_one_server=False)
    jobs = [group.add_job(name, work).per_seconds(1) for group, name in ((outer, "o"), (inner, "i"), (free, "f"))]
    assert [job.policies for job in jobs] == [
        ("on_one_server",),
        ("on_one_server", "without_overlapping"),
        ("without_overlapping",),
    ]
    settings = [job.freeze(scheduler._defaults) for job in jobs]
    assert [each.lock_ttl for each in settings] == [60, 5, 5]
    assert {each.timezone for each in settings} == {ZoneInfo("Asia/Tokyo")}


async def test_tasks_do_not_see_each_others_groups(scheduler: Scheduler) -> None:
    async def fill(name: str, ttl: float) -> None:
        with scheduler.group(lock_ttl=ttl) as group:
            await asyncio.sleep(0)
            group.add_job(name, work).per_seconds(1)
            await asyncio.sleep(0)

    await asyncio.gather(fill("a", 5), fill("b", 6))
    assert [job.freeze(scheduler._defaults).lock_ttl for job in scheduler.jobs.values()] == [5, 6]


async def test_a_group_adds_to_a_running_scheduler(scheduler: Scheduler, clock: FakeClock) -> None:
    async with scheduler:
        scheduler.group(on_one_server=True).add_job("j", work).per_seconds(10)
        await clock.advance(10)
        assert dict(scheduler.snapshot().jobs[0].counters) == {"succeeded": 1}


def test_names_are_those_of_the_scheduler(scheduler: Scheduler) -> None:
    scheduler.add_job("j", work)
    with pytest.raises(DuplicateJobError):
        scheduler.group(lock_ttl=5).add_job("j", work)


def test_a_group_that_is_not_named_is_refused(scheduler: Scheduler) -> None:
    """Its jobs would run on every node, and nobody would know why."""

    def declare() -> None:
        with scheduler.group(on_one_server=True):
            scheduler.add_job("a", work).daily_at("01:00")
            scheduler.add_job("b", work).daily_at("01:00")

    rule = (
        r"<Group on_one_server=True>: no job was added to it, .* 'a', 'b'; the rule is with .* as group: group.add_job"
    )
    with pytest.raises(ConfigurationError, match=rule):
        declare()


def test_a_group_may_stay_empty_and_the_scheduler_have_jobs_beside_it(scheduler: Scheduler) -> None:
    with scheduler.group(on_one_server=True), scheduler.group(lock_ttl=60):
        pass
    with scheduler.group(on_one_server=True) as outer, outer.group(lock_ttl=60) as inner:
        inner.add_job("a", work).daily_at("01:00")
        scheduler.add_job("b", work).daily_at("01:00")
    assert [scheduler.get_job(name).is_on_one_server for name in "ab"] == [True, False]


def test_an_error_leaves_the_group(scheduler: Scheduler) -> None:
    with pytest.raises(ValueError, match="mine"), scheduler.group(lock_ttl=5):
        raise ValueError("mine")


REFUSED = [
    pytest.param({}, "group(): no setting is given; at least one, such as on_one_server=True", id="nothing"),
    pytest.param(
        {"lock_tll": 5},
        "group(): 'lock_tll' is no setting of a group (did you mean 'lock_ttl'?); they are after, before, catch_up, "
        "environments, even_in_maintenance, lock_ttl, max_concurrent, max_runs, misfire_grace, on_failure, "
        "on_one_server, on_skipped, on_success, pause_after_failures, random_delay, rerun_on_crash, retry, "
        "skip_when, timeout, timezone, when, when_store_unavailable, without_overlapping",
        id="a near miss",
    ),
    pytest.param({"weekdays": True}, "group(): 'weekdays' is no setting of a group", id="a filter"),
    pytest.param({"prefix": "x"}, "group(): 'prefix' is no setting of a group", id="an option of the scheduler"),
    pytest.param({"lock_ttl": 0}, "group(): lock_ttl(0): 0 is below the least value, 1 s", id="a value"),
    pytest.param({"lock_ttl": None}, "group(): lock_ttl(None): None is neither", id="None"),
    pytest.param({"timezone": "Berlin"}, "group(): time zone 'Berlin' is not a known IANA key", id="zone"),
    pytest.param({"on_one_server": 1}, "group(): on_one_server=1: the rule is True or False", id="a number for a flag"),
    pytest.param({"random_delay": 5}, "group(): random_delay=5: the rule is (min, max) or (min", id="one bound"),
    pytest.param({"random_delay": (1, 5, "x")}, "group(): random_delay(1, 5, seed='x'): the rule is seed=", id="seed"),
    pytest.param({"after": 1}, "group(): 1 is no hook after(): it must be an async or a plain function", id="a hook"),
    pytest.param({"retry": 1}, "group(): retry(1): attempts is a whole number", id="a single attempt"),
    pytest.param({"retry": {"on": OSError}}, "group(): retry={'on'", id="no attempts"),
    pytest.param({"retry": {"attempts": 3, "wait": 1}}, "group(): retry={'attempts': 3, 'wait': 1}: ", id="a bad name"),
    pytest.param({"random_delay": (5, 1)}, "group(): random_delay(5, 1): the rule is 0 <= min <= max", id="bounds"),
    pytest.param(
        {"rerun_on_crash": True}, "group(): rerun_on_crash(True): max_attempts is a whole number", id="attempts"
    ),
]


@pytest.mark.parametrize(("settings", "rule"), REFUSED)
def test_refused(scheduler: Scheduler, settings: dict[str, Any], rule: str) -> None:
    for make in (scheduler.group, scheduler.group(lock_ttl=5).group):
        with pytest.raises(ConfigurationError) as caught:
            make(**settings)
        assert str(caught.value).startswith(rule)
    assert not scheduler.jobs


def test_repr(scheduler: Scheduler) -> None:
    assert repr(scheduler.group(on_one_server=True, lock_ttl=5)) == "<Group on_one_server=True lock_ttl=5>"
