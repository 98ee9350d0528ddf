"""Contracts declared alike in zod and in Pydantic accept and refuse the same data, and give the same."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from machines.order import machine
from machines.order.contracts import approval, inventory, order, payment
from tests.interop.cases import (
    ANY_NAMES,
    ANY_TEXTS,
    ANY_VERSIONS,
    COMPARED,
    NAMES,
    TEXTS,
    VERSIONS,
    Member,
    documents,
    received,
    same,
)
from tests.interop.node import Peer
from worker.core.codec import encode_record
from worker.core.contracts import (
    ContractVersion,
    Schema,
    create_contract,
    create_orchestrator_contract,
    create_simple_contract,
)
from worker.core.errors import InvalidDataError, InvalidEventError, InvalidSubjectError, SetupError
from worker.core.events import Event, event_to_json
from worker.core.factories import emits_event, init_event, system_error_event
from worker.core.subjects import decode_subject, root_subject
from worker.orchestrator import SimpleMachineMemory, create_orchestrator

GENERATED = 150
CONTRACTS = {
    "order": order.version("1.0.0"),
    "inventory": inventory.version("1.0.0"),
    "approval": approval.version("1.0.0"),
    "payment": payment.version("1.0.0"),
}
# The wire carries an integral number without a fraction from JavaScript, whoever computed it: so it is drawn here.
FRACTIONS = st.floats(0.25, 10_000).filter(lambda number: not number.is_integer())
AMOUNTS = st.integers(0, 10_000) | FRACTIONS
OTHER: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-9, 9) | FRACTIONS | TEXTS | st.just([]) | st.just({})
)
MEMBER = (TEXTS, OTHER)
OPTIONAL_TEXT = (TEXTS | st.none(), OTHER)
ITEM = documents(
    {"sku": MEMBER, "qty": (st.integers(1, 9), st.integers(-1, 1) | OTHER), "more": (OTHER, OTHER)}, optional=("more",)
)
ITEMS = st.lists(st.fixed_dictionaries({"sku": TEXTS, "qty": st.integers(1, 9)}), max_size=2)
SUBJECT = root_subject(name="arvo.orc.shipment", version="1.0.0", initiator="com.test.user", execution_id="1")
PARENT = (st.sampled_from([None, SUBJECT]), st.sampled_from(["", "no subject", 5]))

# Every field of the schemas.
MEMBERS: Mapping[str, Member] = {
    "order_id": MEMBER,
    "amount": (AMOUNTS, st.integers(-9, 0) | OTHER),
    "customer": MEMBER,
    "currency": MEMBER,
    "items": (ITEMS, st.lists(ITEM, max_size=2) | OTHER),
    "parentSubject$$": PARENT,
    "status": (st.sampled_from(["completed", "rejected", "failed"]), st.sampled_from(["done", None])),
    "total": (AMOUNTS, OTHER),
    "charge_id": OPTIONAL_TEXT,
    "reason": MEMBER,
    "warehouse": MEMBER,
    "approved": (st.booleans(), OTHER),
    "by": MEMBER,
    "errorName": MEMBER,
    "errorMessage": MEMBER,
    "errorStack": OPTIONAL_TEXT,
    "more": (OTHER, OTHER),
}


def schemas() -> dict[tuple[str, str], Schema]:
    """Give every schema by its contract's name and its type."""
    return {
        (name, type_): schema
        for name, version in CONTRACTS.items()
        for type_, schema in {version.type: version.accepts, **version.replies}.items()
    }


def judged(schema: Schema, data: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"data": schema.validate(data)}
    except InvalidDataError as error:
        return {"paths": [list(path) for path in error.paths]}


@pytest.mark.parametrize("place", schemas())
@settings(COMPARED, max_examples=50)
@given(data=st.data())
def test_data_is_judged_alike(peer: Peer, place: tuple[str, str], data: st.DataObject) -> None:
    schema = schemas()[place]
    named = [*schema.json_schema()["properties"], "more"]
    left_out = data.draw(st.sets(st.sampled_from(named), max_size=1))
    drawn = data.draw(documents({name: MEMBERS[name] for name in named if name not in left_out}))
    name, type_ = place
    ours = judged(schema, drawn)
    theirs = peer.ask("judgeData", contract=name, type=type_, data=drawn)
    assert ours.keys() == theirs.keys(), (ours, theirs)
    if "data" in ours:
        assert same(ours, theirs)
    else:
        assert {tuple(path) for path in ours["paths"]} == {tuple(path) for path in theirs["paths"]}


class Nothing(BaseModel):
    pass


def declared(kind: str, uri: str, type_: str, version: str, emits: list[str]) -> bool:
    try:
        if kind == "contract":
            versions = {version: {"accepts": Nothing, "emits": dict.fromkeys(emits, Nothing)}}
            create_contract(uri=uri, type=type_, versions=versions)
        elif kind == "simple":
            create_simple_contract(uri=uri, type=type_, versions={version: {"accepts": Nothing, "emits": Nothing}})
        else:
            sides = {"init": Nothing, "complete": Nothing}
            create_orchestrator_contract(uri=uri, name=type_, versions={version: sides})
    except SetupError:
        return False
    return True


TYPES = (NAMES, ANY_NAMES | st.sampled_from(["arvo.orc.a", "arvo.orca.b", "arvo.orc", "a", "a.b"]))
ORCHESTRATOR_NAMES = (st.sampled_from(["a", "a.b", "order"]), st.sampled_from([".", "a..b", "a.", "Order", "a-b", ""]))
DECLARATIONS = st.sampled_from(["contract", "simple", "orchestrator"]).flatmap(
    lambda kind: documents(
        {
            "kind": (st.just(kind), st.just(kind)),
            "uri": (st.just("#/a") | NAMES, ANY_TEXTS),
            "type_": ORCHESTRATOR_NAMES if kind == "orchestrator" else TYPES,
            "version": (VERSIONS, ANY_VERSIONS),
            "emits": (st.lists(NAMES, max_size=2), st.lists(TYPES[1], max_size=2)),
        }
    )
)


