"""What the scheduler logs, at which level, and how a service's own records learn which run they belong to."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import BaseHandler, RunContext, RunFilter, Scheduler, current_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock

LINE = re.compile(
    r"job=(?P<job>\S+) run=(?P<run>[0-9a-f]{32}) trace=(?P<trace>\S+) tick=(?P<tick>\S+) "
    r"outcome=(?P<outcome>\w+) duration=(?P<duration>\d+\.\d{3})s(?: errors=(?P<errors>\d+))?"
)


class Kept(logging.Handler):
    """Keeps records, after the filters that were put on it."""

    def __init__(self, *filters: logging.Filter) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        for each in filters:
            self.addFilter(each)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def app_logger(request: pytest.FixtureRequest) -> logging.Logger:
    """A logger of the test's own, which keeps to itself."""
    logger = logging.getLogger(f"app.{request.node.name}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    return logger


async def work() -> None:
    """A handler that does nothing."""


async def fail() -> None:
    raise ValueError("no such row")


async def cancel_itself() -> None:
    raise asyncio.CancelledError


# The line that ends a run


async def test_the_line_of_a_run(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = make_scheduler(trace_id=lambda: "trace-7", timezone="Europe/Berlin")
    contexts: list[RunContext] = []

    async def handler(ctx: RunContext) -> None:
        contexts.append(ctx)
        await asyncio.get_running_loop().create_task(pause(clock, 1.25))

    scheduler.add_job("tidy", handler).per_seconds(10)
    caplog.set_level(logging.INFO, logger="asyncsched")
    async with scheduler:
        await clock.advance(12)
    (record,) = [record for record in caplog.records if "outcome=" in record.getMessage()]
    assert record.getMessage() == (
        f"job=tidy run={contexts[0].run_id} trace=trace-7 tick=2026-01-01T01:00:10+01:00 "
        "outcome=succeeded duration=1.250s"
    )
    stamps = (record.job, record.run_id, record.trace_id)  # type: ignore[attr-defined]
    assert stamps == ("tidy", contexts[0].run_id, "trace-7"), "a log shipper finds the ids as attributes"


async def pause(clock: FakeClock, seconds: float) -> None:
    """Sleep on the fake clock."""
    over = asyncio.Event()
    clock.call_later(seconds, over.set)
    await over.wait()


class TwoErrors(BaseHandler):
    async def exec(self, ctx: RunContext) -> None:
        self.report(ValueError("first"))
        raise KeyError("second")


OUTCOMES = [
    pytest.param(work, logging.INFO, "succeeded", None, id="succeeded"),
    pytest.param(fail, logging.ERROR, "failed", ValueError, id="failed"),
    pytest.param(cancel_itself, logging.WARNING, "cancelled", None, id="cancelled"),
    pytest.param(TwoErrors, logging.ERROR, "failed", KeyError, id="failed with two errors"),
]


@pytest.mark.parametrize(("handler", "level", "outcome", "error"), OUTCOMES)
async def test_the_level_of_an_outcome(
    scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture,
    handler: Any, level: int, outcome: str, error: type[Exception] | None,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG, logger="asyncsched")
    scheduler.add_job("levels", handler).immediate()
    async with scheduler:
        await clock.settle()
    (record,) = [record for record in caplog.records if (LINE.fullmatch(record.getMessage()))]
    match = LINE.fullmatch(record.getMessage())
    assert match is not None
    assert (record.levelno, match["job"], match["outcome"]) == (level, "levels", outcome)
    assert match["errors"] == ("2" if handler is TwoErrors else None)
    raised = record.exc_info[0] if record.exc_info else None
    assert raised is error, "the error's traceback stands with the line"


async def test_an_error_that_is_reported(
    scheduler: Scheduler, clock: FakeClock, lines: Callable[..., list[str]]
) -> None:
    scheduler.add_job("reports", TwoErrors).immediate()
    async with scheduler:
        await clock.settle()
    (line,) = lines("reported an error and goes on", logging.ERROR)
    assert line.startswith("job=reports run=")


async def test_a_lost_lease(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, lines: Callable[..., list[str]], flaky_store: Any
) -> None:
    scheduler = make_scheduler(flaky_store, lock_ttl=30)
    scheduler.add_job("loses", lambda: None)
    scheduler.remove_job("loses")

    async def long() -> None:
        await pause(clock, 1000)

    scheduler.add_job("loses", long).immediate().without_overlapping()
    async with scheduler:
        await clock.advance(1)
        flaky_store.down = True
        await clock.advance(60)
        flaky_store.down = False
    assert len(lines("job=loses", logging.ERROR)) == 2
    assert (
        "lost its lease: it could not be renewed in time; it is being cancelled" in lines("job=loses", logging.ERROR)[0]
    )
    assert "outcome=lock_lost" in lines("job=loses", logging.ERROR)[1]


# Skips and misses


async def test_skips_by_overlap_and_pause(
    scheduler: Scheduler, clock: FakeClock, lines: Callable[..., list[str]]
) -> None:
    async def slow() -> None:
        await pause(clock, 15)

    scheduler.add_job("slow", slow).per_seconds(10).without_overlapping()
    scheduler.add_job("still", work).per_seconds(10)
    await scheduler.pause("still")
    async with scheduler:
        await clock.advance(26)
    assert lines("reason=overlap", logging.WARNING) == [
        "job=slow tick=2026-01-01T00:00:20+00:00 outcome=skipped reason=overlap"
    ]
    assert lines("job=still tick=2026-01-01T00:00:10+00:00 outcome=skipped reason=paused", logging.DEBUG)
    assert lines("job=still was paused", logging.INFO)
    await scheduler.resume("still")
    assert lines("job=still was resumed", logging.INFO)


async def test_skips_elsewhere(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, lines: Callable[..., list[str]], flaky_store: Any
) -> None:
    one, two = (make_scheduler(flaky_store, node=name) for name in ("one", "two"))
    for scheduler in (one, two):
        scheduler.add_job("single", work).per_seconds(10).immediate().on_one_server()
    async with one, two:
        await clock.advance(11)
    assert len(lines("outcome=succeeded", logging.INFO)) == 2
    skips = lines("reason=elsewhere", logging.DEBUG)
    assert [line.split(" outcome")[0] for line in skips] == [
        "job=single start at=2026-01-01T00:00:00+00:00",
        "job=single tick=2026-01-01T00:00:10+00:00",
    ]


async def test_skips_by_an_outage(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, lines: Callable[..., list[str]], flaky_store: Any
) -> None:
    scheduler = make_scheduler(flaky_store, misfire_grace=2)
    scheduler.add_job("guarded", work).per_seconds(10).on_one_server()
    async with scheduler:
        flaky_store.down = True
        await clock.advance(25)
        flaky_store.down = False
    assert lines("job=guarded tick=2026-01-01T00:00:10+00:00 outcome=skipped reason=store_unavailable", logging.DEBUG)


async def test_skips_by_a_stop(scheduler: Scheduler, clock: FakeClock, lines: Callable[..., list[str]]) -> None:
    scheduler.add_job("jittery", work).immediate().random_delay(1000, 1000)
    async with scheduler:
        await clock.advance(1)
    assert lines("job=jittery start at=2026-01-01T00:00:00+00:00 outcome=skipped reason=shutting_down", logging.INFO)


async def test_missed_ticks(make_scheduler: Callable[..., Scheduler], clock: FakeClock, lines: Any) -> None:
    scheduler = make_scheduler(timezone="Europe/Berlin")
    scheduler.add_job("often", work).per_seconds(10)
    async with scheduler:
        await clock.advance(1)
        clock.shift(35)
        await clock.advance(1)
    assert lines("outcome=missed", logging.WARNING) == [
        "job=often outcome=missed count=2 first=2026-01-01T01:00:10+01:00 last=2026-01-01T01:00:20+01:00"
    ]


async def test_a_job_that_never_fires(scheduler: Scheduler, clock: FakeClock, lines: Callable[..., list[str]]) -> None:
    scheduler.add_job("past", work).at(clock.now())
    async with scheduler:
        await clock.settle()
    assert lines("job=past has no fire time in the future", logging.WARNING)


async def test_an_outage_is_told_once_and_its_end_once(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, lines: Callable[..., list[str]], flaky_store: Any
) -> None:
    scheduler = make_scheduler(flaky_store)
    for name in ("a", "b", "c"):
        scheduler.add_job(name, work).per_seconds(1).on_one_server().without_overlapping()
    async with scheduler:
        for _ in range(2):
            await clock.advance(5)
            assert scheduler.snapshot().store_available
            flaky_store.down = True
            await clock.advance(20)
            assert not scheduler.snapshot().store_available
            flaky_store.down = False
            await clock.advance(5)
    lost, back = lines("the store does not answer", logging.ERROR), lines("the store answers again", logging.WARNING)
    assert len(lost) == 2, lost
    assert "no answer from the test's store" in lost[0]
    assert len(back) == 2, back
    assert re.fullmatch(r"the store answers again after \d+\.\d s", back[0])


# The logger of a run


async def test_the_logger_of_a_run(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, app_logger: logging.Logger
) -> None:
    kept = Kept()
    app_logger.addHandler(kept)
    scheduler = make_scheduler(logger=app_logger, trace_id=lambda: "trace-7")
    run_ids: list[str] = []

    async def handler(ctx: RunContext) -> None:
        run_ids.append(ctx.run_id)
        ctx.logger.info("plain %d", 1)
        ctx.logger.info("extra", extra={"job": "forged", "run_id": "forged", "trace_id": "forged", "customer": 42})

    scheduler.add_job("tidy", handler).immediate()
    async with scheduler:
        await clock.settle()
    plain, extra = (r for r in kept.records if r.getMessage() in ("plain 1", "extra"))
    for record in (plain, extra):
        assert (record.job, record.run_id, record.trace_id) == ("tidy", run_ids[0], "trace-7")  # type: ignore[attr-defined]
        assert record.filename == "test_logging.py", "the record keeps the caller's file"
    assert extra.customer == 42, "the caller's own extra is kept"  # type: ignore[attr-defined]
    assert not hasattr(plain, "customer")


# RunFilter


def stamps(record: logging.LogRecord) -> tuple[str, str, str]:
    return record.job, record.run_id, record.trace_id  # type: ignore[attr-defined]


def test_the_filter_outside_of_a_run(app_logger: logging.Logger) -> None:
    kept = Kept(RunFilter())
    app_logger.addHandler(kept)
    app_logger.info("nobody's")
    app_logger.info("stamped", extra={"trace_id": "own"})
    assert [stamps(record) for record in kept.records] == [("-", "-", "-"), ("-", "-", "own")]


async def test_the_filter_in_a_run_in_its_tasks_and_in_its_threads(
    scheduler: Scheduler, clock: FakeClock, app_logger: logging.Logger
) -> None:
    kept = Kept(RunFilter())
    app_logger.addHandler(kept)
    expected: list[tuple[str, str, str]] = []

    async def deeper() -> None:
        app_logger.info("in a task")

    async def handler() -> None:
        ctx = current_run()
        assert ctx is not None
        expected.append((ctx.job, ctx.run_id, ctx.trace_id))
        app_logger.info("in the handler")
        app_logger.info("stamped by the caller", extra={"trace_id": "own"})
        await asyncio.create_task(deeper())
        await asyncio.to_thread(app_logger.info, "in a thread")

    scheduler.add_job("tidy", handler).immediate()
    async with scheduler:
        await clock.settle()
        app_logger.info("outside")
    ours = {record.getMessage(): stamps(record) for record in kept.records}
    (ids,) = expected
    assert ours == {
        "in the handler": ids,
        "stamped by the caller": (*ids[:2], "own"),
        "in a task": ids,
        "in a thread": ids,
        "outside": ("-", "-", "-"),
    }


async def test_the_filter_in_a_plain_functions_thread(
    scheduler: Scheduler, clock: FakeClock, app_logger: logging.Logger
) -> None:
    kept = Kept(RunFilter())
    app_logger.addHandler(kept)
    threads: list[threading.Thread] = []

    def handler() -> None:
        threads.append(threading.current_thread())
        app_logger.info("in the worker")

    scheduler.add_job("plain", handler).immediate()
    async with scheduler:
        await clock.settle()
    assert threads[0] is not threading.main_thread()
    assert kept.records[0].job == "plain"  # type: ignore[attr-defined]
    assert len(kept.records[0].trace_id) == 32  # type: ignore[attr-defined]


async def test_the_filter_on_the_schedulers_own_records(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, app_logger: logging.Logger
) -> None:
    kept = Kept(RunFilter())
    app_logger.addHandler(kept)
    scheduler = make_scheduler(logger=app_logger)
    scheduler.add_job("tidy", work).immediate()
    async with scheduler:
        await clock.settle()
    for record in kept.records:
        match = LINE.fullmatch(record.getMessage())
        if match:
            assert stamps(record) == (match["job"], match["run"], match["trace"])
    assert any(LINE.fullmatch(record.getMessage()) for record in kept.records)


# Logging that fails


class RaisingFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of the service is broken")


class RaisingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("a handler of the service is broken")


@pytest.mark.parametrize("broken", ["filter", "handler"])
@pytest.mark.parametrize("told", [True, False])
async def test_logging_that_raises_does_no_harm(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, app_logger: logging.Logger,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, broken: str, told: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(logging, "raiseExceptions", told)
    if broken == "filter":
        app_logger.addFilter(RaisingFilter())
    else:
        app_logger.addHandler(RaisingHandler())
    scheduler = make_scheduler(logger=app_logger)
    ran: list[float] = []

    async def handler() -> None:
        ran.append(clock.time())
        raise ValueError("also logged")

    scheduler.add_job("tick", handler).per_seconds(1).on_one_server().without_overlapping()
    async with scheduler:
        await clock.advance(3.5)
    assert len(ran) == 3, "the scheduler went on"
    assert scheduler.snapshot().counters == {"failed": 3}
    said = f"a {broken} of the service is broken" in capsys.readouterr().err
    assert said is told, "stderr says why, unless logging was told to be silent"


async def test_records_keep_the_place_they_come_from(
    make_scheduler: Callable[..., Scheduler], clock: FakeClock, app_logger: logging.Logger
) -> None:
    kept = Kept()
    app_logger.addHandler(kept)
    scheduler = make_scheduler(logger=app_logger)
    scheduler.subscribe(lambda event: 1 / 0)
    scheduler.add_job("tidy", work).immediate()
    async with scheduler:
        await scheduler.pause("tidy")
        await clock.settle()
    places = {record.filename for record in kept.records}
    assert places == {"_accounting.py", "_events.py"}, "none of them is the logger's own file"
