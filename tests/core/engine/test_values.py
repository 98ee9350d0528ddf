import re
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.engine.charts import NOW
from worker.core.engine.values import fresh, stored


class Colour(StrEnum):
    RED = "red"


class Size(Enum):
    LARGE = 3


KEPT: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (1, 1),
    (1.0, 1.0),
    (-(2**63), -(2**63)),
    (2**64 - 1, 2**64 - 1),
    ("ü \\u0000 \U0001f600", "ü \\u0000 \U0001f600"),
    ((1, (2,)), [1, [2]]),
    ({"a": (1,)}, {"a": [1]}),
    (Colour.RED, "red"),
    (Size.LARGE, 3),
    ([-0.05], [-0.05]),
    ([1e300, 5e-324], [1e300, 5e-324]),
]


@pytest.mark.parametrize(("value", "expected"), KEPT)
def test_keeps(value: Any, expected: Any) -> None:
    kept, size = stored(value)
    assert kept == expected
    assert type(kept) is type(expected)
    assert size == len(orjson.dumps(kept))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "a number is not finite"),
        ([float("inf")], "a number is not finite"),
        (2**64, "an integer is beyond 64 bits"),
        (-(2**63) - 1, "an integer is beyond 64 bits"),
        ("a\0b", "a text holds U+0000"),
        ({"a\0": 1}, "a text holds U+0000"),
        ("\ud800", "a text holds a lone surrogate"),
        ({1: 2}, "a key of type int is no text"),
        ({1, 2}, "a value of type set is no JSON value"),
        (NOW, "a value of type datetime is no JSON value"),
        (UUID(int=1), "a value of type UUID is no JSON value"),
        (b"x", "a value of type bytes is no JSON value"),
        (len, "a value of type builtin_function_or_method is no JSON value"),
    ],
)
def test_refuses(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        stored(value)


def test_refuses_what_contains_itself() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="nested deeper"):
        stored(circle)


def test_a_zero_has_no_sign_since_jsonb_keeps_none() -> None:
    assert str(stored([-0.0])[0]) == "[0.0]"


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # The database's own alphabet: no U+0000, no surrogates.
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_any_json_value_is_kept(value: Any) -> None:
    kept, _ = stored(value)
    assert kept == value
    assert stored(kept)[0] == kept


def test_fresh_copies_sort_their_keys() -> None:
    given_object = {"b": {"d": 1, "c": [{"f": 1, "e": 2}]}, "a": 1}
    copied = fresh(given_object)
    assert copied == given_object
    assert repr(copied) == "{'a': 1, 'b': {'c': [{'e': 2, 'f': 1}], 'd': 1}}"
    copied["b"]["c"].append(1)
    assert given_object["b"] == {"d": 1, "c": [{"f": 1, "e": 2}]}
