import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.strategies import JSON_VALUES, TEXTS, events
from worker.core.errors import InvalidEventError
from worker.core.event_rules import DATA_DEPTH_MAX, is_plain_json, is_storable
from worker.core.events import (
    ARVO_CONTENT_TYPE,
    Event,
    create_event,
    event_from_json,
    event_to_json,
)
from worker.core.json import dumps, loads
from worker.core.uris import encode_uri, is_encoded_uri

ATTRIBUTES: dict[str, Any] = {
    "id": "event-1",
    "source": "com.example.shop",
    "type": "com.example.created",
    "subject": "subject-1",
    "time": "2024-01-15T12:34:56.789+00:00",
    "data": {"a": 1},
}


def document(**changes: object) -> dict[str, object]:
    return {**event_to_json(create_event(ATTRIBUTES)), **changes}


def failed(raw: object) -> tuple[str, ...]:
    with pytest.raises(InvalidEventError) as caught:
        event_from_json(raw)
    return caught.value.failed


def nested(depth: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(depth - 1):
        data = {"a": data}
    return data


@given(events())
def test_an_event_travels_unchanged(event: Event) -> None:
    assert event_from_json(loads(dumps(event_to_json(event)))) == event


@given(JSON_VALUES | st.dictionaries(st.sampled_from([*document(), "domain", "x", "X"]), JSON_VALUES))
def test_any_json_is_an_event_or_invalid(raw: object) -> None:
    changed = document(**raw) if isinstance(raw, dict) and all(name.isalpha() for name in raw) else raw
    try:
        event = event_from_json(changed)
    except InvalidEventError:
        return
    assert event_from_json(event_to_json(event)) == event


def test_attributes_are_encoded_only_when_created() -> None:
    event = create_event({**ATTRIBUTES, "source": "my app", "redirectto": "a%b"})
    assert (event.source, event.redirectto) == ("my%20app", "a%25b")
    assert event_from_json(event_to_json(event)) == event


def test_what_the_wire_adds_is_kept() -> None:
    event = event_from_json(document(domain="orders", tenant="a", count=5, flag=False, nothing=None))
    assert event.domain == "orders"
    assert event.extensions == {"tenant": "a", "count": 5, "flag": False, "nothing": None}
    assert event_to_json(event)["domain"] == "orders"


def test_a_plain_cloud_event_needs_no_arvo_attributes() -> None:
    event = event_from_json({**ATTRIBUTES, "specversion": "1.0"})
    assert (event.to, event.datacontenttype, event.parentid) == (None, "application/json", None)


def test_arvos_content_type_needs_a_receiver() -> None:
    assert failed(document(to=None)) == ("to",)
    assert failed(document(to="")) == ("to",)


@pytest.mark.parametrize("raw", [None, [], "{}", 1, True])
def test_what_is_no_object_is_no_event(raw: object) -> None:
    assert failed(raw) == ()


@pytest.mark.parametrize(
    "name", ["id", "accesscontrol", "parentid", "traceparent", "tracestate", "domain", "datacontenttype", "tenant"]
)
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_texts_that_can_not_be_stored_are_refused(name: str, text: str) -> None:
    assert failed(document(**{name: text + ARVO_CONTENT_TYPE})) == (name,)


@pytest.mark.parametrize("name", ["source", "subject", "dataschema", "to", "redirectto"])
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "a b", "", "%"])
def test_uris_that_are_not_encoded_are_refused(name: str, text: str) -> None:
    assert failed(document(**{name: text})) == (name,)


@pytest.mark.parametrize("specversion", ["0.3", "1", 1.0, None, ""])
def test_another_version_of_cloudevents_is_refused(specversion: object) -> None:
    assert failed(document(specversion=specversion)) == ("specversion",)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        {"a": math.nan},
        {"a": 2**64},
        {"a": ["\0"]},
        {"\0": 1},
        {"a": "\\\0"},
        {"a": "\ud800"},
        {"a": datetime.now(UTC)},
        {1: "a"},
        nested(DATA_DEPTH_MAX + 1),
        nested(2000),
    ],
)
def test_data_that_can_not_be_kept_is_refused(data: object) -> None:
    assert failed(document(data=data)) == ("data",)


