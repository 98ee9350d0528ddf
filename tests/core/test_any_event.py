"""Any record, any event, any order: no exception escapes the step, and only an advance changes the instance."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.core.lab import LAB, NOW, SHIP, Anything, hosting, subject_of
from tests.core.strategies import JSON_OBJECTS, JSON_VALUES, SCALARS, events
from worker.core.codec import ContentMode, decode_record, encode_record
from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.digests import content_digest
from worker.core.errors import ExecutionFailure, InvalidEventError, InvalidSubjectError
from worker.core.events import Event, create_event
from worker.core.instances import Instance
from worker.core.machines import Machine, setup_machine
from worker.core.outcomes import Advanced, Failed, Outcome, Unexpected
from worker.core.routing import Router, Topics
from worker.core.snapshots import decode_snapshot, encode_snapshot
from worker.core.step import Host, StepRequest, failed_step, run_step
from worker.core.subjects import decode_subject

OBEY = "evt.obey.order.success"

# The chart does what the event's data asks for: each branch is something that a user's chart may do wrongly.
CHART = """
statechart:
  name: obedient
  preamble: |
    kept = init.get("kept")
    log = []
  root state:
    name: root
    initial: waiting
    transitions:
      - event: evt.obey.order.leave
        target: end
    states:
      - name: waiting
        on entry: obey(init.get("orders"), emit, complete, send)
        transitions:
          - event: evt.obey.order.success
            guard: choose(event.data.get("guard", True))
            target: working
            action: |
              kept = event.data.get("kept", kept)
              log.append(event.data.get("note"))
              obey(event.data.get("orders"), emit, complete, send)
          - event: evt.obey.order.spin
            action: send("evt.obey.order.spin")
      - name: working
        on exit: log.append(len(log))
        transitions:
          - event: evt.obey.order.success
            target: waiting
          - event: sys.com.obey.order.error
            target: end
          - event: com.internal.event
            action: log.append(event.data)
      - name: end
        type: final
        on entry: complete(result=kept)
"""


class NoText(Exception):
    """Has no text, whoever asks."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


FAILURES: dict[str, BaseException] = {
    "error": ValueError("bad \0 \ud800"),
    "exit": SystemExit(3),
    "text": NoText(),
    "memory": MemoryError(),
    "recursion": RecursionError(),
    "stop": StopIteration(),
    "generator": GeneratorExit(),
}


def choose(wish: Any) -> Any:
    """Give what is asked for, or raise it."""
    if isinstance(wish, str) and wish in FAILURES:
        raise FAILURES[wish]
    return wish


def obey(orders: Any, emit: Any, complete: Any, send: Any) -> None:
    """Do what the orders say, right or wrong."""
    for order in orders if isinstance(orders, list) else ():
        match order:
            case {"emit": type_, **options}:
                emit(type_, **{str(name): value for name, value in options.items()})
            case {"complete": data}:
                complete(**data)
            case {"send": name, **parameters}:
                send(name, **{str(key): value for key, value in parameters.items()})
            case {"fail": what}:
                choose(what)
            case _:
                raise TypeError(order)


SERVICE = create_contract(
    uri="#/svc/obey",
    type="com.obey.order",
    versions={
        "1.0.0": {
            "accepts": Anything,
            "emits": dict.fromkeys((OBEY, "evt.obey.order.spin", "evt.obey.order.leave"), Anything),
        }
    },
)
CHILD = create_orchestrator_contract(
    uri="#/orc/ship", name="ship", versions={"1.0.0": {"init": Anything, "complete": Anything}}
)
OBEDIENT = create_orchestrator_contract(
    uri="#/orc/lab", name="lab", versions={"1.0.0": {"init": Anything, "complete": Anything}}
)


def obedient() -> Machine:
    return setup_machine(
        contract=OBEDIENT.version("1.0.0"),
        services=[SERVICE.version("1.0.0"), CHILD.version("1.0.0")],
        statechart=CHART,
        functions={"obey": obey, "choose": choose},
    )


HOST = hosting(obedient())
ROUTER = Router(Topics("orc"), HOST.registry, "group", "test")

TYPES = st.sampled_from(
    (OBEY, OBEY, OBEY, "evt.obey.order.leave", "evt.obey.order.spin", "sys.com.obey.order.error", LAB, SHIP, "com.a.b")
)
WISHES = st.sampled_from(tuple(FAILURES)) | SCALARS
EMISSIONS = st.fixed_dictionaries(
    {"emit": st.sampled_from(("com.obey.order", SHIP, f"{LAB}.done", "com.any.thing", "bad type")) | SCALARS},
    optional={
        "data": JSON_OBJECTS | st.fixed_dictionaries({"parentSubject$$": st.none() | st.just(subject_of()) | SCALARS}),
        "domains": st.lists(st.sampled_from(("default", "external", "all", "A b")) | SCALARS, max_size=3) | SCALARS,
        "to": SCALARS,
        "redirectto": SCALARS,
        "accesscontrol": SCALARS,
        "executionunits": SCALARS,
        "dataschema": SCALARS,
        "extensions": JSON_OBJECTS | SCALARS,
    },
)
ORDERS = st.lists(
    EMISSIONS
    | st.fixed_dictionaries({"complete": JSON_OBJECTS})
    | st.fixed_dictionaries({"send": st.sampled_from(("com.internal.event", OBEY))}, optional={"data": JSON_VALUES})
    | st.fixed_dictionaries({"fail": st.sampled_from(tuple(FAILURES))}),
    max_size=4,
)
DATA = JSON_OBJECTS | st.fixed_dictionaries(
    {"orders": ORDERS}, optional={"guard": WISHES, "kept": JSON_VALUES, "note": JSON_VALUES}
)
SUBJECTS = st.sampled_from(
    (
        *([subject_of()] * 6),
        subject_of(version="0.0.0"),
        subject_of(version="9.9.9"),
        subject_of(SHIP),
        subject_of(meta={"redirectto": "com.else.where"}),
        "no subject",
    )
)
SCHEMAS = st.sampled_from((None, None, "#/svc/obey/1.0.0", "#/orc/lab/1.0.0", "#/svc/obey/2.0.0", "#/else/1.0.0", "no"))


