"""Owns the way of runs and metrics to OpenTelemetry: a span around each run, whose trace id is the run's; instruments
that read the scheduler when they are collected.

Needs the extra ``opentelemetry``. ``docs/metrics.md`` has the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._extras import needed
from asyncsched._grants import ClaimKind
from asyncsched._run import Outcome, new_id
from asyncsched.contrib._metrics import DISTRIBUTIONS, METRICS, Distribution, Present, watch
from asyncsched.events import ErrorReported, LeaseLost, RunEnded, RunEvent, RunRetried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry import metrics, trace
    from opentelemetry.context import Context, attach

    from asyncsched._run import Run
    from asyncsched._scheduler import Scheduler
    from asyncsched.contrib._metrics import Metric
else:
    trace = needed("opentelemetry.trace", "opentelemetry-api", "opentelemetry", "spans and metrics of OpenTelemetry")
    from opentelemetry import metrics
    from opentelemetry.context import Context, attach

__all__ = ["instrument"]

SCOPE = "asyncsched"
FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOCK_LOST})


def instrument(
    scheduler: Scheduler,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    has_spans: bool = True,
    has_metrics: bool = True,
) -> None:
    """Let OpenTelemetry have a span for each run of ``scheduler``, and its metrics. Before it runs, and once.

    Args:
        tracer_provider: ``None``: the global one.
        meter_provider: ``None``: the global one.
        has_spans: whether there are spans.
        has_metrics: whether there are metrics.

    Raises:
        ConfigurationError: trace ids come from elsewhere, or the API of OpenTelemetry is not installed.
        SchedulerError: the scheduler runs already.
    """
    if has_spans:
        spans = _Spans(trace.get_tracer(SCOPE, tracer_provider=tracer_provider))
        scheduler.trace_runs(spans)
        scheduler.subscribe(spans.note, RunEnded, RunRetried, ErrorReported, LeaseLost)
    if has_metrics:
        _instrument_metrics(scheduler, metrics.get_meter(SCOPE, meter_provider=meter_provider))


class _TraceId(str):
    """The trace id of a run, that knows its span: with the run, the span is gone."""

    __slots__ = ("span",)
    span: trace.Span

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Travel as the text that it is."""
        return str, (str(self),)


class _Spans:
    """Gives each run a span: from when its trace id is first asked for, at the latest at its start, to its end."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def __repr__(self) -> str:
        return "the spans of OpenTelemetry"

    def trace_id(self, run: Run) -> str:
        """Begin the run's span and return its trace id. It is a root: a run of its own; one that was triggered has a
        link to the span of who did."""
        asked_in = trace.get_current_span().get_span_context()
        is_linked = run.kind is ClaimKind.TRIGGER and asked_in.is_valid
        span = self._tracer.start_span(
            f"run {run.job}",
            context=Context(),
            attributes={"asyncsched.job": run.job, "asyncsched.kind": str(run.kind), "asyncsched.node": run.node},
            links=[trace.Link(asked_in)] if is_linked else [],
        )
        own = span.get_span_context()
        if not own.is_valid:  # nobody has set up OpenTelemetry
            return new_id()
        value = _TraceId(trace.format_trace_id(own.trace_id))
        value.span = span
        return value

    def enter(self, run: Run) -> None:
        """Let the handler run inside of the span."""
        if (span := _span_of(run)) is not None:
            span.set_attributes(
                {
                    "asyncsched.run_id": run.run_id,
                    "asyncsched.fire_time": run.fire_time.isoformat(),
                    "asyncsched.attempt": run.attempt,
                    "asyncsched.fence": run.fence,
                }
            )
            attach(trace.set_span_in_context(span))

    def note(self, event: RunEvent) -> None:
        """Write into the run's span what becomes of it."""
        span = _span_of(event)
        if span is None:
            return
        match event:
            case RunEnded():
                _end(span, event)
            case RunRetried():
                span.record_exception(event.error, {"asyncsched.attempt": event.attempt})
            case ErrorReported():
                span.add_event("error reported", {"exception.type": type(event.error).__qualname__})
            case LeaseLost():
                span.add_event("lease lost", {"asyncsched.why": event.why})


def _span_of(of_run: Run | RunEvent) -> trace.Span | None:
    trace_id = of_run.trace_id
    return trace_id.span if isinstance(trace_id, _TraceId) else None


def _end(span: trace.Span, event: RunEnded) -> None:
    span.set_attribute("asyncsched.outcome", str(event.outcome))
    for error in event.errors:
        span.record_exception(error)
    if event.outcome in FAILURES:
        why = f"{type(event.errors[-1]).__name__}: {event.errors[-1]}" if event.errors else str(event.outcome)
        span.set_status(trace.StatusCode.ERROR, why)
    span.end()


def _instrument_metrics(scheduler: Scheduler, meter: metrics.Meter) -> None:
    histograms = {
        distribution: meter.create_histogram(
            f"asyncsched.{distribution.name}",
            unit="s",
            description=distribution.help,
            explicit_bucket_boundaries_advisory=distribution.buckets,
        )
        for distribution in DISTRIBUTIONS
    }

    def observe(distribution: Distribution, labels: tuple[str, ...], value: float) -> None:
        histograms[distribution].record(value, dict(zip(distribution.labels, labels, strict=True)))

    seen, _ = watch(scheduler, observe)
    for metric in METRICS:
        create = meter.create_observable_counter if metric.rises else meter.create_observable_gauge
        create(
            f"asyncsched.{metric.name}",
            callbacks=[_reader(metric, lambda: Present(scheduler, seen))],
            unit="s" if metric.unit else "1",
            description=metric.help,
        )


def _reader(
    metric: Metric, present: Callable[[], Present]
) -> Callable[[metrics.CallbackOptions], Iterable[metrics.Observation]]:
    def read(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        for labels, value in metric.read(present()):
            yield metrics.Observation(value, dict(zip(metric.labels, labels, strict=True)))

    return read
