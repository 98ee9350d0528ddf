"""The table of one step, row by row and in its order."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.order import machine as order_machine
from tests.core.lab import (
    EVENT_TIME,
    LAB,
    NOW,
    USER,
    Request,
    advanced,
    failed,
    hosting,
    init_of,
    lab_machine,
    reply_of,
    started,
    step,
    subject_of,
    told,
)
from tests.core.strategies import JSON_OBJECTS, events
from tests.workload import STATES, Order
from worker.core.bounds import Bounds
from worker.core.codec import decode_record, encode_record
from worker.core.digests import content_digest
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import ExecutionFailure
from worker.core.events import ARVO_CONTENT_TYPE, Event, create_event, event_to_json
from worker.core.instances import Instance, Status
from worker.core.machines import Machine
from worker.core.outcomes import (
    Advanced,
    DeadLettered,
    DeadLetterReason,
    Duplicate,
    Failed,
    Ignored,
    IgnoredReason,
    Unexpected,
)
from worker.core.registry import Hosted, Registry
from worker.core.step import Host, StepRequest, failed_step, run_step
from worker.core.subjects import decode_subject
from worker.core.texts import ERROR_TEXT_MAX
from worker.core.times import step_time

CHILD_PARENT = subject_of("arvo.orc.boss", initiator="com.root.user", execution_id="boss-1")


@dataclass(frozen=True)
class Row:
    """One row of the table: what makes a request violate it, and what comes of that."""

    wrong: Mapping[str, Any]
    told: str


ROWS: Mapping[str, Row] = {
    "not hosted": Row({"name": "arvo.orc.nobody"}, "Ignored NOT_HOSTED"),
    "id conflict": Row({"seen": b"other content..."}, "DeadLettered ID_CONFLICT"),
    "no instance": Row({"started": False}, "DeadLettered NO_INSTANCE"),
    "already started": Row({"type": LAB}, "DeadLettered ALREADY_STARTED"),
    "ended": Row({"ended": True}, "Ignored ENDED"),
    "no machine": Row({"version": "9.9.9"}, "DeadLettered NO_MACHINE"),
    "no contract": Row({"type": "evt.nobody.knows"}, "DeadLettered NO_CONTRACT"),
    "dataschema": Row({"dataschema": "#/svc/two/1.0.0"}, "Failed ContractViolation URI mismatch"),
    "data": Row({"data": {"y": "one"}}, "Failed ContractViolation does not fit"),
    "action raises": Row({"data": {"y": 13}}, "Failed ArithmeticError"),
    "unexpected": Row({"type": "evt.one.call.later"}, "Unexpected"),
}
MEANINGLESS = {
    # Without a record there is nothing that could have been started or ended.
    ("no instance", "already started"),
    ("no instance", "ended"),
    # An event that nothing waits for runs no action.
    ("action raises", "unexpected"),
}
PAIRS = [
    (first, second)
    for first, second in combinations(ROWS, 2)
    if not ROWS[first].wrong.keys() & ROWS[second].wrong.keys() and (first, second) not in MEANINGLESS
]


def test_the_request_that_the_table_varies_is_right() -> None:
    assert told(Request().outcome()) == "Advanced"


@pytest.mark.parametrize("name", ROWS)
def test_each_row_gives_its_outcome(name: str) -> None:
    assert told(Request(**ROWS[name].wrong).outcome()) == ROWS[name].told


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_earlier_row_decides(first: str, second: str) -> None:
    both = {**ROWS[second].wrong, **ROWS[first].wrong}
    assert told(Request(**both).outcome()) == ROWS[first].told


def test_an_init_event_s_rows_stand_in_the_same_order() -> None:
    # An init event with a new id for an instance that has ended: the instance is not touched all the same.
    ended = Request(type=LAB, ended=True)
    assert told(ended.outcome()) == "DeadLettered ALREADY_STARTED"


class CountingRegistry(Registry):
    """Count what is asked; whichever version is asked for, it has one."""

    def __init__(self, *machines: Machine) -> None:
        super().__init__(machines, SismicEngine())
        self.asked: Counter[tuple[str, str]] = Counter()

    def resolve(self, source: str, version: str) -> Hosted | None:
        self.asked[source, version] += 1
        return super().resolve(source, "1.0.0")


class TestPlans:
    def test_a_machine_is_looked_up_once(self) -> None:
        registry = CountingRegistry(lab_machine())
        host = Host(registry)
        advanced(step(host, reply_of(), started(host)))
        started(host)
        assert registry.asked == {(LAB, "1.0.0"): 1}

    def test_one_that_is_not_there_is_looked_up_again(self) -> None:
        registry = CountingRegistry(lab_machine())
        host = Host(registry)
        assert [host.plan("arvo.orc.nobody", "1.0.0") for _ in range(2)] == [None, None]
        assert registry.asked == {("arvo.orc.nobody", "1.0.0"): 2}

    def test_a_registry_with_every_version_does_not_fill_the_memory(self) -> None:
        registry = CountingRegistry(lab_machine())
        host = Host(registry)
        for _ in range(2):
            plans = [host.plan(LAB, f"1.0.{patch}") for patch in range(2_000)]
            assert {plan.machine for plan in plans if plan} == set(registry.machines)
        assert Counter(registry.asked.values()) == {1: 1_024, 2: 976}


class TestDuplicates:
    def test_the_same_content_is_dropped(self) -> None:
        host = hosting(lab_machine())
        event = reply_of()
        assert step(host, event, started(host), seen=content_digest(event)) == Duplicate()

    @pytest.mark.parametrize(
        "changed",
        [{"data": {"y": 2}}, {"type": "evt.one.call.later"}, {"dataschema": "#/svc/one/0.0.0"}, {"dataschema": None}],
    )
    def test_other_content_is_a_conflict(self, changed: dict[str, Any]) -> None:
        host = hosting(lab_machine())
        outcome = step(host, reply_of(**changed), started(host), seen=content_digest(reply_of()))
        assert told(outcome) == "DeadLettered ID_CONFLICT"

    def test_the_same_init_id_is_a_duplicate_even_when_the_journal_forgot(self) -> None:
        host = hosting(lab_machine())
        assert step(host, init_of(), started(host)) == Duplicate()

    def test_a_new_init_id_is_a_dead_letter(self) -> None:
        host = hosting(lab_machine())
        outcome = step(host, init_of(id="e-9"), started(host))
        assert isinstance(outcome, DeadLettered)
        assert outcome.reason is DeadLetterReason.ALREADY_STARTED


class TestContracts:
    @pytest.mark.parametrize("to", [LAB, "arvo.orc.order"])
    def test_an_unknown_type_for_one_of_ours_is_a_dead_letter(self, to: str) -> None:
        outcome = Request(type="evt.nobody.knows", to=to).outcome()
        assert isinstance(outcome, DeadLettered)
        assert outcome.reason is DeadLetterReason.NO_CONTRACT
        assert "evt.nobody.knows" in outcome.error_message

    def test_an_unknown_type_for_somebody_else_is_ignored(self) -> None:
        assert Request(type="evt.nobody.knows", to="com.some.body").outcome() == Ignored(IgnoredReason.FOREIGN)

    def test_an_unknown_type_without_receiver_is_a_dead_letter(self) -> None:
        host = hosting(lab_machine())
        event = replace(reply_of(type="evt.nobody.knows"), to=None, datacontenttype="application/json")
        assert told(step(host, event, started(host))) == "DeadLettered NO_CONTRACT"

    @pytest.mark.parametrize(
        ("dataschema", "expected"),
        [
            ("#/svc/one/1.0.0", "Advanced"),
            ("#/svc/one/0.0.0", "Advanced"),
            (None, "Advanced"),
            ("no-version", "Advanced"),
            ("#/svc/one/1.0", "Advanced"),
            ("#/svc/one/2.0.0", "Failed ContractViolation version mismatch"),
            ("#/svc/two/1.0.0", "Failed ContractViolation URI mismatch"),
            ("#/svc/two/0.0.0", "Failed ContractViolation URI mismatch"),
            ("1.0.0", "Failed ContractViolation URI mismatch"),
        ],
    )
    def test_dataschema(self, dataschema: str | None, expected: str) -> None:
        assert told(Request(dataschema=dataschema).outcome()) == expected

    def test_a_system_error_s_wildcard_dataschema_passes(self) -> None:
        data = {"errorName": "E", "errorMessage": "m", "errorStack": None}
        request = Request(type="sys.com.one.call.error", dataschema="#/svc/one/0.0.0", data=data)
        assert told(request.outcome()) == "Advanced"

    def test_a_violation_reads_as_the_reference_s(self) -> None:
        outcome = failed(Request(dataschema="#/svc/two/1.0.0").outcome())
        assert outcome.error_message == (
            "Input validation failed - Event data does not meet contract requirements: Contract URI mismatch: "
            "service Contract(uri='#/svc/one', type='com.one.call') does not match "
            "Event(dataschema='#/svc/two/1.0.0', type='evt.one.call.success')"
        )

    def test_the_machine_sees_the_validated_data(self) -> None:
        order = Order(1)
        event = decode_record(order.record(0).value, order.record(0).headers)
        bare = {name: event.data[name] for name in ("parentSubject$$", "order_id", "amount")}
        host = hosting(lab_machine())
        instance = advanced(step(host, replace(event, data={**bare, "unlisted": 1}))).instance
        assert instance.snapshot.context["currency"] == "EUR"
        assert instance.snapshot.init == {**bare, "customer": "", "currency": "EUR", "items": []}


FAULTY: Mapping[str, tuple[str, Mapping[str, Callable[..., Any]], str, str]] = {
    "an action raises": ("raise LookupError('gone')", {}, "LookupError", "gone"),
    "an action exits": ("check(exit_now())", {"exit_now": lambda: exec("raise SystemExit")}, "SystemExit", ""),  # noqa: S102
    "an emission against its contract": ("emit('com.one.call', {'x': 'no'})", {}, "ContractViolation", "com.one.call"),
    "an emission that is no event": ("emit('nodots', {})", {}, "InvalidEventError", "type"),
    "an extension against the rules": (
        "emit('com.a.b', {}, extensions={'BAD': 1})",
        {},
        "InvalidEventError",
        "extension",
    ),
    "an empty accesscontrol": ("emit('com.a.b', {}, accesscontrol='')", {}, "InvalidEventError", "accesscontrol"),
    "a malformed parentSubject$$": (
        "emit('arvo.orc.ship', {'parentSubject$$': 'garbage'})",
        {},
        "ExecutionViolation",
        "Invalid parentSubject$$ for the event(type='arvo.orc.ship', uri='#/orc/ship/1.0.0')",
    ),
    "a redirectto that no subject can hold": (
        "emit('arvo.orc.ship', {'parentSubject$$': None}, redirectto=noise())",
        {"noise": lambda: "".join(chr(0x4E00 + i * 7919 % 20_000) for i in range(4_000))},
        "ExecutionViolation",
        "arvo.orc.ship",
    ),
    "a context that is no JSON": ("result = float('nan')", {}, "ContextValueError", "'result'"),
}


class TestFailures:
    @pytest.mark.parametrize("case", FAULTY)
    def test_a_failing_machine_gives_one_system_error(self, case: str) -> None:
        code, functions, name, text = FAULTY[case]
        outcome = failed(
            step(hosting(lab_machine(f"emit('com.a.first', {{}})\n{code}", functions=functions)), init_of())
        )
        assert outcome.error_name == name
        assert text in outcome.error_message
        assert outcome.emitted.event.type == "sys.arvo.orc.lab.error"
        assert outcome.before is None

    def test_the_output_against_its_contract(self) -> None:
        root = "initial: end\nstates:\n  - name: end\n    type: final\n    on entry: complete(result='much')\n"
        outcome = failed(step(hosting(lab_machine(root=root)), init_of()))
        assert outcome.error_name == "ContractViolation"
        assert "arvo.orc.lab.done" in outcome.error_message

    def test_a_guard_that_raises(self) -> None:
        root = (
            "initial: w\nstates:\n  - name: w\n    transitions:\n      - event: evt.one.call.success\n"
            "        guard: event.data['z'] > 1\n        target: w\n"
        )
        host = hosting(lab_machine(root=root))
        instance = started(host)
        outcome = failed(step(host, reply_of(), instance))
        assert outcome.error_name == "KeyError"
        assert outcome.before is instance

    @pytest.mark.parametrize(
        ("code", "name"),
        [
            ("for _i in range(6): emit('com.a.b', {})", "EmissionsBoundExceeded"),
            ("emit('com.a.b', {'text': 'x' * 600})", "EmissionBytesBoundExceeded"),
            ("for _i in range(11): send('inner')", "MicrostepsBoundExceeded"),
        ],
    )
    def test_a_bound_is_exceeded(self, code: str, name: str) -> None:
        bounds = Bounds(microsteps_max=10, emissions_max=5, emission_bytes_max=500)
        assert failed(step(hosting(lab_machine(code), bounds=bounds), init_of())).error_name == name
        assert told(step(hosting(lab_machine(code)), init_of())) == "Advanced"

    def test_the_instance_stays_and_a_corrected_event_goes_on(self) -> None:
        host = hosting(lab_machine())
        instance = started(host)
        outcome = failed(step(host, reply_of(13), instance))
        assert outcome.before is instance
        assert advanced(step(host, reply_of(7, id="e-corrected"), instance)).instance.status is Status.DONE

    def test_a_step_failed_afterwards_is_like_one_that_failed_itself(self) -> None:
        host = hosting(lab_machine(), executionunits=2.0)
        event = init_of(parent=CHILD_PARENT)
        request = StepRequest(event, decode_subject(event.subject), None, None, NOW)
        outcome = failed_step(host, request, ExecutionFailure("EventTooLarge", "too large"))
        assert outcome.emitted.event.subject == CHILD_PARENT
        assert outcome.emitted.event.data["errorName"] == "EventTooLarge"
        assert outcome.emitted.event.executionunits == 2.0


RAISING = lab_machine("raise LookupError('gone')", executionunits=None)


class TestSystemErrors:
    def test_all_attributes(self) -> None:
        event = init_of(
            accesscontrol="role:x",
            redirectto="com.not.used",
            executionunits=9.0,
            traceparent="00-1-2-00",
            tracestate="a=b",
            subject=subject_of(meta={"redirectto": "com.not.used"}),
        )
        outcome = failed(step(hosting(RAISING, executionunits=0.7), event))
        assert outcome.emitted.domains == ("default",)
        assert event_to_json(outcome.emitted.event) == {
            "id": outcome.emitted.event.id,
            "source": LAB,
            "specversion": "1.0",
            "type": "sys.arvo.orc.lab.error",
            "subject": event.subject,
            "datacontenttype": ARVO_CONTENT_TYPE,
            "dataschema": "#/orc/lab/0.0.0",
            "data": {"errorName": "LookupError", "errorMessage": "gone", "errorStack": None},
            "time": EVENT_TIME,
            "to": USER,
            "accesscontrol": "role:x",
            "redirectto": None,
            "executionunits": 0.7,
            "traceparent": "00-1-2-00",
            "tracestate": "a=b",
            "parentid": "e-1",
        }

    @pytest.mark.parametrize("parent", [CHILD_PARENT, "garbage"])
    def test_the_subject_is_the_parent_s(self, parent: str) -> None:
        outcome = failed(step(hosting(RAISING), init_of(parent=parent)))
        assert outcome.emitted.event.subject == parent

    def test_the_parent_s_subject_counts_even_when_the_init_data_is_refused(self) -> None:
        event = init_of(parent=CHILD_PARENT, dataschema="#/orc/lab/2.0.0")
        assert failed(step(hosting(RAISING), event)).emitted.event.subject == CHILD_PARENT

    @pytest.mark.parametrize("parent", [7, "", ["x"]])
    def test_what_is_no_subject_is_no_parent(self, parent: Any) -> None:
        event = init_of(parent=parent)
        assert failed(step(hosting(RAISING), event)).emitted.event.subject == event.subject

    def test_a_later_failure_goes_to_the_parent_of_the_start(self) -> None:
        host = hosting(lab_machine())
        instance = started(host, parent=CHILD_PARENT)
        outcome = failed(step(host, reply_of(13, data={"y": 13, "parentSubject$$": "other"}), instance))
        assert outcome.emitted.event.subject == CHILD_PARENT
        assert outcome.emitted.event.parentid == "e-2"

    def test_the_stack_only_where_it_is_asked_for(self) -> None:
        stack = failed(step(hosting(RAISING, error_stacks=True), init_of())).emitted.event.data["errorStack"]
        assert "LookupError: gone" in stack

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a\0b", "a\ufffdb"),
            ("a\ud800b", "a?b"),
            ("x" * 1_000_000, "x" * ERROR_TEXT_MAX),
            ("", ""),
        ],
    )
    def test_any_text_gives_a_valid_event(self, text: str, expected: str) -> None:
        def fail() -> None:
            raise ValueError(text)

        machine = lab_machine("fail()", functions={"fail": fail})
        outcome = failed(step(hosting(machine, error_stacks=True), init_of()))
        event = outcome.emitted.event
        assert event.data["errorMessage"] == expected
        assert decode_record(*_kept(event)) == event

    def test_a_failure_of_the_machine_s_own_gives_a_valid_event(self) -> None:
        def fail() -> None:
            raise ExecutionFailure("Na\0me", "te\0xt")

        outcome = failed(step(hosting(lab_machine("fail()", functions={"fail": fail})), init_of()))
        assert (outcome.error_name, outcome.error_message) == ("Na\ufffdme", "te\ufffdxt")
        assert decode_record(*_kept(outcome.emitted.event)) == outcome.emitted.event

    def test_chart_code_can_not_change_the_event(self) -> None:
        event = replace(init_of(), extensions={"tenant": "t"})
        advanced(step(hosting(lab_machine("event.extensions['tenant'] = event.extensions.pop('tenant') + '2'")), event))
        assert event.extensions == {"tenant": "t"}

    def test_any_name_gives_a_valid_event(self) -> None:
        def fail() -> None:
            raise type("Bad\ud800" * 1_000, (Exception,), {})

        event = failed(step(hosting(lab_machine("fail()", functions={"fail": fail})), init_of())).emitted.event
        assert decode_record(*_kept(event)) == event


def _kept(event: Event) -> tuple[bytes, tuple[tuple[str, bytes | None], ...]]:
    encoded = encode_record(event)
    return encoded.value, encoded.headers


class TestVersions:
    @pytest.fixture
    def host(self) -> Host:
        return hosting(lab_machine(version="2.0.0"), lab_machine(version="10.0.0"), lab_machine())

    def test_the_wildcard_starts_the_newest_and_pins_it(self, host: Host) -> None:
        wild = subject_of(version="0.0.0")
        instance = advanced(step(host, init_of(subject=wild, dataschema="#/orc/lab/10.0.0"))).instance
        assert (instance.version, instance.subject) == ("10.0.0", wild)

    def test_a_pinned_version_stays_when_a_newer_one_comes(self, host: Host) -> None:
        wild = subject_of(version="0.0.0")
        old = hosting(lab_machine(version="2.0.0"))
        instance = advanced(step(old, init_of(subject=wild, dataschema="#/orc/lab/2.0.0"))).instance
        after = advanced(step(host, reply_of(subject=wild), instance)).instance
        assert after.version == "2.0.0"

    def test_the_subject_names_the_version(self, host: Host) -> None:
        event = init_of(subject=subject_of(version="2.0.0"), dataschema="#/orc/lab/2.0.0")
        assert advanced(step(host, event)).instance.version == "2.0.0"

    def test_a_version_that_is_not_here_is_named(self, host: Host) -> None:
        outcome = step(host, init_of(subject=subject_of(version="3.0.0")))
        assert isinstance(outcome, DeadLettered)
        assert outcome.reason is DeadLetterReason.NO_MACHINE
        assert "'3.0.0'" in outcome.error_message

    def test_a_record_s_version_that_is_gone_is_no_machine(self) -> None:
        instance = replace(started(hosting(lab_machine())), version="1.0.0")
        assert told(step(hosting(lab_machine(version="2.0.0")), reply_of(), instance)) == "DeadLettered NO_MACHINE"


class TestUnexpected:
    def test_tells_what_was_expected(self) -> None:
        host = hosting(lab_machine())
        instance = started(host)
        outcome = step(host, reply_of(type="evt.one.call.later"), instance)
        assert outcome == Unexpected(instance, ("evt.one.call.success", "sys.com.one.call.error"))

    def test_an_instance_that_waits_for_nothing_expects_nothing(self) -> None:
        host = hosting(lab_machine(root="initial: w\nstates:\n  - name: w\n"))
        assert step(host, reply_of(), started(host)) == Unexpected(started(host), ())


class TestAdvancing:
    def test_an_order_from_start_to_end(self) -> None:
        host = Host(Registry([order_machine], SismicEngine()))
        instance: Instance | None = None
        types = []
        for number, state in enumerate(STATES, 1):
            encoded = Order(1).record(number - 1)
            event = decode_record(encoded.value, encoded.headers)
            outcome = advanced(step(host, event, instance))
            assert outcome.before is instance
            instance = outcome.instance
            assert instance.revision == number
            assert instance.snapshot.context["visited"][-1] == state
            types += [(one.event.type, one.domains) for one in outcome.emitted]
        assert types == [
            ("com.inventory.reserve", ("default",)),
            ("com.approval.request", ("external",)),
            ("com.payment.charge", ("default",)),
            ("arvo.orc.order.done", ("default",)),
        ]
        assert instance is not None
        assert instance.status is Status.DONE

    def test_what_the_record_keeps(self) -> None:
        host = hosting(lab_machine())
        instance = started(host, parent=CHILD_PARENT)
        assert replace(instance, snapshot=None) == Instance(  # type: ignore[arg-type]
            subject=subject_of(),
            source=LAB,
            version="1.0.0",
            status=Status.ACTIVE,
            snapshot=None,  # type: ignore[arg-type]
            init_event_id="e-1",
            parent_subject=CHILD_PARENT,
            now=NOW,
            revision=1,
        )

    def test_chart_code_sees_the_step_s_time_and_derived_ids(self) -> None:
        code = "emit('com.a.b', {'now': now.isoformat(), 'ids': [new_id(), new_id()]})"
        host = hosting(lab_machine(code))
        (one,) = advanced(step(host, init_of())).emitted
        (again,) = advanced(step(host, init_of())).emitted
        assert one.event.data["now"] == "2026-01-02T03:04:05.678000+00:00"
        assert len(set(one.event.data["ids"])) == 2
        assert one == again


BUSY = lab_machine(
    "for _i in range(init['count']): emit('com.a.b', {'n': _i, 'id': new_id()}, domains=init['domains'])\n"
    "emit('arvo.orc.ship', {'parentSubject$$': subject})\nemit('arvo.orc.ship', {'parentSubject$$': None})"
)
BUSY_HOST = hosting(BUSY)
BUSY_DATA = st.fixed_dictionaries(
    {"count": st.integers(0, 4), "domains": st.sampled_from([None, [], ["x"], ["x", "default", "x"]])},
    optional={"more": JSON_OBJECTS},
)


@st.composite
def busy_inits(draw: st.DrawFn) -> Event:
    """Draw init events for the busy laboratory with everything else as it may come."""
    other = draw(events())
    given_attributes = {
        name: getattr(other, name)
        for name in ("id", "source", "accesscontrol", "redirectto", "executionunits", "traceparent", "tracestate")
    }
    return create_event(
        {
            **given_attributes,
            "type": LAB,
            "subject": subject_of(),
            "data": {"parentSubject$$": None, **draw(BUSY_DATA)},
            "time": other.time,
        }
    )


class TestProperties:
    @given(busy_inits())
    def test_the_same_request_gives_the_same_outcome(self, event: Event) -> None:
        first, second = step(BUSY_HOST, event), step(BUSY_HOST, event)
        assert first == second
        assert isinstance(first, Advanced | Failed)

    @given(busy_inits())
    def test_ids_of_one_step_are_unique_and_differ_from_another_event_s(self, event: Event) -> None:
        first = _ids(step(BUSY_HOST, event))
        assert len(set(first)) == len(first)
        other = _ids(step(BUSY_HOST, replace(event, id=event.id + "x")))
        assert not set(first) & set(other)

    @given(busy_inits())
    def test_emitted_events_survive_their_record(self, event: Event) -> None:
        for one in advanced(step(BUSY_HOST, event)).emitted:
            assert decode_record(*_kept(one.event)) == one.event

    @given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 10**13)), min_size=1, max_size=8))
    def test_an_instance_s_now_never_goes_back(self, times: list[tuple[int, int]]) -> None:
        now: int | None = None
        for timestamp, clock in times:
            following = step_time(timestamp, clock, now)
            assert now is None or following >= now
            now = following

    @given(events())
    def test_any_event_has_an_outcome(self, event: Event) -> None:
        host = BUSY_HOST
        addressed = replace(event, subject=subject_of())
        for instance in (None, started(host, data={"count": 0, "domains": None})):
            request = StepRequest(addressed, decode_subject(addressed.subject), instance, None, NOW)
            assert told(run_step(host, request)).split()[0] in {"DeadLettered", "Ignored"}


def _ids(outcome: object) -> list[str]:
    assert isinstance(outcome, Advanced)
    subjects = [decode_subject(one.event.subject).execution_id for one in outcome.emitted if "orc" in one.event.type]
    return [one.event.id for one in outcome.emitted] + subjects