@st.composite
def events_of_the_workflow(draw: st.DrawFn) -> Event:
    """Draw events that are likely to concern the obedient machine."""
    event_type = draw(TYPES)
    data = draw(DATA)
    if event_type == LAB:
        data = {"parentSubject$$": draw(st.none() | st.just(subject_of(SHIP)) | SCALARS), **data}
    return create_event(
        {
            "id": draw(st.sampled_from("abcdefgh")),
            "source": draw(st.sampled_from(("com.test.user", "com.obey.order"))),
            "type": event_type,
            "subject": draw(SUBJECTS),
            "data": data,
            "dataschema": draw(SCHEMAS),
            "time": "2026-01-01T00:00:00.000+00:00",
            "to": draw(st.sampled_from((LAB, "com.else.where"))),
            "traceparent": draw(st.none() | st.sampled_from(("00-x-y", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"))),
        }
    )


def start(data: dict[str, Any]) -> Event:
    return create_event(
        {
            "id": "start",
            "source": "com.test.user",
            "type": LAB,
            "subject": subject_of(),
            "data": {"parentSubject$$": None, **data},
            "time": "2026-01-01T00:00:00.000+00:00",
        }
    )


class World:
    """Run events as the worker does, and hold each outcome against what it promises."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.instances: dict[str, Instance] = {}
        self.seen: dict[tuple[str, str, str], bytes] = {}

    def take(self, event: Event) -> Outcome | None:
        try:
            subject = decode_subject(event.subject)
        except InvalidSubjectError:
            return None
        instance = self.instances.get(event.subject)
        identity = (event.subject, event.source, event.id)
        request = StepRequest(event, subject, instance, self.seen.get(identity), NOW)
        before = pickle.dumps((event, instance))
        outcome = run_step(self.host, request)
        assert pickle.dumps((event, instance)) == before, "the step changed what it was given"
        assert run_step(self.host, request) == outcome, "the same request came to something else"
        self._check(request, outcome)
        if isinstance(outcome, Advanced | Failed | Unexpected):
            self.seen[identity] = content_digest(event)
        if isinstance(outcome, Advanced):
            self.instances[event.subject] = outcome.instance
        return outcome

    def _check(self, request: StepRequest, outcome: Outcome) -> None:
        match outcome:
            case Advanced(before=before, instance=instance, emitted=emitted):
                assert before == request.instance
                assert instance.revision == (before.revision if before else 0) + 1
                assert decode_snapshot(encode_snapshot(instance.snapshot)) == instance.snapshot
            case Failed(before=before, emitted=one):
                assert before == request.instance
                emitted = (one,)
            case Unexpected(instance=instance):
                assert instance is request.instance
                return
            case _:
                return
        assert len({one.event.id for one in emitted}) == len(emitted)
        for one in emitted:
            for mode in ContentMode:
                encoded = encode_record(one.event, mode)
                assert replace(decode_record(encoded.value, encoded.headers), datacontenttype="") == replace(
                    one.event, datacontenttype=""
                )
        assert len(ROUTER.outputs(emitted)) >= len(emitted)


@settings(deadline=None)
@given(DATA, st.lists(events_of_the_workflow() | events(), max_size=6))
@example({"orders": [{"fail": "exit"}]}, [])
@example({"orders": [{"emit": "com.obey.order", "extensions": {"bad name": 1}}]}, [])
def test_whatever_comes_no_exception_escapes_and_only_an_advance_changes_the_instance(
    init: dict[str, Any], following: Sequence[Event]
) -> None:
    world = World(HOST)
    for event in (start(init), *following):
        world.take(event)


@settings(deadline=None)
@given(
    st.binary(max_size=200) | JSON_VALUES.map(pickle.dumps) | events().map(lambda e: encode_record(e).value),
    st.lists(
        st.tuples(st.sampled_from(("content-type", "ce_id", "ce_type", "ce_specversion")), st.none() | st.binary()),
        max_size=4,
    ),
)
def test_bytes_are_an_event_or_are_told_to_be_none(value: bytes, headers: list[tuple[str, bytes | None]]) -> None:
    try:
        event = decode_record(value, tuple(headers))
    except InvalidEventError:
        return
    World(HOST).take(event)


def test_a_step_that_succeeded_can_be_failed_afterwards() -> None:
    event = start({})
    request = StepRequest(event, decode_subject(event.subject), None, None, NOW)
    failed = failed_step(HOST, request, ExecutionFailure("TooLarge", "an output is too large"))
    assert failed.emitted.event.type == f"sys.{LAB}.error"
