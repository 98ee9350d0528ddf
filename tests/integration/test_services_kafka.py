"""Services and clients on Apache Kafka, with real workers: kills, rebalances, restarts, poison, ends of workflows."""

import os
import shutil
import signal
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import structlog
from confluent_kafka import Consumer, KafkaError, Producer

from machines.order.contracts import Approval, OrderComplete, OrderInit, approval, inventory, order
from tests.acceptance.commands import run_worker
from tests.acceptance.deployment import Deployment, WorkerProcess, wait_until
from tests.integration.brittle import Divided, brittle
from tests.servers.kafka import KafkaCluster, KafkaServer
from tests.servers.raw_producer import send_raw
from tests.services.stock import MISSING, SYSTEM_ERROR, TAKEN, V1, V2, Missing, Take, Taken, request
from worker import (
    Client,
    InvalidDataError,
    KafkaUnavailable,
    Reply,
    ServiceWorker,
    SetupError,
    WorkerError,
    WorkflowFailed,
    create_event,
    service,
)
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.membership import GroupMember
from worker.adapters.kafka.tailing import Start, TopicTail
from worker.adapters.kafka.topics import TopicAdmin
from worker.core.codec import decode_record, encode_record
from worker.core.events import Event
from worker.core.routing import Topics
from worker.demo.services import SAMPLE_SERVICES
from worker.services.answering import AnsweringConfig
from worker.services.serving import ServiceStuck
from worker.settings import Settings

PATIENCE_SECONDS = 60.0
SESSION_TIMEOUT = {"session.timeout.ms": "3000"}
SHOP = "com.example.shop"
ORDER = order.version("1.0.0")
RESERVED = "evt.inventory.reserve.success"
INPUT_BYTES_MAX = 20_000


def settings(cluster: KafkaCluster, prefix: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=cluster.bootstrap_servers,
        database_url="postgresql://",
        topic_prefix=prefix,
        kafka_properties=SESSION_TIMEOUT,
    )


def read(cluster: KafkaCluster, topic: str) -> list[Event]:
    return [decode_record(one.value(), tuple(one.headers() or ())) for one in cluster.read_all(topic)]  # type: ignore[arg-type]


def an_order(order_id: str, amount: float = 40, sku: str = "lamp") -> dict[str, Any]:
    return {"order_id": order_id, "amount": amount, "items": [{"sku": sku, "qty": 1}]}


