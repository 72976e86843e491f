"""What a user can get wrong: each mistake is refused at once, by a message with the value, the rule and the job."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import (
    BaseHandler,
    ConfigurationError,
    DuplicateJobError,
    Job,
    MemoryStore,
    Scheduler,
    SchedulerError,
    UnknownJobError,
)
from asyncsched.events import RunEnded
from asyncsched.testing import FakeClock
from asyncsched.triggers import Every

if TYPE_CHECKING:
    from collections.abc import Callable

NAN, INF = float("nan"), float("inf")


async def work() -> None:
    """A handler that does nothing."""


def refused(call: Callable[[], object], *parts: str, error: type[Exception] = ConfigurationError) -> None:
    """Check that ``call`` raises an error whose message contains every one of ``parts``."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error, f"{caught.value!r} is not exactly {error.__name__}"
    message = str(caught.value)
    missing = [part for part in parts if part not in message]
    assert not missing, f"{message!r} does not contain {missing}"


# Names

NAMES = [
    pytest.param("", ("job name ''", "0 characters", "1 to 200"), id="empty"),
    pytest.param("x" * 201, ("201 characters", "1 to 200"), id="201 characters"),
    pytest.param("a job", ("'a job'", "' '", "printable characters without whitespace"), id="space"),
    pytest.param("a\njob", (r"'a\njob'", r"'\n'", "without whitespace"), id="newline"),
    pytest.param("a\tjob", (r"'\t'", "without whitespace"), id="tab"),
    pytest.param("a\x00job", (r"'\x00'", "printable"), id="control character"),
    pytest.param("a\x7fjob", (r"'\x7f'", "printable"), id="delete character"),
    pytest.param("a\u00a0job", (r"'\xa0'", "printable"), id="no-break space"),
    pytest.param("a\u200bjob", (r"'\u200b'", "printable"), id="zero-width space"),
    pytest.param("a\ud800job", (r"'\ud800'", "printable"), id="lone surrogate"),
    *(pytest.param(f"a{c}b", (f"'a{c}b'", f"contains {c!r}", "any of {}*?[]"), id=f"character {c}") for c in "{}*?[]"),
    pytest.param(None, ("job name None", "not a string"), id="None"),
    pytest.param(7, ("job name 7", "not a string"), id="number"),
    pytest.param(b"job", ("job name b'job'", "not a string"), id="bytes"),
]


@pytest.mark.parametrize(("name", "parts"), NAMES)
def test_a_job_name_against_the_rules(scheduler: Scheduler, name: Any, parts: tuple[str, ...]) -> None:
    refused(lambda: scheduler.add_job(name, work), *parts)
    refused(lambda: scheduler.job(name), *parts)
    assert not scheduler.jobs, "a refused job was kept"


@pytest.mark.parametrize("name", ["x", "x" * 200, "a:b/c.d-e_f", "größe", "任务", "a|b", "100%"])
def test_a_job_name_within_the_rules(scheduler: Scheduler, name: str) -> None:
    assert scheduler.add_job(name, work).name == name
    assert list(scheduler.jobs) == [name]


def test_a_name_can_be_used_once(scheduler: Scheduler) -> None:
    first = scheduler.add_job("twice", work)
    for again in (lambda: scheduler.add_job("twice", work), lambda: scheduler.job("twice")):
        refused(again, "job 'twice'", "exists already", "once", error=DuplicateJobError)
    assert scheduler.get_job("twice") is first


# Handlers


async def two_parameters(_a: object, _b: object) -> None: ...
async def keyword_only(*, wanted: object) -> None: ...
async def one_and_keyword_only(_ctx: object, *, wanted: object) -> None: ...
def generator() -> Any:
    yield


async def async_generator() -> Any:
    yield


class GeneratorCall:
    def __call__(self) -> Any:
        yield


class NeedsArguments(BaseHandler):
    def __init__(self, pool: object) -> None:
        self.pool = pool


class HalfAProtocol:
    async def exec(self, ctx: object) -> None: ...


class NoMethods:
    """A class that is no handler."""


class NotMethods:
    exec = error = done = "text"


