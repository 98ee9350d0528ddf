"""Both versions, each alone and side by side: what began on the old one ends on it."""

from typing import Any

import pytest

from machines.subscription import machines
from machines.subscription.contracts import subscription
from machines.subscription.functions import price, why
from worker.core.contracts import ContractVersion
from worker.core.errors import SetupError
from worker.core.events import Event
from worker.core.factories import init_event
from worker.core.outcomes import DeadLetterReason, Failed, Unexpected
from worker.core.subjects import decode_subject, root_subject
from worker.testing import LocalBroker

OLD, NEW = machines
FAILURE = {"errorName": "Down", "errorMessage": "no power", "errorStack": None}
BILLING, COUPON = "com.billing.charge", "com.coupon.redeem"
CHARGED, DECLINED = "evt.billing.charge.success", "evt.billing.charge.declined"
REDEEMED, UNKNOWN = "evt.coupon.redeem.success", "evt.coupon.redeem.failure"


@pytest.fixture(params=[1, 2], ids=["delivered once", "delivered twice"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    return LocalBroker(OLD, NEW, copies=request.param)


def asked(broker: LocalBroker, event_type: str) -> Event:
    (request,) = [event for event in broker.waiting() if event.type == event_type]
    return request


def version_of(broker: LocalBroker, start: Event) -> str:
    instance = broker.instance(start)
    assert instance is not None
    return instance.version


def assert_ended(broker: LocalBroker, start: Event, **expected: Any) -> None:
    completion = broker.completion(start)
    assert completion.data == {"account": "ada", "paid": 0, "reason": None} | expected
    assert completion.dataschema == f"#/machines/subscription/{version_of(broker, start)}"
    assert (completion.subject, completion.to) == (start.subject, start.source)
    assert broker.domains == ("default",)
    assert (broker.errors, broker.dead_letters) == ((), ())


def start_without_version(contract: ContractVersion, **data: Any) -> Event:
    """Start whatever version is the newest, with the data of one that the sender knows."""
    client = "com.example.client"
    subject = root_subject(name=contract.type, version=None, initiator=client, execution_id="any-1")
    attributes = {
        "id": "any-1",
        "source": client,
        "subject": subject,
        "data": {"parentSubject$$": None, "account": "ada", "plan": "full", **data},
        "time": "2026-01-01T12:00:00Z",
        "to": contract.type,
    }
    return init_event(contract, attributes, execution_id="any-1")


# 1.0.0


@pytest.mark.parametrize(("plan", "amount"), [("basic", 10), ("full", 30)])
def test_the_old_version_charges_the_price(broker: LocalBroker, plan: str, amount: int) -> None:
    start = broker.start(OLD, account="ada", plan=plan)
    assert asked(broker, BILLING).data == {"account": "ada", "amount": amount}
    broker.reply(asked(broker, BILLING), CHARGED, receipt="r-1")
    assert_ended(broker, start, status="active", paid=amount)
    assert version_of(broker, start) == "1.0.0"


def test_the_old_version_is_refused(broker: LocalBroker) -> None:
    start = broker.start(OLD, account="ada", plan="full")
    broker.reply(asked(broker, BILLING), DECLINED, reason="no cover")
    assert_ended(broker, start, status="refused", reason="no cover")


def test_billing_fails_on_the_old_version(broker: LocalBroker) -> None:
    start = broker.start(OLD, account="ada", plan="full")
    broker.reply(asked(broker, BILLING), f"sys.{BILLING}.error", FAILURE)
    assert_ended(broker, start, status="refused", reason="no power")


# 2.0.0


def test_who_knows_nothing_of_coupons_starts_the_new_version_as_the_old_one(broker: LocalBroker) -> None:
    start = broker.start(NEW, account="ada", plan="full")
    instance = broker.instance(start)
    assert instance is not None
    assert instance.snapshot.init["coupon"] is None
    broker.reply(asked(broker, BILLING), CHARGED, receipt="r-1")
    assert_ended(broker, start, status="active", paid=30, discount=0)
    assert version_of(broker, start) == "2.0.0"


@pytest.mark.parametrize(("percent", "amount"), [(10, 27), (50, 15), (100, 0)])
def test_a_coupon_makes_it_cheaper(broker: LocalBroker, percent: int, amount: int) -> None:
    start = broker.start(NEW, account="ada", plan="full", coupon="C-1")
    assert asked(broker, COUPON).data == {"account": "ada", "coupon": "C-1"}
    broker.reply(asked(broker, COUPON), REDEEMED, percent=percent)
    assert asked(broker, BILLING).data == {"account": "ada", "amount": amount}
    broker.reply(asked(broker, BILLING), CHARGED, receipt="r-1")
    assert_ended(broker, start, status="active", paid=amount, discount=percent)


@pytest.mark.parametrize(
    ("reply", "data", "reason"),
    [(UNKNOWN, {"reason": "no such coupon"}, "no such coupon"), (f"sys.{COUPON}.error", FAILURE, "no power")],
)
def test_a_coupon_is_not_taken(broker: LocalBroker, reply: str, data: dict[str, Any], reason: str) -> None:
    start = broker.start(NEW, account="ada", plan="full", coupon="C-1")
    broker.reply(asked(broker, COUPON), reply, data)
    assert_ended(broker, start, status="refused", reason=reason, discount=0)


@pytest.mark.parametrize(
    ("reply", "data", "reason"),
    [(DECLINED, {"reason": "no cover"}, "no cover"), (f"sys.{BILLING}.error", FAILURE, "no power")],
)
def test_the_new_version_is_refused(broker: LocalBroker, reply: str, data: dict[str, Any], reason: str) -> None:
    start = broker.start(NEW, account="ada", plan="full", coupon="C-1")
    broker.reply(asked(broker, COUPON), REDEEMED, percent=50)
    broker.reply(asked(broker, BILLING), reply, data)
    assert_ended(broker, start, status="refused", reason=reason, discount=0)


def test_a_coupon_that_is_redeemed_too_late_changes_nothing(broker: LocalBroker) -> None:
    start = broker.start(NEW, account="ada", plan="full", coupon="C-1")
    request = asked(broker, COUPON)
    broker.reply(request, REDEEMED, percent=50)
    late = broker.reply(request, REDEEMED, percent=100)
    outcome = next(one.outcome for one in broker.deliveries if one.event == late)
    assert isinstance(outcome, Unexpected)
    broker.reply(asked(broker, BILLING), CHARGED, receipt="r-1")
    assert_ended(broker, start, status="active", paid=15, discount=50)


# Side by side


def test_what_began_on_the_old_version_ends_on_it() -> None:
    broker = LocalBroker(OLD)
    old = broker.start(OLD, account="ada", plan="full")
    broker.add(NEW)
    new = broker.start(NEW, account="ada", plan="full")
    first, second = [event for event in broker.waiting() if event.type == BILLING]
    broker.reply(second, CHARGED, receipt="r-2")
    broker.reply(first, CHARGED, receipt="r-1")
    assert_ended(broker, old, status="active", paid=30)
    assert_ended(broker, new, status="active", paid=30, discount=0)
    assert (version_of(broker, old), version_of(broker, new)) == ("1.0.0", "2.0.0")


def test_a_start_without_a_version_takes_the_newest(broker: LocalBroker) -> None:
    start = start_without_version(NEW.contract, coupon="C-1")
    broker.publish(start)
    assert decode_subject(start.subject).version == "0.0.0"
    assert version_of(broker, start) == "2.0.0"
    broker.reply(asked(broker, COUPON), REDEEMED, percent=50)
    broker.reply(asked(broker, BILLING), CHARGED, receipt="r-1")
    assert_ended(broker, start, status="active", paid=15, discount=50)


def test_a_start_without_a_version_keeps_the_one_that_was_the_newest() -> None:
    broker = LocalBroker(OLD)
    start = start_without_version(OLD.contract)
    broker.publish(start)
    assert version_of(broker, start) == "1.0.0"
    broker.add(NEW)
    broker.reply(asked(broker, BILLING), CHARGED, receipt="r-1")
    assert_ended(broker, start, status="active", paid=30)


def test_a_coupon_is_nothing_to_the_old_version(broker: LocalBroker) -> None:
    start = broker.start(OLD, account="ada", plan="full", coupon="C-1")
    instance = broker.instance(start)
    assert instance is not None
    assert "coupon" not in instance.snapshot.init


def test_the_data_of_one_version_under_the_other_is_told(broker: LocalBroker) -> None:
    start = broker.start(NEW, account="ada", plan="full", coupon=5)
    (first, *_) = [one.outcome for one in broker.deliveries if one.event == start]
    assert isinstance(first, Failed)
    assert first.emitted.event.type == "sys.arvo.orc.subscription.error"
    assert "coupon" in first.error_message


def test_a_version_that_is_gone_is_a_dead_letter() -> None:
    broker = LocalBroker(NEW)
    broker.start(OLD, account="ada", plan="full")
    (letter,) = broker.dead_letters
    assert letter.reason is DeadLetterReason.NO_MACHINE


def test_there_is_no_third_version() -> None:
    with pytest.raises(SetupError, match=r"it has 1\.0\.0, 2\.0\.0"):
        subscription.version("3.0.0")


# Functions


@pytest.mark.parametrize(
    ("plan", "discount", "expected"), [("basic", 0, 10), ("basic", 33, 6.7), ("full", 10, 27), ("full", 100, 0)]
)
def test_price(plan: str, discount: int, expected: float) -> None:
    assert price(plan, discount) == expected


@pytest.mark.parametrize(
    ("event_type", "data", "expected"),
    [
        ("sys.com.billing.charge.error", {"errorMessage": "no power", "reason": "other"}, "no power"),
        ("evt.billing.charge.declined", {"reason": "no cover"}, "no cover"),
    ],
)
def test_why(event_type: str, data: dict[str, Any], expected: str) -> None:
    assert why(event_type, data) == expected
