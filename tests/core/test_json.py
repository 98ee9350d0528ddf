import json
import math
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.strategies import JSON_VALUES
from worker.core.json import dumps, loads


@given(JSON_VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert loads(dumps(value)) == value


@given(JSON_VALUES, st.sampled_from((None, 1)), st.booleans())
def test_how_the_text_is_laid_out_does_not_matter(value: Any, indent: int | None, escaped: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    assert loads(text) == loads(text.encode()) == value


@given(st.binary(max_size=40) | st.text('[]{}",:0123456789eE.-+truefalsn \\u', max_size=24).map(str.encode))
def test_bytes_are_read_exactly_or_refused(raw: bytes) -> None:
    try:
        value = loads(raw)
    except ValueError:
        return
    assert json.loads(raw) == value
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"a":1,"a":2}', id="a key twice"),
        pytest.param('[{"a":{"b":1,"c":2,"b":1}}]', id="a key twice, further in"),
        pytest.param('{"a":1,"\\u0061":1}', id="a key twice, once escaped"),
        pytest.param("18446744073709551616", id="an integer beyond 64 bits"),
        pytest.param("-9223372036854775809", id="a negative integer beyond 64 bits"),
        pytest.param("1" * 5000, id="an integer of many digits"),
        pytest.param("1e400", id="a float beyond the largest"),
        pytest.param("1e-400", id="a float below the smallest"),
        pytest.param("0e99999999999999999999", id="an exponent beyond reason"),
        pytest.param("0.1000000000000000000001", id="a float of too many digits"),
        pytest.param("[1.00000000000000000001]", id="a float that becomes an integer"),
        pytest.param("0." + "0" * 2000, id="a float of many digits"),
        pytest.param("NaN", id="NaN"),
        pytest.param("[-Infinity]", id="infinity"),
        pytest.param('"\\ud800"', id="a lone surrogate"),
        pytest.param("\ufeff{}", id="a byte order mark"),
        pytest.param("[" * 300 + "]" * 300, id="deep nesting"),
        pytest.param("[" * 100_000, id="very deep nesting"),
        pytest.param("", id="nothing"),
        pytest.param("{} {}", id="two values"),
        pytest.param("{'a':1}", id="Python's notation"),
    ],
)
def test_what_would_not_be_kept_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", 1.0),
        ("1E5", 100000.0),
        ("0.30000000000000004", 0.30000000000000004),
        ("0.1000000000000000055511151231257827021181583404541015625", 0.1),
        ("5e-324", 5e-324),
        ("18446744073709551615", 2**64 - 1),
        ("-0", 0),
        (' {"a" : [ ] } ', {"a": []}),
        ('"\\u0000"', "\0"),
    ],
)
def test_what_is_kept_is_read(text: str, value: object) -> None:
    assert loads(text) == value


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [None, math.inf],
        {"a": None, "b": math.nan},
        {"a": [{"b": (1.5, -math.inf)}]},
        MappingProxyType({"a": math.nan}),
        2**64,
        -(2**63) - 1,
        "\ud800",
        {"\ud800": 1},
        {1: 2},
        {None: 2},
        {1, 2},
        b"a",
        object(),
    ],
)
def test_what_json_does_not_have_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match="can't be written as JSON"):
        dumps(value)


def test_mappings_and_tuples_are_written() -> None:
    assert dumps(MappingProxyType({"b": (1, None), "a": "é"})) == '{"b":[1,null],"a":"é"}'.encode()


def test_a_value_that_holds_itself_is_not_written() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="can't be written"):
        dumps(value)


def test_errors_tell_no_data() -> None:
    secret = uuid4().hex
    with pytest.raises(ValueError, match="repeats a key") as caught:
        loads(f'{{"{secret}":1,"{secret}":2}}')
    assert secret not in str(caught.value)
