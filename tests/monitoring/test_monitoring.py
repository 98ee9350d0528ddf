"""Alerts fire, and every query of the dashboard comes to something on a real Prometheus that scrapes a real worker."""

import re
import subprocess

import pytest

from tests.acceptance.deployment import Deployment, wait_until
from tests.monitoring.conftest import Prometheus
from tests.monitoring.dashboard import DASHBOARD, document, queries
from tests.monitoring.rules import RULE_TESTS, RULES, alerts, metrics_of, series_names
from tests.workload import Order
from worker.core.codec import EncodedRecord

SHOWN_SECONDS = 90.0


def test_the_dashboard_is_what_its_table_says() -> None:
    assert DASHBOARD.read_text() == document(), "run `python -m tests.monitoring.dashboard`"


@pytest.mark.parametrize("expression", [*queries(), *(alert.expression for alert in alerts())])
def test_what_is_asked_for_is_recorded(expression: str) -> None:
    assert metrics_of(expression)
    assert metrics_of(expression) <= series_names()


def test_everything_that_is_recorded_is_on_the_dashboard() -> None:
    asked = {name for query in queries() for name in metrics_of(query)}
    missing = {re.sub("_(bucket|sum|count)$", "", name) for name in series_names() - asked}
    assert {name for name in missing if not any(one.startswith(name) for one in asked)} == set()


def test_each_alert_says_what_to_do() -> None:
    assert len({alert.name for alert in alerts()}) == len(alerts())
    for alert in alerts():
        assert set(alert.annotations) == {"summary", "action", "runbook_url"}
        assert alert.annotations["runbook_url"] == f"docs/alerts/#{alert.name.lower()}"


def test_each_alert_fires_and_is_silent_where_all_is_well(promtool: str) -> None:
    checked = subprocess.run([promtool, "check", "rules", RULES], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = subprocess.run([promtool, "test", "rules", RULE_TESTS], check=False, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    text = RULE_TESTS.read_text()
    assert [alert.name for alert in alerts() if not re.search(rf'alertname(="|: ){alert.name}\b', text)] == []


@pytest.mark.slow
def test_every_query_comes_to_something(deployment: Deployment, prometheus: Prometheus) -> None:
    worker = deployment.start_worker()
    (line,) = worker.told("running")
    prometheus.scrape(line["http_port"])
    deployment.produce(Order(number).record(0) for number in range(5))
    deployment.produce([EncodedRecord(b"nobody", b"no event", ())])
    deployment.wait_until_applied()
    left = {query.replace("$__rate_interval", "1m") for query in queries()}

    def all_shown() -> bool:
        # Counters are to be seen to move while they are scraped.
        deployment.produce(Order(number).record(step) for step in (1, 2) for number in range(5))
        left.difference_update([query for query in left if _is_shown(prometheus, query)])
        return not left

    try:
        wait_until(all_shown, SHOWN_SECONDS, "every query comes to something")
    except TimeoutError:
        pytest.fail(f"these come to nothing: {sorted(left)}")
    rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["health"] for rule in rules} == {alert.name: "ok" for alert in alerts()}


def _is_shown(prometheus: Prometheus, query: str) -> bool:
    values = [float(one["value"][1]) for one in prometheus.query(query)]
    return any(value == value for value in values)  # noqa: PLR0124 - A quantile of nothing is NaN.