HANDLERS = [
    pytest.param(generator, "is a generator", id="generator"),
    pytest.param(async_generator, "is a generator", id="async generator"),
    pytest.param(partial(generator), "is a generator", id="partial of a generator"),
    pytest.param(GeneratorCall(), "is a generator", id="object whose call is a generator"),
    pytest.param(two_parameters, "requires the arguments (_a, _b); it may take none or one", id="two parameters"),
    pytest.param(lambda a, b: (a, b), "requires the arguments (a, b)", id="two parameters of a lambda"),
    pytest.param(keyword_only, "requires the arguments (wanted)", id="required keyword"),
    pytest.param(one_and_keyword_only, "requires the arguments (_ctx, wanted)", id="one and a required keyword"),
    pytest.param(partial(two_parameters), "requires the arguments", id="partial that leaves two"),
    pytest.param(NeedsArguments, "cannot be made without arguments", id="class that needs arguments"),
    pytest.param(HalfAProtocol, "exec, error and done", id="class with half a protocol"),
    pytest.param(HalfAProtocol(), "exec, error and done", id="object with half a protocol"),
    pytest.param(NoMethods, "exec, error and done", id="class without the protocol"),
    pytest.param(NoMethods(), "exec, error and done", id="object without the protocol"),
    pytest.param(NotMethods(), "exec, error and done", id="object whose methods are none"),
    pytest.param(None, "None is no handler", id="None"),
    pytest.param(42, "42 is no handler", id="number"),
    pytest.param("module:function", "'module:function' is no handler", id="string"),
    pytest.param([work], "is no handler", id="list"),
    pytest.param(min, "handler", id="builtin without a signature"),
]


@pytest.mark.parametrize(("handler", "part"), HANDLERS)
def test_a_handler_against_the_rules(scheduler: Scheduler, handler: Any, part: str) -> None:
    refused(lambda: scheduler.add_job("bad", handler), "job 'bad'", part)
    assert not scheduler.jobs, "a refused job was kept"


@pytest.mark.parametrize(("handler", "part"), HANDLERS)
def test_a_decorated_handler_against_the_rules(scheduler: Scheduler, handler: Any, part: str) -> None:
    job = scheduler.job("bad").immediate()
    refused(lambda: job(handler), "job 'bad'", part)
    assert job.handler is None
    assert job(work) is work, "after a refused handler a good one is taken"


def test_a_coroutine_instead_of_its_function(scheduler: Scheduler) -> None:
    coroutine = work()
    refused(lambda: scheduler.add_job("called", coroutine), "job 'called'", "coroutine", "without calling it")
    with pytest.raises(RuntimeError, match="cannot reuse"):  # it was closed: no warning that nobody awaited it
        coroutine.send(None)


# Durations

NO_DURATION = [
    pytest.param(True, ("True", "neither a number of seconds nor a timedelta"), id="bool"),
    pytest.param("30", ("'30'", "neither a number of seconds nor a timedelta"), id="string"),
    pytest.param([30], ("[30]", "neither a number"), id="list"),
    pytest.param(3j, ("3j", "neither a number"), id="complex"),
    pytest.param(NAN, ("nan", "not finite"), id="nan"),
    pytest.param(INF, ("inf", "not finite"), id="inf"),
    pytest.param(-INF, ("-inf", "not finite"), id="minus inf"),
    pytest.param(10**400, ("not finite",), id="int beyond float"),
    pytest.param(-1, ("-1", "below the least value"), id="negative"),
    pytest.param(-0.5, ("-0.5", "below the least value"), id="negative fraction"),
    pytest.param(1e12, ("1000000000000.0", "longer than 36500 days"), id="absurdly long"),
]
NO_INTERVAL = [
    *NO_DURATION,
    pytest.param(None, ("None", "neither a number of seconds nor a timedelta"), id="None"),
    pytest.param(0, ("0", "below the least value, 0.001 s"), id="zero"),
    pytest.param(0.0, ("0.0", "below the least value, 0.001 s"), id="zero as a float"),
    pytest.param(1e-9, ("1e-09", "below the least value, 0.001 s"), id="below 1 ms"),
]


@pytest.mark.parametrize("method", ["per_seconds", "per_minutes", "per_hours", "every"])
@pytest.mark.parametrize(("value", "parts"), NO_INTERVAL)
def test_an_interval_against_the_rules(method: str, value: Any, parts: tuple[str, ...]) -> None:
    job = Job("poll", work)
    what = "interval" if method == "every" else method
    refused(lambda: getattr(job, method)(value), "job 'poll'", what, *(part.split(", 0.001")[0] for part in parts))
    assert job.trigger is None, "a refused schedule was kept"
    job.immediate().per_seconds(1)


@pytest.mark.parametrize(
    ("method", "value"),
    [("per_minutes", 36_500 * 1440 + 1), ("per_hours", 36_500 * 24 + 1), ("every", 36_500 * 86_401)],
)
def test_an_interval_that_is_too_long_in_its_unit(method: str, value: int) -> None:
    what = "interval" if method == "every" else method
    refused(lambda: getattr(Job("poll", work), method)(value), "job 'poll'", what, str(value), "36500 days")


