"""Texts of errors, made fit for everything that keeps them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.event_rules import is_storable
from worker.core.texts import ERROR_TEXT_MAX, clean_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("é 😀 \n", "é 😀 \n"),
        ("a\0b", "a\ufffdb"),
        ("\ud800\udfff", "??"),
        ("x" * (ERROR_TEXT_MAX + 1), "x" * ERROR_TEXT_MAX),
    ],
)
def test_clean_text(text: str, expected: str) -> None:
    assert clean_text(text) == expected


@given(st.text(st.characters()) | st.text("\0\ud800\udc00a", max_size=20))
def test_any_text_becomes_storable_and_stays_so(text: str) -> None:
    cleaned = clean_text(text)
    assert is_storable(cleaned)
    assert clean_text(cleaned) == cleaned
