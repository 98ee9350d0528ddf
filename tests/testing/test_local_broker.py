"""Where events go in the in-process broker, what waits, and what is put aside: as in the worker."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from machines.order import machine as order
from tests.core.lab import lab_machine
from tests.testing.parcels import LABEL, PARCEL, PRINT, SEND, label, parcel, print_label, print_label_2, send
from worker import Event, SetupError, SimpleMachineMemory, create_event, create_orchestrator
from worker.core.instances import Status
from worker.core.outcomes import DomainedEvent, Ignored, IgnoredReason, Unexpected
from worker.core.subjects import root_subject
from worker.testing import STARTS_AT, BrokerError, Handler, LocalBroker

REPLY = "evt.inventory.reserve.success"


def test_a_parent_its_child_and_their_services_run_to_the_end() -> None:
    broker = LocalBroker(parcel(), label(), print_label, send)
    started = broker.start(parcel(), city="Oslo")
    assert broker.completion(started).data == {"status": "sent", "label": "<Oslo>"}
    assert [event.type for event in broker.published] == [
        PARCEL,
        LABEL,
        "com.parcel.counted",
        PRINT,
        "evt.label.print.success",
        f"{LABEL}.done",
        SEND,
        "evt.parcel.send.success",
        f"{PARCEL}.done",
    ]
    assert (broker.errors, broker.dead_letters) == ((), ())


def test_events_are_in_the_buckets_of_their_domains() -> None:
    broker = LocalBroker(parcel(), label(), print_label)
    broker.start(parcel(), city="Oslo")
    assert broker.domains == ("default", "analytics", "carriers")
    assert [event.type for event in broker.bucket("analytics")] == ["com.parcel.counted"]
    assert [event.type for event in broker.bucket("carriers")] == [SEND]
    assert "com.parcel.counted" in [event.type for event in broker.bucket()]
    assert SEND not in [event.type for event in broker.bucket()]
    assert broker.bucket("nothing") == ()


def test_what_nobody_takes_waits_in_each_of_its_domains() -> None:
    broker = LocalBroker(parcel(), label(), print_label)
    broker.start(parcel(), city="Oslo")
    assert [event.type for event in broker.waiting("carriers")] == [SEND]
    assert [event.type for event in broker.waiting("analytics")] == ["com.parcel.counted"]
    assert [event.type for event in broker.waiting()] == ["com.parcel.counted"]


def test_a_service_that_comes_later_gets_what_waited() -> None:
    broker = LocalBroker(parcel(), label(), print_label)
    started = broker.start(parcel(), city="Oslo")
    broker.add(send)
    assert broker.completion(started).data["status"] == "sent"
    assert broker.waiting("carriers") == ()


@pytest.mark.parametrize("is_there_before", [True, False])
def test_a_service_reads_its_own_domain_alone(is_there_before: bool) -> None:
    broker = LocalBroker(order)
    asked: list[str] = []

    def subscribe() -> None:
        broker.subscribe("com.inventory.reserve", lambda event: asked.append(event.type), domain="external")
        broker.subscribe("com.approval.request", lambda event: asked.append(event.type))

    if is_there_before:
        subscribe()
    broker.start(order, order_id="A-1", amount=40)
    (request,) = broker.waiting()
    broker.reply(request, REPLY, total=80, warehouse="Utrecht")
    if not is_there_before:
        subscribe()
    assert asked == []
    assert [event.type for event in broker.waiting("external")] == ["com.approval.request"]


def test_the_test_answers_what_waits() -> None:
    broker = LocalBroker(parcel(), label(), print_label)
    started = broker.start(parcel(), city="Oslo")
    (request,) = broker.waiting("carriers")
    answer = broker.reply(request, "evt.parcel.send.success", carrier="a friend")
    assert (answer.parentid, answer.to, answer.subject) == (request.id, PARCEL, request.subject)
    assert (answer.source, answer.dataschema) == (SEND, "#/svc/send/1.0.0")
    assert broker.waiting("carriers") == ()
    assert broker.completion(started.subject).to == started.source


def test_an_answer_may_be_written_as_a_mapping() -> None:
    broker = LocalBroker(order)
    broker.start(order, {"order_id": "A-1"}, amount=40)
    answer = broker.reply(broker.waiting()[0], REPLY, {"total": 80}, warehouse="Utrecht")
    assert answer.data == {"total": 80, "warehouse": "Utrecht"}


def test_a_child_that_is_not_here_is_answered_for_to_its_parent() -> None:
    broker = LocalBroker(parcel())
    started = broker.start(parcel(), city="Oslo")
    (child,) = [event for event in broker.waiting() if event.type == LABEL]
    assert child.subject != started.subject
    broker.reply(child, f"sys.{LABEL}.error", errorName="Error", errorMessage="no paper", errorStack=None)
    assert broker.completion(started).data == {"status": "lost", "label": None}


def test_a_system_error_that_nothing_waits_for_is_seen_in_the_report() -> None:
    broker = LocalBroker(parcel(), label(), print_label)
    started = broker.start(parcel(), city="")
    printed = [event for event in broker.published if event.type == f"sys.{PRINT}.error"]
    assert [event.data["errorMessage"] for event in printed] == ["a label needs a text"]
    # The child waits for nothing but success.
    assert [type(one.outcome) for one in broker.deliveries if one.event is printed[0]] == [Unexpected]
    with pytest.raises(AssertionError, match=r"nothing waited for it \(but for evt.label.print.success\)"):
        broker.completion(started)


def test_versions_of_a_service_stand_side_by_side() -> None:
    broker = LocalBroker(label(print_version="2.0.0"), print_label, print_label_2)
    assert broker.completion(broker.start(label(), text="Oslo")).data == {"label": "«Oslo»"}
    with pytest.raises(SetupError, match=r"Only one subscriber allowed per topic: com.label.print"):
        broker.add(print_label)


def test_a_request_for_another_version_of_a_service_waits() -> None:
    broker = LocalBroker(label(print_version="2.0.0"), print_label)
    broker.start(label(), text="Oslo")
    assert [event.type for event in broker.waiting()] == [PRINT]
    broker.add(print_label_2)
    assert [event.type for event in broker.waiting()] == [f"{LABEL}.done"]


def test_versions_of_a_machine_stand_side_by_side() -> None:
    broker = LocalBroker(parcel("1.0.0"), parcel("2.0.0"))
    for version in ("1.0.0", "2.0.0"):
        instance = broker.instance(broker.start(parcel(version), city="Oslo"))
        assert instance is not None
        assert instance.version == version
    with pytest.raises(SetupError, match=r"two machines of version 2\.0\.0"):
        broker.add(parcel("2.0.0"))


def test_an_orchestrator_keeps_its_memory() -> None:
    memory = SimpleMachineMemory()
    broker = LocalBroker(create_orchestrator(machines=[order], memory=memory, executionunits=2))
    started = broker.start(order, order_id="A-1", amount=40)
    assert memory.read(started.subject) == broker.instance(started)
    assert broker.memory.read(started.subject) is None
    assert broker.waiting()[0].executionunits == 2


def test_charts_and_events_have_the_brokers_time() -> None:
    broker = LocalBroker(parcel(), label(), print_label, send)
    assert broker.now == STARTS_AT
    broker.advance(timedelta(days=1, milliseconds=5))
    started = broker.start(parcel(), city="Oslo")
    instance = broker.instance(started)
    assert instance is not None
    assert instance.snapshot.context["sent_at"] == "2026-01-02T12:00:00.005000+00:00"
    assert {event.time for event in broker.published} == {"2026-01-02T12:00:00.005+00:00"}
    with pytest.raises(ValueError, match="can't go back by 1 day"):
        broker.advance(-timedelta(days=1))


def test_two_runs_of_a_test_publish_the_same_events() -> None:
    def published() -> tuple[Event, ...]:
        broker = LocalBroker(parcel(), label(), print_label, send)
        broker.start(parcel(), city="Oslo")
        return broker.published

    assert published() == published()


# What the worker puts aside, ignores, or leaves to others


def dead_letter_of(broker: LocalBroker, event: Event) -> str:
    broker.publish(event)
    (letter,) = broker.dead_letters
    assert letter.event == event
    assert letter.error_message
    return letter.reason.value


def test_an_event_without_its_instance_is_a_dead_letter() -> None:
    broker = LocalBroker(order)
    event = LocalBroker(order).start(order, order_id="A-1", amount=40)
    event = replace(event, type="evt.inventory.reserve.failure", data={"reason": "none"}, dataschema=None)
    assert dead_letter_of(broker, event) == "NO_INSTANCE"


def test_a_second_start_is_a_dead_letter() -> None:
    broker = LocalBroker(order)
    started = broker.start(order, order_id="A-1", amount=40)
    before = broker.instance(started)
    assert dead_letter_of(broker, replace(started, id="another")) == "ALREADY_STARTED"
    assert broker.instance(started) == before


def test_an_id_that_is_used_twice_is_a_dead_letter() -> None:
    broker = LocalBroker(order)
    started = broker.start(order, order_id="A-1", amount=40)
    assert dead_letter_of(broker, replace(started, data={**started.data, "amount": 41})) == "ID_CONFLICT"


def test_a_version_that_no_machine_has_is_a_dead_letter() -> None:
    broker = LocalBroker(order)
    subject = root_subject(name=order.source, version="9.0.0", initiator="com.test.user", execution_id="x")
    started = LocalBroker(order).start(order, order_id="A-1", amount=40)
    assert dead_letter_of(broker, replace(started, subject=subject)) == "NO_MACHINE"


def test_a_subject_that_says_nothing_is_a_dead_letter() -> None:
    broker = LocalBroker(order)
    started = LocalBroker(order).start(order, order_id="A-1", amount=40)
    assert dead_letter_of(broker, replace(started, subject="nothing")) == "INVALID_SUBJECT"


@pytest.mark.parametrize(
    "others", [[], [lambda: create_orchestrator(machines=[label()], memory=SimpleMachineMemory())]]
)
def test_whose_an_event_is_all_orchestrators_say_together(others: list[Any]) -> None:
    """The worker has all machines in one registry: what is addressed to any of them is no stranger's event."""
    broker = LocalBroker(order, *(make() for make in others))
    started = broker.start(order, order_id="A-1", amount=40)
    broker.publish(replace(started, id="e-1", type="com.some.thing", to=LABEL, dataschema=None))
    reasons = [letter.reason.value for letter in broker.dead_letters]
    assert reasons == (["NO_CONTRACT"] if others else [])
    foreign = broker.deliveries[-1].outcome == Ignored(IgnoredReason.FOREIGN)
    assert foreign is not bool(others)