@pytest.mark.parametrize("method", ["per_minutes", "per_hours"])
def test_a_timedelta_is_never_multiplied_by_a_unit(method: str) -> None:
    """``per_minutes(timedelta(minutes=15))`` must not become 15 hours: either that time, or an error."""
    job = Job("poll", work)
    try:
        getattr(job, method)(timedelta(minutes=15))
    except ConfigurationError as error:
        assert "'poll'" in str(error)  # noqa: PT017
        assert method in str(error)  # noqa: PT017
    else:
        assert job.trigger == Every(timedelta(minutes=15))


@pytest.mark.parametrize("value", [timedelta(0), timedelta(microseconds=999), timedelta(seconds=-1)])
def test_a_timedelta_that_is_too_short(value: timedelta) -> None:
    refused(lambda: Job("poll", work).every(value), "job 'poll'", repr(value), "below the least value, 0.001 s")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda job: job.per_seconds(0.001), Every(0.001)),
        (lambda job: job.per_seconds(2.5), Every(2.5)),
        (lambda job: job.per_minutes(0.5), Every(30)),
        (lambda job: job.per_hours(2), Every(7200)),
        (lambda job: job.every(timedelta(days=36_500)), Every(36_500 * 86_400)),
        (lambda job: job.every(timedelta(milliseconds=1)), Every(0.001)),
    ],
)
def test_an_interval_within_the_rules(make: Callable[[Job], Job], expected: Every) -> None:
    assert make(Job("poll", work)).trigger == expected


@pytest.mark.parametrize("method", ["random_delay", "lock_ttl", "misfire_grace", "catch_up"])
@pytest.mark.parametrize(("value", "parts"), NO_DURATION)
def test_a_jobs_duration_against_the_rules(method: str, value: Any, parts: tuple[str, ...]) -> None:
    job = Job("slow", work)
    arguments = (value, value) if method == "random_delay" else (value,)
    refused(lambda: getattr(job, method)(*arguments), "job 'slow'", method, *parts)


DELAYS = [
    pytest.param((60, 30), ("random_delay(60, 30)", "0 <= min <= max"), id="min above max"),
    pytest.param((-1, 30), ("random_delay(-1, 30)", "below the least value"), id="negative min"),
    pytest.param((0, -1), ("random_delay(0, -1)", "below the least value"), id="negative max"),
    pytest.param((0, NAN), ("random_delay(0, nan)", "not finite"), id="nan"),
    pytest.param((None, 1), ("random_delay(None, 1)", "neither a number"), id="None"),
    pytest.param((timedelta(seconds=2), 1), ("random_delay(", "0 <= min <= max"), id="timedelta above number"),
]


@pytest.mark.parametrize(("bounds", "parts"), DELAYS)
def test_a_random_delay_against_the_rules(bounds: Any, parts: tuple[str, ...]) -> None:
    job = Job("jitter", work)
    refused(lambda: job.random_delay(*bounds), "job 'jitter'", *parts)
    assert job.delay is None


@pytest.mark.parametrize("bounds", [(0, 0), (0, 30), (30, 30), (0.5, timedelta(seconds=1))])
def test_a_random_delay_within_the_rules(bounds: Any) -> None:
    assert Job("jitter", work).random_delay(*bounds).delay is not None


@pytest.mark.parametrize("value", [0, 0.999, timedelta(milliseconds=999)])
def test_a_lock_ttl_below_a_second(make_scheduler: Callable[..., Scheduler], value: Any) -> None:
    refused(lambda: Job("locked", work).lock_ttl(value), "job 'locked'", "lock_ttl", repr(value), "least value, 1 s")
    refused(lambda: make_scheduler(lock_ttl=value), "lock_ttl", repr(value), "least value, 1 s")


@pytest.mark.parametrize("option", ["lock_ttl", "misfire_grace", "shutdown_timeout"])
@pytest.mark.parametrize(("value", "parts"), NO_DURATION)
def test_a_schedulers_duration_against_the_rules(
    make_scheduler: Callable[..., Scheduler], option: str, value: Any, parts: tuple[str, ...]
) -> None:
    refused(lambda: make_scheduler(**{option: value}), option, *parts)


@pytest.mark.parametrize("option", ["lock_ttl", "shutdown_timeout"])
def test_none_is_no_duration(make_scheduler: Callable[..., Scheduler], option: str) -> None:
    refused(lambda: make_scheduler(**{option: None}), option, "None", "neither a number of seconds nor a timedelta")


def test_none_is_no_lock_ttl_of_a_job() -> None:
    refused(lambda: Job("locked", work).lock_ttl(None), "job 'locked'", "lock_ttl(None)", "neither a number")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"lock_ttl": 1}, {"misfire_grace": None}, {"misfire_grace": 0}, {"shutdown_timeout": 0}]
)
def test_a_duration_on_its_bound(make_scheduler: Callable[..., Scheduler], options: dict[str, Any]) -> None:
    assert repr(make_scheduler(**options)).startswith("<Scheduler idle")


