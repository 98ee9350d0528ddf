"""The reference page of the metrics is what their table says.

`python -m tests.docs.test_reference_metrics` writes it anew.
"""

from tests.docs.pages import Page, assert_links
from worker.adapters.telemetry.metrics import METRICS
from worker.adapters.telemetry.reference import page

PAGE = Page("docs/reference-metrics.md")


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.text == page(), "run `python -m tests.docs.test_reference_metrics`"


def test_every_metric_is_on_the_page() -> None:
    for metric in METRICS:
        assert f"## `{metric.prometheus_name}`\n" in PAGE.text
        assert f"`{metric.name}`, {metric.kind.value}" in PAGE.text
        assert metric.remedy in PAGE.text


def test_links_lead_somewhere() -> None:
    assert_links(PAGE)


if __name__ == "__main__":
    PAGE.path.write_text(page())