class Shop:
    """A deployment with a worker, service processes and a client."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.settings = settings(deployment.cluster, deployment.prefix)
        deployment.settings = {"WORKER_TEST_FOLDER": str(deployment.folder), "WORKER_MACHINES": "machines,brittle"}
        for module in ("desk_services.py", "brittle.py"):
            shutil.copy(Path(__file__).with_name(module), deployment.folder)
        deployment.start_worker()

    def client(self, **options: Any) -> Client:
        return Client(SHOP, settings=self.settings, **options)

    def services(self) -> WorkerProcess:
        """Start another process of the services."""
        deployment = self.deployment
        name = f"services-{len(deployment.workers)}"
        arguments = ("serve", "desk_services")
        environment = deployment.environment()
        process = WorkerProcess(name, deployment.folder / name, environment, arguments, "serving")
        deployment.workers.append(process)
        return process.start()

    def calls(self) -> Counter[str]:
        """Count the calls of each process that answers."""
        return Counter({one.name: len(one.read_text().split()) for one in self.deployment.folder.glob("calls-*")})

    def effects(self) -> int:
        return len(list(self.deployment.folder.glob("effect-*")))

    def go(self) -> None:
        (self.deployment.folder / "go").touch()

    def asked(self) -> list[Event]:
        return read(self.deployment.cluster, self.deployment.topics.domain("default"))

    def answered(self, event_type: str) -> list[Event]:
        return [
            event for event in read(self.deployment.cluster, self.deployment.topics.input) if event.type == event_type
        ]

    def outcomes(self) -> Counter[str]:
        return Counter(dict(self.deployment.rows("SELECT outcome, count(*) FROM journal GROUP BY outcome")))


@pytest.fixture
def shop(kafka_cluster: KafkaCluster, migrated_database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with Deployment(
        kafka_cluster, migrated_database_url, tmp_path, domains=("default", "external", "analytics", "priority")
    ) as deployment:
        yield Shop(deployment)


# Services: at least once, and no more than one effect


@pytest.mark.slow
def test_a_killed_service_answers_again_with_the_same_events(
    kafka_cluster: KafkaCluster, migrated_database_url: str, tmp_path: Path
) -> None:
    domains = ("default", "external", "analytics", "priority")
    with Deployment(kafka_cluster, migrated_database_url, tmp_path, domains=domains, partitions=1) as deployment:
        shop = Shop(deployment)
        with shop.client() as client:
            first, held = (client.start(ORDER, an_order(name)) for name in ("o-1", "held-2"))
            wait_until(lambda: len(shop.asked()) == 2, PATIENCE_SECONDS, "both are asked for")
            killed = shop.services()
            wait_until(lambda: len(shop.answered(RESERVED)) == 1, PATIENCE_SECONDS, "the first is answered")
            # The second is in hand, so nothing is committed yet.
            wait_until(lambda: shop.effects() >= 2, PATIENCE_SECONDS, "the second is in hand")
            killed.kill()
            shop.go()
            shop.services()
            for workflow in (first, held):
                assert workflow.wait(PATIENCE_SECONDS).status == "completed"
            deployment.finish()

        answers = Counter((event.subject, event.id) for event in shop.answered(RESERVED))
        assert sorted(answers.items()) == sorted(
            ((workflow.subject, event.id), count)
            for workflow, count in ((first, 2), (held, 1))
            for event in shop.answered(RESERVED)[-2:]
            if event.subject == workflow.subject
        )
        assert shop.outcomes()["duplicate"] == 1
        assert len({event.id for event in shop.asked()}) == len(shop.asked())
        # Three requests of each order; the one that was answered twice had its effect once.
        assert shop.effects() == 6
        assert sum(shop.calls().values()) >= 8


@pytest.mark.slow
def test_two_processes_share_the_requests_and_one_leaves(shop: Shop) -> None:
    with shop.client() as client:
        one = shop.services()
        started = [client.start(ORDER, an_order(f"o-{number}")) for number in range(20)]
        wait_until(lambda: len(shop.calls()) == 1, PATIENCE_SECONDS, "the first process answers")
        shop.services()

        def both_answer() -> bool:
            started.extend(client.start(ORDER, an_order(f"more-{len(started)}-{n}")) for n in range(5))
            return len(shop.calls()) == 2

        wait_until(both_answer, PATIENCE_SECONDS, "both processes answer")
        assert one.terminate() == 0
        started += [client.start(ORDER, an_order(f"last-{number}")) for number in range(10)]
        assert {workflow.wait(PATIENCE_SECONDS).status for workflow in started} == {"completed"}
        shop.deployment.finish()

    assert shop.effects() == sum(shop.calls().values()) == 3 * len(started)
    # Who gives partitions back has committed what it answered.
    assert Counter(shop.outcomes()) == {"advanced": 4 * len(started)}


# Clients


@pytest.fixture
def answered_shop(shop: Shop) -> Iterator[Shop]:
    """Give a shop whose orders are answered by the sample services, in this process."""
    with ServiceWorker(SAMPLE_SERVICES, settings=shop.settings) as samples:
        assert samples.wait_until_serving(PATIENCE_SECONDS)
        yield shop


@pytest.mark.slow
def test_a_client_gets_what_its_workflows_complete_with(answered_shop: Shop) -> None:
    with answered_shop.client() as client:
        cases = [("lamp", 40, "completed"), ("out-of-stock", 40, "failed"), ("lamp", 2000, "rejected")] * 10

        def outcome(case: tuple[int, tuple[str, int, str]]) -> OrderComplete:
            number, (sku, amount, _) = case
            data = OrderInit.model_validate(an_order(f"o-{number}", amount, sku))
            complete = client.start(ORDER, data, accesscontrol="role:shop").wait(PATIENCE_SECONDS)
            assert isinstance(complete, OrderComplete)
            return complete

        with ThreadPoolExecutor(8) as pool:
            completions = list(pool.map(outcome, enumerate(cases)))
    assert [(one.order_id, one.status) for one in completions] == [
        (f"o-{number}", status) for number, (*_, status) in enumerate(cases)
    ]
    assert {event.accesscontrol for event in answered_shop.asked()} == {"role:shop"}


@pytest.mark.slow
def test_a_client_is_told_of_a_failure(shop: Shop) -> None:
    with shop.client() as client:
        workflow = client.start(brittle, {"number": 1, "by": 0})
        with pytest.raises(WorkflowFailed, match="division by zero") as failed:
            workflow.wait(PATIENCE_SECONDS)
        assert (failed.value.name, failed.value.message) == ("ZeroDivisionError", "division by zero")
        assert (failed.value.event.to, failed.value.event.source) == (SHOP, "arvo.orc.brittle")
        # Each failure is told once: what follows a correction is waited for.
        with pytest.raises(TimeoutError, match=r"its last event here was sys\.arvo\.orc\.brittle\.error"):
            workflow.wait(0.1)
        mended = create_event(
            {
                "id": "mended",
                "source": SHOP,
                "type": "arvo.orc.brittle",
                "subject": workflow.subject,
                "dataschema": brittle.dataschema,
                "data": {"number": 1, "by": 4, "parentSubject$$": None},
                "time": "2026-01-01T00:00:00Z",
            }
        )
        client.send(mended)
        assert workflow.wait(PATIENCE_SECONDS) == Divided(result=0.25)
        assert workflow.wait(0) == Divided(result=0.25)


@pytest.mark.slow
def test_a_start_may_be_repeated(answered_shop: Shop) -> None:
    with answered_shop.client() as client:
        first = client.start(ORDER, an_order("o-17"), execution_id="order-17")
        again = client.start(ORDER, an_order("o-17"), execution_id="order-17")
        assert first.subject == again.subject
        assert first.execution_id == "order-17"
        assert first.wait(PATIENCE_SECONDS) == again.wait(PATIENCE_SECONDS)
    # Another client, that comes when all is over, looks back.
    with answered_shop.client(look_back_seconds=300) as client:
        late = client.start(ORDER, an_order("o-17"), execution_id="order-17")
        assert late.wait(PATIENCE_SECONDS).status == "completed"
    answered_shop.deployment.finish()
    assert answered_shop.deployment.rows("SELECT count(*) FROM instances") == [(1,)]
    assert answered_shop.outcomes()["duplicate"] == 2


@pytest.mark.slow
def test_a_person_answers(shop: Shop) -> None:
    with shop.client(domains=["external"]) as client, ServiceWorker([SAMPLE_SERVICES[0]], settings=shop.settings):
        workflow = client.start(ORDER, an_order("o-1"))
        asked = workflow.wait_for("com.approval.request", PATIENCE_SECONDS)
        assert asked.data == {"order_id": "o-1", "amount": 40}
        contract = approval.version("1.0.0")
        with pytest.raises(InvalidDataError, match="does not fit the contract"):
            client.reply(asked, contract, Reply("evt.approval.request.success", {"approved": "yes"}))
        with pytest.raises(SetupError, match=r"is no request of #/services/inventory/1\.0\.0"):
            client.reply(asked, inventory.version("1.0.0"), Approval(approved=True, by="Ada"))
        answers = [client.reply(asked, contract, Approval(approved=False, by="Ada")) for _ in range(2)]
        assert answers[0].id == answers[1].id
        assert workflow.wait(PATIENCE_SECONDS).status == "rejected"
        with pytest.raises(TimeoutError, match=r"No com\.approval\.request of Workflow"):
            workflow.wait_for("com.approval.request", 0)


@pytest.mark.slow
def test_a_client_says_what_is_wrong(shop: Shop) -> None:
    with pytest.raises(SetupError, match=r"these topics are missing: .*nowhere"):
        shop.client(domains=["nowhere"]).__enter__()
    closed = shop.client()
    with pytest.raises(WorkerError, match="The client is not open"):
        closed.start(ORDER, an_order("o-1"))
    with shop.client() as client:
        for data in ({"order_id": "o-1", "amount": -1}, {"amount": 1}, {"order_id": "o-1", "amount": "1"}, 7):
            with pytest.raises(InvalidDataError):
                client.start(ORDER, data)
        with pytest.raises(InvalidDataError, match="have no parent"):
            client.start(ORDER, {**an_order("o-1"), "parentSubject$$": "s"})
        for contract in (order, approval.version("1.0.0"), "arvo.orc.order"):
            with pytest.raises(SetupError):
                client.start(contract, an_order("o-1"))  # type: ignore[arg-type]
        with pytest.raises(SetupError, match=r"expected a name of at least three parts"):
            client.start(ORDER, an_order("o-1"), source="me")
        with pytest.raises(TypeError, match="send takes an Event"):
            client.send({"type": "x"})  # type: ignore[arg-type]
        assert shop.deployment.end_offsets() == dict.fromkeys(range(4), 0)

        waiting = client.start(ORDER, an_order("o-1"))
        waiting.wait_for("com.inventory.reserve", PATIENCE_SECONDS)
        with pytest.raises(TimeoutError) as late:
            waiting.wait(0.1)
        assert "No end of Workflow(arvo.orc.order 1.0.0" in str(late.value)
        assert "its last event here was com.inventory.reserve" in str(late.value)
        assert f"worker tail --from-beginning --subject {waiting.execution_id}" in str(late.value)
    with pytest.raises(WorkerError, match="The client was closed before the end of"):
        waiting.wait(PATIENCE_SECONDS)


# Outages


@pytest.mark.slow
def test_a_restart_of_the_broker_is_waited_for(
    kafka_server: KafkaServer, migrated_database_url: str, tmp_path: Path
) -> None:
    domains = ("default", "external", "analytics", "priority")
    with Deployment(kafka_server.cluster, migrated_database_url, tmp_path / "shop", domains=domains) as deployment:
        deployment.folder.mkdir()
        shop = Shop(deployment)
        with ServiceWorker(SAMPLE_SERVICES, settings=shop.settings), shop.client() as client:
            workflows = [client.start(ORDER, an_order(f"before-{number}")) for number in range(20)]
            kafka_server.kill()
            kafka_server.start()
            workflows += [client.start(ORDER, an_order(f"after-{number}")) for number in range(20)]
            assert {workflow.wait(PATIENCE_SECONDS).status for workflow in workflows} == {"completed"}


# What services answer, and what they leave


@service(V1)
def take(data: Take) -> Taken | Missing:
    if data.sku == "broken":
        raise LookupError("the shelf fell over")
    return Missing(reason="x" * data.qty) if data.sku == "long" else Taken(left=1)


@service(V2)
def take_newer(_: Take) -> Reply:
    return Reply(TAKEN, {"left": 2})


class Requests:
    """Topics of services alone, without any worker."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self.cluster = cluster
        self.topics = Topics(f"requests-{uuid.uuid4().hex[:12]}")
        self.settings = settings(cluster, self.topics.prefix)
        cluster.create_topics([self.topics.input, self.topics.domain("default")])
        self._producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})

    def limit_answers(self) -> None:
        """Let the input topic take less, and wait until the broker says so."""
        self.cluster.set_topic(self.topics.input, "max.message.bytes", str(INPUT_BYTES_MAX))
        admin = TopicAdmin(KafkaConfig(self.cluster.bootstrap_servers))

        def told() -> bool:
            return admin.record_bytes_max([self.topics.input]) == {self.topics.input: INPUT_BYTES_MAX}

        wait_until(told, PATIENCE_SECONDS, "the broker tells the new limit")

    def send(self, *events: Event) -> None:
        for event in events:
            record = encode_record(event)
            self.send_record(record.key, record.value, dict(record.headers))

    def send_record(self, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes | None]) -> None:
        self._producer.produce(self.topics.domain("default"), key=key, value=value, headers=list(headers.items()))
        self._producer.flush()

    def answers(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Give type and data of the answer to each request that has one."""
        events = read(self.cluster, self.topics.input)
        answers = {str(event.parentid): (event.type, dict(event.data)) for event in events}
        assert len(answers) == len(events)
        return answers

    def wait_for_answers(self, *request_ids: str) -> dict[str, tuple[str, dict[str, Any]]]:
        wait_until(lambda: set(request_ids) <= set(self.answers()), PATIENCE_SECONDS, f"{request_ids} are answered")
        return self.answers()


@pytest.fixture
def requests(kafka_cluster: KafkaCluster) -> Requests:
    return Requests(kafka_cluster)


@contextmanager
def serving(requests: Requests, *services: Any, config: AnsweringConfig | None = None) -> Iterator[None]:
    """Serve, as one process does."""
    with ServiceWorker(services, settings=requests.settings, config=config) as worker:
        assert worker.wait_until_serving(PATIENCE_SECONDS)
        yield


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """Give the log lines as they come."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_nothing_that_a_record_holds_ends_the_service(requests: Requests, lines: list[Any]) -> None:
    topic = requests.topics.domain("default")
    requests.limit_answers()
    with serving(requests, take):
        for value in (b"no event", b"{}", None, b"\xff\xfe", b"[" * 100_000):
            requests.send_record(None, value, {})
        requests.send_record(b"k", b"{}", {"ce_type": b"\xff", "ce_id": None})
        send_raw(requests.cluster.bootstrap_servers, topic, 0, b"{}", [(b"\xff\xfe", b"1")])
        asked = {
            "plain": request(id="plain"),
            "broken": request({"sku": "broken"}, id="broken"),
            "invalid": request({"sku": 1}, id="invalid"),
            "long": request({"sku": "long", "qty": INPUT_BYTES_MAX}, id="long"),
            "nearly": request({"sku": "long", "qty": INPUT_BYTES_MAX // 2}, id="nearly"),
            "other": request(id="other", type="com.stock.give"),
            "last": request(id="last"),
        }
        requests.send(*asked.values())
        # Sent in order to several partitions, so all are waited for.
        answers = requests.wait_for_answers(*(asked.keys() - {"other"}))
    assert {name: answer[0] for name, answer in answers.items()} == {
        "plain": TAKEN,
        "broken": SYSTEM_ERROR,
        "invalid": SYSTEM_ERROR,
        "long": SYSTEM_ERROR,
        "nearly": MISSING,
        "last": TAKEN,
    }
    assert answers["broken"][1]["errorName"] == "LookupError"
    assert answers["long"][1]["errorName"] == "AnswerTooLarge"
    assert Counter(line["event"] for line in lines if line["log_level"] == "warning") == {
        "record_skipped": 6,
        "request_failed": 3,
    }


def test_a_topic_that_takes_less_than_it_did_is_looked_at_again(requests: Requests, lines: list[Any]) -> None:
    with serving(requests, take):
        requests.send(request(id="before"))
        requests.wait_for_answers("before")
        requests.limit_answers()
        requests.send(request({"sku": "long", "qty": INPUT_BYTES_MAX}, id="long"), request(id="after"))
        answers = requests.wait_for_answers("long", "after")
    assert [answers[name][0] for name in ("before", "long", "after")] == [TAKEN, SYSTEM_ERROR, TAKEN]
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "kafka_unavailable",
        "request_failed",
    ]


def test_each_version_is_answered_by_its_service(requests: Requests, lines: list[Any]) -> None:
    with serving(requests, take), serving(requests, take_newer):
        versions = {"one": "1.0.0", "two": "2.0.0", "three": "3.0.0"}
        requests.send(*(request(id=name, dataschema=f"{V1.uri}/{number}") for name, number in versions.items()))
        requests.send(request(id="last-one"), request(id="last-two", dataschema=V2.dataschema))
        answers = requests.wait_for_answers("one", "two", "last-one", "last-two")

        def told() -> set[tuple[str, str]]:
            return {(one["version"], one["dataschema"]) for one in lines if one["event"] == "version_left_to_others"}

        wait_until(lambda: len(told()) == 4, PATIENCE_SECONDS, "it is told of what is left to others")
    assert told() == {
        ("1.0.0", V2.dataschema),
        ("1.0.0", f"{V1.uri}/3.0.0"),
        ("2.0.0", V1.dataschema),
        ("2.0.0", f"{V1.uri}/3.0.0"),
    }
    assert {name: answer[1]["left"] for name, answer in answers.items()} == {
        "one": 1,
        "two": 2,
        "last-one": 1,
        "last-two": 2,
    }


def test_the_newest_version_of_a_process_answers_what_names_none(requests: Requests) -> None:
    with serving(requests, take, take_newer):
        requests.send(request(id="none", dataschema=None), request(id="wildcard", dataschema=f"{V1.uri}/0.0.0"))
        answers = requests.wait_for_answers("none", "wildcard")
    assert answers == {"none": (TAKEN, {"left": 2}), "wildcard": (TAKEN, {"left": 2})}


def test_what_was_asked_before_the_service_began_is_answered_once(requests: Requests) -> None:
    requests.send(*(request(id=f"early-{number}", subject=f"s-{number}") for number in range(20)))
    for _ in range(2):
        # Turns end in the midst of what was fetched, and nothing may be lost between two.
        with serving(requests, take, config=AnsweringConfig(requests_max=3)):
            requests.wait_for_answers(*(f"early-{number}" for number in range(20)))
    assert len(requests.answers()) == 20


def test_a_member_that_leaves_commits_first(requests: Requests) -> None:
    """What was read and not yet committed is settled within `close`, before the partitions go."""
    requests.send(*(request(id=f"r-{number}", subject=f"s-{number}") for number in range(8)))
    first = Member(requests)
    wait_until(lambda: first.read() == 8, PATIENCE_SECONDS, "the first has read all")
    first.member.close()
    assert first.settled == 1
    second = Member(requests)
    wait_until(lambda: second.read() == 0 and second.member.is_assigned, PATIENCE_SECONDS, "the second has joined")
    requests.send(request(id="r-8"))
    wait_until(lambda: second.read() == 1, PATIENCE_SECONDS, "the second reads what is new")
    second.member.close()


class Member:
    """One member of a group of its own making, and how often it was asked to settle."""

    def __init__(self, requests: Requests) -> None:
        config = KafkaConfig(requests.cluster.bootstrap_servers, SESSION_TIMEOUT)
        self.settled = self._count = 0
        topics = [requests.topics.domain("default")]
        self.member = GroupMember(config, requests.topics.prefix, topics, self._settle)

    def read(self) -> int:
        """Read what there is, and count what was read in all."""
        self._count += self.member.read(0.1) is not None
        return self._count

    def _settle(self) -> None:
        self.settled += 1
        self.member.commit()


def test_a_function_that_does_not_return_does_not_hold_up_the_end(
    requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.services.serving.STOP_SECONDS", 0.2)
    begun, go = Flag(), Flag()

    @service(V1)
    def slow(_: Take) -> Taken:
        begun.set()
        go.wait(PATIENCE_SECONDS)
        return Taken(left=1)

    worker = ServiceWorker([slow], settings=requests.settings)
    with worker:
        requests.send(request(id="held"))
        assert begun.wait(PATIENCE_SECONDS)
        with pytest.raises(ServiceStuck, match=r"Service\(com\.stock\.take 1\.0\.0\) did not end within 0\.2 s"):
            worker.__exit__(None, None, None)
        go.set()
        # What was in hand is answered all the same, if the process lasts.
        requests.wait_for_answers("held")
        monkeypatch.setattr("worker.services.serving.STOP_SECONDS", PATIENCE_SECONDS)


def test_a_bug_ends_all_services_and_comes_out(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("worker.services.answering.Answering._take", broken)
    requests.send(request())
    with pytest.raises(RuntimeError, match="a bug"):
        ServiceWorker([take, take_newer], settings=requests.settings).run()


def test_an_error_among_records_passes_none_over(requests: Requests) -> None:
    requests.send(*(request(id=f"r-{number}", subject=f"s-{number}") for number in range(20)))
    config = KafkaConfig(requests.cluster.bootstrap_servers)
    with TopicTail(config, [requests.topics.domain("default")], Start.BEGINNING, "tail") as tail:
        erring = Erring(tail._client)
        tail._client = erring  # type: ignore[assignment]
        values: list[bytes | None] = []

        def read_all() -> bool:
            try:
                values.extend(one.record.value for one in tail.read(0.1))
            except KafkaUnavailable:
                erring.errors += 1
            return len(values) >= 20

        wait_until(read_all, PATIENCE_SECONDS, "all are read")
    assert erring.errors == 3
    assert len(set(values)) == len(values) == 20


class Erring:
    """A consumer that puts an error after what it read, three times."""

    def __init__(self, client: Consumer) -> None:
        self._client = client
        self.errors = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def consume(self, count: int, wait_seconds: float) -> list[Any]:
        messages: list[Any] = self._client.consume(count, wait_seconds)
        return [*messages, ErrorMessage()] if messages and self.errors < 3 else messages


class ErrorMessage:
    def error(self) -> KafkaError:
        return KafkaError(KafkaError._TRANSPORT)


def test_a_client_is_told_that_its_event_is_refused(requests: Requests) -> None:
    requests.limit_answers()
    with Client(SHOP, settings=requests.settings) as client:
        with pytest.raises(KafkaUnavailable, match="the brokers refused a record: MSG_SIZE_TOO_LARGE"):
            client.send(request({"sku": "x" * INPUT_BYTES_MAX}))
        client.send(request(id="small"))
    assert [event.id for event in read(requests.cluster, requests.topics.input)] == ["small"]


def test_ctrl_c_and_sigterm_end_the_process_well(requests: Requests, tmp_path: Path) -> None:
    (tmp_path / "shelf.py").write_text("from tests.integration.test_services_kafka import take\n")
    environment = {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": requests.cluster.bootstrap_servers,
        "WORKER_TOPIC_PREFIX": requests.topics.prefix,
    }
    for number, sent in enumerate((signal.SIGINT, signal.SIGTERM)):
        process = WorkerProcess(f"p-{number}", tmp_path / f"p-{number}", environment, ("serve", "shelf"), "serving")
        try:
            process.start()
            requests.send(request(id=f"r-{number}"))
            requests.wait_for_answers(f"r-{number}")
            os.kill(process._server.pid, sent)
            assert process._await_end() == 0, process.log_text()
            assert process.told("stopped")
        finally:
            process.close()


def test_the_command_says_what_is_wrong(requests: Requests, tmp_path: Path) -> None:
    done = run_worker("serve", "nowhere", directory=tmp_path)
    assert done.returncode == 2
    assert "WORKER_KAFKA_BOOTSTRAP_SERVERS: is not set" in done.stderr
    given = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": requests.cluster.bootstrap_servers, "WORKER_TOPIC_PREFIX": "no-such"}
    done = run_worker("serve", "nowhere", given=given, directory=tmp_path)
    assert done.returncode == 2
    assert "The package 'nowhere' of `worker serve` is not found" in done.stderr
    done = run_worker("serve", " , ", given=given, directory=tmp_path)
    assert "no package is named" in done.stderr
    (tmp_path / "shelf.py").write_text("from worker.demo.services import reserve\n")
    done = run_worker("serve", "shelf", given=given, directory=tmp_path)
    assert done.returncode == 2
    assert "these topics are missing: no-such.input, no-such.default" in done.stderr
    assert "Traceback" not in done.stderr
