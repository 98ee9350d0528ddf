"""Emitted events and dead letters, as records for topics."""

import hashlib

import pytest

from tests.core.lab import LAB, NOW, SHIP, USER, emitted, failed, hosting, init_of, lab_machine, step, subject_of
from worker.core.codec import ContentMode, decode_record
from worker.core.events import create_event
from worker.core.outcomes import DeadLettered, DeadLetterReason, DomainedEvent
from worker.core.records import RECORD_OVERHEAD_BYTES, Output, Record
from worker.core.routing import Router, Topics
from worker.core.texts import ERROR_TEXT_MAX

TOPICS = Topics("orc")
ROUTER = Router(TOPICS, hosting(lab_machine()).registry, "the-group", "1.2.3")
OUTCOME = DeadLettered(DeadLetterReason.NO_INSTANCE, "NoInstance", "why")
RECORD = Record(
    3, 77, 1_700_000_000_000, b"\xff key", b"\x00\xff no text", (("h", b"1"), ("h", None), ("\u00e9", b"\xfe"))
)
ORDER = "arvo.orc.order"


def event_to(to: str | None, subject: str, domains: tuple[str, ...] = ("default",)) -> DomainedEvent:
    attributes: dict[str, object] = {
        "id": "1",
        "source": "com.test",
        "type": "com.a.b",
        "subject": subject,
        "data": {},
        "time": "2026-01-01T00:00:00Z",
        "to": to,
        "datacontenttype": "application/json",
    }
    return DomainedEvent(create_event(attributes), domains)


def topics_of(one: DomainedEvent) -> list[str]:
    return [output.topic for output in ROUTER.outputs([one])]


def test_topics_are_below_the_prefix() -> None:
    assert (TOPICS.input, TOPICS.dead_letters, TOPICS.domain("external")) == ("orc.input", "orc.dlq", "orc.external")


def test_one_record_in_each_bucket_in_order() -> None:
    one = event_to("com.some.body", subject_of(), ("external", "default", "audit"))
    outputs = ROUTER.outputs([one, event_to("com.some.body", subject_of())])
    assert [output.topic for output in outputs] == ["orc.external", "orc.default", "orc.audit", "orc.default"]
    assert {decode_record(output.value, output.headers).id for output in outputs} == {"1"}


@pytest.mark.parametrize("mode", ContentMode)
def test_outputs_are_keyed_by_subject_and_read_as_the_same_event(mode: ContentMode) -> None:
    router = Router(TOPICS, ROUTER.registry, "g", "v", mode)
    (one,) = emitted("emit('com.one.call', {'x': 1})")
    (output,) = router.outputs([one])
    assert output.key == subject_of().encode()
    read = decode_record(output.value, output.headers)
    assert (read.id, read.data, read.to) == (one.event.id, one.event.data, one.event.to)


class TestHosted:
    @pytest.mark.parametrize(
        ("to", "subject", "domains", "delivered"),
        [
            pytest.param(ORDER, subject_of(ORDER), ("default",), True, id="to is hosted and the subject's"),
            pytest.param(ORDER, subject_of(ORDER), ("external", "default"), True, id="in the default bucket too"),
            pytest.param(ORDER, subject_of(ORDER), ("external",), False, id="it goes to a human first"),
            pytest.param(ORDER, subject_of(LAB), ("default",), False, id="the subject is another's"),
            pytest.param("com.a.b", subject_of(ORDER), ("default",), False, id="to is somebody else"),
            pytest.param(SHIP, subject_of(SHIP), ("default",), False, id="an orchestrator that is not hosted"),
            pytest.param(ORDER, "garbage", ("default",), False, id="a subject that can't be decoded"),
            pytest.param(None, subject_of("com.a.b"), ("default",), False, id="to is the type"),
        ],
    )
    def test_delivery_to_the_input(
        self, to: str | None, subject: str, domains: tuple[str, ...], delivered: bool
    ) -> None:
        expected = [f"orc.{domain}" for domain in domains] + (["orc.input"] if delivered else [])
        assert topics_of(event_to(to, subject, domains)) == expected

    def test_a_child_is_started_without_any_router(self) -> None:
        host = hosting(lab_machine(), lab_machine(version="2.0.0"))
        router = Router(TOPICS, host.registry, "g", "v")
        (one,) = emitted(f"emit('{SHIP}', {{'parentSubject$$': subject}})")
        assert [output.topic for output in router.outputs([one])] == ["orc.default"]
        child = event_to(LAB, subject_of(LAB, initiator=ORDER))
        assert topics_of(child) == ["orc.default", "orc.input"]

    def test_a_system_error_goes_to_the_parent_s_instance_but_not_to_its_own(self) -> None:
        host = hosting(lab_machine("raise LookupError"))
        own = failed(step(host, init_of(subject=subject_of(initiator=ORDER)))).emitted
        parent = subject_of(ORDER)
        childs = failed(step(host, init_of(subject=subject_of(initiator=ORDER), parent=parent))).emitted
        assert topics_of(own) == ["orc.default"]
        assert topics_of(childs) == ["orc.default", "orc.input"]


