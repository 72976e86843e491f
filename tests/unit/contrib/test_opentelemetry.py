"""Spans of runs, and the metrics as instruments, as the SDK of OpenTelemetry exports them."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from asyncsched import ConfigurationError, RunContext, Scheduler
from asyncsched.contrib._metrics import DISTRIBUTIONS, METRICS
from asyncsched.contrib.opentelemetry import instrument
from asyncsched.events import RunEnded, RunStarted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from asyncsched.testing import FakeClock


class Traced:
    """A scheduler whose spans are kept."""

    def __init__(self, scheduler: Scheduler, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("service")
        instrument(scheduler, tracer_provider=self.provider, has_metrics=False)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(name)]


@pytest.fixture
def traced(scheduler: Scheduler) -> Traced:
    return Traced(scheduler)


def hex_of(span: ReadableSpan) -> str:
    return trace.format_trace_id(span.context.trace_id)


@pytest.mark.parametrize("form", ["plain", "guarded", "timeout", "thread"])
async def test_the_handlers_spans_are_children_of_the_runs(
    scheduler: Scheduler, clock: FakeClock, traced: Traced, form: str
) -> None:
    seen = []

    async def work(ctx: RunContext) -> None:
        in_a_thread(ctx)

    def in_a_thread(ctx: RunContext) -> None:
        seen.append(ctx)
        with traced.tracer.start_as_current_span("child"):
            pass

    job = scheduler.add_job("j", in_a_thread if form == "thread" else work).per_seconds(60)
    if form == "guarded":
        job.on_one_server()
    if form == "timeout":
        job.timeout(5)
    async with scheduler:
        await clock.advance(121)
    runs, children = traced.spans("run j"), traced.spans("child")
    assert len(runs) == len(children) == len(seen) == 2
    for run, child, ctx in zip(runs, children, seen, strict=True):
        assert run.parent is None
        assert child.parent.span_id == run.context.span_id
        assert hex_of(run) == hex_of(child) == ctx.trace_id
        attributes = dict(run.attributes)
        assert (attributes.pop("asyncsched.fence") > 0) == (form == "guarded")
        assert attributes == {
            "asyncsched.job": "j",
            "asyncsched.kind": "tick",
            "asyncsched.node": "n1",
            "asyncsched.run_id": ctx.run_id,
            "asyncsched.fire_time": ctx.fire_time.isoformat(),
            "asyncsched.attempt": 1,
            "asyncsched.outcome": "succeeded",
        }
        assert run.status.status_code is trace.StatusCode.UNSET
    assert not trace.get_current_span().get_span_context().is_valid


async def test_events_have_the_trace_id_of_the_span(scheduler: Scheduler, clock: FakeClock, traced: Traced) -> None:
    async def work() -> None: ...

    told = []
    scheduler.subscribe(told.append, RunStarted, RunEnded)
    scheduler.add_job("j", work).per_seconds(60)
    async with scheduler:
        await clock.advance(60)
    (span,) = traced.spans()
    assert [event.trace_id for event in told] == [hex_of(span)] * 2
    assert pickle.loads(pickle.dumps(told[0].trace_id)) == hex_of(span)


async def test_what_goes_wrong_is_in_the_span(scheduler: Scheduler, clock: FakeClock, traced: Traced) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("no price")

    async def hang() -> None:
        await asyncio.Event().wait()

    scheduler.add_job("fails", fail).per_seconds(60).retry(2, backoff=(1, 1))
    scheduler.add_job("hangs", hang).per_seconds(60).timeout(5)
    scheduler.add_job("is_stopped", hang).per_seconds(60)
    async with scheduler:
        await clock.advance(70)
    (failed,), (timed_out,), (stopped,) = (traced.spans(f"run {job}") for job in ("fails", "hangs", "is_stopped"))
    assert (failed.status.status_code, failed.status.description) == (
        trace.StatusCode.ERROR,
        "ZeroDivisionError: no price",
    )
    assert [event.attributes["exception.type"] for event in failed.events] == ["ZeroDivisionError"] * 2
    assert failed.attributes["asyncsched.outcome"] == "failed"
    assert timed_out.attributes["asyncsched.outcome"] == "timed_out"
    assert timed_out.status.status_code is trace.StatusCode.ERROR
    assert stopped.attributes["asyncsched.outcome"] == "cancelled"
    assert stopped.status.status_code is trace.StatusCode.UNSET


async def test_a_lost_lease_is_in_the_span(
    scheduler: Scheduler, traced: Traced, live: Callable[[], Awaitable[None]]
) -> None:
    async with scheduler:
        await live()
    lost = [span for span in traced.spans("run held") if span.attributes["asyncsched.outcome"] == "lock_lost"]
    assert [[event.name for event in span.events] for span in lost] == [["lease lost"]] * 2


@pytest.mark.parametrize("is_guarded", [False, True])
async def test_a_triggered_run_has_a_link_to_who_asked_for_it(
    scheduler: Scheduler, clock: FakeClock, traced: Traced, is_guarded: bool
) -> None:
    async def work() -> None: ...

    job = scheduler.add_job("j", work).per_seconds(60)
    if is_guarded:
        job.without_overlapping()
    async with scheduler:
        with traced.tracer.start_as_current_span("request") as request:
            run = await scheduler.trigger("j")
            assert run.trace_id != trace.format_trace_id(request.get_span_context().trace_id)
            await run.wait()
        await clock.advance(60)
    triggered, ticked = traced.spans("run j")
    assert hex_of(triggered) == run.trace_id
    assert triggered.parent is None
    assert [link.context for link in triggered.links] == [request.get_span_context()]
    assert (ticked.links, ticked.parent) == ((), None)


async def test_a_run_that_never_starts_has_no_span(scheduler: Scheduler, clock: FakeClock, traced: Traced) -> None:
    async def work() -> None: ...

    scheduler.add_job("j", work).per_seconds(60).random_delay(50, 50)
    async with scheduler:
        await clock.advance(61)
        (active,) = scheduler.snapshot().active
        assert len(active.trace_id) == 32
    assert traced.spans() == []


async def test_a_run_that_is_not_sampled_has_its_trace_id(scheduler: Scheduler, clock: FakeClock) -> None:
    traced, ids, current = Traced(scheduler, sampler=ALWAYS_OFF), [], []

    async def work(ctx: RunContext) -> None:
        ids.append(ctx.trace_id)
        current.append(trace.format_trace_id(trace.get_current_span().get_span_context().trace_id))

    scheduler.add_job("j", work).per_seconds(60)
    async with scheduler:
        await clock.advance(60)
    assert traced.spans() == []
    assert ids == current


async def test_without_a_set_up_runs_have_ids_all_the_same(scheduler: Scheduler, clock: FakeClock) -> None:
    ids = []

    async def work(ctx: RunContext) -> None:
        ids.append(ctx.trace_id)

    instrument(scheduler, tracer_provider=trace.NoOpTracerProvider(), has_metrics=False)
    scheduler.add_job("j", work).per_seconds(60)
    async with scheduler:
        await clock.advance(120)
    assert [len(value.strip("0")) > 0 for value in ids] == [True, True]
    assert ids[0] != ids[1]


def test_trace_ids_of_the_services_own_and_spans_do_not_go_together() -> None:
    scheduler = Scheduler(trace_id=lambda: "id")
    with pytest.raises(ConfigurationError, match="the rule is one source"):
        instrument(scheduler)
    assert not scheduler._bus.is_heard
    instrument(scheduler, has_spans=False)


# Metrics


async def test_the_instruments_have_what_has_happened(
    scheduler: Scheduler, live: Callable[[], Awaitable[None]]
) -> None:
    reader = InMemoryMetricReader()
    instrument(scheduler, meter_provider=MeterProvider([reader]), has_spans=False)
    async with scheduler:
        await live()
        data = await asyncio.to_thread(reader.get_metrics_data)
        counters = {job.name: job.counters for job in scheduler.snapshot().jobs}
    (scope,) = data.resource_metrics[0].scope_metrics
    assert scope.scope.name == "asyncsched"
    found = {metric.name: metric for metric in scope.metrics}
    assert set(found) == {f"asyncsched.{part.name}" for part in (*METRICS, *DISTRIBUTIONS)}
    runs = {tuple(point.attributes.values()): point.value for point in found["asyncsched.runs"].data.data_points}
    assert runs["works", "succeeded"] == counters["works"]["succeeded"] > 3
    assert runs["held", "lock_lost"] == 2
    (lateness, *_) = found["asyncsched.run_lateness"].data.data_points
    assert lateness.explicit_bounds == DISTRIBUTIONS[1].buckets
    assert (found["asyncsched.run_lateness"].unit, found["asyncsched.loop_lag"].unit) == ("s", "s")
    assert found["asyncsched.runs"].data.is_monotonic
    (ready,) = found["asyncsched.ready"].data.data_points
    assert ready.value == 1
