from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.strategies import JSON_VALUES, TEXTS, events
from worker.core.codec import ContentMode, decode_record, encode_record
from worker.core.errors import InvalidEventError
from worker.core.events import ARVO_CONTENT_TYPE, Event, ExtensionValue, create_event
from worker.core.json import dumps, loads
from worker.core.records import Headers

EVENT = create_event(
    {
        "id": "event-1",
        "source": "com.example.shop",
        "type": "com.example.created",
        "subject": "subject-1",
        "time": "2024-01-15T12:34:56.789+00:00",
        "data": {"a": 1},
        "executionunits": 1.5,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    },
    {"tenant": "é", "count": 5, "flag": True, "nothing": None},
)
STRUCTURED = encode_record(EVENT)
BINARY = encode_record(EVENT, ContentMode.BINARY)

HEADER_NAMES = st.sampled_from(
    ["content-type", "Content-Type", "ce_", "ce_id", "ce_specversion", "ce_type", "ce_data", "ce_time", "CE_ID", "x"]
)
HEADER_VALUES = st.none() | st.binary(max_size=8) | st.sampled_from([b"application/cloudevents+json", b"1.0", b"a.b.c"])
VALUES = st.none() | st.binary(max_size=30) | JSON_VALUES.map(dumps) | st.just(STRUCTURED.value)


def without(headers: Headers, name: str) -> Headers:
    return tuple(header for header in headers if header[0] != name)


def failed(value: bytes | None, headers: Headers) -> tuple[str, ...]:
    with pytest.raises(InvalidEventError) as caught:
        decode_record(value, headers)
    return caught.value.failed


def as_text(value: ExtensionValue) -> str:
    return value if isinstance(value, str) else dumps(value).decode()


@given(events())
def test_structured_mode_keeps_an_event(event: Event) -> None:
    record = encode_record(event, ContentMode.STRUCTURED)
    assert decode_record(record.value, record.headers) == event
    assert decode_record(record.value, ()) == event
    assert record.key == event.subject.encode()


@given(events())
def test_binary_mode_keeps_an_event_but_for_what_headers_lack(event: Event) -> None:
    record = encode_record(event, ContentMode.BINARY)
    assert decode_record(record.value, record.headers) == replace(
        event,
        datacontenttype="application/json" if "cloudevents" in event.datacontenttype else event.datacontenttype,
        extensions={name: as_text(value) for name, value in event.extensions.items() if value is not None},
    )


@given(VALUES, st.lists(st.tuples(HEADER_NAMES | TEXTS, HEADER_VALUES), max_size=5).map(tuple))
def test_any_record_is_an_event_or_invalid(value: bytes | None, headers: Headers) -> None:
    for added in ((), STRUCTURED.headers, BINARY.headers):
        try:
            event = decode_record(value, (*headers, *added))
        except InvalidEventError:
            continue
        assert decode_record(encode_record(event).value, ()) == event


@given(VALUES, st.lists(st.tuples(HEADER_NAMES | TEXTS, HEADER_VALUES), max_size=5).map(tuple), st.booleans())
@example(STRUCTURED.value, (*STRUCTURED.headers, ("ce_id", b"event-1")), False)
@example(STRUCTURED.value, (*STRUCTURED.headers, ("CE_ID", b"event-1")), False)
@example(STRUCTURED.value, (*STRUCTURED.headers, ("Content-Type", b"text/plain")), False)
@example(STRUCTURED.value, (*STRUCTURED.headers, ("ce_x", None)), False)
@example(STRUCTURED.value, (*STRUCTURED.headers, ("ce_x", b"\xff")), False)
@example(STRUCTURED.value, (*STRUCTURED.headers, ("x", None), ("x", b"\xff")), False)
def test_a_glance_at_the_headers_tells_what_a_close_look_tells(
    value: bytes | None, headers: Headers, is_structured: bool
) -> None:
    headers = (*headers, *STRUCTURED.headers) if is_structured else headers

    def came_of_it() -> object:
        try:
            return decode_record(value, headers)
        except InvalidEventError as error:
            return str(error), error.failed

    at_a_glance = came_of_it()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("worker.core.codec._is_plainly_structured", lambda _: False)
        assert at_a_glance == came_of_it()


def test_structured_headers_let_consumers_route() -> None:
    assert STRUCTURED.headers == (
        ("content-type", b"application/cloudevents+json; charset=UTF-8"),
        ("ce_id", b"event-1"),
        ("ce_type", b"com.example.created"),
        ("ce_source", b"com.example.shop"),
        ("ce_subject", b"subject-1"),
        ("ce_to", b"com.example.created"),
        ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    )
    assert loads(STRUCTURED.value)["datacontenttype"] == ARVO_CONTENT_TYPE


