"""What the chart renders is run on this machine: commands, environments, files and probes of its pods."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helm.chart import ROOT, Helm, Manifest, manifests, of_kind, pod_spec
from tests.helm.containers import Container, installed_worker
from tests.servers.kafka import KafkaCluster

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]

PARTITIONS = 4
READY_TRIES = 16
DATABASE = "orchestrator-database"
FILES = {
    path.name: path.read_text() for path in (ROOT / "machines" / "order").glob("*") if path.suffix in {".py", ".yaml"}
}


@pytest.fixture
def values(kafka_cluster: KafkaCluster, tmp_path: Path) -> Path:
    """Write values for this machine's Kafka, with the sample order in a ConfigMap of the chart."""
    prefix = f"helm-{uuid.uuid4().hex[:12]}"
    path = tmp_path / "values.json"
    document = {
        "kafka": {
            "bootstrapServers": kafka_cluster.bootstrap_servers,
            "topicPrefix": prefix,
            "groupId": prefix,
            "partitions": PARTITIONS,
            "createTopics": True,
        },
        "database": {"secretName": DATABASE},
        "machines": {"files": {"order": FILES}},
    }
    path.write_text(json.dumps(document))
    return path


class Pods:
    """Pods of a release, each in a folder of its own."""

    def __init__(self, found: list[Manifest], folder: Path, database_url: str) -> None:
        self.found = found
        self.folder = folder
        folder.mkdir()
        self.programs = installed_worker(folder / "image")
        self.secrets = {DATABASE: {"url": database_url}}
        self.config_maps = {one["metadata"]["name"]: one["data"] for one in found if one["kind"] == "ConfigMap"}
        self.made = ExitStack()

    def make(self, kind: str) -> Container:
        """Give the next pod of the only manifest of a kind."""
        root = self.folder / f"{kind}-{uuid.uuid4().hex[:8]}"
        made = Container(pod_spec(of_kind(self.found, kind)), root, self.programs, self.secrets, self.config_maps)
        self.made.callback(made.close)
        return made


@pytest.fixture
def pods(helm: Helm, values: Path, database_url: str, tmp_path: Path) -> Iterator[Pods]:
    """Give the pods of a release on this machine's servers, whose database is empty."""
    found = Pods(manifests(helm.render(values)), tmp_path / "pods", database_url)
    with found.made:
        yield found


def test_a_release_is_installed_tested_and_rolled_out(pods: Pods) -> None:
    for told in ("schema: no schema →", "schema is current"):
        migration = pods.make("Job")
        assert migration.run() == 0, migration.log
        assert told in migration.log

    old = pods.make("Deployment")
    old.start()
    old.wait_for("startupProbe")
    old.wait_for("readinessProbe", READY_TRIES)
    old.wait_for("livenessProbe")

    # The strategy has new pods come first, and waits until they are ready.
    new = pods.make("Deployment")
    new.start()
    new.wait_for("startupProbe")
    new.wait_for("readinessProbe", READY_TRIES)
    assert old.terminate() == 0, old.log
    assert '"stopped"' in old.log

    sent = pods.make("Pod")
    assert sent.run(sent.spec["activeDeadlineSeconds"]) == 0, sent.log
    assert "it is done" in sent.log
    assert new.terminate() == 0, new.log


def test_the_worker_waits_for_no_migration(pods: Pods) -> None:
    """A worker on a database without its schema ends at once and says so: the Job has to come first."""
    pod = pods.make("Deployment")
    assert pod.run() == 2
    assert "worker migrate" in pod.log
