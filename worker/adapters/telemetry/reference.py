"""The reference page of the metrics, written from their table."""

from typing import Final

from worker.adapters.telemetry.metrics import METRICS, Metric

HEAD: Final = """\
# Metrics

Every metric that a worker has, as `/metrics` shows it on `WORKER_HTTP_PORT`; [operating](operating.md) has the rest.
Names are OpenTelemetry's, with `_` for `.`, the unit behind them, and `_total` behind a counter; a histogram's series
end in `_bucket`, `_sum` and `_count`. Other exporters ([how](operating.md#metrics-elsewhere)) keep the names with dots.
`target_info` has the worker's version and name.

No label is a subject or anything else that grows with the records: what bounds each is in its row. Beyond 2000 series
of one metric the rest is added up as one with `otel_metric_overflow`.

This page is made from the table that the worker records by: `make reference`.
"""


def page() -> str:
    """Give the page."""
    return "\n".join([HEAD, *map(_section, METRICS)])


def _section(metric: Metric) -> str:
    lines = [
        f"## `{metric.prometheus_name}`",
        "",
        f"{metric.meaning}",
        "",
        f"- **OpenTelemetry:** `{metric.name}`, {metric.kind.value}, unit `{metric.unit}`",
        *(f"- **Label** `{label.prometheus_name}`: {label.values}" for label in metric.labels),
        f"- **When it moves:** {metric.remedy}",
        "",
    ]
    return "\n".join(lines)
