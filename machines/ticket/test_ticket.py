"""Tickets of small and large customers; the topics of every event are compared."""

from typing import Any

import pytest

from machines.ticket import machine
from machines.ticket.contracts import Escalated, Fact, Solve, Solved, statistics, support
from machines.ticket.functions import URGENT_FROM, queue
from worker import service
from worker.core.events import Event
from worker.core.outcomes import Advanced, Ignored, IgnoredReason
from worker.testing import LocalBroker

SMALL = {"ticket_id": "t-1", "question": "Why?", "value": 500}
LARGE = SMALL | {"value": URGENT_FROM}
FAILURE = {"errorName": "Down", "errorMessage": "no power", "errorStack": None}

SOLVE, COUNT = "com.ticket.solve", "com.fact.count"
SOLVED, ESCALATED = "evt.ticket.solve.success", "evt.ticket.solve.escalated"
ANSWER = {"answer": "Because.", "by": "Grace"}


@pytest.fixture(params=[1, 2], ids=["delivered once", "delivered twice"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    return LocalBroker(machine, copies=request.param)


def asked(broker: LocalBroker, domain: str) -> Event:
    (request,) = [event for event in broker.waiting(domain) if event.type == SOLVE]
    return request


def domains(broker: LocalBroker, event: Event) -> list[str]:
    return [domain for domain in broker.domains if event in broker.bucket(domain)]


def counted(broker: LocalBroker) -> Event:
    (fact,) = [event for event in broker.bucket("analytics") if event.type == COUNT]
    return fact


def assert_ended(broker: LocalBroker, start: Event, status: str, **expected: Any) -> None:
    completion = broker.completion(start)
    nothing: dict[str, Any] = {"ticket_id": "t-1", "answer": None, "by": None, "counted": True, "reason": None}
    assert completion.data == {"status": status} | nothing | expected
    assert domains(broker, completion) == ["default"]
    assert completion.to == start.source
    assert (broker.errors, broker.dead_letters) == ((), ())


def test_the_machine_declares_its_domains() -> None:
    assert set(machine.domains) == {"default", "priority", "analytics"}


@pytest.mark.parametrize(("data", "domain"), [(SMALL, "default"), (LARGE, "priority")])
def test_a_ticket_is_solved_in_the_queue_of_its_customer(
    broker: LocalBroker, data: dict[str, Any], domain: str
) -> None:
    start = broker.start(machine, data)
    request = asked(broker, domain)
    assert request.data == data
    assert domains(broker, request) == [domain]
    broker.reply(request, SOLVED, ANSWER)
    assert_ended(broker, start, "solved", **ANSWER)


def test_a_ticket_is_counted_in_analytics_alone(broker: LocalBroker) -> None:
    broker.start(machine, SMALL)
    fact = counted(broker)
    assert fact.data == {"ticket_id": "t-1", "fact": "opened", "value": 500}
    assert domains(broker, fact) == ["analytics"]


def test_an_escalation_is_one_event_in_two_topics(broker: LocalBroker) -> None:
    start = broker.start(machine, SMALL)
    first = asked(broker, "default")
    broker.reply(first, ESCALATED, reason="too hard")
    second = asked(broker, "priority")
    assert set(domains(broker, second)) == {"priority", "analytics"}
    assert second.id != first.id
    broker.reply(second, SOLVED, ANSWER)
    assert_ended(broker, start, "solved", **ANSWER)


def test_a_ticket_that_is_too_hard_for_everybody_fails(broker: LocalBroker) -> None:
    start = broker.start(machine, SMALL)
    broker.reply(asked(broker, "default"), ESCALATED, reason="too hard")
    broker.reply(asked(broker, "priority"), ESCALATED, reason="too hard for us all")
    assert_ended(broker, start, "failed", reason="too hard for us all")


@pytest.mark.parametrize("escalated", [False, True])
def test_support_fails(broker: LocalBroker, escalated: bool) -> None:  # noqa: FBT001 - a table of cases.
    start = broker.start(machine, SMALL)
    if escalated:
        broker.reply(asked(broker, "default"), ESCALATED, reason="too hard")
    request = asked(broker, "priority" if escalated else "default")
    broker.reply(request, f"sys.{SOLVE}.error", FAILURE)
    assert_ended(broker, start, "failed", reason="no power")


def test_a_ticket_goes_on_although_it_could_not_be_counted(broker: LocalBroker) -> None:
    start = broker.start(machine, SMALL)
    error = broker.reply(counted(broker), f"sys.{COUNT}.error", FAILURE)
    (told, *_) = [one.outcome for one in broker.deliveries if one.event == error]
    assert isinstance(told, Advanced)
    assert told.emitted == ()
    assert told.instance.snapshot.configuration == ("ticket", "solving")
    broker.reply(asked(broker, "default"), SOLVED, ANSWER)
    assert_ended(broker, start, "solved", counted=False, **ANSWER)


def test_that_it_could_not_be_counted_is_told_too_late(broker: LocalBroker) -> None:
    start = broker.start(machine, SMALL)
    broker.reply(asked(broker, "default"), SOLVED, ANSWER)
    late = broker.reply(counted(broker), f"sys.{COUNT}.error", FAILURE)
    outcome = next(one.outcome for one in broker.deliveries if one.event == late)
    assert outcome == Ignored(IgnoredReason.ENDED)
    assert_ended(broker, start, "solved", **ANSWER)


def test_whoever_answers_first_solves_it(broker: LocalBroker) -> None:
    start = broker.start(machine, SMALL)
    first = asked(broker, "default")
    broker.reply(first, ESCALATED, reason="too hard")
    second = asked(broker, "priority")
    broker.reply(first, SOLVED, ANSWER)
    late = broker.reply(second, SOLVED, answer="No.", by="Alan")
    outcome = next(one.outcome for one in broker.deliveries if one.event == late)
    assert outcome == Ignored(IgnoredReason.ENDED)
    assert_ended(broker, start, "solved", **ANSWER)


@service(statistics.version("1.0.0"), domain="analytics")
def count(fact: Fact) -> None:
    """Break for what is not worth it."""
    if not fact.value:
        raise ValueError("nothing to count")


@service(support.version("1.0.0"), domain="priority")
def solve(request: Solve) -> Solved | Escalated:
    """Solve."""
    return Solved(answer=f"{request.question} Because.", by="Grace")


def test_services_read_the_domains_that_are_theirs(broker: LocalBroker) -> None:
    broker.add(count, solve)
    large = broker.start(machine, LARGE)
    assert_ended(broker, large, "solved", answer="Why? Because.", by="Grace")
    small = broker.start(machine, SMALL, value=0)
    broker.reply(asked(broker, "default"), ESCALATED, reason="too hard")
    assert_ended(broker, small, "solved", answer="Why? Because.", by="Grace", counted=False)
    assert broker.redeliver() == ()


@pytest.mark.parametrize(
    ("value", "domain"), [(0, "default"), (URGENT_FROM - 0.01, "default"), (URGENT_FROM, "priority")]
)
def test_queue(value: float, domain: str) -> None:
    assert queue(value) == domain
