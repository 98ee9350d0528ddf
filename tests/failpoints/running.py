"""One cell: a deployment of its own, a worker in which one call goes wrong, others that go on, and the check."""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.acceptance.checks import (
    expected_outputs,
    instance_faults,
    instances,
    journal_faults,
    order_faults,
    output_faults,
    position_faults,
    published_of,
)
from tests.acceptance.deployment import Deployment, WorkerProcess, wait_until
from tests.failpoints.cells import Cell, Deed
from tests.failpoints.launch import FIRED, KAFKA_PORTS, PLANS
from tests.failpoints.reaching import LEAVING, REACHED, Reach, Scene
from tests.failpoints.tampering import Fired, Plan
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import Databases
from tests.workload import CLIENT, SOURCE, Order, records
from worker.adapters.embedded.server import Server
from worker.bootstrap import STOP_SECONDS
from worker.core.codec import EncodedRecord, encode_record
from worker.core.events import ARVO_CONTENT_TYPE, create_event
from worker.core.subjects import root_subject

ORDERS: Final = 40
PARTITIONS: Final = 2
CALL_TIMEOUT_SECONDS: Final = 3
BOUND_SECONDS: Final = 3 * CALL_TIMEOUT_SECONDS + 1
"""How long a call may take whose server does not answer; a call may ask it more than one thing."""

BOUNDS: Final = {"Consumer.close": STOP_SECONDS}
"""Calls with bounds of their own. A close gives partitions back, which waits for the transaction in flight."""

ENDING: Final = ("KafkaFatal", "RevisionMismatch")
"""Errors that end a worker; after all others it goes on."""

PATIENCE_SECONDS: Final = 30.0
SETTINGS: Final = {
    "WORKER_BATCH_RECORDS_MAX": "20",
    "WORKER_KAFKA__SESSION_TIMEOUT_MS": "2000",
    "WORKER_DATABASE_TIMEOUT_SECONDS": str(CALL_TIMEOUT_SECONDS),
    "WORKER_KAFKA_TIMEOUT_SECONDS": str(CALL_TIMEOUT_SECONDS),
}


