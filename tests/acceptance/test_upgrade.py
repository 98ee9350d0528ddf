"""An upgrade under load: workers of the release before and of the next one in one group, on a schema on its way."""

import io
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.checks import assert_orders_done
from tests.acceptance.deployment import Deployment, wait_until
from tests.migrations.releases import ROOT, TAKES_AWAY, TREES, add_revision, copy_of
from tests.servers.kafka import KafkaCluster
from tests.workload import STATES, Order

PREVIOUS: Final = Path(__file__).with_name("previous_release.txt")
WAVE: Final = 25
"""Orders that begin together; their later events follow at once."""

TIMEOUT_SECONDS: Final = 60.0


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the tree of the release before."""
    commit = PREVIOUS.read_text().split()[0]
    archive = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(ROOT), "archive", commit, *TREES], capture_output=True, check=True
    ).stdout
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tree:
        tree.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the tree of the next release: this one, with migrations for before and after its roll-out."""
    release = copy_of(tmp_path_factory.mktemp("next"))
    add_revision(release, "9001", "before", "ALTER TABLE instances ADD COLUMN note text")
    add_revision(release, "9002", "after", TAKES_AWAY)
    return release.folder


@pytest.fixture
def deployment(kafka_cluster: KafkaCluster, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Set up topics and a database that nobody has migrated yet."""
    with Deployment(kafka_cluster, database_url, tmp_path) as made:
        yield made


@dataclass
class Load:
    """Send wave after wave of orders until it is asked to end; `orders` counts those that were sent."""

    deployment: Deployment
    orders: int = 0
    _ends: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._ends.wait(0.1):
            orders = [Order(number) for number in range(self.orders, self.orders + WAVE)]
            self.deployment.produce(order.record(step) for step in range(len(STATES)) for order in orders)
            self.orders += WAVE

    def end(self) -> None:
        self._ends.set()


def worker(source: Path, deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a release to its end."""
    environment = {**deployment.environment(), "PYTHONPATH": str(source), "HOME": str(deployment.folder)}
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env=environment,
        cwd=deployment.folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def migrate(source: Path, deployment: Deployment, *arguments: str) -> str:
    ended = worker(source, deployment, "migrate", *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rolling_upgrade_loses_and_doubles_nothing(deployment: Deployment, previous: Path, following: Path) -> None:
    migrate(previous, deployment)
    old = [deployment.start_worker(previous) for _ in range(2)]
    load = Load(deployment)
    sending = threading.Thread(target=load.run)
    sending.start()
    try:
        _wait_for_more(deployment)
        assert "left: 9002" in migrate(following, deployment)
        _wait_for_more(deployment)
        # A worker of the release before that dies in the middle comes back on the newer schema.
        old[0].kill()
        old[0] = deployment.start_worker(previous)
        _wait_for_more(deployment)
        for one in old:
            deployment.start_worker(following)
            _wait_for_more(deployment)
            assert one.terminate() == 0
        _wait_for_more(deployment)
        assert "→ 9002" in migrate(following, deployment, "--after-rollout")
        _wait_for_more(deployment)
    finally:
        load.end()
        sending.join()
    refused = worker(previous, deployment, "run")
    assert refused.returncode != 0
    assert "database schema is at 9002, which this worker does not know" in refused.stderr + refused.stdout
    deployment.finish()
    assert_orders_done(deployment, range(load.orders))


def _wait_for_more(deployment: Deployment) -> None:
    """Wait until every partition has got on."""
    before = {one.partition: one.published_offset for one in deployment.positions()}

    def has_got_on() -> bool:
        now = {one.partition: one.published_offset for one in deployment.positions()}
        return len(now) == deployment.partitions and all(now[one] > before.get(one, 0) for one in now)

    wait_until(has_got_on, TIMEOUT_SECONDS, f"all partitions get on from {before}")