def test_binary_headers_carry_the_event() -> None:
    assert BINARY.value == b'{"a":1}'
    assert dict(BINARY.headers) == {
        "content-type": b"application/json",
        "ce_id": b"event-1",
        "ce_source": b"com.example.shop",
        "ce_specversion": b"1.0",
        "ce_type": b"com.example.created",
        "ce_subject": b"subject-1",
        "ce_time": b"2024-01-15T12:34:56.789+00:00",
        "ce_tenant": "é".encode(),
        "ce_count": b"5",
        "ce_flag": b"true",
        "ce_to": b"com.example.created",
        "ce_executionunits": b"1.5",
        "ce_traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }


@pytest.mark.parametrize(
    "content_type",
    [b"application/cloudevents+json", b"Application/CloudEvents+JSON;charset=utf-8", ARVO_CONTENT_TYPE.encode()],
)
def test_the_content_type_tells_structured_mode(content_type: bytes) -> None:
    assert decode_record(STRUCTURED.value, (("content-type", content_type), ("ce_id", b"other"))) == EVENT
    assert "specversion" in failed(BINARY.value, (("content-type", content_type), *BINARY.headers[1:]))


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "time", "specversion"])
def test_a_missing_attribute_is_named(name: str) -> None:
    assert failed(BINARY.value, without(BINARY.headers, f"ce_{name}")) == (name,)
    document = loads(STRUCTURED.value)
    del document[name]
    assert failed(dumps(document), STRUCTURED.headers) == (name,)
    assert failed(dumps(document), ()) == (name,)


@pytest.mark.parametrize("headers", [(), STRUCTURED.headers, BINARY.headers], ids=["none", "structured", "binary"])
@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"\xff\xfe", b'{"a":1,"a":1}', b'{"a":1e400}', b'{"a":"\\ud800"}', b"NaN"]
)
def test_a_value_that_is_no_json_is_refused(value: bytes | None, headers: Headers) -> None:
    assert failed(value, headers) == ("data",)


@pytest.mark.parametrize(
    ("extra", "attribute"),
    [
        pytest.param(("ce_id", b"event-1"), "id", id="repeated"),
        pytest.param(("CE_Id", b"event-1"), "id", id="repeated in another case"),
        pytest.param(("content-type", b"application/json"), "datacontenttype", id="content type repeated"),
        pytest.param(("ce_x", None), "x", id="null"),
        pytest.param(("ce_x", b"\xff"), "x", id="no UTF-8"),
        pytest.param(("ce_x", b"a\0"), "x", id="U+0000"),
        pytest.param(("ce_my-name", b"a"), "my-name", id="name against the rules"),
        pytest.param(("ce_", b"a"), "", id="no name"),
        pytest.param(("ce_data", b"{}"), "data", id="data"),
    ],
)
def test_an_odd_header_of_the_binding_is_refused(extra: tuple[str, bytes | None], attribute: str) -> None:
    assert failed(BINARY.value, (*BINARY.headers, extra)) == (attribute,)


def test_headers_of_others_do_not_matter() -> None:
    others: Headers = (("x", None), ("x", b"\xff"), ("traceparent", b"\xff"), ("", b""))
    assert decode_record(STRUCTURED.value, (*others, *STRUCTURED.headers)) == EVENT
    assert decode_record(STRUCTURED.value, others) == EVENT


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents-batch+json", b"application/cloudevents+avro", b"text/plain"]
)
def test_other_content_types_are_refused(content_type: bytes) -> None:
    headers = (("content-type", content_type), *BINARY.headers[1:])
    assert failed(BINARY.value, headers) == ("datacontenttype",)


@pytest.mark.parametrize(("text", "units"), [(b"2", 2), (b"-0.25", -0.25), (b"1e3", 1000)])
def test_execution_units_are_read_as_a_number(text: bytes, units: float) -> None:
    headers = (*without(BINARY.headers, "ce_executionunits"), ("ce_executionunits", text))
    assert decode_record(BINARY.value, headers).executionunits == units


@pytest.mark.parametrize("text", [b"", b"many", b"true", b"NaN", b"0x1", b'"5"', b"18446744073709551616"])
def test_execution_units_that_are_no_number_are_refused(text: bytes) -> None:
    headers = (*without(BINARY.headers, "ce_executionunits"), ("ce_executionunits", text))
    assert failed(BINARY.value, headers) == ("executionunits",)
