"""The table's metrics as OpenTelemetry's instruments, and the readers that they go out by.

`/metrics` is always there; other exporters are set by OpenTelemetry's own variables: `OTEL_METRICS_EXPORTER=otlp` with
`OTEL_EXPORTER_OTLP_ENDPOINT` and the like.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from worker.adapters.telemetry.exporting import METRICS, exporters_of, resource_of
from worker.adapters.telemetry.metrics import Kind, Metric

Values = Iterable[tuple[float, tuple[str, ...]]]


class Instruments:
    """Record values of the table's metrics. A label's values stand in the order of the metric's labels.

    Beyond some thousands of label values the SDK adds up the rest as one series, `otel.metric.overflow`.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def add(self, metric: Metric, amount: float, *values: str) -> None:
        """Add to a counter."""
        counter = self._counters.get(metric.name)
        if counter is None:
            counter = self._meter.create_counter(metric.name, metric.unit, metric.meaning)
            self._counters[metric.name] = counter
        counter.add(amount, _attributes(metric, values))

    def record(self, metric: Metric, value: float, *values: str) -> None:
        """Record one value of a histogram."""
        histogram = self._histograms.get(metric.name)
        if histogram is None:
            histogram = self._meter.create_histogram(
                metric.name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=metric.bounds
            )
            self._histograms[metric.name] = histogram
        histogram.record(value, _attributes(metric, values))

    def observe(self, metric: Metric, read: Callable[[], Values]) -> None:
        """Have `read` asked at every scrape for a gauge's values, or a counter's so far; on any thread."""

        def observed(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, _attributes(metric, values)) for value, values in read()]

        create = (
            self._meter.create_observable_counter
            if metric.kind is Kind.COUNTER
            else self._meter.create_observable_gauge
        )
        create(metric.name, [observed], metric.unit, metric.meaning)


def _attributes(metric: Metric, values: Sequence[str]) -> dict[str, str]:
    return {label.name: value for label, value in zip(metric.labels, values, strict=True)}


class Meters:
    """The SDK, set up: instruments in, text for Prometheus out."""

    def __init__(self, resource: Mapping[str, str], environment: Mapping[str, str]) -> None:
        """Set up the exporters that the environment names. Raises: SetupError."""
        self._registry = CollectorRegistry()
        readers: list[MetricReader] = [PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)]
        self._provider = MeterProvider(
            metric_readers=readers + _exporting(environment),
            resource=resource_of(resource, environment),
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        self.instruments = Instruments(self._provider.get_meter("orchestrator-worker"))

    def text(self, accepted: str) -> tuple[str, bytes]:
        """Give content type and body of /metrics, as the scraper accepts them."""
        encode, content_type = choose_encoder(accepted)
        return content_type, encode(self._registry)

    def close(self, timeout_seconds: float) -> None:
        """Hand over what exporters still have, and end them."""
        self._provider.shutdown(timeout_seconds * 1000)


def _exporting(environment: Mapping[str, str]) -> list[MetricReader]:
    """Make the readers of the exporters that OTEL_METRICS_EXPORTER names, beside /metrics."""
    made = exporters_of(METRICS, environment)
    return [one if isinstance(one, MetricReader) else PeriodicExportingMetricReader(one) for one in made]
