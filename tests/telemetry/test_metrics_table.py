"""The metrics' table is whole: what is recorded is in it, and what is in it is recorded."""

import re

import pytest

from tests.telemetry.bench import DEFINITION, bench, row, writes
from worker.adapters.telemetry import metrics
from worker.adapters.telemetry.board import Counts
from worker.adapters.telemetry.metrics import METRICS, Kind, Metric
from worker.core.outcomes import DeadLetterReason, IgnoredReason
from worker.core.records import Output
from worker.ports import DatabaseUnavailable, KafkaUnavailable, Upkept
from worker.runtime.stages import STAGES

NEVER_LABELS = ("subject", "id", "key", "offset", "event.id", "trace", "message")


def test_every_metric_of_the_module_is_in_the_table_once() -> None:
    defined = [one for one in vars(metrics).values() if isinstance(one, Metric)]
    assert sorted(one.name for one in defined) == sorted(one.name for one in METRICS)
    assert len({one.prometheus_name for one in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_each_says_what_it_is_and_what_to_do(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", metric.name)
    assert metric.meaning.endswith(".")
    assert metric.remedy.endswith(".")
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.bounds)
    assert list(metric.bounds) == sorted(set(metric.bounds))
    for label in metric.labels:
        assert label.values, "what bounds the label is said"
        assert label.name.rpartition(".")[2] not in NEVER_LABELS or label.name == metrics.PARTITION.name


def test_the_labels_that_name_their_values_name_them_all() -> None:
    assert [f"`{stage}`" for stage in STAGES] == metrics.STAGE.values.split(", ")
    assert [f"`{one.value}`" for one in IgnoredReason] == metrics.IGNORED_REASON.values.split(", ")


def test_what_is_scraped_is_what_the_table_says() -> None:
    with bench() as made:
        recorder = made.recorder
        made.stand({0: "settled"}, {0: 1})
        made.ends, made.counts = (
            {0: 3},
            Counts({("m", "1", "active"): 1}, {("m", "1", "s"): 1}, {("m", "1", "s"): 2}, 1),
        )
        made.telemetry.look_at_lag()
        made.telemetry.count_instances()
        recorder.failed("unsettled", DatabaseUnavailable("away"))
        recorder.called_database("lock", 0.1, None)
        recorder.applied(
            writes(
                row(0, after=("a",), definition=DEFINITION),
                row(1, "dead_lettered", reason=DeadLetterReason.NO_TOPIC.value),
                row(2, "ignored", reason=IgnoredReason.ENDED.value),
            ),
            0.1,
        )
        recorder.polled(3)
        recorder.rebalanced("assigned")
        recorder.sent([Output("orc.default", None, b"", ())])
        recorder.called_kafka("commit", 0.1, None)
        recorder.publication_ended("committed")
        recorder.published({0: 3})
        recorder.producer("replaced")
        recorder.probe_failed("lag", KafkaUnavailable("away"))
        recorder.upkept(Upkept({"journal_days_made": 3}, (), 0.1, 0.0))
        recorder.upkeep_failed(0.1, DatabaseUnavailable("away"))
        found = made.scrape()
        assert recorder._told == set(), "the telemetry had no faults"
    assert found.families - {"target_info", "target"} == {one.prometheus_name for one in METRICS}
    for metric in METRICS:
        name = metric.prometheus_name + ("_count" if metric.kind is Kind.HISTOGRAM else "")
        labels = {key for one in found.series(name) for key in one}
        # An empty label is none to Prometheus.
        assert labels == {label.prometheus_name for label in metric.labels}, metric.name
