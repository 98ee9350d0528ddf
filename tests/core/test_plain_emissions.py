"""The short way from an emission to an event gives what the long one gives, or leaves it to that one."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from machines.order import machine as order_machine
from tests.core.engine.charts import chart_text
from tests.core.lab import (
    NOW,
    SHIP,
    USER,
    WAITING,
    Anything,
    check,
    init_of,
    lab_contract,
    one_contract,
    ship_contract,
    subject_of,
)
from tests.core.strategies import JSON_OBJECTS, events
from worker.core.codec import ContentMode, encode_record
from worker.core.contracts import create_contract
from worker.core.digests import DerivedIds
from worker.core.domains import DEFAULT_DOMAIN
from worker.core.emissions import Cause, _carefully_emitted, _plainly_emitted
from worker.core.engine.api import Emission
from worker.core.engine.stored_object import StoredObject
from worker.core.errors import ExecutionFailure
from worker.core.event_rules import DATA_DEPTH_MAX
from worker.core.events import Event
from worker.core.machines import setup_machine
from worker.core.outcomes import DomainedEvent
from worker.core.subjects import SubjectContent
from worker.core.traces import TraceHeaders


def open_contract(uri: str, type_: str) -> Any:
    """Declare a service that takes anything."""
    return create_contract(uri=uri, type=type_, versions={"1.0.0": {"accepts": Anything, "emits": {}}}).version("1.0.0")


DONE = "arvo.orc.lab.done"
PLAIN = "com.open.plain"
ESCAPED = "com.open.escaped"
MACHINE = setup_machine(
    contract=lab_contract.version("1.0.0"),
    services=[
        one_contract.version("1.0.0"),
        ship_contract.version("2.0.0"),
        open_contract("#/svc/open", PLAIN),
        open_contract("#/svc/an%20escape", ESCAPED),
    ],
    statechart=chart_text(WAITING.format(entry="      pass"), "result = 0"),
    functions={"check": check},
)
EVENT = init_of(accesscontrol="role:x", traceparent="00-1-2-00", tracestate="a=b")
SUBJECT = SubjectContent("arvo.orc.lab", "1.0.0", "x-1", USER)

PARENTS = st.none() | st.sampled_from((subject_of(), "no subject", "a b", "", "50%25"))
DATA = JSON_OBJECTS | st.fixed_dictionaries(
    {},
    optional={
        "x": st.integers(-9, 9),
        "result": st.integers(-9, 9) | st.text(),
        "parentSubject$$": PARENTS | st.integers(),
    },
)
ADDRESSES = st.none() | st.sampled_from(("com.other.one", "a b", "50%25", "", "é"))
UNITS = st.sampled_from((None, 0, 1, 2**60, 2**64, 0.5, 1e300, float("nan"), float("inf"), True))
EMISSIONS = st.builds(
    Emission,
    type=st.sampled_from((PLAIN, "com.one.call", SHIP, DONE, ESCAPED, "com.free.type", "bad type")),
    data=DATA,
    domains=st.sampled_from((None, ("external",), ("external", DEFAULT_DOMAIN))),
    to=ADDRESSES,
    redirectto=ADDRESSES,
    accesscontrol=st.sampled_from((None, None, "", "role:y")),
    executionunits=UNITS,
    dataschema=ADDRESSES,
    extensions=st.sampled_from(({}, {}, {"tenant": "t"}, {"bad name": 1})),
) | st.tuples(st.sampled_from((PLAIN, SHIP, DONE)), DATA, st.none(), ADDRESSES).map(lambda parts: Emission(*parts))


@st.composite
def causes(draw: st.DrawFn) -> Cause:
    """Draw what an event may have, and what is told of its trace."""
    event = draw(events() | st.just(EVENT))
    trace = draw(st.sampled_from((None, None, TraceHeaders("00-9", None), TraceHeaders("", "\0"))))
    return cause_of(event, draw(PARENTS), draw(UNITS), trace)


def cause_of(
    event: Event = EVENT, parent: str | None = None, units: float | None = None, trace: TraceHeaders | None = None
) -> Cause:
    return Cause(event, SUBJECT, parent, MACHINE, units, DerivedIds(event), NOW, trace)


Way = Callable[[Cause, Emission, int], DomainedEvent | None]


def told(way: Way, cause: Cause, emission: Emission) -> object:
    """Give what comes of an emission: its bytes too, since 1 and 1.0 are equal; or what is said of its fault."""
    try:
        emitted = way(cause, emission, 3)
    except ExecutionFailure as failure:
        return failure.name, failure.message
    if emitted is None:
        return None
    records = [encode_record(emitted.event, mode, emitted.data_text) for mode in ContentMode]
    assert records == [encode_record(emitted.event, mode) for mode in ContentMode]
    return emitted, records


def as_text(emission: Emission) -> Emission:
    return emission._replace(data=StoredObject(orjson.dumps(emission.data)))


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth > 1 else {}


@given(causes(), EMISSIONS)
@example(cause_of(units=0.5), Emission(PLAIN, {"a": [1, 1.0, None, True, "é"]}, ("external",)))
@example(cause_of(), Emission(DONE, {"result": 1}, None, "com.some.where"))
@example(cause_of(parent=subject_of()), Emission(DONE, {}))
@example(cause_of(parent="a b"), Emission(DONE, {}))
@example(cause_of(), Emission(SHIP, {"parentSubject$$": subject_of()}))
@example(cause_of(), Emission(SHIP, {"parentSubject$$": "garbage"}))
@example(cause_of(), Emission(ESCAPED, {}))
@example(cause_of(units=float("nan")), Emission(PLAIN, {}))
@example(cause_of(), Emission(PLAIN, {"a": "\0"}))
@example(cause_of(), Emission(PLAIN, nested(DATA_DEPTH_MAX)))
@example(cause_of(), Emission(PLAIN, nested(DATA_DEPTH_MAX + 1)))
def test_the_short_way_is_the_long_one_or_is_not_gone(cause: Cause, emission: Emission) -> None:
    short = told(_plainly_emitted, cause, emission)
    assert short is None or short == told(_carefully_emitted, cause, emission)
    # Data as a straight function of the compiled engine gives them.
    assert told(_carefully_emitted, cause, as_text(emission)) == told(_carefully_emitted, cause, emission)
    assert told(_plainly_emitted, cause, as_text(emission)) == short


def test_the_data_of_an_event_are_a_dictionary() -> None:
    emission = as_text(Emission("com.free.type", {"a": 1}, dataschema="#/free/1.0.0"))
    assert type(_carefully_emitted(cause_of(), emission, 0).event.data) is dict


@pytest.mark.parametrize(
    ("emission", "cause"),
    [
        (Emission(PLAIN, {"a": 1}), cause_of()),
        (Emission(PLAIN, {"a": 1}, ("external",), "com.some.where"), cause_of(units=0.5)),
        (Emission("com.one.call", {"x": 1}), cause_of(units=7)),
        (Emission(SHIP, {"parentSubject$$": None}), cause_of()),
        (Emission(DONE, {"result": 1}, None, USER), cause_of(parent=subject_of())),
        (Emission(PLAIN, {}), cause_of(init_of(id="é \N{SNOWMAN}", accesscontrol='a "quoted" role'))),
    ],
)
def test_what_is_plain_goes_the_short_way(emission: Emission, cause: Cause) -> None:
    assert told(_plainly_emitted, cause, emission) == told(_carefully_emitted, cause, emission)


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "com.free.type"},
        {"type": ESCAPED},
        {"to": "a b"},
        {"redirectto": ""},
        {"accesscontrol": "role:y"},
        {"executionunits": 1},
        {"dataschema": "#/free/1.0.0"},
        {"extensions": {"tenant": "t"}},
        {"data": {"a": "\0"}},
    ],
)
def test_what_is_not_plain_does_not(changed: Mapping[str, Any]) -> None:
    assert _plainly_emitted(cause_of(), Emission(**{"type": PLAIN, "data": {}, **changed}), 0) is None


def test_nor_does_what_carries_another_s_trace() -> None:
    trace = TraceHeaders("00-9", EVENT.tracestate)
    assert _plainly_emitted(cause_of(trace=trace), Emission(PLAIN, {}), 0) is None
    assert _carefully_emitted(cause_of(trace=trace), Emission(PLAIN, {}), 0).event.traceparent == "00-9"


def test_an_output_knows_whether_its_events_are_plain_and_whom_they_are_about() -> None:
    assert {type_: (output.is_plain, output.keeps_subject) for type_, output in MACHINE.outputs.items()} == {
        "com.one.call": (True, True),
        SHIP: (True, False),
        PLAIN: (True, True),
        ESCAPED: (False, True),
        DONE: (True, False),
    }
    assert all(output.is_plain for output in order_machine.outputs.values())
