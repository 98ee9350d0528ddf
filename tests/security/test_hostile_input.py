"""What a sender can do at worst: each record is an event or a fault that is told, within bounds of time and memory."""

import json
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Mapping
from gzip import compress
from typing import Any

import pytest

from machines.order import machine
from tests.security.documented import PAGE
from tests.workload import Order
from worker.core.bounds import DEFAULT_BOUNDS
from worker.core.codec import EncodedRecord, decode_record
from worker.core.engine.compiled.program import CompiledEngine
from worker.core.errors import InvalidEventError, InvalidSubjectError
from worker.core.event_rules import DATA_DEPTH_MAX
from worker.core.outcomes import Advanced, Failed
from worker.core.records import Headers
from worker.core.registry import Registry
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import SUBJECT_CHARACTERS_MAX, SUBJECT_DOCUMENT_BYTES_MAX, decode_subject
from worker.core.texts import ERROR_TEXT_MAX

NOW = 1_767_323_045_678
MEBIBYTE = 1024 * 1024
BOMB_BYTES = 2 * MEBIBYTE
"""Nearly what the longest subject that is read can inflate to."""

GOOD = Order(0).record(0)
DEEP = 100_000


def with_data(text: bytes) -> EncodedRecord:
    """Give the good record with other data, as text: most of these no JSON library would write."""
    document = json.loads(GOOD.value)
    document["data"] = "HERE"
    return GOOD._replace(value=json.dumps(document).encode().replace(b'"HERE"', text))


def changed(**changes: Any) -> EncodedRecord:
    return GOOD._replace(value=json.dumps(json.loads(GOOD.value) | changes).encode())


def in_subject(document: bytes) -> EncodedRecord:
    return changed(subject=b64encode(zlib.compress(document, 9)).decode())


def with_headers(headers: Headers) -> EncodedRecord:
    return GOOD._replace(headers=GOOD.headers + headers)


def nested(depth: int, opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return opening * depth + b"1" + closing * depth


def order(**fields: str) -> bytes:
    """Give an order's data with JSON texts in it."""
    members = {"parentSubject$$": "null", "order_id": '"o"', "amount": "1", "items": "[]"} | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}").encode()