def test_an_ended_workflow_ignores_what_comes() -> None:
    broker = LocalBroker(order)
    started = broker.start(order, order_id="A-1", amount=40)
    request = broker.waiting()[0]
    broker.reply(request, "evt.inventory.reserve.failure", reason="sold out")
    broker.reply(request, "evt.inventory.reserve.failure", reason="sold out again")
    assert broker.deliveries[-1].outcome == Ignored(IgnoredReason.ENDED)
    assert broker.completion(started).data["reason"] == "sold out"


def test_data_that_breaks_the_contract_becomes_a_system_error() -> None:
    broker = LocalBroker(order)
    started = broker.start(order, order_id="A-1", amount=-1)
    (error,) = broker.waiting()
    assert (error.type, error.to, error.data["errorName"]) == (
        f"sys.{order.source}.error",
        started.source,
        "ContractViolation",
    )
    assert broker.instance(started) is None


def test_the_worker_goes_by_the_subject_and_so_does_the_broker() -> None:
    broker = LocalBroker(order)
    broker.start(order, order_id="A-1", amount=40)
    request = broker.waiting()[0]
    wrongly_addressed = replace(
        LocalBroker(order).start(order, order_id="A-1", amount=40),
        id="e-1",
        source="com.inventory.reserve",
        type=REPLY,
        data={"total": 80, "warehouse": "Utrecht"},
        dataschema=None,
        subject=request.subject,
        to="com.wrong.address",
    )
    broker.publish(wrongly_addressed)
    assert [event.type for event in broker.waiting("external")] == ["com.approval.request"]