# Times, cron expressions, instants, triggers

TIMES = [
    "24:00:00", "9:00", "09:60:00", "09:00:60", "-09:00", "+9:00", " 09:00", "09:00 ", "09:00\n", "", "0900",
    "09:00:00.5", "٠٩:٠٠", "09.00", "noon", None, 9, 9.5, True, datetime(2026, 1, 1, tzinfo=UTC),
]  # fmt: skip


@pytest.mark.parametrize("value", TIMES, ids=repr)
def test_a_daily_time_against_the_rules(value: Any) -> None:
    job = Job("report", work)
    refused(lambda: job.daily_at("10:00", value), "job 'report'", repr(value), "HH:MM:SS or HH:MM")
    assert job.trigger is None


@pytest.mark.parametrize(("value", "meant"), [("9:00", "09:00"), ("24:00", "00:00"), ("24:00:00", "00:00:00")])
def test_a_daily_time_with_a_near_miss(value: str, meant: str) -> None:
    refused(lambda: Job("report", work).daily_at(value), "job 'report'", f"did you mean {meant!r}?")


CRONS = [
    pytest.param("73 * * * *", ("cron field 'minute'", "73 is not in 0-59"), id="minute"),
    pytest.param("* 24 * * *", ("cron field 'hour'", "24 is not in 0-23"), id="hour"),
    pytest.param("* * 0 * *", ("cron field 'day of month'", "0 is not in 1-31"), id="day of month"),
    pytest.param("* * * 13 *", ("cron field 'month'", "13 is not in 1-12"), id="month"),
    pytest.param("* * * * 8", ("cron field 'day of week'", "8 is not in 0-7"), id="day of week"),
    pytest.param("60 * * * * *", ("cron field 'second'", "60 is not in 0-59"), id="second"),
    pytest.param("*/0 * * * *", ("cron field 'minute'", "step 0"), id="step"),
    pytest.param("30-10 * * * *", ("cron field 'minute'", "runs backwards"), id="range"),
    pytest.param("* * * jann *", ("cron field 'month'", "did you mean 'JAN'?"), id="name"),
    pytest.param("* * * *", ("'* * * *'", "4 fields", "five"), id="four fields"),
    pytest.param("* * * * * * *", ("7 fields", "six with seconds first"), id="seven fields"),
    pytest.param("", ("''", "0 fields"), id="empty"),
    pytest.param("@often", ("'@often'", "@daily"), id="alias"),
    pytest.param("@reboot", ("@reboot", "immediate()"), id="reboot"),
    pytest.param("0 0 30 2 *", ("'0 0 30 2 *'", "never comes"), id="30th of February"),
    pytest.param(5, ("cron 5", "not a string"), id="number"),
    pytest.param(None, ("cron None", "not a string"), id="None"),
]


@pytest.mark.parametrize(("expression", "parts"), CRONS)
def test_a_cron_expression_against_the_rules(expression: Any, parts: tuple[str, ...]) -> None:
    job = Job("sync", work)
    refused(lambda: job.cron(expression), "job 'sync'", *parts)
    refused(lambda: job.cron("@daily", expression), "job 'sync'", *parts)
    assert job.trigger is None


def test_a_refused_call_stands_there_as_it_was_written() -> None:
    refused(lambda: Job("report", work).daily_at("9:00"), "daily_at('9:00'): ")
    refused(lambda: Job("report", work).cron("@daily", "5"), "cron('@daily', '5'): ")


def test_schedules_without_a_value() -> None:
    refused(lambda: Job("empty", work).daily_at(), "job 'empty'", "none given")
    refused(lambda: Job("empty", work).cron(), "job 'empty'", "cron()", "at least one")
    refused(lambda: Job("empty", work).at(), "job 'empty'", "no instant given")


AWARE = datetime(2026, 1, 2, tzinfo=UTC)
INSTANTS = [
    pytest.param((AWARE, datetime(2026, 1, 2)), ("datetime.datetime(2026, 1, 2, 0, 0)", "naive"), id="naive"),
    pytest.param((AWARE, "2026-01-02"), ("'2026-01-02'", "not a datetime"), id="string"),
    pytest.param((AWARE, 1_767_225_600), ("1767225600", "not a datetime"), id="number"),
    pytest.param((AWARE, AWARE.date()), ("datetime.date(2026, 1, 2)", "not a datetime"), id="date"),
    pytest.param((None,), ("None", "not a datetime"), id="None"),
]


@pytest.mark.parametrize(("instants", "parts"), INSTANTS)
def test_an_instant_against_the_rules(instants: Any, parts: tuple[str, ...]) -> None:
    refused(lambda: Job("once", work).at(*instants), "job 'once'", *parts)


