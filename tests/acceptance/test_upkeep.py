"""A real worker does the upkeep, and says so in one line and in its metrics."""

from tests.acceptance.deployment import Deployment, wait_until
from tests.telemetry.scraping import scrape
from tests.workload import Order, records

ORDERS = 5
BOUND_SECONDS = 60.0


def test_instances_that_ended_long_ago_go_when_a_worker_starts(deployment: Deployment) -> None:
    deployment.settings = {"WORKER_INSTANCE_RETENTION": "remove:30"}
    worker = deployment.start_worker()
    deployment.produce(list(records(ORDERS)))
    deployment.wait_until_applied()
    (made,) = worker.told("upkeep")
    assert made["journal_days_made"] == 3
    worker.terminate()
    deployment.rows("UPDATE instances SET ended_at = ended_at - interval '31 days' RETURNING 1")
    deployment.rows("UPDATE upkeep SET begun_at = NULL, swept_at = NULL RETURNING 1")

    worker = deployment.start_worker()
    wait_until(lambda: bool(worker.told("upkeep")), BOUND_SECONDS, "the upkeep is done")
    (done,) = worker.told("upkeep")
    assert (done["instances_removed"], "instances_archived" in done) == (ORDERS, False)
    assert deployment.rows("SELECT count(*) FROM instances") == [(0,)]
    (running,) = worker.told("running")
    found = scrape(running["http_port"])
    assert found.value("orchestrator_upkeep_changes_total", what="instances_removed") == ORDERS
    assert found.value("orchestrator_upkeep_duration_seconds_count")
    assert (found.value("orchestrator_upkeep_age_seconds") or 0.0) < 3_600

    # The journal knows its first event still, which starts nothing.
    deployment.produce([Order(0).record(0)])
    deployment.wait_until_applied()
    outcomes = dict(deployment.rows("SELECT outcome, count(*) FROM journal GROUP BY outcome"))
    assert outcomes["duplicate"] == 1
    assert deployment.rows("SELECT count(*) FROM instances") == [(0,)]
    deployment.finish()