class TestDeadLetters:
    def test_key_value_and_headers_byte_for_byte_then_the_reason(self) -> None:
        output = ROUTER.dead_letter(RECORD, OUTCOME, NOW)
        assert (output.topic, output.key, output.value) == ("orc.dlq", RECORD.key, RECORD.value)
        assert output.headers[: len(RECORD.headers)] == RECORD.headers
        assert dict(output.headers[len(RECORD.headers) :]) == {
            "dlq-reason": b"NO_INSTANCE",
            "dlq-error-class": b"NoInstance",
            "dlq-error-message": b"why",
            "dlq-topic": b"orc.input",
            "dlq-partition": b"3",
            "dlq-offset": b"77",
            "dlq-timestamp": b"1700000000000",
            "dlq-consumer-group": b"the-group",
            "dlq-worker-version": b"1.2.3",
            "dlq-first-failure-time": str(NOW).encode(),
            "dlq-attempts": b"1",
        }

    def test_nothing_stays_nothing(self) -> None:
        output = ROUTER.dead_letter(Record(0, 0, 0, None, None, ()), OUTCOME, NOW)
        assert (output.key, output.value) == (None, None)

    def test_a_message_is_made_fit(self) -> None:
        outcome = DeadLettered(DeadLetterReason.STEP_FAULT, "E", "a\ud800\0" + "x" * 100_000)
        message = dict(ROUTER.dead_letter(RECORD, outcome, NOW).headers)["dlq-error-message"]
        assert message is not None
        assert message.decode() == "a?\ufffd" + "x" * (ERROR_TEXT_MAX - 3)

    @pytest.mark.parametrize("value", [b"big" * 1_000, None])
    def test_one_too_large_is_told_by_position_and_digest(self, value: bytes | None) -> None:
        record = Record(3, 77, 1, b"k" * 10_000, value, (("h", b"v" * 10_000),))
        output = ROUTER.dead_letter_without_bytes(record, OUTCOME, NOW)
        headers = dict(output.headers)
        assert (output.key, output.value) == (None, None)
        assert headers["dlq-value-sha256"] == hashlib.sha256(value or b"").hexdigest().encode()
        assert (headers["dlq-partition"], headers["dlq-offset"], "h" in headers) == (b"3", b"77", False)
        assert output.size() < 2_000


@pytest.mark.parametrize(
    ("output", "size"),
    [
        (Output("t", None, None, ()), 0),
        (Output("t", b"abc", b"12345", ()), 8),
        (Output("t", b"abc", None, (("name", b"12"), ("n", None))), 3 + 4 + 2 + 8 + 1 + 8),
    ],
)
def test_the_size_of_a_record_counts_everything(output: Output, size: int) -> None:
    assert output.size() == size + RECORD_OVERHEAD_BYTES


def test_users_are_no_orchestrators() -> None:
    assert not ROUTER.registry.hosts(USER)


def test_an_output_that_its_topic_refuses_is_kept_whole_and_names_it() -> None:
    outcome = DeadLettered(DeadLetterReason.OUTPUT_REFUSED, "EventTooLarge", "too large")
    output = Output("orc.external", b"key", b"value", (("h", b"1"),))
    dead_letter = ROUTER.refused_output(output, outcome, (3, 7), 1_000)
    assert (dead_letter.topic, dead_letter.key, dead_letter.value) == ("orc.dlq", b"key", b"value")
    headers = dict(dead_letter.headers)
    assert dead_letter.headers[0] == ("h", b"1")
    assert headers["dlq-topic"] == b"orc.external"
    assert headers["dlq-reason"] == b"OUTPUT_REFUSED"
    assert (headers["dlq-cause-partition"], headers["dlq-cause-offset"]) == (b"3", b"7")


def test_a_dead_letter_that_its_topic_refuses_keeps_what_tells_of_it() -> None:
    outcome = DeadLettered(DeadLetterReason.OUTPUT_REFUSED, "EventTooLarge", "too large")
    whole = ROUTER.refused_output(Output("orc.external", b"key", b"value", (("h", b"1"),)), outcome, (3, 7), 1_000)
    told = ROUTER.refused_output(whole, outcome, (3, 7), 1_000)
    assert (told.topic, told.key, told.value) == ("orc.dlq", None, None)
    assert told.headers[:-1] == whole.headers[1:]
    assert told.headers[-1] == ("dlq-value-sha256", hashlib.sha256(b"value").hexdigest().encode())
