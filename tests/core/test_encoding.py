"""Records as they are written: the same bytes, however quickly."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.strategies import JSON_OBJECTS, JSON_VALUES, events
from worker.core.codec import ContentMode, encode_record
from worker.core.events import Event, create_event, event_to_json
from worker.core.json import dumps, dumps_around

EVENT = create_event(
    {
        "id": "event-1",
        "source": "com.example.shop",
        "type": "com.example.created",
        "subject": "subject-1",
        "time": "2024-01-15T12:34:56.789+00:00",
        "data": {},
    }
)
NAN = float("nan")


@given(events())
def test_a_structured_value_is_the_event_s_json(event: Event) -> None:
    assert encode_record(event).value == dumps(event_to_json(event))


@given(events())
def test_structured_headers_repeat_what_is_routed_by_and_the_trace(event: Event) -> None:
    names = ("id", "type", "source", "subject", "to", "traceparent", "tracestate")
    expected = [
        (name if name.startswith("trace") else f"ce_{name}", str(getattr(event, name)).encode())
        for name in names
        if getattr(event, name) is not None
    ]
    assert encode_record(event).headers == (
        ("content-type", b"application/cloudevents+json; charset=UTF-8"),
        *expected,
    )


@given(events(), st.sampled_from(ContentMode))
def test_the_key_is_the_subject(event: Event, mode: ContentMode) -> None:
    assert encode_record(event, mode).key == event.subject.encode()


@pytest.mark.parametrize("mode", ContentMode)
@pytest.mark.parametrize(
    "changed",
    [
        {"data": {"a": NAN}},
        {"data": {"a": {"b": [1, {"c": NAN}]}, "d": None}},
        {"data": {"a": "null", "b": NAN}},
        {"data": {"a": 2**64}},
        {"data": {1: "a"}},
        {"executionunits": NAN},
        {"executionunits": float("-inf")},
        {"extensions": {"units": NAN}},
    ],
)
def test_what_is_no_json_is_refused_even_in_an_event_that_nobody_held_to_the_rules(
    changed: dict[str, Any], mode: ContentMode
) -> None:
    with pytest.raises(ValueError, match="can't be written as JSON"):
        encode_record(replace(EVENT, **changed), mode)


@given(JSON_OBJECTS, JSON_VALUES)
def test_an_object_around_a_text_is_written_as_a_whole(document: dict[str, Any], value: Any) -> None:
    assert dumps_around({**document, "key": None}, "key", dumps(value)) == dumps({**document, "key": value})


@given(JSON_OBJECTS, st.sampled_from((NAN, float("inf"))), st.integers(0, 3))
def test_no_number_that_is_not_finite_hides_among_nulls(document: dict[str, Any], number: float, depth: int) -> None:
    hidden: Any = number
    for _ in range(depth):
        hidden = {"a": None, "b": hidden, "c": [None]}
    with pytest.raises(ValueError, match="not finite"):
        dumps({**document, "hidden": hidden, "null": "null"})
