"""Every way through the approval; the people are played by the test, or by services that decide at once."""

from typing import Any

import pytest

from machines.approval import machine
from machines.approval.contracts import Approved, Returned, Revise, Revised, Submission, review, revision
from worker import service
from worker.core.events import Event
from worker.core.instances import Status
from worker.core.outcomes import Failed, Ignored, IgnoredReason, Unexpected
from worker.testing import LocalBroker

DOCUMENT = {"document_id": "d-1", "title": "Plan", "text": "Short"}
FAILURE = {"errorName": "Down", "errorMessage": "no power", "errorStack": None}

APPROVED = "evt.review.request.approved"
REFUSED = "evt.review.request.refused"
RETURNED = "evt.review.request.returned"
REVISED = "evt.revision.request.success"
WITHDRAWN = "evt.revision.request.withdrawn"


@pytest.fixture(params=[1, 2], ids=["delivered once", "delivered twice"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    return LocalBroker(machine, copies=request.param)


def asked(broker: LocalBroker) -> Event:
    """Give the request that a person has to answer now, which goes to people alone."""
    (request,) = broker.waiting("external")
    assert request not in broker.bucket("default")
    return request


def answer(broker: LocalBroker, reply: str, **data: Any) -> Event:
    """Answer the request that waits, for the submission that it is about."""
    request = asked(broker)
    return broker.reply(request, reply, {"submission": request.data["submission"], **data})


def outcome(broker: LocalBroker, event: Event) -> object:
    """Give what came of the first delivery of an event."""
    return next(one.outcome for one in broker.deliveries if one.event == event)


def assert_completed(broker: LocalBroker, start: Event, **expected: Any) -> None:
    completion = broker.completion(start)
    assert completion.data == {"document_id": "d-1", "text": "Short", "by": None, "reason": None} | expected
    assert (completion.subject, completion.to) == (start.subject, start.source)
    assert completion in broker.bucket("default")
    assert completion not in broker.bucket("external")
    assert (broker.errors, broker.dead_letters) == ((), ())


def test_a_document_is_approved(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    assert asked(broker).type == "com.review.request"
    assert asked(broker).data == DOCUMENT | {"submission": 1, "remarks": []}
    assert (asked(broker).subject, asked(broker).redirectto) == (start.subject, "arvo.orc.approval")
    answer(broker, APPROVED, by="Grace")
    assert_completed(broker, start, status="approved", submissions=1, by="Grace")


def test_a_document_is_refused(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    answer(broker, REFUSED, by="Grace", reason="no budget")
    assert_completed(broker, start, status="refused", submissions=1, by="Grace", reason="no budget")


def test_what_is_returned_is_submitted_again(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    answer(broker, RETURNED, by="Grace", remark="too short")
    assert asked(broker).type == "com.revision.request"
    assert asked(broker).data == {"document_id": "d-1", "submission": 1, "text": "Short", "remark": "too short"}
    answer(broker, REVISED, text="Longer")
    assert asked(broker).data == DOCUMENT | {"submission": 2, "text": "Longer", "remarks": ["too short"]}
    answer(broker, APPROVED, by="Grace")
    assert_completed(broker, start, status="approved", submissions=2, text="Longer", by="Grace")


def test_the_author_withdraws(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    answer(broker, RETURNED, by="Grace", remark="too short")
    answer(broker, WITHDRAWN, reason="no time")
    assert_completed(broker, start, status="withdrawn", submissions=1, reason="no time")


@pytest.mark.parametrize("submissions_max", [1, 2, 3])
def test_the_loop_has_a_bound(broker: LocalBroker, submissions_max: int) -> None:
    start = broker.start(machine, DOCUMENT, submissions_max=submissions_max)
    for number in range(1, submissions_max):
        answer(broker, RETURNED, by="Grace", remark=f"remark {number}")
        answer(broker, REVISED, text="Short")
    answer(broker, RETURNED, by="Grace", remark="no, still not")
    assert_completed(
        broker,
        start,
        status="refused",
        submissions=submissions_max,
        by="Grace",
        reason=f"returned {submissions_max} times, the last time for: no, still not",
    )
    assert len(broker.bucket("external")) == 2 * submissions_max - 1


def test_the_reviewers_tool_fails(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    broker.reply(asked(broker), "sys.com.review.request.error", FAILURE)
    assert_completed(broker, start, status="failed", submissions=1, reason="no power")


def test_the_authors_tool_fails(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    answer(broker, RETURNED, by="Grace", remark="too short")
    broker.reply(asked(broker), "sys.com.revision.request.error", FAILURE)
    assert_completed(broker, start, status="failed", submissions=1, reason="no power")


def test_an_answer_to_an_earlier_submission_changes_nothing(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    first = asked(broker)
    answer(broker, RETURNED, by="Grace", remark="too short")
    meanwhile = broker.instance(start)
    late = broker.reply(first, APPROVED, submission=1, by="Grace")
    assert isinstance(outcome(broker, late), Unexpected)
    assert broker.instance(start) == meanwhile
    answer(broker, REVISED, text="Longer")
    for reply, data in ((APPROVED, {}), (REFUSED, {"reason": "x"}), (RETURNED, {"remark": "x"})):
        late = broker.reply(first, reply, data, submission=1, by="Grace")
        assert isinstance(outcome(broker, late), Unexpected)
    answer(broker, REFUSED, by="Alan", reason="no budget")
    assert_completed(broker, start, status="refused", submissions=2, text="Longer", by="Alan", reason="no budget")


@pytest.mark.parametrize(("reply", "data"), [(REVISED, {"text": "x"}), (WITHDRAWN, {"reason": "x"})])
def test_a_revision_of_an_earlier_submission_changes_nothing(
    broker: LocalBroker, reply: str, data: dict[str, Any]
) -> None:
    start = broker.start(machine, DOCUMENT)
    answer(broker, RETURNED, by="Grace", remark="too short")
    first = asked(broker)
    answer(broker, REVISED, text="Longer")
    answer(broker, RETURNED, by="Grace", remark="too long")
    meanwhile = broker.instance(start)
    late = broker.reply(first, reply, data, submission=1)
    assert isinstance(outcome(broker, late), Unexpected)
    assert broker.instance(start) == meanwhile


def test_a_second_answer_comes_after_the_end(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    request = asked(broker)
    answer(broker, APPROVED, by="Grace")
    late = broker.reply(request, REFUSED, submission=1, by="Grace", reason="changed my mind")
    assert outcome(broker, late) == Ignored(IgnoredReason.ENDED)
    assert_completed(broker, start, status="approved", submissions=1, by="Grace")


def test_an_answer_that_breaks_the_contract_can_be_corrected(broker: LocalBroker) -> None:
    start = broker.start(machine, DOCUMENT)
    request = asked(broker)
    wrong = broker.reply(request, APPROVED, submission="one", by="Grace")
    told = outcome(broker, wrong)
    assert isinstance(told, Failed)
    error = told.emitted.event
    assert (error.type, error.to) == ("sys.arvo.orc.approval.error", start.source)
    assert error.data["errorName"] == "ContractViolation"
    instance = broker.instance(start)
    assert instance is not None
    assert instance.status is Status.ACTIVE
    broker.reply(request, APPROVED, submission=1, by="Grace")
    assert_completed(broker, start, status="approved", submissions=1, by="Grace")


@service(review.version("1.0.0"), domain="external")
def strict_reviewer(request: Submission) -> Approved | Returned:
    """Approve what has been returned once."""
    if request.remarks:
        return Approved(submission=request.submission, by="strict reviewer")
    return Returned(submission=request.submission, by="strict reviewer", remark="too short")


@service(revision.version("1.0.0"), domain="external")
def diligent_author(request: Revise) -> Revised:
    """Add something."""
    return Revised(submission=request.submission, text=f"{request.text}, and more")


def test_services_in_the_external_domain_answer_as_people_do(broker: LocalBroker) -> None:
    broker.add(strict_reviewer, diligent_author)
    start = broker.start(machine, DOCUMENT)
    assert_completed(broker, start, status="approved", submissions=2, text="Short, and more", by="strict reviewer")
    assert broker.redeliver() == ()
