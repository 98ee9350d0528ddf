"""What a machine emitted, as events: where each attribute comes from."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.lab import (
    EVENT_TIME,
    LAB,
    SHIP,
    USER,
    advanced,
    emitted,
    failed,
    hosting,
    init_of,
    lab_machine,
    reply_of,
    started,
    step,
    subject_of,
)
from worker.core.events import ARVO_CONTENT_TYPE, Event, event_from_json, event_to_json
from worker.core.outcomes import DomainedEvent
from worker.core.subjects import SubjectContent, decode_subject

SCENARIOS = Path(__file__).parents[1] / "vectors" / "data"
PARENT = subject_of(
    "arvo.orc.boss",
    initiator="com.root.user",
    execution_id="boss-1",
    meta={"redirectto": "com.root.reply", "tenant": "t-1"},
)


def one(entry: str, **options: Any) -> Event:
    """Give the first event that the laboratory emits."""
    return emitted(entry, **options)[0].event


def completed(**attributes: Any) -> Event:
    """Run the laboratory to its end and give the completion."""
    host = hosting(lab_machine())
    instance = started(host, **attributes)
    (completion,) = advanced(step(host, reply_of(5, subject=instance.subject), instance)).emitted
    return completion.event


def test_an_emission_with_nothing_given() -> None:
    event = init_of(accesscontrol="role:x", redirectto="com.not.used", traceparent="00-1-2-00", tracestate="a=b")
    result = one("emit('com.one.call', {'x': 1, 'unlisted': 2})", event=event, host_options={"executionunits": 0.5})
    assert event_to_json(result) == {
        "id": result.id,
        "source": LAB,
        "specversion": "1.0",
        "type": "com.one.call",
        "subject": event.subject,
        "datacontenttype": ARVO_CONTENT_TYPE,
        "dataschema": "#/svc/one/1.0.0",
        "data": {"x": 1},
        "time": EVENT_TIME,
        "to": "com.one.call",
        "accesscontrol": "role:x",
        "redirectto": LAB,
        "executionunits": 0.5,
        "traceparent": "00-1-2-00",
        "tracestate": "a=b",
        "parentid": "e-1",
    }


def test_an_emission_with_everything_given() -> None:
    result = one(
        "emit('com.free.type', {'x': 1}, to='com.some.where', redirectto='com.back.here', accesscontrol='role:y', "
        "executionunits=42, dataschema='#/free/9.9.9', extensions={'tenant': 't1', 'flag': True, 'none': None})",
        event=init_of(accesscontrol="role:x"),
        executionunits=7.0,
    )
    assert (result.to, result.redirectto, result.accesscontrol) == ("com.some.where", "com.back.here", "role:y")
    assert (result.executionunits, result.dataschema) == (42, "#/free/9.9.9")
    assert result.extensions == {"tenant": "t1", "flag": True, "none": None}


@pytest.mark.parametrize(
    ("given", "attribute", "expected"),
    [
        ("to=None", "to", "com.a.b"),
        ("to=''", "to", "com.a.b"),
        ("to='a b'", "to", "a%20b"),
        ("redirectto=None", "redirectto", LAB),
        ("redirectto=''", "redirectto", None),
        ("accesscontrol=None", "accesscontrol", "role:x"),
        ("dataschema=None", "dataschema", None),
        ("dataschema=''", "dataschema", None),
        ("dataschema='my schema/1.0.0'", "dataschema", "my%20schema/1.0.0"),
        ("executionunits=0", "executionunits", 0),
    ],
)
def test_what_is_given_and_what_stands_for_it(given: str, attribute: str, expected: object) -> None:
    event = init_of(accesscontrol="role:x")
    result = one(f"emit('com.a.b', {{}}, {given})", event=event, executionunits=7.0)
    assert getattr(result, attribute) == expected


@pytest.mark.parametrize(
    ("given", "machine", "orchestrator", "expected"),
    [
        (3, 2.0, 1.0, 3),
        (None, 2.0, 1.0, 2.0),
        (None, 0.0, 1.0, 0.0),
        (None, None, 1.0, 1.0),
        (None, None, None, None),
    ],
)
def test_executionunits_of_the_emission_the_machine_the_orchestrator(
    given: float | None, machine: float | None, orchestrator: float | None, expected: float | None
) -> None:
    event = init_of(executionunits=99.0)
    result = one(
        f"emit('com.a.b', {{}}, executionunits={given})",
        event=event,
        executionunits=machine,
        host_options={"executionunits": orchestrator},
    )
    assert result.executionunits == expected


def test_a_type_of_no_contract_passes_as_it_is() -> None:
    result = one("emit('com.free.type', {'any': [1, None, {'thing': True}]})")
    assert result.dataschema is None
    assert result.data == {"any": [1, None, {"thing": True}]}


def test_the_contract_gives_the_dataschema_of_what_it_accepts() -> None:
    assert one("emit('com.one.call', {'x': 1}, dataschema='#/free/9.9.9')").dataschema == "#/svc/one/1.0.0"


def test_the_own_init_type_is_a_type_of_no_contract() -> None:
    result = one("emit('arvo.orc.lab', {'parentSubject$$': None})")
    assert (result.subject, result.dataschema, result.to) == (subject_of(), None, LAB)


def test_what_the_machine_may_not_decide() -> None:
    result = one("emit('com.a.b', {'id': 'mine', 'source': 'me', 'subject': 's'})")
    assert (result.source, result.subject) == (LAB, subject_of())
    assert result.id != "mine"


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        ("None", ("default",)),
        ("[]", ("default",)),
        ("['external']", ("external",)),
        ("['external', 'default', 'external']", ("external", "default")),
        ("'external'", ("external",)),
    ],
)
def test_domains(domains: str, expected: tuple[str, ...]) -> None:
    (result,) = emitted(f"emit('com.a.b', {{}}, domains={domains})")
    assert result.domains == expected


@pytest.mark.parametrize("name", ["all", "input", "dlq", "Upper", ""])
def test_a_domain_that_is_none(name: str) -> None:
    # Found only when it runs: literals are refused at set-up already.
    code = "emit('com.a.b', {}, domains=[init['where']])"
    assert failed(step(hosting(lab_machine(code)), init_of(data={"where": name}))).error_name == "ValueError"


class TestCompletion:
    @pytest.mark.parametrize(
        ("meta", "expected"),
        [
            ({}, USER),
            ({"redirectto": "com.other.receiver"}, "com.other.receiver"),
            ({"redirectto": ""}, "arvo.orc.lab.done"),
        ],
    )
    def test_goes_to_the_subject_s_redirectto_or_initiator(self, meta: dict[str, str], expected: str) -> None:
        result = completed(subject=subject_of(meta=meta), source="com.not.the.initiator", redirectto="com.not.used")
        assert result.to == expected

    def test_attributes(self) -> None:
        result = completed()
        assert (result.type, result.dataschema) == ("arvo.orc.lab.done", "#/orc/lab/1.0.0")
        assert (result.subject, result.redirectto, result.data) == (subject_of(), LAB, {"result": 5})

    def test_goes_to_the_parent_s_subject(self) -> None:
        assert completed(parent=PARENT).subject == PARENT

    def test_of_no_output_there_is_one_all_the_same(self) -> None:
        root = "initial: end\nstates:\n  - name: end\n    type: final\n"
        (result,) = advanced(step(hosting(lab_machine(root=root)), init_of())).emitted
        assert result == DomainedEvent(result.event, ("default",))
        assert result.event.data == {"result": 0}

    def test_emitted_by_hand_goes_to_the_type_and_does_not_end_the_instance(self) -> None:
        outcome = advanced(
            step(hosting(lab_machine("emit('arvo.orc.lab.done', {'result': 1})")), init_of(parent=PARENT))
        )
        (result,) = outcome.emitted
        assert (result.event.to, result.event.subject) == ("arvo.orc.lab.done", PARENT)
        assert outcome.instance.status == "active"

    def test_comes_after_everything_in_order_of_execution(self) -> None:
        root = (
            "initial: a\non exit: emit('com.b.root', {})\nstates:\n  - name: a\n    on entry: emit('com.b.one', {})\n"
            "    on exit: emit('com.b.two', {})\n    transitions:\n      - target: end\n"
            "        action: emit('com.b.three', {})\n  - name: end\n    type: final\n    on entry: |\n"
            "      complete(result=1)\n      emit('com.b.four', {})\n"
        )
        outcome = advanced(step(hosting(lab_machine(root=root)), init_of()))
        types = [result.event.type for result in outcome.emitted]
        assert types[:4] == ["com.b.one", "com.b.two", "com.b.three", "com.b.four"]
        assert types[-1] == "arvo.orc.lab.done"
        assert len({result.event.id for result in outcome.emitted}) == len(types)
        assert outcome.instance.status == "done"


class TestChildren:
    def child(self, parent: str = "subject", redirectto: str = "None", **options: Any) -> tuple[Event, SubjectContent]:
        event = one(f"emit('{SHIP}', {{'parentSubject$$': {parent}}}, redirectto={redirectto})", **options)
        return event, decode_subject(event.subject)

    def test_of_a_parent(self) -> None:
        own = subject_of(meta={"redirectto": "com.root.reply", "tenant": "t-1"})
        event, content = self.child(event=init_of(subject=own))
        assert (content.name, content.version, content.initiator) == (SHIP, "1.0.0", LAB)
        assert content.meta == {"redirectto": LAB, "tenant": "t-1"}
        assert event.data["parentSubject$$"] == own
        assert (event.to, event.redirectto) == (SHIP, LAB)

    def test_of_another_s_subject_has_that_one_s_orchestrator_as_initiator(self) -> None:
        _, content = self.child("init['boss']", event=init_of(data={"boss": PARENT}))
        assert content.initiator == "arvo.orc.boss"
        assert content.meta == {"redirectto": LAB, "tenant": "t-1"}

    def test_of_none_is_a_root(self) -> None:
        event, content = self.child("None", event=init_of(subject=subject_of(meta={"tenant": "t-1"})))
        assert (content.initiator, content.meta) == (LAB, {"redirectto": LAB})
        assert event.data["parentSubject$$"] is None

    @pytest.mark.parametrize("parent", ["subject", "None"])
    @pytest.mark.parametrize(
        ("redirectto", "in_meta", "on_event"),
        [("None", LAB, LAB), ("'com.x.y'", "com.x.y", "com.x.y"), ("''", "", None)],
    )
    def test_redirectto(self, parent: str, redirectto: str, in_meta: str, on_event: str | None) -> None:
        event, content = self.child(parent, redirectto)
        assert content.meta["redirectto"] == in_meta
        assert event.redirectto == on_event

    def test_has_the_version_that_the_machine_calls(self) -> None:
        event, content = self.child(ship="2.0.0")
        assert (content.version, event.dataschema) == ("2.0.0", "#/orc/ship/2.0.0")

    def test_the_same_event_starts_the_same_executions(self) -> None:
        code = f"for _i in range(2): emit('{SHIP}', {{'parentSubject$$': None}})"
        host = hosting(lab_machine(code))
        first, again, other = (
            [result.event.subject for result in advanced(step(host, init_of(id=id_))).emitted]
            for id_ in ("e-1", "e-1", "e-2")
        )
        assert first == again
        assert len({*first, *other}) == 4

    @pytest.mark.parametrize("ship", ["1.0.0", "2.0.0"])
    @pytest.mark.parametrize("parent", ["7", "'garbage'", "{'a': 1}"])
    def test_a_parent_that_is_no_subject_whatever_the_contract_says_of_it(self, parent: str, ship: str) -> None:
        code = f"emit('{SHIP}', {{'parentSubject$$': {parent}}})"
        outcome = failed(step(hosting(lab_machine(code, ship=ship)), init_of()))
        assert outcome.error_name == "ExecutionViolation"
        assert outcome.error_message.startswith(
            f"Invalid parentSubject$$ for the event(type='{SHIP}', uri='#/orc/ship/{ship}')"
        )


REFERENCE_CHARTS = {
    "routing-fields-explicit": (
        "emit('com.trace.log', {'a': 1}, to='com.some.where', redirectto='com.back.here', accesscontrol='role:x', "
        "executionunits=42, dataschema='#/free/9.9.9', "
        "extensions={'tenant': 't1', 'flag': True, 'count': 3, 'nothing': None})"
    ),
    "routing-fields-null": (
        "emit('com.trace.log', {}, domains=None, to=None, redirectto=None, accesscontrol=None, "
        "executionunits=None, dataschema=None)"
    ),
    "routing-fields-uri-encoding": (
        "emit('com.trace.log', {}, to='a b/é', redirectto='x|y', dataschema='my schema/1.0.0')"
    ),
    "routing-fields-executionunits-zero": "emit('com.trace.log', {}, executionunits=0)",
    "routing-own-init-type-emitted": "emit('arvo.orc.lab', {'parentSubject$$': None})",
    "errors-error-on-init-with-parent": "raise RuntimeError('boom')",
}


class TestAgainstTheReference:
    """The reference's events, attribute by attribute, where a chart says the same with few words."""

    @pytest.mark.parametrize("scenario", REFERENCE_CHARTS)
    def test_the_same_attributes(self, scenario: str) -> None:
        document = json.loads((SCENARIOS / f"scenario-{scenario}.json").read_text())
        (first,) = document["steps"]
        units = document["orchestrators"]["lab"]["executionunits"]
        host = hosting(lab_machine(REFERENCE_CHARTS[scenario]), executionunits=units)
        outcome = step(host, event_from_json(first["input"]))
        results = getattr(outcome, "emitted")  # noqa: B009 - a failure has one, everything else has many
        ours = [results] if isinstance(results, DomainedEvent) else list(results)
        assert [_told(event_to_json(result.event)) for result in ours] == [_told(event) for event in first["emitted"]]


def _told(event: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is random there and what tells the language."""
    data = {key: value for key, value in event["data"].items() if key not in {"errorName", "errorStack"}}
    return {**event, "data": data, "id": None, "time": None}
