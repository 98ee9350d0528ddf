"""The saga with each step refused and broken in turn, each undoing too, and an operator who is played by the test."""

from typing import Any

import pytest

from machines.saga import machine, services
from worker import Service
from worker.core.events import Event
from worker.core.outcomes import Ignored, IgnoredReason, Unexpected
from worker.testing import LocalBroker

COLLEAGUE = {"employee": "ada", "product": "editor", "floor": 3}
FAILURE = {"errorName": "Down", "errorMessage": "no power", "errorStack": None}

ACCOUNT, LICENCE, DESK = "com.account.create", "com.licence.assign", "com.desk.book"
NO_ACCOUNT, NO_LICENCE, NO_DESK = "com.account.remove", "com.licence.release", "com.desk.free"
OPERATOR = "com.operator.ask"

SUCCESS: dict[str, dict[str, Any]] = {
    ACCOUNT: {"account": "ada@example.com"},
    LICENCE: {"licence": "editor-1"},
    DESK: {"desk": "3-01"},
    NO_ACCOUNT: {"employee": "ada"},
    NO_LICENCE: {"employee": "ada"},
    NO_DESK: {"employee": "ada"},
}


@pytest.fixture(params=[1, 2], ids=["delivered once", "delivered twice"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    return LocalBroker(machine, copies=request.param)


def asked(broker: LocalBroker) -> Event:
    """Give the one request that nobody has answered yet."""
    (request,) = (one for domain in ("default", "external") for one in broker.waiting(domain) if one.type in REQUESTS)
    return request


REQUESTS = (*SUCCESS, OPERATOR)


def succeed(broker: LocalBroker, *request_types: str) -> None:
    """Answer these requests, which must come in this order, with success."""
    for request_type in request_types:
        request = asked(broker)
        assert request.type == request_type
        broker.reply(request, f"evt.{request_type.removeprefix('com.')}.success", SUCCESS[request_type])


def refuse(broker: LocalBroker) -> None:
    request = asked(broker)
    broker.reply(request, f"evt.{request.type.removeprefix('com.')}.failure", reason="not today")


def break_down(broker: LocalBroker) -> None:
    request = asked(broker)
    broker.reply(request, f"sys.{request.type}.error", FAILURE)


def decide(broker: LocalBroker, action: str) -> Event:
    return broker.reply(asked(broker), "evt.operator.ask.success", action=action, by="Grace")


def requests(broker: LocalBroker) -> list[str]:
    """Name what was asked for, in order, each request once."""
    sent = {event.id: event.type for event in broker.published if event.type in REQUESTS}
    return list(sent.values())


def assert_ended(broker: LocalBroker, start: Event, status: str, **expected: Any) -> None:
    completion = broker.completion(start)
    nothing: dict[str, Any] = {"present": [], "account": None, "licence": None, "desk": None, "reason": None}
    assert completion.data == {"employee": "ada", "status": status} | nothing | expected
    assert (completion.subject, completion.to) == (start.subject, start.source)
    assert (broker.errors, broker.dead_letters) == ((), ())
    assert [event.type for event in broker.bucket("external")] == [OPERATOR] * requests(broker).count(OPERATOR)
    assert OPERATOR not in [event.type for event in broker.bucket("default")]


def test_all_steps_are_done(broker: LocalBroker) -> None:
    start = broker.start(machine, COLLEAGUE)
    succeed(broker, ACCOUNT, LICENCE, DESK)
    steps = ["account", "licence", "desk"]
    assert_ended(broker, start, "ready", present=steps, account="ada@example.com", licence="editor-1", desk="3-01")
    assert requests(broker) == [ACCOUNT, LICENCE, DESK]


STEPS = (ACCOUNT, LICENCE, DESK)
UNDOING = (NO_DESK, NO_LICENCE, NO_ACCOUNT)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_step_that_is_refused_is_not_undone_but_those_before_are(broker: LocalBroker, done: int) -> None:
    start = broker.start(machine, COLLEAGUE)
    succeed(broker, *STEPS[:done])
    refuse(broker)
    undone = UNDOING[3 - done :]
    succeed(broker, *undone)
    assert_ended(broker, start, "undone", reason="not today")
    assert requests(broker) == [*STEPS[: done + 1], *undone]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_step_that_breaks_may_have_been_done_and_is_undone_too(broker: LocalBroker, done: int) -> None:
    start = broker.start(machine, COLLEAGUE)
    succeed(broker, *STEPS[:done])
    break_down(broker)
    undone = UNDOING[2 - done :]
    succeed(broker, *undone)
    assert_ended(broker, start, "undone", reason="no power")
    assert requests(broker) == [*STEPS[: done + 1], *undone]


@pytest.mark.parametrize("undone", [0, 1, 2])
def test_an_undoing_that_breaks_is_tried_again_if_the_operator_says_so(broker: LocalBroker, undone: int) -> None:
    start = broker.start(machine, COLLEAGUE)
    succeed(broker, ACCOUNT, LICENCE)
    break_down(broker)
    succeed(broker, *UNDOING[:undone])
    break_down(broker)
    question = asked(broker)
    assert (question.type, question.to) == (OPERATOR, OPERATOR)
    present = ["account", "licence", "desk"][: 3 - undone]
    assert question.data == {"employee": "ada", "present": present, "problem": "no power"}
    decide(broker, "retry")
    succeed(broker, *UNDOING[undone:])
    assert_ended(broker, start, "undone", reason="no power")
    tried = [*UNDOING[:undone], UNDOING[undone], OPERATOR, *UNDOING[undone:]]
    assert requests(broker) == [*STEPS, *tried]


@pytest.mark.parametrize("undone", [0, 1, 2])
def test_the_operator_leaves_what_is_there(broker: LocalBroker, undone: int) -> None:
    start = broker.start(machine, COLLEAGUE)
    succeed(broker, ACCOUNT, LICENCE)
    break_down(broker)
    succeed(broker, *UNDOING[:undone])
    break_down(broker)
    decide(broker, "leave")
    assert_ended(
        broker,
        start,
        "left over",
        present=["account", "licence", "desk"][: 3 - undone],
        account="ada@example.com",
        licence="editor-1",
        reason="no power; then: no power",
    )


def test_an_operator_is_asked_again_and_again(broker: LocalBroker) -> None:
    start = broker.start(machine, COLLEAGUE)
    break_down(broker)
    for _ in range(3):
        break_down(broker)
        decide(broker, "retry")
    succeed(broker, NO_ACCOUNT)
    assert_ended(broker, start, "undone", reason="no power")
    assert requests(broker).count(OPERATOR) == 3


def test_the_operators_tool_breaks(broker: LocalBroker) -> None:
    start = broker.start(machine, COLLEAGUE)
    break_down(broker)
    break_down(broker)
    break_down(broker)
    assert_ended(broker, start, "left over", present=["account"], reason="no power; then: no power")


def test_a_step_that_broke_and_was_done_after_all_is_undone(broker: LocalBroker) -> None:
    start = broker.start(machine, COLLEAGUE)
    request = asked(broker)
    break_down(broker)
    before = broker.instance(start)
    late = broker.reply(request, "evt.account.create.success", account="ada@example.com")
    outcome = next(one.outcome for one in broker.deliveries if one.event == late)
    assert isinstance(outcome, Unexpected)
    assert broker.instance(start) == before
    succeed(broker, NO_ACCOUNT)
    assert_ended(broker, start, "undone", reason="no power")


def test_an_operator_who_answers_twice_is_heard_once(broker: LocalBroker) -> None:
    start = broker.start(machine, COLLEAGUE)
    break_down(broker)
    break_down(broker)
    question = asked(broker)
    decide(broker, "retry")
    again = broker.reply(question, "evt.operator.ask.success", action="leave", by="Alan")
    outcome = next(one.outcome for one in broker.deliveries if one.event == again)
    assert isinstance(outcome, Unexpected)
    succeed(broker, NO_ACCOUNT)
    assert_ended(broker, start, "undone", reason="no power")
    after = broker.reply(question, "evt.operator.ask.success", action="leave", by="Alan")
    outcome = next(one.outcome for one in broker.deliveries if one.event == after)
    assert outcome == Ignored(IgnoredReason.ENDED)


# The sample services


@pytest.fixture
def served(broker: LocalBroker) -> LocalBroker:
    broker.add(*(value for value in vars(services).values() if isinstance(value, Service)))
    return broker


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {"status": "ready", "desk": "3-01"}),
        ({"floor": 10}, {"status": "undone", "present": [], "reason": "there is no floor 10"}),
        ({"floor": 0}, {"status": "undone", "present": [], "reason": "the plan of the ground floor is lost"}),
    ],
)
def test_the_sample_services_answer_by_the_data(
    served: LocalBroker, data: dict[str, Any], expected: dict[str, Any]
) -> None:
    start = served.start(machine, COLLEAGUE, **data)
    assert served.completion(start).data.items() >= expected.items()
    assert served.redeliver() == ()


def test_the_sample_services_leave_a_licence_to_the_operator(served: LocalBroker) -> None:
    start = served.start(machine, COLLEAGUE, employee="bob", floor=10)
    question = asked(served)
    assert question.data["problem"] == "the licence server does not answer"
    decide(served, "leave")
    assert served.completion(start).data["present"] == ["account", "licence"]