@COMPARED
@given(DECLARATIONS)
def test_contracts_are_declared_or_refused_alike(peer: Peer, declaration: dict[str, Any]) -> None:
    theirs = peer.ask("declare", **declaration)
    assert declared(**declaration) == ("result" in theirs), theirs


def test_the_order_s_contracts_are_the_same(peer: Peer) -> None:
    def facts(version: ContractVersion) -> dict[str, Any]:
        return {
            "uri": version.uri,
            "type": version.type,
            "dataschema": version.dataschema,
            "emits": sorted(version.emits),
            "systemError": {"type": version.system_error_type, "dataschema": version.system_error_dataschema},
            "metadata": dict(version.metadata),
        }

    assert peer.ask("facts") == [facts(version) for version in CONTRACTS.values()]


def test_why_the_contracts_are_declared_in_commonjs(peer: Peer) -> None:
    assert peer.ask("unlistedKeys") == {"commonJs": True, "esModule": False}


ATTRIBUTES = documents(
    {
        "id": (st.just("1"), st.just("1")),
        "source": (NAMES, ANY_TEXTS),
        "time": (st.just("2026-01-01T00:00:00Z"), st.just("2026-01-01")),
        "redirectto": (NAMES, ANY_TEXTS),
        "accesscontrol": (TEXTS.filter(bool), TEXTS),
        "to": (NAMES, ANY_TEXTS),
    },
    optional=("redirectto", "accesscontrol", "to"),
)
INIT_DATA = documents({name: MEMBERS[name] for name in ("order_id", "amount", "parentSubject$$")})


@COMPARED
@given(ATTRIBUTES, INIT_DATA)
def test_both_factories_start_an_order_alike(peer: Peer, attributes: dict[str, Any], data: dict[str, Any]) -> None:
    given_attributes = {**attributes, "data": data}
    theirs = peer.ask("init", attributes=given_attributes, extensions={}).get("result")
    try:
        ours = event_to_json(init_event(CONTRACTS["order"], given_attributes, execution_id="1"))
    except (InvalidDataError, InvalidEventError, InvalidSubjectError):
        assert theirs is None
        return
    assert theirs is not None
    assert ours.pop("parentid") is None
    assert without_execution(ours.pop("subject")) == without_execution(theirs.pop("subject"))
    assert same(ours, theirs)


def without_execution(subject: str) -> tuple[Any, ...]:
    content = decode_subject(subject)
    return content.name, content.version, content.initiator, content.domain, content.meta


@COMPARED
@given(TEXTS, TEXTS)
def test_system_errors_are_the_same(peer: Peer, name: str, message: str) -> None:
    attributes = {
        "id": "answer-1",
        "source": "com.inventory.reserve",
        "subject": SUBJECT,
        "to": "arvo.orc.order",
        "time": "2026-01-01T00:00:00Z",
    }
    theirs = peer.ask("systemError", attributes=attributes, name=name, message=message)["result"]
    data = {"errorName": name, "errorMessage": message, "errorStack": None}
    ours = system_error_event(
        CONTRACTS["inventory"], {**attributes, "parentid": "request-1", "data": data}, execution_id="1"
    )
    assert same(event_to_json(ours), theirs["json"])
    judgement = peer.ask("judgeData", contract="inventory", type=ours.type, data=dict(ours.data))
    assert judgement == {"data": data}


def test_orders_that_arvo_core_starts_run_here_and_arvo_core_reads_every_event(peer: Peer, seed: int) -> None:
    for case in peer.ask("randomOrders", seed=seed, count=GENERATED):
        emitted = run_order(received(case["message"]))
        assert emitted[-1].type == "arvo.orc.order.done", f"seed {seed}: {case['json']}"
        for event in emitted:
            told = peer.ask("readEvent", value=encode_record(event).value.decode(), headers={})["json"]
            assert same(told, event_to_json(event)), f"seed {seed}: {case['json']}"
            name = next(name for name, version in CONTRACTS.items() if version.dataschema == event.dataschema)
            judgement = peer.ask("judgeData", contract=name, type=event.type, data=told["data"])
            assert same(judgement, {"data": told["data"]}), f"seed {seed}: {case['json']}"


ANSWERS = {
    "com.inventory.reserve": ("inventory", "evt.inventory.reserve.success", {"total": 9.5, "warehouse": "Utrecht"}),
    "com.approval.request": ("approval", "evt.approval.request.success", {"approved": True, "by": "Ada"}),
    "com.payment.charge": ("payment", "evt.payment.charge.success", {"charge_id": "c-1"}),
}


def run_order(init: Event) -> list[Event]:
    """Run an order to its end, and give all that it emits."""
    orchestrator = create_orchestrator(memory=SimpleMachineMemory(), executionunits=0.5, machines=[machine])
    emitted: list[Event] = []
    event = init
    while not emitted or emitted[-1].type in ANSWERS:
        emitted += orchestrator.execute(event).domained_events["all"]
        if emitted[-1].type in ANSWERS:
            event = answer(emitted[-1])
    return emitted


def answer(request: Event) -> Event:
    name, type_, data = ANSWERS[request.type]
    attributes = {
        "id": f"{request.id}.answer",
        "type": type_,
        "source": request.type,
        "subject": request.subject,
        "data": data,
        "to": request.source,
        "time": request.time,
    }
    return emits_event(CONTRACTS[name], attributes, execution_id="1")
