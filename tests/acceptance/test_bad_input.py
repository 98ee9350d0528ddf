"""Records that can't be processed: each has its outcome, none is lost, and the partition goes on."""

import itertools
import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from confluent_kafka import Message

from tests.acceptance.deployment import Deployment
from tests.servers.kafka import KafkaCluster
from tests.servers.postgres import Databases
from tests.servers.raw_producer import send_raw
from tests.workload import CLIENT, SOURCE, STATES, Order
from worker.adapters.postgres.blocks import HELD, ROW_BYTES, kept
from worker.core.codec import EncodedRecord, decode_record
from worker.core.events import Event
from worker.core.records import Headers
from worker.core.subjects import SUBJECT_DOCUMENT_BYTES_MAX, root_subject

PARTITION = 0
TOPIC_BYTES_MAX = 1_048_588
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)
ODD_HEADERS: Headers = (("none", None), ("twice", b"\x00\xff"), ("twice", b""), ("dlq-reason", b"an old one"))
ORDERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Journalled:
    """What the journal keeps of one record."""

    outcome: str
    reason: str | None
    error_name: str | None
    error_message: str | None
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that was sent, where it came to stand, and what the journal has of it."""

    record: EncodedRecord
    offset: int
    journalled: Journalled


@dataclass(slots=True)
class Bench:
    """One deployment with one running worker, for all tests of this file."""

    deployment: Deployment

    def send(self, *records: EncodedRecord) -> list[Sent]:
        """Send records, then a good order behind them on the same partition, which must get through."""
        good = Order(next(ORDERS))
        placed = self.deployment.produce([*records, *map(good.record, range(len(STATES)))], PARTITION)
        self.deployment.wait_until_applied()
        states = self.deployment.rows("SELECT status, revision FROM instances WHERE subject = %s", [good.subject])
        assert states == [("done", len(STATES))], "the partition did not go on"
        behind = zip(records, placed, strict=False)
        return [Sent(record, offset, self.journalled(offset)) for record, (_, offset) in behind]

    def journalled(self, offset: int) -> Journalled:
        ((outcome, reason, name, message, *stored),) = self.deployment.rows(
            f"SELECT row.outcome, row.reason, row.error_name, row.error_message, {ROW_BYTES} "  # noqa: S608 - Constants.
            f"FROM journal AS row {HELD} WHERE row.partition = %s AND row.record_offset = %s",
            [PARTITION, offset],
        )
        key, value, _, _ = kept(stored)
        return Journalled(outcome, reason, name, message, key, value)

    def dead_letter(self, sent: Sent) -> Message:
        """Give the one dead letter of a record."""
        return dead_letter_of(sent, self.deployment.dead_letters())

    def caused_by(self, event_id: str) -> list[tuple[str, Event]]:
        """Give topic and event of what an event caused."""
        read = [(record.topic() or "", event_of(record)) for record in self.deployment.outputs()]
        return [(topic, event) for topic, event in read if event.parentid == event_id]


@pytest.fixture(scope="module")
def bench(
    kafka_cluster: KafkaCluster,
    postgres_url: str,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bench]:
    databases = Databases(postgres_url)
    folder = tmp_path_factory.mktemp("bad-input")
    with Deployment(kafka_cluster, databases.make(migrated_template), folder, partitions=1) as deployment:
        deployment.start_worker()
        yield Bench(deployment)
        deployment.finish()
    databases.drop_all()


@pytest.fixture
def order() -> Order:
    """Give an order that nobody else has."""
    return Order(next(ORDERS))


def dead_letter_of(sent: Sent, letters: Iterable[Message]) -> Message:
    """Find the one dead letter of a record."""
    position = {("dlq-partition", str(PARTITION).encode()), ("dlq-offset", str(sent.offset).encode())}
    (found,) = [letter for letter in letters if position <= set(headers_of(letter))]
    return found


def headers_of(record: Message) -> list[tuple[str, Any]]:
    return list(record.headers() or [])  # type: ignore[arg-type]


def event_of(record: Message) -> Event:
    value = record.value()
    assert isinstance(value, bytes)
    return decode_record(value, tuple(headers_of(record)))


def changed(record: EncodedRecord, changes: Mapping[str, Any]) -> EncodedRecord:
    """Give the record of an event with other attributes; `...` takes one away."""
    document = json.loads(record.value) | changes
    kept = {name: value for name, value in document.items() if value is not ...}
    return EncodedRecord(record.key, json.dumps(kept).encode(), STRUCTURED)


def subject_of(name: str = SOURCE, version: str = "1.0.0") -> str:
    execution = f"execution-{next(ORDERS)}"
    return root_subject(name=name, version=version, initiator=CLIENT, execution_id=execution)


def zip_bomb() -> str:
    return b64encode(zlib.compress(b" " * (SUBJECT_DOCUMENT_BYTES_MAX + 1) + b"{}", 9)).decode()


def raw(value: bytes | None, headers: Headers = ()) -> EncodedRecord:
    return EncodedRecord(b"any key \xff", value, headers)  # type: ignore[arg-type]


def broken_records() -> dict[str, tuple[EncodedRecord, str, str]]:
    """Give records that are dead letters whatever is known of their instance: record, reason, what the text has."""
    init = Order(next(ORDERS)).record(0)
    reply = Order(next(ORDERS)).record(1)
    data = json.loads(init.value)["data"]
    binary: Headers = (("ce_specversion", b"1.0"), ("ce_id", None), ("ce_type", b"com.example.made"))
    return {
        "no event": (raw(b'{"hello": "world"}'), "INVALID_EVENT", "id"),
        "an array": (raw(b"[1, 2]"), "INVALID_EVENT", "object"),
        "no UTF-8": (raw(b'{"id": "\xff\xfe"}'), "INVALID_EVENT", "JSON"),
        "no JSON": (raw(b'{"id": ', STRUCTURED), "INVALID_EVENT", "JSON"),
        "nothing": (raw(b""), "INVALID_EVENT", "JSON"),
        "a tombstone": (raw(None), "INVALID_EVENT", "tombstone"),
        "a batch of events": (
            raw(b"[]", (("content-type", b"application/cloudevents-batch+json"),)),
            "INVALID_EVENT",
            "event",
        ),
        "a null header": (raw(b"{}", binary), "INVALID_EVENT", "null"),
        "a header that is no UTF-8": (raw(b"{}", (("ce_id", b"\xff"),)), "INVALID_EVENT", "UTF-8"),
        "a missing id": (changed(init, {"id": ...}), "INVALID_EVENT", "id"),
        "a null id": (changed(init, {"id": None}), "INVALID_EVENT", "id"),
        "U+0000 in the id": (changed(init, {"id": "a\0b"}), "INVALID_EVENT", "id"),
        "U+0000 in the data": (changed(init, {"data": data | {"customer": "a\0b"}}), "INVALID_EVENT", "data"),
        "a lone surrogate": (changed(init, {"data": data | {"customer": "\ud800"}}), "INVALID_EVENT", "JSON"),
        "an integer beyond 64 bits": (changed(init, {"data": data | {"amount": 2**70}}), "INVALID_EVENT", "JSON"),
        "data that is no object": (changed(init, {"data": "text"}), "INVALID_EVENT", "data"),
        "an undecodable subject": (changed(init, {"subject": "bm90aGluZw=="}), "INVALID_SUBJECT", "zlib"),
        "a zip bomb": (changed(init, {"subject": zip_bomb()}), "INVALID_SUBJECT", "inflates past"),
        "a subject beyond 4 KiB": (changed(init, {"subject": "a" * 5000}), "INVALID_SUBJECT", "5000 characters"),
        "an unknown version": (changed(init, {"subject": subject_of(version="9.9.9")}), "NO_MACHINE", "9.9.9"),
        "a reply without an instance": (reply, "NO_INSTANCE", "no instance"),
    }


BROKEN = broken_records()


@pytest.fixture(scope="module")
def broken(bench: Bench) -> dict[str, tuple[Sent, Message]]:
    """Send all broken records, and give each with its dead letter."""
    sent = bench.send(*(record._replace(headers=record.headers + ODD_HEADERS) for record, _, _ in BROKEN.values()))
    letters = bench.deployment.dead_letters()
    return {case: (one, dead_letter_of(one, letters)) for case, one in zip(BROKEN, sent, strict=True)}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_record_is_kept_byte_for_byte(broken: dict[str, tuple[Sent, Message]], case: str) -> None:
    sent, letter = broken[case]
    _, reason, text = BROKEN[case]
    assert (sent.journalled.outcome, sent.journalled.reason) == ("dead_lettered", reason)
    assert text in (sent.journalled.error_message or "")
    assert (sent.journalled.key, sent.journalled.value) == (sent.record.key, sent.record.value)
    assert_dead_letter(letter, sent)


def assert_dead_letter(letter: Message, sent: Sent) -> None:
    """Hold a dead letter against its record: the same bytes, with what is told added behind."""
    headers = headers_of(letter)
    own = len(sent.record.headers)
    assert (letter.key(), letter.value()) == (sent.record.key, sent.record.value)
    assert headers[:own] == list(sent.record.headers)
    told = dict(headers[own:])
    assert told["dlq-reason"] == (sent.journalled.reason or "").encode()
    assert told["dlq-error-class"] == (sent.journalled.error_name or "").encode()
    assert told["dlq-error-message"] == (sent.journalled.error_message or "").encode()


def test_a_header_s_name_may_be_any_bytes(bench: Bench) -> None:
    deployment = bench.deployment
    value = b"value %d" % next(ORDERS)
    headers = [(b"content-type", b"application/cloudevents+json"), (b"caf\xe9", b"x")]
    send_raw(deployment.cluster.bootstrap_servers, deployment.topics.input, PARTITION, value, headers)
    bench.send()
    (dead_letter,) = [one for one in deployment.dead_letters() if one.value() == value]
    told = dict(dead_letter.headers() or ())
    assert told["dlq-reason"] == b"INVALID_EVENT"
    assert b"UTF-8" in (told["dlq-error-message"] or b"")


def test_an_event_s_other_headers_may_be_null(bench: Bench, order: Order) -> None:
    record = order.record(0)
    (sent,) = bench.send(record._replace(headers=record.headers + ODD_HEADERS))
    assert sent.journalled.outcome == "advanced"


def test_an_orchestrator_that_is_not_hosted_is_left_alone(bench: Bench, order: Order) -> None:
    (sent,) = bench.send(changed(order.record(0), {"subject": subject_of(name="arvo.orc.other")}))
    assert (sent.journalled.outcome, sent.journalled.reason) == ("ignored", "NOT_HOSTED")


def test_data_against_the_contract_is_told_to_the_initiator(bench: Bench, order: Order) -> None:
    record = changed(order.record(0), {"id": f"{order.id}-wrong", "data": {"order_id": order.id, "amount": "99"}})
    (sent,) = bench.send(record)
    assert (sent.journalled.outcome, sent.journalled.error_name) == ("failed", "ContractViolation")
    assert_told_to_initiator(bench, f"{order.id}-wrong", order)
    assert_goes_on(bench, order, 0)


def test_another_contract_s_dataschema_is_told_to_the_initiator(bench: Bench, order: Order) -> None:
    record = changed(order.record(1), {"id": f"{order.id}-wrong", "dataschema": "#/services/payment/1.0.0"})
    _, sent = bench.send(order.record(0), record)
    assert (sent.journalled.outcome, sent.journalled.error_name) == ("failed", "ContractViolation")
    assert_told_to_initiator(bench, f"{order.id}-wrong", order)
    assert_goes_on(bench, order, 1)


def assert_told_to_initiator(bench: Bench, event_id: str, order: Order) -> None:
    ((topic, event),) = bench.caused_by(event_id)
    assert topic == bench.deployment.topics.domain("default")
    assert (event.type, event.to, event.subject) == (f"sys.{SOURCE}.error", CLIENT, order.subject)
    assert event.data["errorName"] == "ContractViolation"
    assert event.data["errorStack"] is None


def assert_goes_on(bench: Bench, order: Order, step: int) -> None:
    """Show that a failed event left the instance as it was: the right one, with a new id, gets through."""
    rest = bench.send(*map(order.record, range(step, len(STATES))))
    assert [sent.journalled.outcome for sent in rest] == ["advanced"] * (len(STATES) - step)


def test_a_second_init_event_does_not_touch_the_instance(bench: Bench, order: Order) -> None:
    second = changed(order.record(0), {"id": f"{order.id}-again"})
    _, sent = bench.send(order.record(0), second)
    assert (sent.journalled.outcome, sent.journalled.reason) == ("dead_lettered", "ALREADY_STARTED")
    assert_dead_letter(bench.dead_letter(sent), sent)
    assert_goes_on(bench, order, 1)


def test_an_event_that_comes_twice_counts_once(bench: Bench, order: Order) -> None:
    first, in_batch = bench.send(order.record(0), order.record(0))
    (later,) = bench.send(order.record(0))
    (retold,) = bench.send(changed(order.record(0), {"time": "2027-01-01T00:00:00Z", "traceparent": None}))
    outcomes = [one.journalled.outcome for one in (first, in_batch, later, retold)]
    assert outcomes == ["advanced", "duplicate", "duplicate", "duplicate"]
    assert len(bench.caused_by(f"{order.id}-0")) == 1


def test_an_id_with_other_content_is_a_conflict(bench: Bench, order: Order) -> None:
    data = json.loads(order.record(1).value)["data"] | {"warehouse": "south"}
    _, _, sent = bench.send(order.record(0), order.record(1), changed(order.record(1), {"data": data}))
    assert (sent.journalled.outcome, sent.journalled.reason) == ("dead_lettered", "ID_CONFLICT")
    assert_dead_letter(bench.dead_letter(sent), sent)
    assert_goes_on(bench, order, 2)


def test_an_event_of_an_ended_instance_is_left_alone(bench: Bench, order: Order) -> None:
    late = changed(order.record(1), {"id": f"{order.id}-late"})
    *_, sent = bench.send(*map(order.record, range(len(STATES))), late)
    assert (sent.journalled.outcome, sent.journalled.reason) == ("ignored", "ENDED")
    assert bench.caused_by(f"{order.id}-late") == []


def test_an_event_that_nothing_waits_for_says_what_is_expected(bench: Bench, order: Order) -> None:
    early = changed(order.record(3), {"id": f"{order.id}-early"})
    _, sent = bench.send(order.record(0), early)
    assert sent.journalled.outcome == "unexpected"
    assert "evt.inventory.reserve.success" in (sent.journalled.error_message or "")
    assert bench.caused_by(f"{order.id}-early") == []
    assert_goes_on(bench, order, 1)


@pytest.mark.parametrize(
    ("receiver", "outcome", "reason"),
    [(SOURCE, "dead_lettered", "NO_CONTRACT"), ("com.other.service", "ignored", "FOREIGN")],
)
def test_a_type_of_no_contract_depends_on_its_receiver(
    bench: Bench, order: Order, receiver: str, outcome: str, reason: str
) -> None:
    stray = changed(order.record(1), {"id": f"{order.id}-stray", "type": "evt.other.thing.done", "to": receiver})
    _, sent = bench.send(order.record(0), stray)
    assert (sent.journalled.outcome, sent.journalled.reason) == (outcome, reason)
    assert_goes_on(bench, order, 1)


def test_a_record_too_large_for_the_dead_letters_is_told_by_its_digest(bench: Bench) -> None:
    record = raw(b"x" * (TOPIC_BYTES_MAX - 200))
    (sent,) = bench.send(record)
    assert (sent.journalled.outcome, sent.journalled.reason) == ("dead_lettered", "INVALID_EVENT")
    assert (sent.journalled.key, sent.journalled.value) == (record.key, record.value)
    letter = bench.dead_letter(sent)
    assert (letter.key(), letter.value()) == (None, None)
    assert dict(headers_of(letter))["dlq-value-sha256"] == sha256(record.value).hexdigest().encode()
