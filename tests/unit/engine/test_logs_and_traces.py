"""What is written about a run: who, which run, which trace; and an outage once, not once per tick."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, Skewed, Work, counted, down, quick, running, steps

from asyncsched import BaseHandler, Outcome, RunContext, RunFilter, Scheduler, current_run, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

HEX = re.compile(r"[0-9a-f]{32}")


async def test_the_run_speaks_with_its_ids(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[RunContext] = []

    async def handler(ctx: RunContext) -> None:
        ctx.logger.warning("hello", extra={"mine": 1, "trace_id": "forged", "job": "forged"})
        seen.append(ctx)

    scheduler.add_job("a", handler).per_seconds(10)
    async with running(scheduler, clock):
        await clock.advance(10)
    (record,) = [record for record in caplog.records if record.getMessage() == "hello"]
    (ctx,) = seen
    assert (record.job, record.run_id, record.trace_id) == ("a", ctx.run_id, ctx.trace_id)  # type: ignore[attr-defined]
    assert record.mine == 1  # type: ignore[attr-defined]
    assert HEX.fullmatch(ctx.run_id)
    assert HEX.fullmatch(ctx.trace_id)
    assert ctx.run_id != ctx.trace_id


@pytest.mark.parametrize("guarded", [False, True])
async def test_the_end_of_a_run_is_one_line(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture, guarded: bool
) -> None:
    caplog.set_level(logging.INFO, "asyncsched")

    async def handler(ctx: RunContext) -> None:
        if ctx.fire_time.second == 20:
            raise ValueError("of the handler")

    job = scheduler.add_job("a", handler).per_seconds(10)
    if guarded:
        job.on_one_server()
    async with running(scheduler, clock):
        await clock.advance(20)
    good, bad = [record for record in caplog.records if "outcome=" in record.getMessage()]
    assert re.fullmatch(
        r"job=a run=[0-9a-f]{32} trace=[0-9a-f]{32} tick=2026-01-01T00:00:10\+00:00 outcome=succeeded duration=0\.000s",
        good.getMessage(),
    )
    assert good.levelno == logging.INFO
    assert (bad.levelno, "outcome=failed" in bad.getMessage()) == (logging.ERROR, True)
    assert bad.exc_info is not None
    assert str(bad.exc_info[1]) == "of the handler"
    assert bad.job == "a"  # type: ignore[attr-defined]


async def test_every_skip_and_miss_has_a_line(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncsched")
    work = Work()
    scheduler.add_job("held", work).per_seconds(10).without_overlapping()
    scheduler.add_job("paused", quick).per_seconds(10)
    async with running(scheduler, clock):
        await scheduler.pause("paused")
        await clock.advance(20)
        await scheduler.trigger("held")
        clock.elapsed += 25
        await clock.advance(0)
        work.finish()
    lines = [record.getMessage() for record in caplog.records]
    assert "job=held tick=2026-01-01T00:00:20+00:00 outcome=skipped reason=overlap" in lines
    assert "job=held trigger at=2026-01-01T00:00:20+00:00 outcome=skipped reason=overlap" in lines
    assert "job=paused tick=2026-01-01T00:00:10+00:00 outcome=skipped reason=paused" in lines
    assert "job=held outcome=missed count=1 first=2026-01-01T00:00:30+00:00 last=2026-01-01T00:00:30+00:00" in lines


async def test_ticks_are_told_in_the_jobs_time_zone(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asyncsched")
    seen: list[Any] = []

    async def handler(ctx: RunContext) -> None:
        seen.extend([ctx.fire_time, ctx.started_at])

    scheduler.add_job("a", handler).daily_at("09:00").timezone("Asia/Tokyo")
    async with running(scheduler, clock):
        await clock.advance(86_400)
    assert "tick=2026-01-02T09:00:00+09:00" in caplog.text
    assert [str(at.tzinfo) for at in seen] == ["Asia/Tokyo"] * 2


async def test_an_outage_is_said_once_however_many_ticks_it_costs(
    make: Callable[..., Scheduler], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    scheduler = make(store)
    book = Book(scheduler)
    caplog.set_level(logging.INFO, "asyncsched")
    for number in range(5):
        scheduler.add_job(f"job{number}", quick).per_seconds(2).on_one_server()
    scheduler.add_job("plain", quick).per_seconds(2)
    async with running(scheduler, clock):
        await clock.advance(2.5)
        for method in ("claim", "refresh", "release"):
            store.on(method, *[down] * 10_000)
        await steps(clock, 60, 5)
        assert scheduler.snapshot().store_available is False
        for method in ("claim", "refresh", "release"):
            store.forget_script(method)
        await clock.advance(10)
        assert scheduler.snapshot().store_available is True
    away = [record for record in caplog.records if "the store does not answer" in record.getMessage()]
    back = [record for record in caplog.records if "the store answers again after" in record.getMessage()]
    assert (len(away), len(back)) == (1, 1)
    assert (len(book.of(events.StoreLost)), len(book.of(events.StoreRecovered))) == (1, 1)
    assert 58 < book.of(events.StoreRecovered)[0].outage_for < 62
    tallies = {job.name: dict(job.counters) for job in scheduler.snapshot().jobs}
    assert counted(scheduler)["store_unavailable"] > 100
    assert tallies


async def test_an_outage_that_only_claims_see_is_one_outage(
    make: Callable[..., Scheduler], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    scheduler = make(store)
    store.on("claim", *[down] * 1000)
    scheduler.add_job("a", quick).per_seconds(2).on_one_server()
    async with running(scheduler, clock):
        await steps(clock, 60, 5)
    assert caplog.text.count("the store does not answer") == 1
    assert "answers again" not in caplog.text


async def test_it_starts_without_the_store_and_finds_it(make: Callable[..., Scheduler], clock: FakeClock) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    store.knows_time = False
    for method in ("claim", "refresh", "release"):
        store.on(method, *[down] * 30)
    scheduler = make(store)
    scheduler.add_job("guarded", quick).per_seconds(5).on_one_server()
    scheduler.add_job("plain", quick).per_seconds(5)
    async with running(scheduler, clock):
        await clock.advance(10)
        assert counted(scheduler)[Outcome.SUCCEEDED] == 2
        store.knows_time = True
        await clock.advance(60)
    assert counted(scheduler)[Outcome.SUCCEEDED] > 20


# Where the current run is known


async def test_the_current_run_is_known_in_tasks_and_threads(scheduler: Scheduler, clock: FakeClock) -> None:
    seen: list[str | None] = []

    def note() -> None:
        run = current_run()
        seen.append(None if run is None else run.job)

    async def deeper() -> None:
        note()

    async def handler() -> None:
        note()
        await deeper()
        await asyncio.create_task(deeper())
        await asyncio.to_thread(note)

    scheduler.add_job("async", handler).immediate()
    async with running(scheduler, clock):
        for _ in range(2000):
            if len(seen) == 4:
                break
            await asyncio.sleep(0.0005)
        note()
    assert seen == ["async"] * 4 + [None]


async def test_the_current_run_is_known_in_plain_functions_and_protocol_handlers(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    seen: dict[str, str] = {}

    def note(where: str) -> None:
        run = current_run()
        assert run is not None
        seen[where] = run.job

    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            note("exec")

        async def done(self) -> None:
            note("done")
            await super().done()

    done = threading.Event()

    def plain() -> None:
        note("thread")
        done.set()

    scheduler.add_job("protocol", Handler).immediate()
    scheduler.add_job("plain", plain).immediate()
    async with running(scheduler, clock):
        for _ in range(2000):
            if done.is_set() and counted(scheduler) == {Outcome.SUCCEEDED: 2}:
                break
            await asyncio.sleep(0.0005)
    assert seen == {"exec": "protocol", "done": "protocol", "thread": "plain"}


async def test_runs_do_not_see_each_other(scheduler: Scheduler, clock: FakeClock) -> None:
    seen: list[tuple[str, str]] = []

    async def handler(ctx: RunContext) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            run = current_run()
            assert run is not None
            seen.append((ctx.run_id, run.run_id))

    for number in range(10):
        scheduler.add_job(f"job{number}", handler).immediate()
    async with running(scheduler, clock):
        await clock.advance(1)
    assert len(seen) == 50
    assert all(mine == current for mine, current in seen)


async def test_the_filter_stamps_the_services_own_records(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    service = logging.getLogger("tests.service")
    caplog.handler.addFilter(stamp := RunFilter())
    seen: list[RunContext] = []

    async def handler(ctx: RunContext) -> None:
        service.warning("inside")
        seen.append(ctx)

    scheduler.add_job("a", handler).immediate()
    try:
        async with running(scheduler, clock):
            service.warning("outside")
            await clock.advance(1)
    finally:
        caplog.handler.removeFilter(stamp)
    stamped = {record.getMessage(): record for record in caplog.records if record.name == "tests.service"}
    inside, outside = stamped["inside"], stamped["outside"]
    assert (inside.job, inside.run_id, inside.trace_id) == ("a", seen[0].run_id, seen[0].trace_id)  # type: ignore[attr-defined]
    assert (outside.job, outside.run_id, outside.trace_id) == ("-", "-", "-")  # type: ignore[attr-defined]


# Trace ids


async def test_the_users_trace_ids(make: Callable[..., Scheduler], clock: FakeClock) -> None:
    scheduler = make(trace_id=iter(f"trace-{number}" for number in range(100)).__next__)
    book = Book(scheduler)
    scheduler.add_job("a", quick).per_seconds(1)
    async with running(scheduler, clock):
        await clock.advance(3)
    assert [event.trace_id for event in book.of(events.RunEnded)] == ["trace-0", "trace-1", "trace-2"]


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (lambda: 1 / 0, "failed"),
        (lambda: 42, "gave 42, which is no id"),
        (lambda: "", "gave '', which is no id"),
        (lambda: None, "gave None"),
    ],
    ids=["raises", "a number", "empty", "none"],
)
async def test_a_trace_id_factory_that_fails_is_replaced(
    make: Callable[..., Scheduler], clock: FakeClock, caplog: pytest.LogCaptureFixture, factory: Any, said: str
) -> None:
    scheduler = make(trace_id=factory)
    book = Book(scheduler)
    scheduler.add_job("a", quick).per_seconds(1)
    async with running(scheduler, clock):
        await clock.advance(2)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 2}
    assert all(HEX.fullmatch(event.trace_id) for event in book.of(events.RunEnded))
    assert said in caplog.text


async def test_lateness_and_duration(make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock) -> None:
    from asyncsched._clock import sleep

    scheduler = make(clock=Skewed(clock, 0.0))
    book = Book(scheduler)

    async def handler() -> None:
        await sleep(clock, 2.5)

    scheduler.add_job("a", handler).per_seconds(10).random_delay(1, 1)
    async with running(scheduler, clock):
        await clock.advance(19)
    (started,), (ended,) = book.of(events.RunStarted), book.of(events.RunEnded)
    assert started.late_by == pytest.approx(1)
    assert ended.duration == pytest.approx(2.5)
    assert started.run_id == ended.run_id
    assert ended.errors == ()


async def test_reported_errors_are_logged_and_told_while_the_run_goes_on(
    scheduler: Scheduler, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.report(ValueError("one"))
            self.report(KeyError("two"))

    scheduler.add_job("a", Handler()).immediate()
    async with running(scheduler, clock):
        await clock.advance(1)
    assert [type(event.error) for event in book.of(events.ErrorReported)] == [ValueError, KeyError]
    assert caplog.text.count("reported an error and goes on") == 2
    assert " errors=2" in caplog.text
    (ended,) = book.of(events.RunEnded)
    assert [str(error) for error in ended.errors] == ["one", "'two'"]
