"""Events mean the same to arvo-core and to the worker, in both content modes, whoever made them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.interop.cases import (
    ANY_NAMES,
    ANY_TEXTS,
    COMPARED,
    NAMES,
    NUMBERS,
    OBJECTS,
    SCALARS,
    TEXTS,
    documents,
    received,
    same,
)
from tests.interop.node import Peer
from worker.core.codec import ContentMode, decode_record, encode_record
from worker.core.errors import InvalidEventError
from worker.core.events import ARVO_CONTENT_TYPE, Event, create_event, event_from_json, event_to_json
from worker.core.json import dumps, loads
from worker.core.uris import encode_uri, is_encoded_uri
from worker.core.versions import compare_versions, parse_dataschema

GENERATED = 300

TIMES = st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")
ODD_TIMES = st.from_regex(
    r"\A(0000|2023|2024|1900|2000)-(0\d|1[0-3])-([0-3]\d)[Tt ]([0-2]\d):([0-6]\d)"
    r"(:[0-6]\d)?(\.\d{1,9})?(Z|z|[+-]\d\d:?\d\d)?\Z"
)
ANY_TIMES = TIMES | ODD_TIMES
CONTENT_TYPES = st.sampled_from(
    [ARVO_CONTENT_TYPE, "application/json", "application/json; a=b", "application/cloudevents+json", "text/plain", ""]
)
EXTENSION_NAMES = st.from_regex(r"\Ax[a-z0-9]{0,4}\Z") | st.sampled_from(["", "Upper", "under_score", "é", "a b"])
FILLED = TEXTS.filter(bool)
ALWAYS = {
    "id": (FILLED, ANY_TEXTS),
    "source": (FILLED, ANY_TEXTS),
    "type": (NAMES, ANY_NAMES),
    "subject": (FILLED, ANY_TEXTS),
    "data": (OBJECTS, OBJECTS),
    "time": (TIMES, ANY_TIMES),
}
SOMETIMES = {
    "specversion": (st.just("1.0"), st.sampled_from(["1.1", ""])),
    "to": (FILLED, ANY_TEXTS),
    "dataschema": (FILLED, ANY_TEXTS),
    "redirectto": (FILLED, ANY_TEXTS),
    "accesscontrol": (FILLED, ANY_TEXTS),
    "executionunits": (NUMBERS, NUMBERS),
    "traceparent": (FILLED, ANY_TEXTS),
    "tracestate": (FILLED, ANY_TEXTS),
    "datacontenttype": (st.just("application/json; a=b"), CONTENT_TYPES),
}
# Attributes as a program gives them, and a document as it may come over the wire: there anything is of any kind.
ATTRIBUTES = documents({**ALWAYS, **SOMETIMES}, optional=SOMETIMES)
URI = FILLED.map(encode_uri)
ON_THE_WIRE = {
    name: (URI if name in ("source", "subject", "to", "dataschema", "redirectto") else right, odd | SCALARS)
    for name, (right, odd) in {**ALWAYS, **SOMETIMES, "xother": (SCALARS, OBJECTS)}.items()
}
ON_THE_WIRE["datacontenttype"] = SOMETIMES["datacontenttype"]  # Null is a difference of its own.
DOCUMENTS = documents(ON_THE_WIRE, optional={*SOMETIMES, "xother"} - {"specversion", "datacontenttype"})
EXTENSIONS = documents({"xa": (SCALARS, SCALARS), "xb1": (SCALARS, SCALARS)}, optional=("xa", "xb1")) | st.dictionaries(
    EXTENSION_NAMES, SCALARS, max_size=1
)


@st.composite
def valid_events(draw: st.DrawFn) -> Event:
    given_attributes = {
        "id": draw(FILLED),
        "source": draw(FILLED),
        "type": "com.test.event",
        "subject": draw(FILLED),
        "data": draw(OBJECTS),
        "time": draw(TIMES),
        "executionunits": draw(st.none() | NUMBERS),
    }
    for name in ("to", "dataschema", "redirectto", "accesscontrol", "parentid", "traceparent", "tracestate", "domain"):
        given_attributes[name] = draw(st.none() | FILLED)
    extensions = draw(st.dictionaries(st.from_regex(r"\Ax[a-z0-9]{0,4}\Z"), TEXTS, max_size=2))
    return create_event(given_attributes, extensions)


def judged(event: Event | InvalidEventError) -> dict[str, Any]:
    """Tell of an event as the peer does; `parentid` is always there here, and only if given there."""
    if isinstance(event, InvalidEventError):
        return {"failed": sorted(event.failed)}
    document = event_to_json(event)
    if document["parentid"] is None:
        del document["parentid"]
    return {"json": document}


def created(attributes: dict[str, Any], extensions: dict[str, Any]) -> dict[str, Any]:
    try:
        return judged(create_event(attributes, extensions))
    except InvalidEventError as error:
        return judged(error)


def read(document: dict[str, Any]) -> dict[str, Any]:
    try:
        return judged(event_from_json(document))
    except InvalidEventError as error:
        return judged(error)


@COMPARED
@given(ATTRIBUTES, EXTENSIONS)
def test_the_same_attributes_give_the_same_event_or_the_same_faults(
    peer: Peer, attributes: dict[str, Any], extensions: dict[str, Any]
) -> None:
    ours = created(attributes, extensions)
    assert same(ours, peer.ask("createEvent", attributes=attributes, extensions=extensions))


@COMPARED
@given(DOCUMENTS)
def test_a_document_is_read_alike_or_refused_for_the_same_attributes(peer: Peer, document: dict[str, Any]) -> None:
    theirs = peer.ask("readEvent", value=dumps(document).decode(), headers={})
    assert same(read(document), theirs)


@COMPARED
@given(valid_events(), st.sampled_from(ContentMode))
def test_what_the_worker_writes_is_what_arvo_core_reads(peer: Peer, event: Event, mode: ContentMode) -> None:
    record = encode_record(event, mode)
    headers = {name: value.decode() for name, value in record.headers if value is not None}
    told = peer.ask("readEvent", value=record.value.decode(), headers=headers)
    ours = judged(event)["json"]
    if mode is ContentMode.BINARY:
        ours["datacontenttype"] = "application/json"
    told = told["json"]
    if event.parentid is None:  # A structured event says null; arvo-core 2.2 keeps that as an extension.
        told.pop("parentid", None)
    assert same(ours, told)


def test_what_arvo_core_generates_is_read_exactly(peer: Peer, seed: int) -> None:
    for case in peer.ask("randomEvents", seed=seed, count=GENERATED):
        event = received(case["message"])
        document = event_to_json(event)
        assert document.pop("parentid") is None
        assert same(document, case["json"]), f"seed {seed}: {case['json']}"
        assert case["message"]["key"] == event.subject
        # Written back, it is the same event to arvo-core.
        again = peer.ask("readEvent", value=encode_record(event).value.decode(), headers={})["json"]
        assert again.pop("parentid", None) is None
        assert same(again, case["json"])


@COMPARED
@given(ANY_TEXTS)
def test_uris_are_the_same(peer: Peer, text: str) -> None:
    assert is_encoded_uri(text) == peer.ask("isUri", text=text)


@COMPARED
@given(st.lists(ANY_TEXTS | st.sampled_from(["1.0.0", "0.0.0", "01.2.3", "1.0"]), max_size=4).map("/".join))
def test_dataschemas_are_parsed_alike(peer: Peer, text: str) -> None:
    parsed = parse_dataschema(text)
    theirs = peer.ask("parseDataschema", text=text)
    assert parsed == (theirs and (theirs["uri"], theirs["version"]))


@COMPARED
@given(st.lists(st.integers(0, 12), min_size=6, max_size=6))
def test_versions_are_ordered_alike(peer: Peer, parts: list[int]) -> None:
    a, b = (".".join(map(str, half)) for half in (parts[:3], parts[3:]))
    assert compare_versions(a, b) == peer.ask("compareVersions", a=a, b=b)


BASE = {
    "id": "1",
    "source": "com.test.source",
    "type": "com.test.event",
    "subject": "s",
    "data": {},
    "time": "2026-01-01T00:00:00Z",
}


def nested(levels: int) -> dict[str, Any]:
    return {"in": nested(levels - 1)} if levels else {}


# What can't be kept everywhere is refused; what would be altered silently too.
REFUSED_HERE = [
    ("U+0000 is kept nowhere", {"id": "a\0"}, {}, "id"),
    ("U+0000 in data", {"data": {"text": "a\0"}}, {}, "data"),
    ("U+0000 in an extension", {}, {"x": "\0"}, "x"),
    ("lone surrogates are no text", {"accesscontrol": "\ud800"}, {}, "accesscontrol"),
    ("data is bounded in depth", {"data": nested(129)}, {}, "data"),
    ("an attribute is no extension", {}, {"id": "2"}, "id"),
]


@pytest.mark.parametrize(("reason", "attributes", "extensions", "failed"), REFUSED_HERE)
def test_what_arvo_core_takes_and_the_worker_refuses(
    peer: Peer, reason: str, attributes: dict[str, Any], extensions: dict[str, Any], failed: str
) -> None:
    assert "json" in peer.ask("createEvent", attributes=BASE | attributes, extensions=extensions)
    assert created(BASE | attributes, extensions) == {"failed": [failed]}


# CloudEvents: what says nothing of its content type is JSON. arvo-core takes it for Arvo's, and null for a fault.
@pytest.mark.parametrize(("given_type", "theirs"), [({}, {"failed": ["to"]}), ({"datacontenttype": None}, None)])
def test_an_event_without_content_type_is_json(
    peer: Peer, given_type: dict[str, None], theirs: dict[str, Any] | None
) -> None:
    document = BASE | {"specversion": "1.0"} | given_type
    told = peer.ask("readEvent", value=dumps(document).decode(), headers={})
    assert told == (theirs or {"failed": ["datacontenttype"]})
    assert read(document)["json"]["datacontenttype"] == "application/json"


# JavaScript's own: what arrives there is not what was sent. The worker keeps it.
ALTERED_THERE = [
    ("integers beyond 2^53 are rounded", '{"n":9007199254740993}', {"n": 9007199254740992}),
    ("large doubles are printed as integers", '{"n":6.557505499315249e+16}', {"n": 65575054993152490}),
    ("a key __proto__ is dropped", '{"__proto__":1,"a":2}', {"a": 2}),
]


@pytest.mark.parametrize(("reason", "sent", "arrived"), ALTERED_THERE)
def test_what_javascript_alters_and_the_worker_keeps(
    peer: Peer, reason: str, sent: str, arrived: dict[str, Any]
) -> None:
    event = create_event(BASE | {"data": loads(sent)})
    record = encode_record(event)
    assert dumps(decode_record(record.value, record.headers).data).decode() == sent
    assert peer.ask("readEvent", value=record.value.decode(), headers={})["json"]["data"] == arrived