def test_an_emission_to_an_orchestrator_in_anothers_subject_stays_in_its_bucket() -> None:
    entry = f'emit("com.odd.thing", {{}}, to="{PARCEL}")'
    broker = LocalBroker(lab_machine(entry), parcel())
    broker.start(lab_machine(entry))
    assert [event.type for event in broker.waiting()] == ["com.odd.thing"]
    assert [delivery.receiver for delivery in broker.deliveries] == ["arvo.orc.lab"]


def test_a_domain_that_no_machine_declares_is_told() -> None:
    machine = lab_machine('_where = "aud" + "it"\nemit("com.some.thing", {}, domains=[_where])')
    broker = LocalBroker(machine)
    broker.start(machine)
    (fault,) = broker.errors
    assert "domain 'audit', which no machine here declares" in str(fault.error)
    assert "NO_TOPIC" in str(fault.error)


# Functions


def answering(*answers: object) -> list[Event]:
    """Give what an order's inventory answers with, if it is a function that gives these."""
    broker = LocalBroker(order)
    given = iter(answers)
    broker.subscribe("com.inventory.reserve", lambda _: next(given))  # type: ignore[arg-type,return-value]
    broker.start(order, order_id="A-1", amount=40)
    for fault in broker.errors:
        raise fault.error
    return list(broker.published[2:])