@pytest.mark.parametrize("anchor", [datetime(2026, 1, 2), "2026-01-02", None])
def test_an_anchor_against_the_rules(anchor: Any) -> None:
    refused(lambda: Job("grid", work).every(30, anchor=anchor), "job 'grid'", "anchor", repr(anchor))


class NoTrigger:
    next_fire_time = "tomorrow"


@pytest.mark.parametrize("trigger", [None, 30, "* * * * *", Every, NoTrigger(), work, timedelta(1)])
def test_a_trigger_against_the_rules(trigger: Any) -> None:
    job = Job("own", work)
    refused(lambda: job.schedule(trigger), "job 'own'", repr(trigger), "next_fire_time(after)")
    assert job.trigger is None


ZONES = [
    pytest.param("Europe/Berln", ("'Europe/Berln'", "did you mean 'Europe/Berlin'?"), id="misspelt"),
    pytest.param("berlin", ("'berlin'", "did you mean 'Europe/Berlin'?"), id="city"),
    pytest.param("", ("''", "IANA"), id="empty"),
    pytest.param("../etc/passwd", ("'../etc/passwd'", "IANA"), id="path"),
    pytest.param("localtime", ("'localtime'", "IANA"), id="localtime"),
    pytest.param(2, ("2", "tzinfo"), id="number"),
    pytest.param(None, ("None", "tzinfo"), id="None"),
    pytest.param(timedelta(hours=2), ("datetime.timedelta(seconds=7200)", "tzinfo"), id="timedelta"),
]


@pytest.mark.parametrize(("value", "parts"), ZONES)
def test_a_time_zone_against_the_rules(make_scheduler: Callable[..., Scheduler], value: Any, parts: Any) -> None:
    refused(lambda: Job("local", work).timezone(value), "job 'local'", *parts)
    refused(lambda: make_scheduler(timezone=value), *parts)


# Combinations

SCHEDULES: list[Callable[[Job], Job]] = [
    lambda job: job.per_seconds(30),
    lambda job: job.per_minutes(15),
    lambda job: job.per_hours(2),
    lambda job: job.every(90),
    lambda job: job.daily_at("09:00"),
    lambda job: job.cron("@daily"),
    lambda job: job.at(AWARE),
    lambda job: job.schedule(Every(30)),
]


@pytest.mark.parametrize("second", SCHEDULES)
def test_a_second_schedule(second: Callable[[Job], Job]) -> None:
    job = Job("both", work).per_seconds(30)
    refused(lambda: second(job), "job 'both'", "already has the schedule Every(30)", "|")
    assert job.trigger == Every(30)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_immediate_and_one_schedule_in_either_order(schedule: Callable[[Job], Job]) -> None:
    for job in (schedule(Job("both", work).immediate()), schedule(Job("both", work)).immediate()):
        assert job.runs_immediately
        assert job.trigger is not None


POLICIES: list[tuple[str, tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]] = [
    # method, arguments, the same in another form, others
    ("random_delay", (0, 30), (0.0, timedelta(seconds=30)), (0, 31)),
    ("timezone", ("UTC",), (UTC,), ("Europe/Berlin",)),
    ("lock_ttl", (60,), (timedelta(minutes=1),), (61,)),
    ("misfire_grace", (60,), (timedelta(minutes=1),), (61,)),
    ("misfire_grace", (60,), (60.0,), (None,)),
    ("misfire_grace", (None,), (None,), (60,)),
    ("misfire_grace", (0,), (0.0,), (None,)),
    ("rerun_on_crash", (2,), (2,), (3,)),
    ("rerun_on_crash", (3,), (3,), (2,)),
    ("catch_up", (60,), (timedelta(minutes=1),), (61,)),
    ("catch_up", (0,), (0.0,), (1,)),
    ("when_store_unavailable", ("run",), ("run",), ("skip",)),
    ("when_store_unavailable", ("skip",), ("skip",), ("run",)),
]


@pytest.mark.parametrize(("method", "first", "same", "other"), POLICIES)
def test_a_policy_given_twice(method: str, first: Any, same: Any, other: Any) -> None:
    job = getattr(Job("policed", work), method)(*first)
    assert getattr(job, method)(*same) is job, "the same value again is fine"
    refused(lambda: getattr(job, method)(*other), "job 'policed'", f"{method}(", repr(other[-1]), "given before")


def test_flags_may_be_repeated() -> None:
    job = Job("flags", work).immediate().immediate().on_one_server().on_one_server()
    assert job.without_overlapping().without_overlapping().policies == (
        "immediate",
        "on_one_server",
        "without_overlapping",
    )


