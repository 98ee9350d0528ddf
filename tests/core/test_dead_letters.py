"""Dead letters read back as the worker writes them, and the choice among them."""

import hashlib
import re
from dataclasses import replace

import pytest

from tests.core.lab import LAB, NOW, hosting, lab_machine, subject_of
from worker.core.codec import encode_record
from worker.core.dead_letter_advice import ADVICE
from worker.core.dead_letters import DeadLetter, Marker, Place, Selection, read_place, read_record
from worker.core.events import create_event
from worker.core.outcomes import DeadLettered, DeadLetterReason
from worker.core.records import Headers, Output, Record
from worker.core.routing import Router, Topics

TOPICS = Topics("orc")
ROUTER = Router(TOPICS, hosting(lab_machine()).registry, "the-group", "1.2.3")
OUTCOME = DeadLettered(DeadLetterReason.NO_INSTANCE, "NoInstance", "why; é")
REFUSED = DeadLettered(DeadLetterReason.OUTPUT_REFUSED, "OutputRefused", "too large")
ODD: Headers = (("dlq-reason", b"an old one"), ("none", None), ("twice", b"\x00\xff"), ("twice", b""))
RECORD = Record(3, 77, NOW - 1, b"\xff key", b"\x00\xff no text", ODD)
SUBJECT = subject_of(LAB)


def standing(output: Output, partition: int = 1, offset: int = 5) -> Record:
    """Give an output as it stands in the dead letters' topic."""
    return Record(partition, offset, NOW + 10, output.key, output.value, output.headers)


def letter_of(output: Output) -> DeadLetter:
    letter = read_record(standing(output))
    assert isinstance(letter, DeadLetter)
    return letter


def event_letter() -> DeadLetter:
    attributes = {
        "id": "1",
        "source": "com.test",
        "type": "evt.a.b",
        "subject": SUBJECT,
        "data": {"x": 1},
        "time": "2026-01-01T00:00:00Z",
        "to": LAB,
    }
    encoded = encode_record(create_event(attributes))
    return letter_of(
        ROUTER.dead_letter(Record(3, 77, NOW - 1, encoded.key, encoded.value, encoded.headers), OUTCOME, NOW)
    )


def test_every_reason_is_explained() -> None:
    assert set(ADVICE) >= set(DeadLetterReason)


def test_what_the_worker_writes_is_read_back() -> None:
    assert letter_of(ROUTER.dead_letter(RECORD, OUTCOME, NOW)) == DeadLetter(
        place=Place(1, 5),
        reason="NO_INSTANCE",
        error_name="NoInstance",
        error_message="why; é",
        original=Output("orc.input", RECORD.key, RECORD.value, ODD),
        origin=Place(3, 77),
        cause_topic=None,
        cause=None,
        failed_at=NOW,
        group_id="the-group",
        worker_version="1.2.3",
        value_digest=None,
    )


def test_a_tombstone_stays_one() -> None:
    letter = letter_of(ROUTER.dead_letter(replace(RECORD, key=None, value=None, headers=()), OUTCOME, NOW))
    assert letter.original == Output("orc.input", None, None, ())
    assert letter.value_digest is None
    assert (letter.event(), letter.subject()) == (None, None)


def test_bytes_that_are_elsewhere_are_told_by_their_digest() -> None:
    letter = letter_of(ROUTER.dead_letter_without_bytes(RECORD, OUTCOME, NOW))
    assert letter.original == Output("orc.input", None, None, ())
    assert letter.value_digest == hashlib.sha256(RECORD.value or b"").hexdigest()
    assert (letter.event(), letter.subject()) == (None, None)


def test_a_refused_output_names_its_topic_and_its_cause() -> None:
    output = Output("orc.default", b"key", b"value", (("h", b"1"),))
    letter = letter_of(ROUTER.refused_output(output, REFUSED, (2, 9), NOW))
    assert (letter.original, letter.origin, letter.cause_topic, letter.cause) == (
        output,
        None,
        "orc.input",
        Place(2, 9),
    )
    assert letter.source == "orc.default"


@pytest.mark.parametrize(
    "first",
    [ROUTER.dead_letter(RECORD, OUTCOME, NOW), ROUTER.dead_letter_without_bytes(RECORD, OUTCOME, NOW)],
    ids=["with its bytes", "without them"],
)
def test_a_dead_letter_that_a_broker_refused_tells_of_its_record(first: Output) -> None:
    letter = letter_of(ROUTER.refused_output(first, REFUSED, (3, 77), NOW))
    assert (letter.reason, letter.original.topic, letter.origin) == ("NO_INSTANCE", "orc.input", Place(3, 77))
    assert letter.value_digest == hashlib.sha256(RECORD.value or b"").hexdigest()


