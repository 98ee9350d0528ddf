"""Control records: what is one, and what cancelling does."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.lab import LAB, NOW, USER, hosting, lab_machine, reply_of, started, step, subject_of, told
from tests.core.strategies import JSON_VALUES, TEXTS, events
from worker.core.codec import ContentMode, decode_record, encode_control, encode_record
from worker.core.control import (
    CONTROL_CONTENT_TYPE,
    REASON_CHARACTERS_MAX,
    Command,
    Control,
    control_event,
    control_of,
    read_control,
)
from worker.core.dead_letters import DeadLetter, read_record
from worker.core.digests import content_digest
from worker.core.errors import InvalidControlError, InvalidEventError
from worker.core.events import event_to_json
from worker.core.instances import Instance, Status
from worker.core.json import dumps, loads
from worker.core.outcomes import (
    Cancelled,
    DeadLettered,
    DeadLetterReason,
    Duplicate,
    Failed,
    Ignored,
    IgnoredReason,
    Outcome,
)
from worker.core.records import Output, Record
from worker.core.routing import Router, Topics
from worker.core.step import Host
from worker.core.subjects import child_subject
from worker.runtime.arrivals import Addressed, Broken, decode

SUBJECT = subject_of()
CANCEL = Control("c-1", SUBJECT, Command.CANCEL, "ann@desk", "2026-01-02T03:04:05Z", "ordered twice")
ENCODED = encode_control(CANCEL)
DOCUMENT: dict[str, Any] = loads(ENCODED.value)
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


def controls() -> st.SearchStrategy[Control]:
    return st.builds(
        Control,
        id=st.text(CHARACTERS, min_size=1, max_size=256),
        subject=st.just(SUBJECT),
        command=st.sampled_from(Command),
        requested_by=st.text(CHARACTERS, min_size=1, max_size=256),
        time=st.just(CANCEL.time),
        reason=st.text(CHARACTERS, max_size=300),
        expected_revision=st.none() | st.integers(1, 2**63 - 1),
    )


def cancelled(host: Host, instance: Instance | None, control: Control = CANCEL, seen: bytes | None = None) -> Outcome:
    return step(host, control_event(control), instance, seen=seen)


def decoded(value: bytes | None, content_type: str = CONTROL_CONTENT_TYPE) -> Addressed | Broken:
    return decode(Record(0, 0, NOW, ENCODED.key, value, (("content-type", content_type.encode()),)))


class TestRecords:
    @given(controls())
    def test_a_control_record_is_read_as_it_was_written(self, control: Control) -> None:
        encoded = encode_control(control)
        event = decode_record(encoded.value, encoded.headers)
        assert event == control_event(control)
        assert control_of(event) == control
        assert encoded.key == control.subject.encode()

    @pytest.mark.parametrize("content_type", [CONTROL_CONTENT_TYPE, "Application/Vnd.Arvo.Control+JSON; charset=utf-8"])
    def test_the_content_type_tells_it(self, content_type: str) -> None:
        one = decoded(ENCODED.value, content_type)
        assert isinstance(one, Addressed)
        assert one.event.datacontenttype == CONTROL_CONTENT_TYPE

    def test_without_its_content_type_it_is_no_event(self) -> None:
        one = decode(Record(0, 0, NOW, None, ENCODED.value, ()))
        assert isinstance(one, Broken)
        assert one.outcome.reason == "INVALID_EVENT"

    @given(events(), st.sampled_from(ContentMode))
    def test_no_event_passes_for_one(self, event: Any, mode: ContentMode) -> None:
        encoded = encode_record(replace(event, datacontenttype=CONTROL_CONTENT_TYPE), mode)
        with pytest.raises(InvalidEventError):
            decode_record(encoded.value, encoded.headers)

    def test_it_can_be_shown_as_an_event(self) -> None:
        shown = event_to_json(control_event(CANCEL))
        assert (shown["type"], shown["source"], shown["id"]) == ("sys.control.cancel", "sys.control", "c-1")
        assert shown["data"] == {"reason": "ordered twice", "requested_by": "ann@desk"}

    @pytest.mark.parametrize(
        ("changed", "faults"),
        [
            ({"id": ""}, ["id"]),
            ({"id": 7}, ["id"]),
            ({"subject": "no uri %"}, ["subject"]),
            ({"command": "pause"}, ["command"]),
            ({"command": ["cancel"]}, ["command"]),
            ({"requested_by": "\0"}, ["requested_by"]),
            ({"time": "yesterday"}, ["time"]),
            ({"reason": "x" * (REASON_CHARACTERS_MAX + 1)}, ["reason"]),
            ({"reason": None}, ["reason"]),
            ({"expected_revision": 0}, ["expected_revision"]),
            ({"expected_revision": True}, ["expected_revision"]),
            ({"expected_revision": None}, ["expected_revision"]),
            ({"force": True}, ["force"]),
            ({"id": None, "time": None}, ["id", "time"]),
        ],
    )
    def test_what_breaks_a_rule_is_refused_by_name(self, changed: dict[str, Any], faults: list[str]) -> None:
        one = decoded(dumps(DOCUMENT | changed))
        assert isinstance(one, Broken)
        assert one.outcome.reason == "INVALID_CONTROL"
        assert one.outcome.error_name == "InvalidControlError"
        with pytest.raises(InvalidControlError) as caught:
            read_control(DOCUMENT | changed)
        assert list(caught.value.failed) == faults
        assert all(name in one.outcome.error_message for name in faults)

    @pytest.mark.parametrize("name", DOCUMENT.keys() - {"reason"})
    def test_each_part_but_the_reason_is_needed(self, name: str) -> None:
        with pytest.raises(InvalidControlError, match=name):
            read_control({key: value for key, value in DOCUMENT.items() if key != name})

    @given(st.none() | st.binary(max_size=30) | JSON_VALUES.map(dumps))
    def test_whatever_else_the_bytes_are_it_is_a_dead_letter(self, value: bytes | None) -> None:
        one = decoded(value)
        assert isinstance(one, Broken)
        assert one.outcome.reason == "INVALID_CONTROL"

    def test_a_subject_that_says_nothing_is_a_dead_letter_too(self) -> None:
        one = decoded(dumps(DOCUMENT | {"subject": "nothing"}))
        assert isinstance(one, Broken)
        assert one.outcome.reason == "INVALID_SUBJECT"

    @given(TEXTS)
    def test_a_command_is_written_by_its_rules(self, text: str) -> None:
        control = replace(CANCEL, reason=text * 400)
        if len(control.reason) > REASON_CHARACTERS_MAX:
            with pytest.raises(InvalidControlError, match="reason"):
                encode_control(control)

    def test_out_of_the_dead_letters_it_comes_back_as_it_was(self) -> None:
        router = Router(Topics("orc"), hosting(lab_machine()).registry, "group", "1.2.3")
        record = Record(0, 7, NOW, ENCODED.key, ENCODED.value, ENCODED.headers)
        dead = router.dead_letter(record, DeadLettered(DeadLetterReason.NO_MACHINE, "ConfigViolation", "why"), NOW)
        letter = read_record(Record(0, 0, NOW, dead.key, dead.value, dead.headers))
        assert isinstance(letter, DeadLetter)
        assert letter.original == Output("orc.input", *ENCODED)
        assert letter.event() == control_event(CANCEL)
        assert LAB in letter.machines()


class TestCancelling:
    def test_the_instance_ends_where_it_stood(self) -> None:
        host = hosting(lab_machine())
        before = started(host)
        outcome = cancelled(host, before)
        assert isinstance(outcome, Cancelled)
        assert outcome.before is before
        assert outcome.instance == replace(before, status=Status.CANCELLED, now=NOW, revision=before.revision + 1)

    def test_the_initiator_gets_one_system_error_as_of_a_failed_step(self) -> None:
        host = hosting(lab_machine(executionunits=2.5))
        outcome, failed = cancelled(host, started(host)), step(host, reply_of(data={"y": 13}), started(host))
        assert isinstance(outcome, Cancelled)
        assert isinstance(failed, Failed)
        event, other = outcome.emitted.event, failed.emitted.event
        text = "The workflow was cancelled by ann@desk: ordered twice"
        assert event.data == {"errorName": "Cancelled", "errorMessage": text, "errorStack": None}
        assert (outcome.error_name, outcome.error_message) == ("Cancelled", text)
        assert (event.type, event.to, event.parentid) == (f"sys.{LAB}.error", USER, "c-1")
        assert replace(other, id=event.id, data=event.data, parentid=event.parentid) == event
        assert outcome.emitted.domains == failed.emitted.domains

    def test_a_child_s_goes_to_its_parent(self) -> None:
        parent = subject_of("arvo.orc.boss", initiator="com.root.user")
        host = hosting(lab_machine())
        child = child_subject(parent, name=LAB, version="1.0.0", execution_id="child")
        begun = started(host, parent=parent, subject=child)
        outcome = cancelled(host, begun, replace(CANCEL, subject=child))
        assert isinstance(outcome, Cancelled)
        assert (outcome.emitted.event.subject, outcome.emitted.event.to) == (parent, "arvo.orc.boss")

    def test_without_a_reason_it_says_by_whom(self) -> None:
        host = hosting(lab_machine())
        outcome = cancelled(host, started(host), replace(CANCEL, reason=""))
        assert isinstance(outcome, Cancelled)
        assert outcome.error_message == "The workflow was cancelled by ann@desk"

    def test_two_commands_give_two_ids_and_one_command_one(self) -> None:
        host = hosting(lab_machine())
        ids = []
        for control in (CANCEL, CANCEL, replace(CANCEL, id="c-2")):
            outcome = cancelled(host, started(host), control)
            assert isinstance(outcome, Cancelled)
            ids.append(outcome.emitted.event.id)
        assert ids[0] == ids[1] != ids[2]

    def test_events_that_come_later_are_ignored(self) -> None:
        host = hosting(lab_machine())
        outcome = cancelled(host, started(host))
        assert isinstance(outcome, Cancelled)
        assert step(host, reply_of(), outcome.instance) == Ignored(IgnoredReason.ENDED)

    def test_there_must_be_something_to_cancel(self) -> None:
        host = hosting(lab_machine())
        instance = started(host)
        assert cancelled(host, None) == Ignored(IgnoredReason.ABSENT)
        for status in (Status.DONE, Status.CANCELLED):
            assert cancelled(host, replace(instance, status=status)) == Ignored(IgnoredReason.ENDED)
        elsewhere = replace(CANCEL, subject=subject_of("arvo.orc.nobody"))
        assert cancelled(host, None, elsewhere) == Ignored(IgnoredReason.NOT_HOSTED)

    @pytest.mark.parametrize(("expected", "outcome"), [(1, "Cancelled"), (2, "Ignored CHANGED")])
    def test_only_at_the_step_that_was_looked_at(self, expected: int, outcome: str) -> None:
        host = hosting(lab_machine())
        assert told(cancelled(host, started(host), replace(CANCEL, expected_revision=expected))) == outcome

    def test_the_same_command_again_is_a_duplicate(self) -> None:
        host = hosting(lab_machine())
        seen = content_digest(control_event(CANCEL))
        again = cancelled(host, replace(started(host), status=Status.CANCELLED), seen=seen)
        assert again == Duplicate()
        other = cancelled(host, started(host), replace(CANCEL, reason="other"), seen)
        assert told(other) == "DeadLettered ID_CONFLICT"

    def test_a_version_that_nobody_has_is_a_dead_letter(self) -> None:
        instance = replace(started(hosting(lab_machine())), version="9.9.9")
        outcome = cancelled(hosting(lab_machine()), instance)
        assert isinstance(outcome, DeadLettered)
        assert outcome.reason == "NO_MACHINE"