INVALID: Mapping[str, EncodedRecord] = {
    "data as deep as Python's stack": with_data(nested(1_000)),
    "data deeper than any stack": with_data(nested(DEEP)),
    "arrays deeper than any stack": with_data(order(items=nested(DEEP, b"[", b"]").decode())),
    "brackets that never close": with_data(b'{"a":' + b"[" * DEEP),
    "data a level too deep": with_data(nested(DATA_DEPTH_MAX + 1)),
    "an integer of a million digits": with_data(order(amount="9" * 1_000_000)),
    "a number of a million digits": with_data(order(amount="0." + "1" * 1_000_000)),
    "a number beyond doubles": with_data(order(amount="1e400")),
    "an exponent of a million digits": with_data(order(amount="1e" + "9" * 1_000_000)),
    "not a number": with_data(order(amount="NaN")),
    "a key twice": with_data(b'{"a":1,"a":2}'),
    "a lone surrogate": with_data(order(customer='"\\ud800"')),
    "U+0000": with_data(order(customer='"\\u0000"')),
    "the whole record deep": GOOD._replace(value=b"[" * DEEP),
    "UTF-16": GOOD._replace(value=GOOD.value.decode().encode("utf-16")),
    "gzip": GOOD._replace(value=compress(GOOD.value)),
    "a header of the binding ten thousand times": with_headers((("ce_id", b"x"),) * 10_000),
    "a type that is an object": changed(type={"$ref": "#"}),
    "a type of a mebibyte": changed(type="a." * (MEBIBYTE // 2)),
    "ten thousand attributes that are lists": changed(**{f"a{number}": [] for number in range(10_000)}),
}
INVALID_SUBJECTS: Mapping[str, EncodedRecord] = {
    "a zip bomb": in_subject(b" " * BOMB_BYTES),
    "a bomb of gzip": changed(subject=b64encode(compress(b"0" * BOMB_BYTES)).decode()),
    "a bomb behind a good document": changed(
        subject=b64encode(zlib.compress(b"{}") + zlib.compress(b" " * BOMB_BYTES, 9)).decode()
    ),
    "a document deeper than any stack": in_subject(nested(SUBJECT_DOCUMENT_BYTES_MAX // 10)),
    "a subject of a mebibyte": changed(subject="A" * MEBIBYTE),
    "no base64": changed(subject="!" * 100),
    "a document that is a number": in_subject(b"1"),
    "a meta that is deep": in_subject(
        b'{"orchestrator":{"name":"arvo.orc.order","version":"1.0.0"},'
        b'"execution":{"id":"x","initiator":"com.example.shop"},"meta":{"a":' + nested(200) + b"}}"
    ),
}
HARMLESS: Mapping[str, EncodedRecord] = {
    "data as deep as may be": with_data(order(extra=nested(DATA_DEPTH_MAX - 1).decode())),
    "ten thousand headers of others": with_headers(tuple((f"x-{number}", b"1") for number in range(10_000))),
    "a header of a mebibyte": with_headers((("x-large", b"1" * MEBIBYTE),)),
    "a name of another class": with_data(order(__class__='"os"', __init__="null", constructor='{"prototype":{}}')),
    "a text of a mebibyte": with_data(order(customer=f'"{"a" * MEBIBYTE}"')),
    "two thousand items": with_data(order(items="[" + ",".join(['{"sku":"a","qty":1}'] * 2_000) + "]")),
    "a time of a mebibyte": changed(time="2026-01-01T00:00:00." + "0" * MEBIBYTE + "Z"),
}


@pytest.fixture(scope="module")
def host() -> Host:
    return Host(Registry([machine], CompiledEngine()))


def run(host: Host, record: EncodedRecord) -> object:
    """Read a record as the worker does and run its step; raise what makes it a dead letter."""
    event = decode_record(record.value, record.headers)
    return run_step(host, StepRequest(event, decode_subject(event.subject), None, None, NOW))


@pytest.mark.parametrize("case", INVALID)
def test_what_is_no_event_is_told_as_one(host: Host, case: str) -> None:
    with pytest.raises(InvalidEventError) as told:
        run(host, INVALID[case])
    assert len(str(told.value)) < ERROR_TEXT_MAX


@pytest.mark.parametrize("case", INVALID_SUBJECTS)
def test_what_is_no_subject_is_told_as_one_and_not_inflated(host: Host, case: str) -> None:
    record = INVALID_SUBJECTS[case]
    tracemalloc.start()
    try:
        with pytest.raises(InvalidSubjectError) as told:
            run(host, record)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Rules are regular expressions, which take some of what they look at.
    assert peak < BOMB_BYTES / 2 + 32 * len(record.value)
    assert len(str(told.value)) < ERROR_TEXT_MAX


@pytest.mark.parametrize("case", HARMLESS)
def test_what_is_only_large_or_odd_is_run(host: Host, case: str) -> None:
    assert isinstance(run(host, HARMLESS[case]), Advanced | Failed)


def test_the_page_has_the_bounds_of_the_program() -> None:
    text = PAGE.text.partition("\n## Bounds\n")[2]
    bounds = DEFAULT_BOUNDS
    for what, number in (
        ("a subject", f"{SUBJECT_CHARACTERS_MAX} characters"),
        ("a subject's document, inflated", f"{SUBJECT_DOCUMENT_BYTES_MAX} bytes"),
        ("levels of an event's data", DATA_DEPTH_MAX),
        ("a text of an error", f"{ERROR_TEXT_MAX} characters"),
        ("one step: microsteps", bounds.microsteps_max),
        ("one step: emitted events", bounds.emissions_max),
        ("one step: bytes of emitted data", bounds.emission_bytes_max),
        ("an instance's context", f"{bounds.context_bytes_max} bytes"),
    ):
        assert f"| {what} | {number}" in text