@dataclass(frozen=True, slots=True)
class Site:
    """The servers that all cells share. One process at a time has the proxy's port of the broker."""

    kafka: KafkaServer
    databases: Databases
    template: str
    proxied: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def deployment(self, folder: Path) -> Iterator[Deployment]:
        folder.mkdir(parents=True)
        made = Deployment(
            self.kafka.cluster, self.databases.make(self.template), folder, SETTINGS, partitions=PARTITIONS
        )
        with made:
            yield made


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a cell came to; without faults all is well."""

    cell: Cell
    seconds: float
    faults: Sequence[str]
    told: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.faults


def run_cell(site: Site, cell: Cell, folder: Path) -> Verdict:
    """Run one cell; whatever goes wrong is a fault of it."""
    if cell.deed is Deed.HANGS:
        with site.proxied:
            return _run(site, cell, folder)
    return _run(site, cell, folder)


def _run(site: Site, cell: Cell, folder: Path) -> Verdict:
    begun = time.monotonic()
    cast = Cast(site, cell)
    faults: list[str] = []
    try:
        with site.deployment(folder) as deployment:
            faults += cast.play(deployment)
    except Exception as error:  # noqa: BLE001 - One cell's failure is no reason to leave out the others.
        faults.append(f"{type(error).__name__}: {error}")
        faults.append("".join(traceback.format_tb(error.__traceback__)[-2:]))
    return Verdict(cell, time.monotonic() - begun, faults, cast.told)


@dataclass(slots=True)
class Cast:
    """Who plays in a cell: the worker before, the one in which a call goes wrong, one beside it, and its successor."""

    site: Site
    cell: Cell
    told: str = ""

    @property
    def reach(self) -> Reach:
        return REACHED[self.cell.step.name]

    @property
    def _goes_on(self) -> bool:
        """Whether the worker must survive what happens to its call."""
        is_killed = self.cell.deed in (Deed.KILLED_BEFORE, Deed.KILLED_AFTER)
        return not (is_killed or self.reach.asked_to_end or self.cell.error in ENDING)

    def play(self, deployment: Deployment) -> Iterator[str]:
        """Play it and give the faults."""
        strangers = self._set(deployment)
        plan = Plan(self.cell.step.name, self.cell.deed, self.cell.error, self.reach.at)
        worker, file = self._launch(deployment, [*self.reach.first, plan])
        if self.reach.asked_to_end:
            deployment.wait_until_journalled(ORDERS, PATIENCE_SECONDS)
            os.kill(worker._server.pid, signal.SIGTERM)
        wait_until(lambda: file.exists() or not worker.running, PATIENCE_SECONDS, f"{self.cell.name} is reached")
        assert file.exists(), f"{worker.name} ended before the call was reached"
        if self.cell.deed in (Deed.KILLED_BEFORE, Deed.KILLED_AFTER):
            wait_until(lambda: not worker.running, PATIENCE_SECONDS, "the worker is dead")
        start(deployment, 1 if worker.running else 2)
        deployment.wait_until_applied()
        if self._goes_on and not worker.running:
            yield "the worker ended, though the call may fail so"
        finish(deployment)
        fired = Fired(**json.loads(file.read_text()))
        self.told = f"{fired.raised or 'returned'} after {fired.seconds:.1f} s" if fired.seconds else ""
        yield from self._call_faults(fired)
        yield from faults_of(deployment, strangers)

    def _set(self, deployment: Deployment) -> int:
        """Set the scene; give how many events nobody can take."""
        strange = [stranger()] if self.reach.scene is Scene.STRANGE else []
        deployment.produce(strange, 0)
        deployment.produce(records(ORDERS))
        if self.reach.scene in (Scene.LEFT, Scene.DEADLY):
            dying, _ = self._launch(deployment, [LEAVING])
            wait_until(lambda: not dying.running, PATIENCE_SECONDS, "the worker before is dead")
        if self.reach.scene is Scene.DEADLY:
            deployment.rows("UPDATE positions SET deaths = 2 RETURNING partition")
        return len(strange)

    def _launch(self, deployment: Deployment, plans: Sequence[Plan]) -> tuple[WorkerProcess, Path]:
        """Start a worker in which something is planned; give it and the file that tells that it happened."""
        name = f"worker-{len(deployment.workers) + 1}"
        file = deployment.folder / f"{name}-fired.json"
        settings = {
            PLANS: json.dumps([asdict(plan) for plan in plans]),
            FIRED: str(file),
            KAFKA_PORTS: f"{self.site.kafka.proxied_port}:{self.site.kafka.proxy_port}",
        }
        worker = WorkerProcess(name, deployment.folder / name, {**deployment.environment(), **settings})
        plan = replace(worker._server.plan, command=[sys.executable, "-m", "tests.failpoints.launch"])
        worker._server = Server(plan, worker.folder, remove_folder=False)
        deployment.workers.append(worker)
        worker._server.start(lambda: True)
        return worker, file

    def _call_faults(self, fired: Fired) -> Iterator[str]:
        """Hold what a call did whose server did not answer against what its port says."""
        if fired.raised is not None and fired.raised not in self.cell.step.raises:
            yield f"the call raised {fired.raised}; its port names {', '.join(self.cell.step.raises) or 'nothing'}"
        bound = BOUNDS.get(fired.call, BOUND_SECONDS)
        if fired.seconds > bound:
            yield f"the call took {fired.seconds:.1f} s; its bound is {bound:g} s"


def start(deployment: Deployment, count: int) -> None:
    """Start workers, all at once, and wait until they run."""
    names = [f"worker-{len(deployment.workers) + number}" for number in range(1, count + 1)]
    started = [WorkerProcess(name, deployment.folder / name, deployment.environment()) for name in names]
    deployment.workers += started
    for worker in started:
        worker._server.start(lambda: True)
    wait_until(lambda: all(worker.told(worker.ready) for worker in started), PATIENCE_SECONDS, "the workers run")


def finish(deployment: Deployment) -> None:
    """Wait until all is done, then end one worker after the other, each when the others have what the last one left."""
    remaining = [worker for worker in deployment.workers if worker.running]
    wait_until_taken(remaining)
    while len(remaining) > 1:
        worker = remaining.pop(0)
        assert worker.terminate() == 0, f"{worker.name} ended badly"
        wait_until_taken(remaining)
    deployment.finish()


def wait_until_taken(workers: Sequence[WorkerProcess]) -> None:
    """Wait until these workers read all partitions: what is taken and not yet read has an owner when its taker ends."""
    everything = set(range(PARTITIONS))
    wait_until(lambda: set().union(*map(taken, workers)) == everything, PATIENCE_SECONDS, "all partitions are taken")


def taken(worker: WorkerProcess) -> set[int]:
    """Give the partitions that a worker reads, by what it says."""
    has: set[int] = set()
    for line in worker.log():
        match line.get("event"):
            case "taken":
                has |= {int(partition) for partition in line["offsets"]}
            case "assigned" | "revoked" | "lost":
                has -= set(line["partitions"])
    return has


def faults_of(deployment: Deployment, strangers: int) -> Iterator[str]:
    """Hold everything that anybody can see against what the orders must give."""
    numbers = range(ORDERS)
    published = [published_of(record) for record in deployment.outputs()]
    ends = deployment.end_offsets()
    yield from output_faults(expected_outputs(numbers), published)
    yield from order_faults(published)
    yield from instance_faults(numbers, instances(deployment))
    yield from journal_faults(ends, deployment.rows("SELECT partition, record_offset FROM journal"))
    yield from position_faults(ends, deployment.positions())
    dead_letters = [(record.partition(), record.offset()) for record in deployment.dead_letters()]
    if len(dead_letters) != strangers:
        yield f"expected {strangers} dead letters, found {len(dead_letters)}: {dead_letters}"


def stranger() -> EncodedRecord:
    """Give an event that starts an order of a version that no worker has."""
    order = Order(ORDERS)
    subject = root_subject(name=SOURCE, version="9.9.9", initiator=CLIENT, execution_id=order.id)
    event = create_event(
        {
            "id": order.id,
            "source": CLIENT,
            "type": SOURCE,
            "subject": subject,
            "datacontenttype": ARVO_CONTENT_TYPE,
            "dataschema": "#/machines/order/9.9.9",
            "data": {"parentSubject$$": None},
            "time": "2026-01-01T00:00:00.000+00:00",
            "to": SOURCE,
        }
    )
    return encode_record(event)
