"""Owns the way of the metrics to Prometheus: a collector that reads the scheduler at each scrape.

Needs the extra ``prometheus``. ``docs/metrics.md`` has the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._extras import needed
from asyncsched.contrib._metrics import DISTRIBUTIONS, METRICS, Distribution, Metric, Present, watch
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import prometheus_client
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    from asyncsched._scheduler import Scheduler
else:
    prometheus_client = needed("prometheus_client", "prometheus-client", "prometheus", "metrics for Prometheus")
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

__all__ = ["instrument"]


def instrument(scheduler: Scheduler, registry: prometheus_client.CollectorRegistry | None = None) -> Callable[[], None]:
    """Let ``registry`` have the metrics of ``scheduler``, which need not run yet. Scrapes may come from any thread.

    Args:
        registry: ``None``: the default one of ``prometheus_client``.

    Returns:
        A function that ends it.

    Raises:
        ConfigurationError: the registry has the metrics of a scheduler already, or prometheus_client is not installed.
    """
    registry = prometheus_client.REGISTRY if registry is None else registry
    collector = _Collector(scheduler)
    try:
        registry.register(collector)
    except ValueError:
        collector.close()
        raise ConfigurationError(
            "instrument(): this registry has the metrics of a scheduler already; the rule is one registry for each"
        ) from None

    def end() -> None:
        registry.unregister(collector)
        collector.close()

    return end


class _Collector:
    """What a registry asks at each scrape."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._histograms = {
            distribution: prometheus_client.Histogram(
                f"asyncsched_{distribution.name}_seconds",
                distribution.help,
                distribution.labels,
                buckets=distribution.buckets,
                registry=None,
            )
            for distribution in DISTRIBUTIONS
        }
        self._seen, self.close = watch(scheduler, self._observe)

    def _observe(self, distribution: Distribution, labels: tuple[str, ...], value: float) -> None:
        histogram = self._histograms[distribution]
        (histogram.labels(*labels) if labels else histogram).observe(value)

    def describe(self) -> Iterator[prometheus_client.Metric]:
        """Name the metrics, which reads nothing."""
        for histogram in self._histograms.values():
            yield from histogram.describe()
        yield from map(_family, METRICS)

    def collect(self) -> Iterator[prometheus_client.Metric]:
        """Read the metrics."""
        for histogram in self._histograms.values():
            yield from histogram.collect()
        now = Present(self._scheduler, self._seen)
        for metric in METRICS:
            family = _family(metric)
            for labels, value in metric.read(now):
                family.add_metric(labels, value)
            yield family


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    name = f"asyncsched_{metric.name}" + (f"_{metric.unit}" if metric.unit else "")
    return (CounterMetricFamily if metric.rises else GaugeMetricFamily)(name, metric.help, labels=metric.labels)
