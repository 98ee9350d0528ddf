"""How values are compared and written down."""

import math
from typing import Any

import pytest

from worker.testing.texts import DATA_CHARACTERS_MAX, closest, data_text, difference, same


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, 0, False),
        ((1, 2), [1, 2], True),
        ([1, 2], [1], False),
        ([1], [True], False),
        ({"a": [1]}, {"a": (1.0,)}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, [("a", 1)], False),
        ("1", 1, False),
    ],
)
def test_values_are_compared_as_json(one: Any, other: Any, expected: bool) -> None:
    assert same(one, other) is expected
    assert same(other, one) is expected


def test_what_nobody_asked_about_is_no_difference() -> None:
    assert difference({"a": 1}, {"a": 1, "b": 2}) == []
    assert difference({"amont": 1}, {"amount": 2}) == ["amont: expected 1, and there is none (did you mean 'amount'?)"]


def test_long_data_is_cut_and_odd_data_is_shown() -> None:
    text = data_text({"text": "x" * 1000})
    assert len(text) == DATA_CHARACTERS_MAX + 1
    assert text.endswith("…")
    assert "nan" in data_text(math.nan)


def test_nothing_near_is_no_hint() -> None:
    assert closest("abc", ["xyz"]) == ""
    assert closest("", []) == ""
