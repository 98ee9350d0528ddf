"""Every example, run once on a real worker; each answer is sent twice."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

import machines.approval.contracts as approvals
import machines.order.contracts as orders
import machines.saga.contracts as provisionings
import machines.saga.services as saga_services
import machines.subscription.contracts as subscriptions
import machines.ticket.contracts as tickets
import machines.travel.contracts as trips
import machines.travel.services as travel_services
from tests.acceptance.deployment import Deployment, wait_until
from tests.servers.kafka import KafkaCluster
from worker import Service, service
from worker.core.codec import EncodedRecord, decode_record, encode_record
from worker.core.contracts import ContractVersion
from worker.core.events import Event
from worker.core.factories import init_event
from worker.core.subjects import root_subject

DOMAINS = ("default", "external", "analytics", "priority")
CLIENT = "com.example.client"
PATIENCE_SECONDS = 60.0


@service(orders.inventory.version("1.0.0"))
def reserve(request: orders.Reserve) -> orders.Reserved:
    return orders.Reserved(total=14, warehouse="w-1")


@service(orders.approval.version("1.0.0"), domain="external")
def approve(request: orders.Approve) -> orders.Approval:
    return orders.Approval(approved=True, by="Grace")


@service(orders.payment.version("1.0.0"))
def charge(request: orders.Charge) -> orders.Charged:
    return orders.Charged(charge_id="c-1")


@service(approvals.review.version("1.0.0"), domain="external")
def review(request: approvals.Submission) -> approvals.Approved | approvals.Returned:
    if request.remarks:
        return approvals.Approved(submission=request.submission, by="Grace")
    return approvals.Returned(submission=request.submission, by="Grace", remark="too short")


@service(approvals.revision.version("1.0.0"), domain="external")
def revise(request: approvals.Revise) -> approvals.Revised:
    return approvals.Revised(submission=request.submission, text=f"{request.text}, and more")


@service(provisionings.operator.version("1.0.0"), domain="external")
def decide(request: provisionings.Problem) -> provisionings.Decision:
    return provisionings.Decision(action="leave", by="Grace")


@service(tickets.support.version("1.0.0"))
def escalate(request: tickets.Solve) -> tickets.Escalated:
    return tickets.Escalated(reason="this is for somebody else")


@service(tickets.support.version("1.0.0"), domain="priority")
def solve(request: tickets.Solve) -> tickets.Solved:
    return tickets.Solved(answer="Because.", by="Grace")


@service(subscriptions.coupons.version("1.0.0"))
def redeem(request: subscriptions.Redeem) -> subscriptions.Redeemed:
    return subscriptions.Redeemed(percent=50)


@service(subscriptions.billing.version("1.0.0"))
def bill(request: subscriptions.Charge) -> subscriptions.Charged:
    return subscriptions.Charged(receipt="r-1")


def services_of(*modules: object) -> list[Service[..., Any]]:
    return [value for module in modules for value in vars(module).values() if isinstance(value, Service)]


SERVICES: Sequence[Service[..., Any]] = (
    *(reserve, approve, charge, review, revise, decide, escalate, solve, redeem, bill),
    *services_of(saga_services, travel_services),
)

COLLEAGUE = {"product": "editor", "floor": 10}
TRIP = {"city": "Lyon", "nights": 2, "card": "4000"}
STARTS: dict[str, tuple[ContractVersion, dict[str, Any], dict[str, Any]]] = {
    "order": (orders.order.version("1.0.0"), {"order_id": "o-1", "amount": 14}, {"status": "completed"}),
    "approval": (
        approvals.approval.version("1.0.0"),
        {"document_id": "d-1", "title": "Plan", "text": "Short"},
        {"status": "approved", "text": "Short, and more", "submissions": 2},
    ),
    "trip": (trips.trip, TRIP | {"trip_id": "t-1"}, {"status": "booked", "price": 280}),
    "trip without a room": (
        trips.trip,
        TRIP | {"trip_id": "t-2", "city": "Fully"},
        {"status": "partly", "problems": ["all hotels of Fully are full"]},
    ),
    "undone": (
        provisionings.provisioning.version("1.0.0"),
        COLLEAGUE | {"employee": "ada"},
        {"status": "undone", "present": [], "reason": "there is no floor 10"},
    ),
    "left over": (
        provisionings.provisioning.version("1.0.0"),
        COLLEAGUE | {"employee": "bob"},
        {"status": "left over", "present": ["account", "licence"]},
    ),
    "ticket": (
        tickets.ticket.version("1.0.0"),
        {"ticket_id": "k-1", "question": "Why?", "value": 5},
        {"status": "solved", "counted": True},
    ),
    "old subscription": (
        subscriptions.subscription.version("1.0.0"),
        {"account": "ada", "plan": "full"},
        {"status": "active", "paid": 30},
    ),
    "newest subscription": (
        subscriptions.subscription.version("2.0.0"),
        {"account": "bob", "plan": "full", "coupon": "HALF"},
        {"status": "active", "paid": 15, "discount": 50},
    ),
}


def start_of(name: str) -> EncodedRecord:
    contract, data, _ = STARTS[name]
    version = None if name.startswith("newest") else contract.version
    attributes = {
        "id": name,
        "source": CLIENT,
        "data": data | {"parentSubject$$": None},
        "time": "2026-01-01T00:00:00Z",
        "to": contract.type,
        "subject": root_subject(name=contract.type, version=version, initiator=CLIENT, execution_id=name),
    }
    return encode_record(init_event(contract, attributes, execution_id=name))


def event_of(record: Message) -> Event:
    value, headers = record.value(), record.headers() or []
    assert isinstance(value, bytes)
    return decode_record(value, tuple(headers))  # type: ignore[arg-type]


def answers(deployment: Deployment, one: Service[..., Any], records: Iterable[Message]) -> Iterator[Event]:
    """Answer what stands in the service's own topic."""
    topic = deployment.topics.domain(one.domain)
    for record in records:
        if record.topic() == topic:
            for answer in one.answer(event_of(record), time.time_ns() // 1_000_000):
                yield answer.event


def serve_until_done(deployment: Deployment) -> None:
    """Answer every request, and send each answer twice, until each instance has ended."""
    sent: set[str] = set()

    def done() -> bool:
        records = deployment.outputs()
        new = {event.id: event for one in SERVICES for event in answers(deployment, one, records)}
        fresh = [encode_record(event) for key, event in new.items() if key not in sent]
        deployment.produce([record for record in fresh for _ in range(2)])
        sent.update(new)
        return sum(event_of(record).to == CLIENT for record in records) == len(STARTS)

    wait_until(done, PATIENCE_SECONDS, "every workflow has told its client")


@pytest.fixture
def deployment(kafka_cluster: KafkaCluster, migrated_database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    settings = {"WORKER_MACHINES": "machines"}
    with Deployment(kafka_cluster, migrated_database_url, tmp_path, settings, DOMAINS) as made:
        yield made


@pytest.mark.slow
def test_every_example_on_a_real_worker(deployment: Deployment) -> None:
    deployment.produce(map(start_of, STARTS))
    worker = deployment.start_worker()
    serve_until_done(deployment)
    came_in = len(deployment.cluster.read_all(deployment.topics.input))
    deployment.wait_until_journalled(came_in, PATIENCE_SECONDS)
    assert worker.terminate() == 0

    assert deployment.dead_letters() == []
    rows = deployment.rows("SELECT init_event_id, output FROM instances WHERE parent_subject IS NULL")
    ends = {name: output for name, output in rows}  # noqa: C416 - the rows are tuples of Any.
    assert ends.keys() == STARTS.keys()
    for name, (_, _, expected) in STARTS.items():
        assert ends[name].items() >= expected.items(), name
    assert_three_levels(deployment)
    assert_domains(deployment)
    assert_versions(deployment)
    outcomes = dict(deployment.rows("SELECT outcome, count(*) FROM journal GROUP BY outcome"))
    assert outcomes.keys() == {"advanced", "duplicate"}
    assert deployment.rows("SELECT DISTINCT status FROM instances") == [("done",)]


def assert_three_levels(deployment: Deployment) -> None:
    rows = deployment.rows(
        "SELECT child.source, parent.source, count(*) FROM instances child "
        "JOIN instances parent ON child.parent_subject = parent.subject GROUP BY 1, 2"
    )
    assert sorted(rows) == [
        ("arvo.orc.flight", "arvo.orc.trip", 2),
        ("arvo.orc.hotel", "arvo.orc.trip", 2),
        ("arvo.orc.payment", "arvo.orc.flight", 2),
    ]


def assert_domains(deployment: Deployment) -> None:
    topics: dict[str, list[str]] = {}
    types: dict[str, str] = {}
    for record in deployment.outputs():
        event = event_of(record)
        types[event.id] = event.type
        topics.setdefault(event.id, []).append((record.topic() or "").rpartition(".")[2])
    found = Counter((types[key], *sorted(names)) for key, names in topics.items())
    assert found["com.ticket.solve", "default"] == 1
    assert found["com.ticket.solve", "analytics", "priority"] == 1
    assert found["com.fact.count", "analytics"] == 1
    assert found["com.review.request", "external"] == 2
    assert found["com.operator.ask", "external"] == 1
    of_people = {"com.review.request", "com.revision.request", "com.operator.ask", "com.approval.request"}
    others = {names for event_type, *names_list in found if event_type not in of_people for names in names_list}
    assert others == {"default", "analytics", "priority"}


def assert_versions(deployment: Deployment) -> None:
    rows = deployment.rows("SELECT init_event_id, version FROM instances WHERE source = 'arvo.orc.subscription'")
    assert sorted(rows) == [("newest subscription", "2.0.0"), ("old subscription", "1.0.0")]
