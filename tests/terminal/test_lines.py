"""Records as lines."""

import pytest

from worker.adapters.kafka.tailing import Received
from worker.core.codec import encode_record
from worker.core.events import create_event, event_to_json
from worker.core.records import Headers, Record
from worker.core.subjects import root_subject
from worker.terminal.lines import Told, clock_text, names_subject
from worker.terminal.texts import table

NOW = 1_700_000_000_123
SUBJECT = root_subject(
    name="arvo.orc.order",
    version="1.0.0",
    initiator="com.example.shop",
    execution_id="3f2a9c1e-0000-4000-8000-000000000000",
)
EVENT = create_event(
    {
        "id": "event-1",
        "source": "com.example.shop",
        "type": "arvo.orc.order",
        "subject": SUBJECT,
        "data": {},
        "time": "2024-01-15T12:34:56.789+00:00",
    }
)


def told(value: bytes | None, headers: Headers = (), key: bytes | None = None) -> Told:
    return Told(Received("orchestrator.input", Record(3, 17, NOW, key, value, headers)))


def test_an_event_is_told_in_one_line() -> None:
    encoded = encode_record(EVENT)
    words = told(encoded.value, encoded.headers, encoded.key).line(20).split()
    assert words == ["22:13:20.123", "orchestrator.input", "arvo.orc.order", "order", "3f2a9c1e", "event-1"]


def test_an_event_is_told_as_json() -> None:
    encoded = encode_record(EVENT)
    document = told(encoded.value, encoded.headers, encoded.key).document()
    assert document["event"] == event_to_json(EVENT)
    assert (document["topic"], document["partition"], document["offset"]) == ("orchestrator.input", 3, 17)


def test_bytes_that_are_no_event_are_told() -> None:
    assert told(b"\xff").line().endswith("(no event)  [3]@17")
    assert told(b"\xff").document()["value"] == "/w=="
    assert told(None).document()["value"] is None


def test_a_dead_letter_is_told_with_its_reason_and_nothing_that_steers_the_terminal() -> None:
    headers = (
        ("dlq-reason", b"INVALID_EVENT"),
        ("dlq-topic", b"orchestrator.input"),
        ("dlq-partition", b"3"),
        ("dlq-offset", b"17"),
        ("dlq-error-message", b"no \x1b[31mevent\x07\r" + b"x" * 500),
    )
    line = told(b"x", headers).line()
    assert "INVALID_EVENT  orchestrator.input[3]@17  no \ufffd[31mevent\ufffd\ufffdxxx" in line
    assert len(line) < 250


@pytest.mark.parametrize(
    ("wanted", "subject", "named"),
    [
        (SUBJECT, SUBJECT, True),
        ("3f2a", SUBJECT, True),
        ("f2a9", SUBJECT, False),
        ("broken", "broken", True),
        ("bro", "broken", False),
        ("bro", None, False),
    ],
)
def test_an_instance_is_named_by_its_subject_or_the_beginning_of_its_id(
    wanted: str,
    subject: str | None,
    named: bool,
) -> None:
    assert names_subject(wanted, subject) is named


def test_times_that_no_clock_shows_are_told_too() -> None:
    assert clock_text(2**62) == "--:--:--.---"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table([("a", "b"), ("long", "c")], indent=" ") == " a     b\n long  c"
