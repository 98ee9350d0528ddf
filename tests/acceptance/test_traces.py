"""One trace follows a workflow from the client through worker, service and child, on real servers."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance import traced_shop
from tests.acceptance.commands import run_worker
from tests.acceptance.deployment import Deployment, WorkerProcess, wait_until
from tests.telemetry.collecting import Collected, Collector, collecting
from tests.telemetry.scraping import get, probe
from tests.tracing.recording import Recorder, ids_of, traceparent_of
from tests.workload import STATES, records
from worker import Client
from worker.adapters.embedded.server import free_port
from worker.core.codec import decode_record
from worker.settings import Settings

PATIENCE_SECONDS = 60.0
CONSUMER = 5
STEPS = Counter(
    {
        "Orchestrator<#/machines/shop>@<arvo.orc.shop>": 1,
        "Orchestrator<#/machines/shop>@<evt.adding.one.done>": 1,
        "Orchestrator<#/machines/double>@<arvo.orc.double>": 1,
        "Orchestrator<#/machines/shop>@<arvo.orc.double.done>": 1,
    }
)
SERVICE = "Service<#/services/adding>@<com.adding.one>"
ENDING = "Orchestrator<#/machines/shop>@<arvo.orc.double.done>"
EVENTS = Counter(
    {
        ("input", "arvo.orc.shop"): 1,
        ("default", "com.adding.one"): 1,
        ("input", "evt.adding.one.done"): 1,
        ("default", "arvo.orc.double"): 1,
        ("input", "arvo.orc.double"): 1,
        ("default", "arvo.orc.double.done"): 1,
        ("input", "arvo.orc.double.done"): 1,
        ("default", "arvo.orc.shop.done"): 1,
    }
)
"""What `worker tail --workflow` shows: nothing of the other workflow, an order that comes with it."""

WAYS = [
    ("Orchestrator<#/machines/shop>@<arvo.orc.shop>", "send {}"),
    (SERVICE, "Orchestrator<#/machines/shop>@<arvo.orc.shop>"),
    ("Orchestrator<#/machines/shop>@<evt.adding.one.done>", SERVICE),
    ("Orchestrator<#/machines/double>@<arvo.orc.double>", "Orchestrator<#/machines/shop>@<evt.adding.one.done>"),
    (ENDING, "Orchestrator<#/machines/double>@<arvo.orc.double>"),
]
"""Each span and the one that it is below."""


def start_services(deployment: Deployment, port: int) -> WorkerProcess:
    environment = {**deployment.environment(), "WORKER_HTTP_PORT": str(port)}
    process = WorkerProcess(
        "services", deployment.folder / "services", environment, ("serve", "traced_shop"), "serving"
    )
    deployment.workers.append(process)
    return process.start()


@pytest.mark.slow
def test_one_trace_follows_a_workflow(deployment: Deployment) -> None:
    with collecting() as collector, Recorder() as recorder:
        shutil.copy(Path(traced_shop.__file__), deployment.folder)
        deployment.settings = {"WORKER_MACHINES": "traced_shop", **collector.environment}
        port = free_port()
        worker, services = deployment.start_worker(), start_services(deployment, port)
        wait_until(lambda: get(port, "/readyz")[0] == 200, PATIENCE_SECONDS, "the services are ready")
        assert probe(port, "/livez")[1]["parts"].keys() == {"com.adding.one 1.0.0"}
        settings = Settings(
            kafka_bootstrap_servers=deployment.cluster.bootstrap_servers,
            database_url="postgresql://",
            topic_prefix=deployment.prefix,
        )
        with Client("com.example.desk", settings=settings) as client:
            workflow = client.start(traced_shop.parent, {"number": 20})
            assert workflow.wait(PATIENCE_SECONDS).number == 42
        assert tailed(deployment, workflow.execution_id) == EVENTS
        assert (services.terminate(), worker.terminate()) == (0, 0)
        (sent,) = recorder.taken()
    trace_id, span_id = ids_of(sent)
    of_trace = [span for span in collector.spans if span.trace_id == trace_id]
    named = {span.name: span for span in of_trace if span.kind == CONSUMER}
    assert Counter(span.name for span in of_trace if span.name.startswith("Orchestrator<")) == STEPS
    named[sent.name] = Collected("client", sent.name, trace_id, span_id, "", 0, (), {})
    for name, above in WAYS:
        assert named[name].parent == named[above.format(deployment.topics.input)].span_id, name
    known = {span.span_id for span in of_trace} | {span_id}
    assert [span for span in of_trace if span.parent not in known] == [], "no span hangs in the air"
    check_batches(collector, deployment, trace_id)
    inputs = deployment.cluster.read_all(deployment.topics.input)
    events = [decode_record(one.value(), tuple(one.headers() or ())) for one in inputs]  # type: ignore[arg-type]
    (started,) = [event for event in events if event.type == "arvo.orc.shop"]
    assert started.traceparent == traceparent_of(sent)


def tailed(deployment: Deployment, execution_id: str) -> Counter[tuple[str, str]]:
    """Give topic and type of what `worker tail` shows of a workflow and its children."""
    deployment.produce(records(1))
    deployment.wait_until_journalled(STEPS.total() + len(STATES))
    asked = ("--workflow", execution_id, "--count", str(EVENTS.total()))
    done = run_worker(
        "tail", "--from-beginning", "--json", *asked, given=deployment.environment(), directory=deployment.folder
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return Counter((one["topic"].rpartition(".")[2], one["event"]["type"]) for one in told)


def check_batches(collector: Collector, deployment: Deployment, trace_id: str) -> None:
    """Each batch is a trace of its own, linked with its events' spans, and they with it."""
    batches = [span for span in collector.spans if span.name == f"process {deployment.topics.input}"]
    steps = [span for span in collector.spans if span.name.startswith("Orchestrator<")]
    assert {step.trace_id for step in steps} == {trace_id}, "the others' events are not sampled"
    assert {link for batch in batches for link in batch.links} == {step.span_id for step in steps}
    assert {link for step in steps for link in step.links} == {batch.span_id for batch in batches}
    assert trace_id not in {batch.trace_id for batch in batches}