def refused() -> Event:
    broker = LocalBroker(order)
    broker.start(order, order_id="A-1", amount=40)
    return broker.reply(broker.waiting()[0], "evt.inventory.reserve.failure", reason="sold out")


def generated() -> Iterator[Event]:
    yield refused()


@pytest.mark.parametrize(
    "answers", [refused(), [refused()], (refused(),), generated(), DomainedEvent(refused(), ("default",))]
)
def test_a_function_answers_with_events(answers: object) -> None:
    assert [event.type for event in answering(answers)] == ["evt.inventory.reserve.failure", "arvo.orc.order.done"]


def test_a_function_need_not_answer() -> None:
    assert answering(None) == []


@pytest.mark.parametrize("answer", ["text", 1, {"reason": "sold out"}, [None]])
def test_what_a_function_answers_with_has_to_be_an_event(answer: object) -> None:
    with pytest.raises(TypeError, match=r"handler of com.inventory.reserve answered with a"):
        answering(answer)


def test_an_answer_may_go_to_another_domain() -> None:
    assert [event.type for event in answering(DomainedEvent(refused(), ("analytics",)))] == [
        "evt.inventory.reserve.failure"
    ]


def test_a_stub_answers_every_request() -> None:
    broker = LocalBroker(order)
    broker.stub("com.inventory.reserve", "evt.inventory.reserve.failure", {"reason": "sold out"})
    for name in ("A-1", "A-2"):
        assert broker.completion(broker.start(order, order_id=name, amount=40)).data["reason"] == "sold out"


def test_what_a_function_raises_is_kept_and_the_others_run_on() -> None:
    broker = LocalBroker(order)

    def fails(_: Event) -> None:
        raise LookupError("no shelf")

    broker.subscribe("com.inventory.reserve", fails)
    broker.start(order, order_id="A-1", amount=40)
    (fault,) = broker.errors
    assert (fault.receiver, str(fault.error), fault.event.type) == (
        "com.inventory.reserve",
        "no shelf",
        "com.inventory.reserve",
    )


# Wrong use


def test_what_is_no_part_is_refused() -> None:
    with pytest.raises(SetupError, match="and a function is none; give a function to subscribe"):
        LocalBroker(refused)  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="delivers 0 copies of each event; expected 1 to 10"):
        LocalBroker(copies=0)


@pytest.mark.parametrize(
    "parts",
    [
        lambda: [order, create_orchestrator(machines=[order], memory=SimpleMachineMemory())],
        lambda: [create_orchestrator(machines=[order], memory=SimpleMachineMemory()), order],
        lambda: [send, send],
    ],
)
def test_a_source_has_one_owner(parts: Any) -> None:
    with pytest.raises(SetupError):
        LocalBroker(*parts())


def test_a_function_does_not_stand_for_an_orchestrator() -> None:
    broker = LocalBroker(order)
    with pytest.raises(SetupError, match=r"Only one subscriber allowed per topic: arvo.orc.order"):
        broker.subscribe(order.source, lambda _: None)
    other = LocalBroker()
    other.subscribe(order.source, lambda _: None)
    with pytest.raises(SetupError, match="a service answers for it already"):
        other.add(order)


def test_an_event_for_nobody_is_told_with_who_is_here() -> None:
    broker = LocalBroker(order, print_label)
    started = broker.start(order, order_id="A-1", amount=40)
    subject = root_subject(name=PARCEL, version="1.0.0", initiator="com.test.user", execution_id="x")
    broker.publish(replace(started, type="com.label.prin", to="com.label.prin", subject=subject))
    (fault,) = broker.errors
    assert "No handlers registered for event type: com.label.prin" in str(fault.error)
    assert "did you mean 'com.label.print'?" in str(fault.error)
    assert "com.label.print, arvo.orc.order" in str(fault.error)


def test_an_event_that_names_no_receiver_is_refused_unless_its_subject_does() -> None:
    broker = LocalBroker(order)
    event = create_event({**_attributes(), "datacontenttype": "application/json"})
    event = replace(event, to=None)
    with pytest.raises(BrokerError, match='must have a "to" property'):
        broker.publish(event)
    started = LocalBroker(order).start(order, order_id="A-1", amount=40)
    broker.publish(replace(started, to=None))
    assert broker.instance(started) is not None


def _attributes() -> dict[str, Any]:
    subject = root_subject(name=PARCEL, version="1.0.0", initiator="com.test.user", execution_id="x")
    return {
        "id": "e-1",
        "source": "com.test.user",
        "type": "com.some.thing",
        "subject": subject,
        "data": {},
        "time": "2026-01-01T00:00:00Z",
    }


