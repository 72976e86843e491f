"""Trace ids: what they are by default, the service's own, and where the current run is known."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import ConfigurationError, Run, RunContext, RunFilter, Scheduler, SchedulerError, current_run
from asyncsched._run import new_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

DEFAULT = re.compile(r"[0-9a-f]{32}")


async def trace_ids(scheduler: Scheduler, clock: FakeClock, runs: int = 1) -> list[str]:
    """Run a job and return the trace ids that its handler saw, each looked at twice."""
    seen: list[str] = []

    async def handler(ctx: RunContext) -> None:
        assert ctx.trace_id == ctx.trace_id, "a run has one trace id"
        seen.append(ctx.trace_id)

    scheduler.add_job("traced", handler).per_seconds(1)
    async with scheduler:
        await clock.advance(runs)
    return seen


async def test_the_default_is_a_w3c_trace_id(scheduler: Scheduler, clock: FakeClock) -> None:
    ids = await trace_ids(scheduler, clock, runs=200)
    assert len(ids) == 200
    assert len(set(ids)) == 200, "no two runs share one"
    for value in ids:
        assert DEFAULT.fullmatch(value), f"{value!r} is not 32 lower-case hex digits"
        assert value.strip("0"), "all zero is not a valid id"


async def test_an_id_of_zeros_is_drawn_again(
    scheduler: Scheduler, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter([bytes(16), bytes(16)])
    monkeypatch.setattr("os.urandom", lambda _size: next(draws, b"\xab" * 16))
    assert await trace_ids(scheduler, clock) == ["ab" * 16]


def test_ids_that_are_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = new_ids(300)
    assert len(set(ids)) == 300
    assert all(DEFAULT.fullmatch(value) for value in ids)
    assert new_ids(0) == []

    draws = iter([b"\x01" * 16 + bytes(16) + b"\x02" * 16, b"\x03" * 16])
    monkeypatch.setattr("os.urandom", lambda _size: next(draws))
    assert new_ids(3) == ["01" * 16, "03" * 16, "02" * 16], "all zero is not a valid id"


async def test_the_services_own_ids(make_scheduler: Callable[..., Scheduler], clock: FakeClock) -> None:
    made = (f"id-{n}" for n in range(10))
    assert await trace_ids(make_scheduler(trace_id=lambda: next(made)), clock, runs=3) == ["id-0", "id-1", "id-2"]


async def test_ids_are_made_when_they_are_asked_for(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="asyncsched")
    made: list[str] = []

    def make() -> str:
        made.append("id")
        return "id"

    async def handler() -> None: ...

    scheduler = make_scheduler(trace_id=make)
    scheduler.add_job("silent", handler).per_seconds(1)
    async with scheduler:
        await clock.advance(5)
    assert scheduler.snapshot().counters == {"succeeded": 5}
    assert made == [], "nobody read an id, so none was made"


def raise_error() -> str:
    raise ConnectionError("the id service is down")


JUNK = [
    pytest.param(raise_error, "failed; a default id is used", id="raises"),
    pytest.param(lambda: None, "gave None, which is no id; a default id is used", id="None"),
    pytest.param(lambda: "", "gave '', which is no id; a default id is used", id="empty"),
    pytest.param(lambda: 7, "gave 7, which is no id; a default id is used", id="number"),
    pytest.param(lambda: b"id", "gave b'id', which is no id; a default id is used", id="bytes"),
]


@pytest.mark.parametrize(("make", "said"), JUNK)
async def test_a_factory_that_gives_no_id(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, lines: Callable[..., list[str]], make: Any, said: str
) -> None:
    (value,) = await trace_ids(make_scheduler(trace_id=make), clock)
    assert DEFAULT.fullmatch(value)
    (line,) = lines("trace_id", logging.ERROR)
    assert line.startswith(f"trace_id {make!r}")
    assert said in line


async def test_a_factory_that_fails_under_a_run_filter(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Logging its failure asks the filter for the very id that is being made."""
    caplog.set_level(logging.INFO, logger="asyncsched")
    caplog.handler.addFilter(run_filter := RunFilter())
    try:
        (value,) = await trace_ids(make_scheduler(trace_id=raise_error), clock)
    finally:
        caplog.handler.removeFilter(run_filter)
    failures = [record for record in caplog.records if "a default id is used" in record.getMessage()]
    assert len(failures) == 1, f"said {len(failures)} times"
    ends = [record for record in caplog.records if "outcome=" in record.getMessage()]
    assert [f"trace={value}" in record.getMessage() for record in ends] == [True]


