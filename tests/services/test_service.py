"""Services: what a typed function makes of requests, as events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, field_serializer

from tests.core.strategies import JSON_OBJECTS, events
from tests.services.stock import (
    LATE,
    MISSING,
    NOW,
    NOW_TEXT,
    ORDER_MACHINE,
    SYSTEM_ERROR,
    TAKEN,
    TRACE,
    TYPE,
    URI,
    V1,
    V2,
    V10,
    Missing,
    Take,
    Taken,
    request,
    stock,
)
from worker import Reply, Request, Service, service
from worker.core.contracts import create_contract
from worker.core.errors import ExecutionFailure, SetupError
from worker.core.events import Event, event_from_json, event_to_json
from worker.services.replies import REPLIES_MAX
from worker.services.service import concerned


@service(V1)
def take(order: Take) -> Taken | Missing:
    """Take something out of the stock."""
    if order.sku == "none":
        return Missing(reason="sold out")
    if order.sku == "broken":
        raise LookupError("the shelf fell over")
    return Taken(left=10 - order.qty)


def only(answers: tuple[Any, ...]) -> Event:
    (answer,) = answers
    assert answer.domains == ("default",)
    event: Event = answer.event
    # It is what the wire takes.
    assert event_from_json(event_to_json(event)) == event
    return event


def failure(answers: tuple[Any, ...]) -> tuple[str, str]:
    event = only(answers)
    assert event.type == SYSTEM_ERROR
    return event.data["errorName"], event.data["errorMessage"]


# What is answered


def test_an_answer_goes_back_to_where_the_request_wants_it() -> None:
    marks = {"redirectto": "com.desk.front", "accesscontrol": "role:shop", "traceparent": TRACE}
    asked = request({"sku": "lamp", "qty": 3}, **marks)
    event = only(take.answer(asked, NOW))
    assert (event.type, event.data) == (TAKEN, {"left": 7})
    assert (event.subject, event.to, event.parentid) == (asked.subject, "com.desk.front", asked.id)
    assert (event.source, event.dataschema) == (TYPE, f"{URI}/1.0.0")
    assert (event.accesscontrol, event.traceparent, event.tracestate) == ("role:shop", TRACE, None)
    assert (event.time, event.redirectto, event.executionunits) == (NOW_TEXT, None, None)


def test_without_a_place_to_redirect_to_the_sender_is_answered() -> None:
    assert only(take.answer(request(), NOW)).to == ORDER_MACHINE


def test_addresses_and_subjects_stay_as_they_came() -> None:
    asked = request(subject="ü /", redirectto="com.ü", source="com.%")
    assert (asked.subject, asked.redirectto, asked.source) == ("%C3%BC%20/", "com.%C3%BC", "com.%25")
    event = only(take.answer(asked, NOW))
    assert (event.subject, event.to) == (asked.subject, asked.redirectto)
    refused = only(take.answer(request({}, subject="ü /", redirectto="com.ü", source="com.%"), NOW))
    assert (refused.subject, refused.to) == (asked.subject, asked.source)


def test_defaults_are_filled_in_and_unlisted_keys_left_out() -> None:
    assert only(take.answer(request({"sku": "lamp", "more": 1}), NOW)).data == {"left": 9}


def test_a_request_that_comes_again_is_answered_with_the_same_event() -> None:
    first, again = only(take.answer(request(), NOW)), only(take.answer(request(time="2027-01-02T03:04:05Z"), NOW + 5))
    assert (first.id, first.type, first.data) == (again.id, again.type, again.data)


@pytest.mark.parametrize("changed", [{"id": "request-2"}, {"source": "arvo.orc.other"}, {"subject": "another order"}])
def test_another_request_is_answered_with_another_event(changed: dict[str, Any]) -> None:
    assert only(take.answer(request(**changed), NOW)).id != only(take.answer(request(), NOW)).id


@pytest.mark.parametrize("changed", [{"type": "com.stock.give"}, {"to": "com.stock.give"}, {"to": ORDER_MACHINE}])
def test_what_is_no_request_to_it_is_left_alone(changed: dict[str, Any]) -> None:
    assert take.answer(request(**changed), NOW) == ()


def test_it_stays_the_function() -> None:
    assert take(Take(sku="lamp", qty=4)) == Taken(left=6)
    assert (vars(take)["__name__"], take.__doc__) == ("take", "Take something out of the stock.")
    assert (take.source, take.version, take.domain, take.contract) == (TYPE, "1.0.0", "default", V1)
    assert repr(take) == "Service(com.stock.take 1.0.0)"


# What fails


@pytest.mark.parametrize(
    ("changed", "name", "message"),
    [
        ({"data": {"sku": "broken"}}, "LookupError", "the shelf fell over"),
        ({"data": {"sku": 5}}, "ContractViolation", "Input validation failed - Event data does not meet contract"),
        ({"data": {"sku": "lamp", "qty": "5"}}, "ContractViolation", "does not fit Take: qty"),
        ({"dataschema": f"{URI}/2.0.0"}, "ContractViolation", "Contract version mismatch: service Contract(version='1"),
        ({"dataschema": "#/other/1.0.0"}, "ContractViolation", "Contract URI mismatch"),
    ],
)
def test_a_failure_is_told_to_the_sender(changed: dict[str, Any], name: str, message: str) -> None:
    asked = request(**{"redirectto": "com.desk.front", "accesscontrol": "role:shop", "traceparent": TRACE} | changed)
    event = only(take.answer(asked, NOW))
    assert event.type == SYSTEM_ERROR
    assert event.data["errorName"] == name
    assert message in event.data["errorMessage"]
    assert event.data["errorStack"] is None
    assert (event.subject, event.to, event.parentid) == (asked.subject, ORDER_MACHINE, asked.id)
    assert (event.source, event.dataschema) == (TYPE, f"{URI}/0.0.0")
    assert (event.accesscontrol, event.traceparent) == ("role:shop", TRACE)
    assert event.id == only(take.answer(asked, NOW + 1)).id


@pytest.mark.parametrize("dataschema", [None, f"{URI}/0.0.0", "no version"])
def test_a_request_that_names_no_version_is_answered(dataschema: str | None) -> None:
    assert only(take.answer(request(dataschema=dataschema), NOW)).type == TAKEN


def test_a_stack_is_told_if_it_is_asked_for() -> None:
    stack = only(take.answer(request({"sku": "broken"}), NOW, error_stacks=True)).data["errorStack"]
    assert "the shelf fell over" in stack
    assert "def take" not in stack
    assert "raise LookupError" in stack


class Untold(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (Untold(), "Untold", "an error of type Untold that has no text"),
        (SystemExit(3), "SystemExit", "3"),
        (GeneratorExit(), "GeneratorExit", ""),
        (RecursionError("deep"), "RecursionError", "deep"),
        (ValueError("a\0b\ud800" + "x" * 10_000), "ValueError", "a\ufffdb?" + "x" * 8_188),
        (ExecutionFailure("SoldOut", "all gone"), "SoldOut", "all gone"),
    ],
)
def test_a_function_may_raise_anything(error: BaseException, name: str, message: str) -> None:
    @service(V1)
    def raising(_: Take) -> None:
        raise error

    assert failure(raising.answer(request(), NOW)) == (name, message)
    attempt = raising.attempt(request(), NOW)
    assert attempt.failure is not None
    assert attempt.failure.name == name


def test_an_interrupt_is_nobody_s_answer() -> None:
    @service(V1)
    def interrupted(_: Take) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted.answer(request(), NOW)


# What a function may return


class Derived(Taken):
    """A model below one that the contract emits."""

    more: int = 1


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    left: int


class Failing(BaseModel):
    left: int

    @field_serializer("left")
    def _write(self, _: int) -> int:
        raise ValueError("no")


@dataclass
class Plain:
    left: int


def generated() -> Iterator[Taken]:
    yield Taken(left=1)
    yield Taken(left=2)


def breaking() -> Iterator[Taken]:
    yield Taken(left=1)
    raise OSError("half way")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Taken(left=1), [(TAKEN, {"left": 1})]),
        (Derived(left=2), [(TAKEN, {"left": 2})]),
        (Reply(TAKEN, {"left": 3, "unlisted": 1}), [(TAKEN, {"left": 3})]),
        (Reply(TAKEN, Taken(left=4)), [(TAKEN, {"left": 4})]),
        (Reply(TAKEN, Plain(5)), [(TAKEN, {"left": 5})]),
        ((Taken(left=1), Missing(reason="x")), [(TAKEN, {"left": 1}), (MISSING, {"reason": "x"})]),
        ([Reply(MISSING, {"reason": "y"})], [(MISSING, {"reason": "y"})]),
        (generated(), [(TAKEN, {"left": 1}), (TAKEN, {"left": 2})]),
        ([], []),
        (None, []),
    ],
)
def test_values_that_stand_for_answers(value: Any, expected: list[tuple[str, dict[str, Any]]]) -> None:
    @service(V1)
    def returning(_: Take) -> Taken | Missing | Reply | None:
        result: Taken | None = value
        return result

    answers = [one.event for one in returning.answer(request(), NOW)]
    assert [(event.type, event.data) for event in answers] == expected
    assert len({event.id for event in answers}) == len(expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"left": 1}, "answers with a dict; expected Taken, Missing, Reply"),
        ("text", "answers with a str"),
        (7, "answers with a int"),
        (Take(sku="x"), "answers with a Take"),
        (Reply("evt.stock.take.other", {}), "answers with 'evt.stock.take.other'; expected Taken, Missing, Reply. The"),
        (Reply(TAKEN, {"left": "1"}), "'evt.stock.take.taken' does not fit the contract: The data does not fit Taken"),
        (Reply(TAKEN, 7), "The data is a int; expected a model with fields, or a mapping"),
        (Taken.model_construct(left="no"), "does not fit the contract"),  # type: ignore[arg-type]
        ([Taken(left=1), None], "answers with a NoneType"),
        ([Taken(left=1)] * (REPLIES_MAX + 1), "more than 1000 answers"),
    ],
)
def test_values_that_stand_for_none(value: Any, message: str) -> None:
    @service(V1)
    def returning(_: Take) -> Taken:
        result: Taken = value
        return result

    name, told = failure(returning.answer(request(), NOW))
    assert name == "ContractViolation"
    assert told.startswith("Reply validation failed - ")
    assert message in told


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (breaking(), "OSError"),
        (Reply(TAKEN, Failing(left=1)), "PydanticSerializationError"),
        (None, "ContractViolation"),
    ],
)
def test_a_value_that_fails_when_it_is_looked_at(value: Any, name: str) -> None:
    @service(V1)
    def returning(_: Take) -> Taken:
        result: Taken = value
        return result

    assert failure(returning.answer(request(), NOW))[0] == name


def test_data_that_no_event_may_hold_is_a_failure() -> None:
    @service(V10)
    def deep(data: Mapping[str, Any]) -> Reply:
        nested: dict[str, Any] = dict(data)
        for _ in range(200):
            nested = {"in": nested}
        return Reply(TAKEN, nested)

    name, message = failure(deep.answer(request({}, dataschema=f"{URI}/10.0.0"), NOW))
    assert (name, "at most 128 levels deep" in message) == ("InvalidEventError", True)


def test_execution_units_are_the_reply_s_else_the_service_s() -> None:
    @service(V1, executionunits=2)
    def costly(order: Take) -> Iterator[Reply]:
        if order.sku == "broken":
            raise ValueError("no")
        yield Reply(TAKEN, {"left": 1})
        yield Reply(TAKEN, {"left": 2}, executionunits=0)

    units = [one.event.executionunits for one in costly.answer(request(), NOW)]
    assert units == [2, 0]
    assert only(costly.answer(request({"sku": "broken"}), NOW)).executionunits == 2


# What a function may take


def test_a_mapping_is_the_validated_data() -> None:
    given: list[Mapping[str, Any]] = []

    @service(V1)
    def plain(data: Mapping[str, Any]) -> None:
        given.append(data)

    assert plain.answer(request({"sku": "lamp", "more": 1}), NOW) == ()
    assert given == [{"sku": "lamp", "qty": 1}]


def test_what_is_declared_need_not_be_a_model() -> None:
    @service(V10)
    def plain(data: dict[str, Any]) -> Reply:
        return Reply(TAKEN, data)

    assert only(plain.answer(request({"a": [1]}, dataschema=None), NOW)).data == {"a": [1]}


def test_the_request_is_the_same_at_each_delivery() -> None:
    asked: list[tuple[Any, ...]] = []

    @service(V1)
    def curious(_: Take, about: Request) -> None:
        asked.append((about.event.id, about.key, about.new_id(), about.new_id(), about.now.isoformat()))

    for one in (request(), request(), request(id="request-2")):
        curious.answer(one, NOW)
    first, again, other = asked
    assert first == again
    assert first[0] == "request-1"
    assert first[4] == "2026-01-02T03:04:05.678000+00:00"
    ids = {*first[1:4], *other[1:4], only(take.answer(request(), NOW)).id}
    assert len(ids) == 7


# What is refused when the function is decorated


def nothing() -> Taken: ...  # type: ignore[empty-body]
def untyped(order) -> Taken: ...  # type: ignore[no-untyped-def,empty-body]  # noqa: ANN001
def other_model(order: Missing) -> Taken: ...  # type: ignore[empty-body]
def number(order: int) -> Taken: ...  # type: ignore[empty-body]
def second(order: Take, count: int) -> Taken: ...  # type: ignore[empty-body]
def second_untyped(order: Take, about) -> Taken: ...  # type: ignore[no-untyped-def,empty-body]  # noqa: ANN001
def third(order: Take, about: Request, more: int = 1) -> Taken: ...  # type: ignore[empty-body]
def keyword(order: Take, *, about: Request) -> Taken: ...  # type: ignore[empty-body]
def several(*orders: Take) -> Taken: ...  # type: ignore[empty-body]
def says_nothing(order: Take): ...  # type: ignore[no-untyped-def]  # noqa: ANN201
def other_reply(order: Take) -> Take: ...  # type: ignore[empty-body]
def a_mapping(order: Take) -> dict[str, Any]: ...  # type: ignore[empty-body]
def anything(order: Take) -> Any: ...
def union(order: Take) -> Taken | int: ...  # type: ignore[empty-body]
def listed(order: Take) -> list[Taken | Take]: ...  # type: ignore[empty-body]
def unknown(order: Take) -> "Nowhere": ...  # type: ignore[name-defined]  # noqa: F821
async def asynchronous(order: Take) -> Taken: ...  # type: ignore[empty-body]
async def streaming(order: Take) -> Any:
    yield order


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (nothing, r"takes \(nothing\); expected the data, and after it"),
        (untyped, "has no annotation for `order`; expected Take, which the contract accepts, or Mapping"),
        (other_model, "takes `order: Missing`; expected Take"),
        (number, "takes `order: int`; expected Take"),
        (second, "has a second parameter `count` annotated with int; expected Request"),
        (second_untyped, "has a second parameter `about` annotated with nothing; expected Request"),
        (third, "expected the data, and after it"),
        (keyword, "expected the data, and after it"),
        (several, "expected the data, and after it"),
        (says_nothing, r"says not what it returns; expected Taken, Missing \(what the contract emits\), Reply"),
        (other_reply, "returns Take; expected Taken, Missing"),
        (a_mapping, r"returns dict\[str, Any\], which tells no event type; return Reply"),
        (anything, "returns Any; expected"),
        (union, "returns int; expected"),
        (listed, "returns Take; expected"),
        (unknown, "has an annotation that can't be read .NameError"),
        (asynchronous, "is async"),
        (streaming, "is async"),
        (Plain, "is a type; expected a function"),
        (3, "is a int; expected a function"),
    ],
)
def test_a_function_that_does_not_fit_is_refused(function: Any, message: str) -> None:
    with pytest.raises(SetupError, match=message) as refused:
        service(V1)(function)
    assert "com.stock.take 1.0.0" in str(refused.value)


def test_a_model_that_two_types_share_needs_a_reply() -> None:
    def ambiguous(_: Take) -> Missing:
        return Missing(reason="late")

    with pytest.raises(SetupError, match=rf"returns Missing, which is the data of {MISSING} and {LATE} alike"):
        service(V2)(ambiguous)

    @service(V2)
    def told(_: Take) -> Reply | tuple[Reply, ...]:
        return Reply(LATE, Missing(reason="late"))

    @service(V2)
    def untold(_: Take) -> Reply:
        return Missing(reason="late")  # type: ignore[return-value]

    asked = request(dataschema=f"{URI}/2.0.0")
    assert only(told.answer(asked, NOW)).type == LATE
    assert f"may be {MISSING} or {LATE}; answer with Reply" in failure(untold.answer(asked, NOW))[1]


def test_a_declared_type_that_is_no_model_needs_a_reply() -> None:
    def plain(_: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    with pytest.raises(SetupError, match=r"return Reply\(type, data\)"):
        service(V10)(plain)


def test_a_method_is_a_function() -> None:
    class Shelf:
        def take(self, _: Take) -> Taken:
            return Taken(left=1)

    assert only(service(V1)(Shelf().take).answer(request(), NOW)).data == {"left": 1}


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (stock, r"the contract #/services/stock has 1\.0\.0, 2\.0\.0, 10\.0\.0: write @service"),
        (take, "and Service.* is none"),
        ("1.0.0", "and '1.0.0' is none"),
    ],
)
def test_a_service_is_bound_to_a_version(contract: Any, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        service(contract)


def test_an_orchestrator_s_contract_is_not_a_service_s() -> None:
    from machines.order.contracts import order

    with pytest.raises(SetupError, match="is an orchestrator's"):
        service(order.version("1.0.0"))


@pytest.mark.parametrize("domain", ["all", "input", "Default", "", 5])
def test_a_domain_is_checked(domain: Any) -> None:
    with pytest.raises(SetupError, match=r"com\.stock\.take 1\.0\.0 reads "):
        service(V1, domain=domain)(take._function)


@pytest.mark.parametrize("units", [float("nan"), float("inf"), True, "1"])
def test_execution_units_are_checked(units: Any) -> None:
    with pytest.raises(SetupError, match="expected a finite number"):
        service(V1, executionunits=units)(take._function)


# Versions side by side


@service(V2)
def take_newer(_: Take) -> None:
    return None


@service(V10)
def take_newest(_: Mapping[str, Any]) -> None:
    return None


@pytest.mark.parametrize(
    ("dataschema", "chosen"),
    [
        (f"{URI}/1.0.0", take),
        (f"{URI}/2.0.0", take_newer),
        (f"{URI}/10.0.0", take_newest),
        (f"{URI}/3.0.0", None),
        (f"{URI}/0.0.0", take_newest),
        (None, take_newest),
        ("no version", take_newest),
        ("#/other/1.0.0", take_newest),
    ],
)
def test_a_request_is_for_the_service_of_its_version(dataschema: str | None, chosen: Service[..., Any] | None) -> None:
    assert concerned([take_newest, take, take_newer], request(dataschema=dataschema)) is chosen


def test_what_is_no_request_is_for_no_service() -> None:
    assert concerned([take], request(to="com.stock.give")) is None
    assert concerned([], request()) is None


# Whatever comes


@st.composite
def requests(draw: st.DrawFn) -> Event:
    """Draw events that are nearly requests, or are."""
    drawn = draw(events())
    document = event_to_json(drawn) | {
        "type": draw(st.sampled_from([TYPE, drawn.type])),
        "to": draw(st.sampled_from([TYPE, drawn.to])),
        "dataschema": draw(st.sampled_from([f"{URI}/1.0.0", f"{URI}/2.0.0", f"{URI}/0.0.0", drawn.dataschema])),
        "data": draw(JSON_OBJECTS | st.fixed_dictionaries({"sku": st.sampled_from(["lamp", "none", "broken"])})),
    }
    document["to"] = document["to"] or TYPE
    return event_from_json(document)


@given(requests())
def test_no_event_raises_and_every_answer_is_an_event(event: Event) -> None:
    answers = take.answer(event, NOW)
    if not take.is_addressed(event):
        assert answers == ()
        return
    answer = only(answers)
    assert answer.type in V1.replies
    assert V1.replies[answer.type].is_valid(answer.data)
    assert (answer.subject, answer.parentid, answer.source) == (event.subject, event.id, TYPE)
    assert answer.to == (event.source if answer.type == SYSTEM_ERROR else event.redirectto or event.source)
    assert take.answer(event, NOW) == answers


def test_a_reply_may_have_a_contract_without_models() -> None:
    silent = create_contract(uri="#/silent", type="com.silent.do", versions={"1.0.0": {"accepts": Take, "emits": {}}})
    quiet = service(silent.version("1.0.0"))

    def answering(_: Take) -> Taken:
        return Taken(left=1)

    with pytest.raises(SetupError, match="returns Taken; expected Reply"):
        quiet(answering)