def test_only_events_are_published() -> None:
    with pytest.raises(TypeError, match="publish takes an Event, not a dict"):
        LocalBroker().publish(_attributes())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'dlq' is no domain"):
        LocalBroker().publish(create_event(_attributes()), domains=["dlq"])


def test_an_event_may_be_published_to_other_domains() -> None:
    event = create_event(_attributes())
    broker = LocalBroker(send)
    broker.publish(event, domains="analytics")
    broker.publish(event, domains=["analytics", "audit", "analytics"])
    assert (broker.bucket("analytics"), broker.bucket("audit")) == ((event, event), (event,))
    assert (broker.bucket(), broker.errors) == ((), ())


def test_a_reply_that_the_service_does_not_have_is_refused() -> None:
    broker = LocalBroker(order)
    started = broker.start(order, order_id="A-1", amount=40)
    with pytest.raises(SetupError, match=r"No service answers with 'evt.inventory.reserve.succes' \(did you mean"):
        broker.reply(broker.waiting()[0], "evt.inventory.reserve.succes", total=1)
    with pytest.raises(SetupError, match=r"No orchestrator here calls 'arvo.orc.order' as 'com.example.test'"):
        broker.reply(started, REPLY)


def test_a_workflow_that_did_not_complete_is_shown() -> None:
    broker = LocalBroker(order)
    broker.stub("com.inventory.reserve", REPLY, {"total": 80, "warehouse": "Utrecht"})
    started = broker.start(order, order_id="A-1", amount=40)
    with pytest.raises(AssertionError) as caught:
        broker.completion(started)
    assert str(caught.value) == NOT_COMPLETED


NOT_COMPLETED = """\
The workflow did not complete.
  It stands in approving, with the context {"amount":40,"approved_by":null,"charge_id":null,"currency":"EUR",\
"customer":"","items":[],"order_id":"A-1","reason":null,"total":80,"visited":["reserving","approving"],\
"warehouse":"Utrecht"}
  Deliveries:
    1. arvo.orc.order {"order_id":"A-1","amount":40}
       to arvo.orc.order, which stands in reserving
       + [default] com.inventory.reserve {"order_id":"A-1","items":[]}
    2. com.inventory.reserve {"order_id":"A-1","items":[]}
       to com.inventory.reserve
       + [default, to arvo.orc.order] evt.inventory.reserve.success {"total":80,"warehouse":"Utrecht"}
    3. evt.inventory.reserve.success {"total":80,"warehouse":"Utrecht"}
       to arvo.orc.order, which stands in approving
       + [external] com.approval.request {"order_id":"A-1","amount":40}
  Waiting in external:
    com.approval.request {"order_id":"A-1","amount":40}, to com.approval.request"""


def test_its_parts_are_told_apart() -> None:
    assert isinstance(send, Handler)
    assert not isinstance(order, Handler)
    assert repr(LocalBroker()) == "<LocalBroker: 0 published, 0 waiting, 0 errors>"


class TestCancelling:
    def test_whoever_started_it_is_told_and_later_events_are_ignored(self) -> None:
        broker = LocalBroker(order)
        started = broker.start(order, order_id="A-1", amount=40)
        (request,) = broker.waiting()
        broker.cancel(started, "ordered twice", by="Ann")
        instance = broker.instance(started)
        assert instance is not None
        assert (instance.status, instance.revision) == (Status.CANCELLED, 2)
        error = broker.published[-1]
        assert (error.type, error.to, error.subject) == ("sys.arvo.orc.order.error", started.source, started.subject)
        assert error.data["errorMessage"] == "The workflow was cancelled by Ann: ordered twice"
        assert "cancelled by Ann" in broker.report()
        broker.reply(request, REPLY, total=40, warehouse="w")
        assert broker.deliveries[-1].outcome == Ignored(IgnoredReason.ENDED)
        broker.cancel(started.subject)
        assert broker.deliveries[-1].outcome == Ignored(IgnoredReason.ENDED)

    def test_a_parent_handles_its_child_s_end_as_an_error(self) -> None:
        broker = LocalBroker(parcel(), label())
        started = broker.start(parcel(), city="Oslo")
        (child,) = [event for event in broker.published if event.type == LABEL]
        broker.cancel(child)
        assert broker.completion(started).data == {"status": "lost", "label": None}
        assert broker.errors == ()
        assert broker.redeliver() == ()
