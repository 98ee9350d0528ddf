"""The broker held against the worker's own batch: whatever comes, the same becomes of it, and the same goes out."""

from collections import deque
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from machines.order import machine as order
from tests.simulation.servers import FakeClock
from tests.testing.parcels import LABEL, label, parcel
from worker import Event, Registry, SismicEngine
from worker.core.codec import decode_record, encode_record
from worker.core.outcomes import Advanced, Cancelled, DeadLettered, Duplicate, Failed, Ignored, Outcome, Unexpected
from worker.core.records import Record
from worker.core.routing import Router, Topics
from worker.core.step import Host
from worker.core.subjects import root_subject
from worker.runtime.arrivals import decode
from worker.runtime.batch import Found, Limits, Run, Setting
from worker.runtime.stages import Stages
from worker.testing import LocalBroker

MACHINES = (order, parcel("1.0.0"), parcel("2.0.0"), label())
TOPICS = Topics("t")
NAMES = {
    Advanced: "advanced",
    Unexpected: "unexpected",
    Failed: "failed",
    Cancelled: "cancelled",
    Duplicate: "duplicate",
    Ignored: "ignored",
    DeadLettered: "dead_lettered",
}

Told = tuple[str, str, str | None]


class Worker:
    """The worker's batch on an input topic of one partition; what it publishes to that topic it reads."""

    def __init__(self, clock: int) -> None:
        registry = Registry(MACHINES, SismicEngine())
        domains = {domain for machine in MACHINES for domain in machine.domains}
        topics = [TOPICS.input, TOPICS.dead_letters, *map(TOPICS.domain, domains)]
        self.clock = clock
        router = Router(TOPICS, registry, "group", "1")
        self.run = Run(
            Setting(Host(registry), router, FakeClock(clock), Stages(), bytes_max=10**9),
            Limits(dict.fromkeys(topics, 1_000_000)),
            Found([], {}),
            waits=lambda *_: False,
        )
        self.told: list[Told] = []
        self.emitted: list[tuple[str, Event]] = []

    def take(self, event: Event) -> None:
        records = deque([event])
        while records:
            records.extend(self._take(records.popleft()))

    def _take(self, event: Event) -> list[Event]:
        encoded = encode_record(event)
        before = len(self.run.outputs())
        record = Record(0, len(self.told), self.clock, encoded.key, encoded.value, encoded.headers)
        self.run.run([decode(record)])
        row = self.run.writes({0: 0}).journal[-1]
        self.told.append((event.id, row.outcome, row.reason))
        returning = []
        for _, output in self.run.outputs()[before:]:
            if output.topic == TOPICS.dead_letters:
                continue
            one = decode_record(output.value, output.headers)
            if output.topic == TOPICS.input:
                returning.append(one)
            else:
                self.emitted.append((output.topic.removeprefix("t."), one))
        return returning


def told(event: Event, outcome: Outcome | None) -> Told:
    assert outcome is not None
    reason = outcome.reason.value if isinstance(outcome, Ignored | DeadLettered) else None
    return event.id, NAMES[type(outcome)], reason


def emitted_by(broker: LocalBroker) -> list[tuple[str, Event]]:
    published = [one for delivery in broker.deliveries for one in delivery.published]
    return [(domain, one.event) for one in published for domain in one.domains]


REPLIES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "com.inventory.reserve": [
        ("evt.inventory.reserve.success", {"total": 80, "warehouse": "Utrecht"}),
        ("evt.inventory.reserve.failure", {"reason": "sold out"}),
        ("evt.inventory.reserve.failure", {"reason": 1}),
    ],
    "com.approval.request": [("evt.approval.request.success", {"approved": True, "by": "Grace"})],
    "com.payment.charge": [("evt.payment.charge.success", {"charge_id": "c-1"})],
    "com.label.print": [("evt.label.print.success", {"label": "<Oslo>"})],
    "com.parcel.send": [("evt.parcel.send.success", {"carrier": "the post"})],
}
STARTS: list[tuple[int, dict[str, Any]]] = [
    (0, {"order_id": "A-1", "amount": 40}),
    (0, {"order_id": "A-1", "amount": -1}),
    (1, {"city": "Oslo"}),
    (2, {"city": "Oslo"}),
    (3, {"text": "Oslo"}),
]
ODD: list[dict[str, Any]] = [
    {"id": "another"},
    {"source": "com.another.source"},
    {"data": {}},
    {"dataschema": None},
    {"dataschema": "#/services/inventory/9.0.0"},
    {"dataschema": "#/another/1.0.0"},
    {"to": "com.some.body"},
    {"to": LABEL},
    {"type": "com.some.thing"},
    {"type": "com.some.thing", "to": LABEL, "id": "strange"},
    {"type": "com.some.thing", "to": "com.some.body", "id": "strange"},
    {"subject": "nothing"},
    {"subject": root_subject(name=order.source, version="9.0.0", initiator="com.test.user", execution_id="x")},
    {"subject": root_subject(name=order.source, version="0.0.0", initiator="com.test.user", execution_id="y")},
    {"subject": root_subject(name="arvo.orc.unknown", version="1.0.0", initiator="com.test.user", execution_id="z")},
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_comes_the_broker_does_as_the_worker_does(data: st.DataObject) -> None:
    broker = LocalBroker(*MACHINES)
    worker = Worker(broker.clock.milliseconds)
    for _ in range(data.draw(st.integers(1, 12), "events")):
        event = next_event(data, broker)
        broker.publish(event)
        worker.take(event)
    # An event for nobody who is here is no delivery.
    taken = [one for one in worker.told if one[2] != "NOT_HOSTED"]
    assert [told(one.event, one.outcome) for one in broker.deliveries] == taken
    assert emitted_by(broker) == worker.emitted
    assert [letter.reason.value for letter in broker.dead_letters] == [
        reason for _, outcome, reason in taken if outcome == "dead_lettered"
    ]
    for _, instance in worker.run.writes({0: 0}).created:
        assert broker.instance(instance.subject) == instance


def next_event(data: st.DataObject, broker: LocalBroker) -> Event:
    """Draw a start, an answer to what waits, or something that was there before, changed or not."""
    kind = data.draw(st.sampled_from(["start", "reply", "again", "odd"]), "kind")
    requests = [one for domain in broker.domains for one in broker.bucket(domain) if one.type in REPLIES]
    if kind == "reply" and requests:
        request = data.draw(st.sampled_from(requests), "request")
        return answer(data, request, f"reply-{len(broker.published)}")
    if kind in ("again", "odd") and broker.published:
        event = data.draw(st.sampled_from(broker.published), "event")
        return event if kind == "again" else replace(event, **data.draw(st.sampled_from(ODD), "odd"))
    index, init = data.draw(st.sampled_from(STARTS), "start")
    started = LocalBroker(*MACHINES).start(MACHINES[index], init)
    subject = root_subject(
        name=started.type,
        version=MACHINES[index].version,
        initiator=started.source,
        execution_id=f"x-{len(broker.published)}",
    )
    return replace(started, id=f"start-{len(broker.published)}", subject=subject)


def answer(data: st.DataObject, request: Event, name: str) -> Event:
    replies = REPLIES[request.type]
    event_type, reply = data.draw(st.sampled_from(replies), "reply")
    return replace(
        request,
        id=name,
        source=request.type,
        type=event_type,
        data=reply,
        dataschema=None,
        to=request.redirectto,
        parentid=request.id,
    )