CHANGES: list[tuple[str, Callable[[Job], object]]] = [
    ("immediate()", lambda job: job.immediate()),
    ("daily_at(", lambda job: job.daily_at("09:00")),
    ("per_seconds(30)", lambda job: job.per_seconds(30)),
    ("per_minutes(15)", lambda job: job.per_minutes(15)),
    ("per_hours(2)", lambda job: job.per_hours(2)),
    ("every(90)", lambda job: job.every(90)),
    ("cron(", lambda job: job.cron("@daily")),
    ("at()", lambda job: job.at(AWARE)),
    ("schedule(", lambda job: job.schedule(Every(1))),
    ("on_one_server()", lambda job: job.on_one_server()),
    ("without_overlapping()", lambda job: job.without_overlapping()),
    ("random_delay(0, 1)", lambda job: job.random_delay(0, 1)),
    ("timezone('UTC')", lambda job: job.timezone("UTC")),
    ("lock_ttl(60)", lambda job: job.lock_ttl(60)),
    ("misfire_grace(None)", lambda job: job.misfire_grace(None)),
    ("rerun_on_crash(2)", lambda job: job.rerun_on_crash()),
    ("catch_up(60)", lambda job: job.catch_up(60)),
    ("when_store_unavailable('run')", lambda job: job.when_store_unavailable("run")),
]


@pytest.mark.parametrize(("call", "change"), CHANGES)
async def test_a_change_after_the_job_was_scheduled(
    scheduler: Scheduler, call: str, change: Callable[[Job], object]
) -> None:
    job = scheduler.add_job("fixed", work).immediate()
    before = repr(job)
    async with scheduler:
        refused(lambda: change(job), "job 'fixed'", call, "already scheduled", "remove_job()")
    refused(lambda: change(job), "job 'fixed'", call, "already scheduled")
    assert repr(job) == before


async def test_a_handler_after_the_job_was_scheduled(scheduler: Scheduler) -> None:
    job = scheduler.add_job("fixed", work).immediate()
    async with scheduler:
        refused(lambda: job(work), "job 'fixed'", "handler", "already")


# Starting


async def by_run(scheduler: Scheduler) -> None:
    await scheduler.run(signals=())


async def by_async_with(scheduler: Scheduler) -> None:
    async with scheduler:
        pass


async def by_lifespan(scheduler: Scheduler) -> None:
    async with scheduler.lifespan(None):
        pass


STARTS = [by_run, by_async_with, by_lifespan]


@pytest.mark.parametrize("start", STARTS)
async def test_a_job_without_a_schedule(scheduler: Scheduler, start: Callable[[Scheduler], Any]) -> None:
    scheduler.add_job("aimless", work).on_one_server()
    with pytest.raises(ConfigurationError, match=r"job 'aimless': it has no schedule; .*per_seconds\(30\)"):
        await start(scheduler)
    assert scheduler.snapshot().state == "idle"
    scheduler.get_job("aimless").per_seconds(1)  # nothing was frozen by the failed start
    async with scheduler:
        assert scheduler.snapshot().state == "running"


@pytest.mark.parametrize("start", STARTS)
async def test_a_job_without_a_handler(scheduler: Scheduler, start: Callable[[Scheduler], Any]) -> None:
    scheduler.job("undecorated").per_seconds(30)
    with pytest.raises(ConfigurationError, match=r"job 'undecorated': it has no handler; .*decorator"):
        await start(scheduler)
    assert scheduler.snapshot().state == "idle"


@pytest.mark.parametrize("start", STARTS)
async def test_a_scheduler_that_runs_already(scheduler: Scheduler, start: Callable[[Scheduler], Any]) -> None:
    async with scheduler:
        with pytest.raises(SchedulerError, match="runs already"):
            await start(scheduler)
        assert scheduler.snapshot().state == "running", "the refused start stopped the scheduler"


SIGNALS = [
    pytest.param((signal.SIGUSR1, 9999), id="unknown number"),
    pytest.param((signal.SIGUSR1, signal.SIGKILL), id="a signal nobody can answer"),
    pytest.param((signal.SIGUSR1, "SIGTERM"), id="a name"),
    pytest.param(5, id="no collection"),
]


@pytest.mark.parametrize("signals", SIGNALS)
async def test_signals_that_cannot_be_answered(scheduler: Scheduler, signals: Any) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    try:
        with pytest.raises(ConfigurationError, match="signal"):
            await scheduler.run(signals=signals)
        assert scheduler.snapshot().state == "idle", "the scheduler runs on, owned by nobody"
        assert signal.getsignal(signal.SIGUSR1) is before, "a signal's handler was not put back"
    finally:
        signal.signal(signal.SIGUSR1, before)
        await scheduler.stop()


