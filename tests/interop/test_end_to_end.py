"""Services, a client and orchestrators in TypeScript work with the running worker, in both content modes."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import Message, Producer

from tests.acceptance.deployment import KAFKA_TIMEOUT_SECONDS, Deployment
from tests.interop import asking
from tests.interop.node import Peer, environment
from tests.servers.kafka import KafkaCluster
from tests.servers.postgres import Databases
from worker.adapters.embedded.server import Server, ServerPlan
from worker.core.codec import decode_record, encode_record
from worker.core.events import Event, create_event
from worker.core.subjects import decode_subject, root_subject
from worker.core.versions import WILDCARD_VERSION

pytestmark = pytest.mark.slow

CLIENT = "com.example.shop"
WAREHOUSE = "com.example.warehouse"
PARENT = "arvo.orc.shipment"
PARTITIONS = 4
UNCOMMITTED = "uncommitted"
PLAY_TIMEOUT_SECONDS = 40
SCENARIOS = 10


@dataclass(frozen=True, slots=True)
class Play:
    """What the scenarios told, and the records that they left, by topic."""

    mode: str
    told: dict[str, Any]
    outputs: list[Message]
    inputs: list[Message]
    dead_letters: list[Message]


@pytest.fixture(scope="module", params=["structured", "binary"])
def play(
    request: pytest.FixtureRequest,
    kafka_cluster: KafkaCluster,
    postgres_url: str,
    migrated_template: str,
    programs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Play]:
    """Play all scenarios on a worker of this content mode."""
    folder = tmp_path_factory.mktemp("play")
    shutil.copy(asking.__file__, folder)
    settings = {"WORKER_KAFKA_CONTENT_MODE": request.param, "WORKER_MACHINES": "machines.order,asking"}
    databases = Databases(postgres_url)
    database_url = databases.make(migrated_template)
    with Deployment(kafka_cluster, database_url, folder, settings, partitions=PARTITIONS) as deployment:
        leave_uncommitted(deployment)
        deployment.start_worker()
        told = play_scenarios(deployment, programs)
        deployment.finish()
        inputs = kafka_cluster.read_all(deployment.topics.input)
        yield Play(request.param, told, deployment.outputs(), inputs, deployment.dead_letters())
    databases.drop_all()


def play_scenarios(deployment: Deployment, programs: Path) -> dict[str, Any]:
    """Run the scenarios beside a service and an orchestrator in TypeScript."""
    variables = environment(
        {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": deployment.cluster.bootstrap_servers,
            "WORKER_TOPIC_PREFIX": deployment.prefix,
        }
    )
    with ExitStack() as running:
        servers = []
        for name in ("service", "orchestrator"):
            plan = ServerPlan(name=name, command=["node", str(programs / f"{name}.js")], environment=variables)
            servers.append(Server(plan, deployment.folder, remove_folder=False).start(lambda: True))
            running.callback(servers[-1].stop)
        client = ["node", str(programs / "scenarios.js")]
        try:
            done = subprocess.run(
                client, check=True, capture_output=True, text=True, env=variables, timeout=PLAY_TIMEOUT_SECONDS
            )
        except subprocess.SubprocessError as error:
            logs = "\n".join(f"{server.plan.name}: {server.log.read_text()}" for server in servers)
            raise AssertionError(f"{error}\n{getattr(error, 'stderr', '')}\n{logs}") from error
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def leave_uncommitted(deployment: Deployment) -> None:
    """Ask the inventory on every partition, in a transaction that is given up."""
    subject = root_subject(name="arvo.orc.order", version="1.0.0", initiator=CLIENT, execution_id="uncommitted")
    request = create_event(
        {
            "id": UNCOMMITTED,
            "source": "arvo.orc.order",
            "type": "com.inventory.reserve",
            "subject": subject,
            "data": {"order_id": "uncommitted", "items": []},
            "time": "2026-01-01T00:00:00Z",
        }
    )
    record = encode_record(request)
    producer = Producer(
        {"bootstrap.servers": deployment.cluster.bootstrap_servers, "transactional.id": deployment.prefix}
    )
    producer.init_transactions(KAFKA_TIMEOUT_SECONDS)
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce(
            deployment.topics.domain("default"),
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=partition,
        )
    assert producer.flush(KAFKA_TIMEOUT_SECONDS) == 0
    producer.abort_transaction(KAFKA_TIMEOUT_SECONDS)


def event_of(record: Message) -> Event:
    headers = cast("list[tuple[str, bytes | None]]", record.headers() or [])
    return decode_record(record.value(), tuple(headers))


def events(records: list[Message]) -> list[Event]:
    return [event_of(record) for record in records]


def event_with(records: list[Message], **attributes: str) -> Event:
    (found,) = [one for one in events(records) if all(getattr(one, name) == text for name, text in attributes.items())]
    return found


def order_of(play: Play, order_id: str) -> str:
    """Give the subject that an order runs under."""
    (found,) = {one.subject for one in events(play.inputs) if one.data.get("order_id") == order_id}
    return found


def test_orders_end_as_their_services_in_typescript_say(play: Play) -> None:
    assert play.told["completed"] == {
        "order_id": "completed",
        "status": "completed",
        "total": 80,
        "charge_id": "charge-of-completed",
        "reason": None,
    }
    refused, rejected = play.told["refused"], play.told["rejected"]
    assert (refused["status"], refused["reason"]) == ("failed", "an item is out of stock")
    assert (rejected["status"], rejected["total"]) == ("rejected", 40)


def test_an_error_thrown_in_typescript_reaches_the_machine(play: Play) -> None:
    assert (play.told["failed"]["status"], play.told["failed"]["reason"]) == ("failed", "no card pays 20000")
    error = event_with(play.inputs, type="sys.com.payment.charge.error")
    assert (error.dataschema, error.data["errorName"]) == ("#/services/payment/0.0.0", "RangeError")


def test_a_refused_init_event_comes_back_as_a_system_error_that_arvo_core_reads(play: Play) -> None:
    told = play.told["invalid"]
    init, reply = told["init"], told["reply"]
    assert told["error"]["errorName"] == "ContractViolation"
    assert told["error"]["errorStack"] is None
    assert (reply["type"], reply["dataschema"]) == ("sys.arvo.orc.order.error", "#/machines/order/0.0.0")
    assert (reply["source"], reply["to"], reply["subject"]) == ("arvo.orc.order", CLIENT, init["subject"])
    assert reply["parentid"] == init["id"]


def test_the_wildcard_version_starts_the_newest_machine(play: Play) -> None:
    told = play.told["wildcard"]
    assert decode_subject(told["init"]["subject"]).version == WILDCARD_VERSION
    assert told["reply"]["subject"] == told["init"]["subject"]
    assert told["reply"]["dataschema"] == "#/machines/order/1.0.0"
    assert told["output"]["status"] == "completed"


def test_an_order_below_a_typescript_orchestration_comes_back_to_it(play: Play) -> None:
    told = play.told["child"]
    assert told["output"]["status"] == "completed"
    assert (told["reply"]["subject"], told["reply"]["to"]) == (told["subject"], PARENT)
    content = decode_subject(order_of(play, "child"))
    assert (content.name, content.version, content.initiator) == ("arvo.orc.order", "1.0.0", PARENT)
    assert content.meta == {"tenant": "north", "redirectto": PARENT}


def test_without_redirectto_arvo_core_addresses_the_end_to_who_started_the_parent(play: Play) -> None:
    told = play.told["childWithoutRedirect"]
    assert decode_subject(told["init"]["subject"]).meta["redirectto"] == WAREHOUSE
    assert (told["reply"]["subject"], told["reply"]["to"]) == (told["subject"], WAREHOUSE)
    assert told["reply"]["data"]["status"] == "completed"


def test_a_failing_order_tells_its_typescript_parent(play: Play) -> None:
    told = play.told["failingChild"]
    assert (told["reply"]["subject"], told["reply"]["to"]) == (told["subject"], PARENT)
    assert told["reply"]["type"] == "sys.arvo.orc.order.error"
    assert told["error"]["errorName"] == "ContractViolation"


def test_a_machine_calls_an_orchestrator_in_typescript(play: Play) -> None:
    told = play.told["typescriptChild"]
    assert told["output"] == {"double": 42}
    child = event_with(play.outputs, type="arvo.orc.doubling")
    content = decode_subject(child.subject)
    assert (content.name, content.initiator, content.meta) == (
        "arvo.orc.doubling",
        "arvo.orc.asking",
        {"redirectto": "arvo.orc.asking"},
    )
    done = event_with(play.inputs, type="arvo.orc.doubling.done")
    assert (done.subject, done.to, done.parentid) == (told["init"]["subject"], "arvo.orc.asking", child.id)


def test_nothing_was_lost_or_refused(play: Play) -> None:
    assert len(play.told) == SCENARIOS
    assert play.dead_letters == []
    ids = [one.id for one in events(play.outputs)]
    assert len(set(ids)) == len(ids)


def test_services_do_not_see_what_was_never_committed(play: Play) -> None:
    asked = {one.id for one in events(play.outputs) if one.type == "com.inventory.reserve"}
    answered = {one.parentid for one in events(play.inputs) if one.type.startswith("evt.inventory.reserve")}
    assert UNCOMMITTED not in answered
    assert answered == asked


def test_the_outputs_are_in_the_content_mode(play: Play) -> None:
    content_types = {dict(record.headers() or ())["content-type"] for record in play.outputs}
    expected = b"application/cloudevents+json; charset=UTF-8" if play.mode == "structured" else b"application/json"
    assert content_types == {expected}


def test_kafkajs_and_the_worker_put_a_subject_on_the_same_partition(play: Play, peer: Peer) -> None:
    records = [*play.outputs, *play.inputs]
    keys = [bytes(record.key() or b"").decode() for record in records]
    assert keys == [one.subject for one in events(records)]
    assert peer.ask("partitions", keys=keys, partitions=PARTITIONS) == [record.partition() for record in records]
    assert len({record.partition() for record in records}) > 1