@pytest.mark.parametrize("data", [{}, {"a": "\\u0000"}, {"a": [[]] * 500}, nested(DATA_DEPTH_MAX)])
def test_data_that_can_be_kept_is_accepted(data: dict[str, Any]) -> None:
    event = event_from_json(document(data=data))
    assert event.data == data
    assert loads(dumps(event_to_json(event)))["data"] == data


@pytest.mark.parametrize("units", [True, math.inf, math.nan, 2**64, "5", []])
def test_execution_units_are_a_finite_number(units: object) -> None:
    assert failed(document(executionunits=units)) == ("executionunits",)


@pytest.mark.parametrize("name", ["to", "data", "specversion", "domain"])
def test_an_extension_does_not_replace_an_attribute(name: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        create_event(ATTRIBUTES, {name: "x"})
    assert caught.value.failed == (name,)


@pytest.mark.parametrize("name", ["id", "time", "source", "subject"])
def test_nothing_is_made_up(name: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        create_event({key: value for key, value in ATTRIBUTES.items() if key != name})
    assert caught.value.failed == (name,)


def test_errors_tell_no_data() -> None:
    with pytest.raises(InvalidEventError) as caught:
        event_from_json(document(id="", type="secret", Other="secret"))
    assert caught.value.failed == ("id", "type")
    assert "secret" not in str(caught.value)


@given(TEXTS)
def test_an_encoded_uri_is_one(text: str) -> None:
    assert is_encoded_uri(encode_uri(text))
    assert not is_encoded_uri(text + " ")


@given(st.text(st.characters(), max_size=5))
def test_what_is_storable_is_utf8_without_nul(text: str) -> None:
    try:
        storable = b"\0" not in text.encode("utf-8")
    except UnicodeEncodeError:
        storable = False
    assert is_storable(text) is storable


ODD: st.SearchStrategy[object] = (
    st.sampled_from(["", "a", "a\nb", "\n", "-", "ä", "a b", "%", "%20", "\0", "\ud800", "com.example.made", "a.b.c\n"])
    | st.sampled_from([1, 1.5, True, None, math.nan, 2**64, [], {}, {"a": "\0"}, {"a": "\\u0000"}])
    | st.sampled_from(["1.0", "1.0\n", "text/plain", "application/json", "application/json; a=b"])
    | st.sampled_from(["2026-02-30T00:00:00Z", "2026-01-01T00:00:00Z\n"])
)


@settings(max_examples=1000)
@given(
    changes=st.dictionaries(st.sampled_from(sorted({*document(), "domain", "x", "X"})), ODD, max_size=4),
    missing=st.sets(st.sampled_from(sorted(document())), max_size=2),
    is_read=st.booleans(),
)
def test_a_glance_finds_nothing_but_what_the_rules_find(
    changes: dict[str, Any], missing: set[str], is_read: bool
) -> None:
    changed = {name: value for name, value in document(**changes).items() if name not in missing}
    text = json.dumps(changed, ensure_ascii=False).encode("utf-8", "replace") if is_read else None

    def came_of_it() -> object:
        try:
            return event_from_json(changed, text) if is_read else create_event(changed)
        except InvalidEventError as error:
            return str(error)

    at_a_glance = came_of_it()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("worker.core.events._plain_event", lambda *_: None)
        assert at_a_glance == came_of_it()


@given(st.text('{}[]\\u0a"', max_size=300).map(str.encode) | JSON_VALUES.map(dumps))
def test_json_is_plain_with_few_brackets_and_no_nul(text: bytes) -> None:
    brackets = text.count(b"{") + text.count(b"[")
    assert is_plain_json(text) is (brackets <= DATA_DEPTH_MAX and b"\\u0000" not in text)
    assert not is_plain_json(b"[" * (DATA_DEPTH_MAX + 1))
    assert is_plain_json(b"[{" * (DATA_DEPTH_MAX // 2))