# Names of jobs that do not exist


async def test_unknown_jobs(scheduler: Scheduler) -> None:
    scheduler.add_job("cleanup", work).immediate()
    message = re.escape("no job is named 'clean_up' (did you mean 'cleanup'?)")
    for call in (scheduler.get_job, scheduler.remove_job):
        with pytest.raises(UnknownJobError, match=message):
            call("clean_up")
    for wait in (scheduler.trigger, scheduler.pause, scheduler.resume):
        with pytest.raises(UnknownJobError, match=message):
            await wait("clean_up")
    async with scheduler:
        with pytest.raises(UnknownJobError, match=message):
            await scheduler.trigger("clean_up")


@pytest.mark.parametrize("name", [None, 5, b"cleanup"])
def test_an_unknown_job_that_is_no_name(scheduler: Scheduler, name: Any) -> None:
    scheduler.add_job("cleanup", work)
    refused(lambda: scheduler.get_job(name), f"no job is named {name!r}", error=UnknownJobError)


def test_an_unknown_job_that_resembles_nothing() -> None:
    error = UnknownJobError("zzz", ["cleanup"])
    assert str(error) == "no job is named 'zzz'"
    assert isinstance(error, KeyError)
    assert isinstance(error, SchedulerError)


@pytest.mark.parametrize("remade", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_unknown_job_error_survives_copying(remade: Callable[[Exception], Exception]) -> None:
    error = UnknownJobError("clean_up", ["cleanup"])
    assert str(remade(error)) == str(error)


async def test_a_trigger_while_the_scheduler_does_not_run(scheduler: Scheduler) -> None:
    scheduler.add_job("idle", work).immediate()
    with pytest.raises(SchedulerError, match=r"trigger\('idle'\): the scheduler does not run"):
        await scheduler.trigger("idle")


async def test_a_trigger_of_an_incomplete_job(scheduler: Scheduler) -> None:
    async with scheduler:
        scheduler.add_job("half", work)
        with pytest.raises(ConfigurationError, match="job 'half': it has no schedule"):
            await scheduler.trigger("half")


# Subscriptions and options


def test_subscriptions_against_the_rules(scheduler: Scheduler) -> None:
    refused(lambda: scheduler.subscribe(None), "subscribe()", "None", "cannot be called")  # type: ignore[arg-type]
    refused(lambda: scheduler.subscribe("print"), "'print'", "cannot be called")  # type: ignore[arg-type]
    for event_type in (int, "RunEnded", None, object):
        refused(lambda t=event_type: scheduler.subscribe(print, RunEnded, t), repr(event_type), "asyncsched.events")


OPTIONS = [
    pytest.param({"logger": "app"}, ("logger 'app'", "logging.Logger"), id="logger: a name"),
    pytest.param({"logger": print}, ("logger", "logging.Logger"), id="logger: a function"),
    pytest.param({"trace_id": "abc"}, ("trace_id 'abc'", "called"), id="trace_id: a string"),
    pytest.param({"trace_id": 5}, ("trace_id 5", "called"), id="trace_id: a number"),
    pytest.param({"node": ""}, ("node ''", "1 to 200"), id="node: empty"),
    pytest.param({"node": "n" * 201}, ("node", "201 characters"), id="node: too long"),
    pytest.param({"node": "a|b"}, ("node 'a|b'", "'|'"), id="node: a bar"),
    pytest.param({"node": "a b"}, ("node 'a b'", "whitespace"), id="node: a space"),
    pytest.param({"node": 5}, ("node 5", "not a string"), id="node: a number"),
    pytest.param({"prefix": None}, ("prefix", "None", "not a string"), id="prefix: None"),
    pytest.param({"prefix": "a b"}, ("prefix", "'a b'", "whitespace"), id="prefix: a space"),
    pytest.param({"prefix": "{app}"}, ("prefix", "'{app}'", "'{'"), id="prefix: a hash tag"),
    pytest.param({"prefix": "x" * 10_000}, ("prefix", "10000 characters"), id="prefix: too long"),
    pytest.param({"replica_ack": -1}, ("replica_ack", "-1", "below 0"), id="replica_ack: negative"),
    pytest.param({"replica_ack": True}, ("replica_ack", "True", "whole number"), id="replica_ack: bool"),
    pytest.param({"replica_ack": 1.0}, ("replica_ack", "1.0", "whole number"), id="replica_ack: a float"),
    pytest.param({"replica_ack": 1}, ("replica_ack", "1", "Redis"), id="replica_ack: in memory"),
    pytest.param({"store": 5}, ("store", "5", "redis.asyncio.Redis"), id="store: a number"),
    pytest.param({"store": MemoryStore}, ("store", "MemoryStore", "none of these"), id="store: a class"),
    pytest.param({"store": "http://x"}, ("store", "'http://x'", "redis://"), id="store: another scheme"),
    pytest.param({"store": "localhost:6379"}, ("store", "redis://"), id="store: no scheme"),
    pytest.param({"store": ""}, ("store", "''", "redis://"), id="store: empty"),
    pytest.param({"store": {}}, ("store", "a dict"), id="store: a dict"),
    pytest.param({"store": MemoryStore(), "prefix": "a"}, ("store", "prefix"), id="store with a prefix of its own"),
    pytest.param({"store": MemoryStore(), "replica_ack": 1}, ("store", "replica_ack"), id="store with its own acks"),
    pytest.param({"clock": 5}, ("clock", "5"), id="clock: a number"),
    pytest.param({"clock": FakeClock}, ("clock", "FakeClock"), id="clock: a class"),
]


@pytest.mark.parametrize(("options", "parts"), OPTIONS)
def test_an_option_against_the_rules(
    make_scheduler: Callable[..., Scheduler], options: dict[str, Any], parts: tuple[str, ...]
) -> None:
    refused(lambda: make_scheduler(**options), *parts)


# BaseHandler outside of its run


class Held(BaseHandler):
    async def exec(self, ctx: Any) -> None: ...


OUTSIDE: list[tuple[str, Callable[[BaseHandler], object]]] = [
    ("hold", lambda handler: handler.hold()),
    ("finish", lambda handler: handler.finish()),
    ("report", lambda handler: handler.report(ValueError("x"))),
    ("finish", lambda handler: handler.finish(None)),
]


@pytest.mark.parametrize(("method", "call"), OUTSIDE)
def test_a_handlers_words_outside_of_a_run(method: str, call: Callable[[BaseHandler], object]) -> None:
    refused(lambda: call(Held()), f"Held.{method}()", "run", "ctx", error=SchedulerError)


@pytest.mark.parametrize("method", ["error", "done"])
async def test_waiting_for_a_handler_outside_of_a_run(method: str) -> None:
    with pytest.raises(SchedulerError, match=rf"Held.{method}\(\) belongs into a run"):
        await getattr(Held(), method)()


async def test_hold_in_the_run_of_another_form_of_handler(scheduler: Scheduler) -> None:
    caught: list[str] = []

    async def handler() -> None:
        try:
            Held().hold()
        except SchedulerError as error:
            caught.append(str(error))

    scheduler.add_job("plain", handler).immediate()
    async with scheduler:
        await asyncio.sleep(0)
    assert len(caught) == 1
    assert "Held.hold() belongs into a run" in caught[0]


async def test_hold_after_exec(scheduler: Scheduler, clock: FakeClock) -> None:
    contexts: list[Any] = []

    class Late(BaseHandler):
        async def exec(self, ctx: Any) -> None:
            contexts.append(ctx)
            self.hold()

    handler = Late()
    scheduler.add_job("late", handler).immediate()
    async with scheduler:
        await clock.settle()
        refused(lambda: handler.hold(contexts[0]), "hold()", "exec() had returned", error=SchedulerError)
        handler.finish(contexts[0])
        await clock.settle()
        assert contexts[0].outcome == "succeeded"


@pytest.mark.parametrize("error", [None, "text", ValueError, KeyboardInterrupt()])
def test_only_an_exception_can_be_reported(error: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"report(): {error!r} is no exception")):
        Held().report(error)


# The fake clock


@pytest.mark.parametrize("start", [datetime(2026, 1, 1), "2026-01-01", 0, None])
def test_a_fake_clock_starts_at_an_aware_datetime(start: Any) -> None:
    refused(lambda: FakeClock(start), "FakeClock start", repr(start))


@pytest.mark.parametrize("by", [True, "1", None, NAN, INF, -1, timedelta(seconds=-1)], ids=repr)
async def test_a_fake_clock_goes_forward_by_a_duration(clock: FakeClock, by: Any) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"advance(): {by!r}")):
        await clock.advance(by)
    assert clock.monotonic() == 0


@pytest.mark.parametrize("instant", [datetime(2026, 1, 2), "2026-01-02", None, datetime(2025, 12, 31, tzinfo=UTC)])
async def test_a_fake_clock_goes_forward_to_an_aware_datetime(clock: FakeClock, instant: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"advance(_to)?\(\)"):
        await clock.advance_to(instant)
    assert clock.monotonic() == 0


@pytest.mark.parametrize("by", [NAN, INF, "1", None, True], ids=repr)
def test_a_fake_clock_is_shifted_by_a_number(clock: FakeClock, by: Any) -> None:
    refused(lambda: clock.shift(by), "shift()", repr(by))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