def test_the_event_in_it_is_decoded() -> None:
    letter = event_letter()
    event = letter.event()
    assert event is not None
    assert (event.type, letter.subject()) == ("evt.a.b", SUBJECT)
    assert letter_of(ROUTER.dead_letter(RECORD, OUTCOME, NOW)).subject() == "\ufffd key"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((), id="no headers"),
        pytest.param((("redriven-offset", b"five"),), id="no number"),
        pytest.param((("redriven-offset", b"-5"),), id="a negative number"),
        pytest.param((("redriven-offset", "٥".encode()),), id="another script's digit"),
        pytest.param((("redriven-offset", None),), id="null"),
        pytest.param((("dlq-topic", b"orc.input"),), id="no reason"),
    ],
)
def test_what_somebody_else_wrote_is_neither(headers: Headers) -> None:
    assert read_record(Record(0, 1, NOW, None, None, headers)) is None


def test_a_marker_is_of_its_own_partition() -> None:
    headers = (("redriven-offset", b"5"), ("redriven-to", b"orc.input"), ("redriven-at", b"17"))
    assert read_record(Record(2, 9, NOW, None, None, headers)) == Marker(Place(2, 5), "orc.input", 17)


def test_a_record_with_a_marker_s_header_is_a_dead_letter_all_the_same() -> None:
    record = replace(RECORD, headers=(("redriven-offset", b"5"),))
    letter = letter_of(ROUTER.dead_letter(record, OUTCOME, NOW))
    assert letter.original.headers == record.headers


def test_headers_that_can_not_be_read_are_left_out() -> None:
    headers = (("dlq-reason", b"\xff"), ("dlq-partition", b"x"), ("dlq-offset", b"7"), ("dlq-first-failure-time", None))
    letter = read_record(Record(0, 1, NOW, None, b"v", headers))
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.origin, letter.failed_at, letter.group_id) == ("\ufffd", None, NOW, "")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0:17", Place(0, 17)),
        ("12:0", Place(12, 0)),
        ("17", None),
        ("0:", None),
        ("a:b", None),
        ("0:1:2", None),
        ("-1:5", None),
        ("", None),
    ],
)
def test_places_as_they_are_typed(text: str, place: Place | None) -> None:
    assert read_place(text) == place
    if place is not None:
        assert str(place) == text


@pytest.mark.parametrize(
    ("selection", "takes"),
    [
        (Selection(), True),
        (Selection(reasons=frozenset(["NO_INSTANCE", "CRASHED"])), True),
        (Selection(reasons=frozenset(["CRASHED"])), False),
        (Selection(names_subject=lambda subject: subject == SUBJECT), True),
        (Selection(names_subject=lambda subject: subject is None), False),
        (Selection(since=NOW), True),
        (Selection(since=NOW + 1), False),
        (Selection(until=NOW + 1), True),
        (Selection(until=NOW), False),
        (Selection(below={1: 6}), True),
        (Selection(below={1: 5}), False),
        (Selection(below={0: 6}), False),
        (Selection(sources=frozenset(["orc.input"])), True),
        (Selection(sources=frozenset(["orc.input-3", "orc.default"])), True),
        (Selection(sources=frozenset(["orc.input-2"])), False),
        (Selection(places=frozenset([Place(1, 5), Place(0, 0)])), True),
        (Selection(places=frozenset([Place(0, 5)])), False),
        (Selection(reasons=frozenset(["NO_INSTANCE"]), since=NOW + 1), False),
    ],
)
def test_the_choice(selection: Selection, takes: bool) -> None:
    assert selection.takes(event_letter()) is takes


def test_an_output_is_found_by_its_topic_and_by_its_cause() -> None:
    letter = letter_of(ROUTER.refused_output(Output("orc.default", b"key", b"value", ()), REFUSED, (2, 9), NOW))
    assert letter.sources == {"orc.default", "orc.input", "orc.input-2"}


@pytest.mark.parametrize(
    ("selection", "takes"),
    [
        (Selection(machines=frozenset((LAB,))), True),
        (Selection(machines=frozenset(("com.test",))), True),
        (Selection(machines=frozenset(("arvo.orc.other",))), False),
        (Selection(matching=re.compile("NoInstance: why")), True),
        (Selection(matching=re.compile(r'"x": ?1')), True),
        (Selection(matching=re.compile(r"evt\.a\.b$")), True),
        (Selection(matching=re.compile("elsewhere")), False),
        (Selection(machines=frozenset((LAB,)), matching=re.compile("elsewhere")), False),
    ],
)
def test_the_choice_by_machine_and_by_what_is_in_it(selection: Selection, takes: bool) -> None:
    assert selection.takes(event_letter()) is takes


def test_bytes_are_of_no_machine_and_are_looked_through_all_the_same() -> None:
    letter = letter_of(ROUTER.dead_letter(RECORD, OUTCOME, NOW))
    assert letter.machines() == frozenset()
    assert Selection(matching=re.compile("no text")).takes(letter)