async def test_a_factory_that_logs_under_a_run_filter(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> str:
        logging.getLogger("app").warning("making an id")
        return "made"

    caplog.handler.addFilter(run_filter := RunFilter())
    try:
        assert await trace_ids(make_scheduler(trace_id=make), clock) == ["made"]
    finally:
        caplog.handler.removeFilter(run_filter)
    assert len([record for record in caplog.records if record.getMessage() == "making an id"]) == 1


# current_run


def test_there_is_no_run_outside() -> None:
    assert current_run() is None


async def test_the_run_is_known_below_the_handler(scheduler: Scheduler, clock: FakeClock) -> None:
    seen: dict[str, RunContext | None] = {}

    def in_thread() -> None:
        seen["thread"] = current_run()

    async def in_task() -> None:
        seen["task"] = current_run()

    async def handler(ctx: RunContext) -> None:
        seen["ctx"] = ctx
        seen["handler"] = current_run()
        await asyncio.create_task(in_task())
        await asyncio.to_thread(in_thread)

    scheduler.add_job("known", handler).immediate()
    async with scheduler:
        await clock.settle()
        assert current_run() is None, "the run is not known outside of it"
    assert set(seen) == {"ctx", "handler", "task", "thread"}
    assert {id(run) for run in seen.values()} == {id(seen["ctx"])}


async def test_the_run_is_known_in_a_plain_function(scheduler: Scheduler, clock: FakeClock) -> None:
    seen: list[tuple[bool, RunContext | None]] = []

    def handler(ctx: RunContext) -> None:
        seen.append((threading.current_thread() is threading.main_thread(), current_run()))
        assert current_run() is ctx

    scheduler.add_job("plain", handler).immediate()
    async with scheduler:
        await clock.settle()
    ((on_main_thread, run),) = seen
    assert not on_main_thread
    assert run is not None
    assert run.job == "plain"


async def test_runs_at_the_same_time_know_themselves(scheduler: Scheduler, clock: FakeClock) -> None:
    seen: list[tuple[str, str]] = []

    async def handler(ctx: RunContext) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            run = current_run()
            assert run is not None
            seen.append((ctx.job, run.job))

    for name in ("a", "b", "c"):
        scheduler.add_job(name, handler).immediate()
    async with scheduler:
        await clock.settle()
    assert len(seen) == 15
    assert all(ours == known for ours, known in seen), seen


# Ids of a tracing


REQUEST = contextvars.ContextVar("request", default="none")
SPAN = contextvars.ContextVar("span", default="none")


class Spans:
    """A tracing whose ids say for which job, and in which request, they were asked for."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails

    def trace_id(self, run: Run) -> str:
        if self.fails == "trace_id":
            raise ZeroDivisionError
        return f"{run.job}-{run.kind}-{REQUEST.get()}"

    def enter(self, run: Run) -> None:
        if self.fails == "enter":
            raise ZeroDivisionError
        SPAN.set(run.trace_id)

    def __repr__(self) -> str:
        return "Spans()"


async def test_handlers_run_in_what_a_tracing_sets_up(scheduler: Scheduler, clock: FakeClock) -> None:
    seen = []

    async def plain() -> None:
        seen.append(SPAN.get())

    def in_a_thread(ctx: RunContext) -> None:
        assert ctx.trace_id == SPAN.get()
        seen.append(SPAN.get())

    scheduler.trace_runs(Spans())
    scheduler.add_job("plain", plain).per_seconds(1)
    scheduler.add_job("guarded", plain).per_seconds(1).on_one_server()
    scheduler.add_job("with_policies", plain).per_seconds(1).timeout(5)
    scheduler.add_job("thread", in_a_thread).per_seconds(1)
    async with scheduler:
        await clock.advance(1)
    jobs = ("plain", "guarded", "with_policies", "thread")
    assert sorted(seen) == sorted(f"{job}-tick-none" for job in jobs)
    assert SPAN.get() == "none"


@pytest.mark.parametrize("is_guarded", [False, True])
async def test_the_id_of_a_triggered_run_is_made_where_it_is_asked_for(
    scheduler: Scheduler, clock: FakeClock, is_guarded: bool
) -> None:
    async def plain() -> None: ...

    scheduler.trace_runs(Spans())
    job = scheduler.add_job("j", plain).per_hours(1)
    if is_guarded:
        job.without_overlapping()
    async with scheduler:
        REQUEST.set("r1")
        run = await scheduler.trigger("j")
        await run.wait()
    assert run.trace_id == "j-trigger-r1"


@pytest.mark.parametrize(
    ("fails", "line"),
    [("trace_id", "trace_id Spans() failed; a default id is used"), ("enter", "job=traced runs without its tracing")],
)
async def test_a_tracing_that_fails_harms_no_run(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture, fails: str, line: str
) -> None:
    scheduler.trace_runs(Spans(fails))
    (value,) = await trace_ids(scheduler, clock)
    assert bool(DEFAULT.fullmatch(value)) == (fails == "trace_id")
    assert line in caplog.text


async def test_trace_ids_have_one_source(make_scheduler: Callable[..., Scheduler]) -> None:
    scheduler = make_scheduler(trace_id=lambda: "id")
    with pytest.raises(ConfigurationError, match="the rule is one source"):
        scheduler.trace_runs(Spans())
    scheduler = make_scheduler()
    with pytest.raises(ConfigurationError, match="is no tracing: it needs the methods trace_id, enter"):
        scheduler.trace_runs(object())  # type: ignore[arg-type]
    scheduler.trace_runs(Spans())
    with pytest.raises(ConfigurationError, match="the rule is one source"):
        scheduler.trace_runs(Spans())


async def test_a_running_scheduler_gets_no_tracing(scheduler: Scheduler) -> None:
    async with scheduler:
        with pytest.raises(SchedulerError, match="runs already"):
            scheduler.trace_runs(Spans())
