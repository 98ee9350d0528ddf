"""Symbols: the names that the vectors give to random values."""

import re
from collections.abc import Mapping
from typing import Any

from tests.vectors.cases import expect_equal
from worker.core.subjects import decode_document

SYMBOL = re.compile(r"\$(?:(?:id|subject|exec)\d+|uuid4|time|stack)")
ANY_VALUE = {
    "$time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00",
    "$stack": r"(?s:.+)",
    "$uuid4": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}

SOME_VALUE = {"$time": "2024-01-01T00:00:00.000+00:00", "$stack": "$stack"}


class Symbols:
    """Bind each symbol where it first appears in an output, and hold it against that from then on."""

    def __init__(self, subjects: Mapping[str, Any]) -> None:
        self._subjects = subjects
        self._values: dict[str, str] = {}

    def put_in(self, value: Any) -> Any:
        """Put the bound values in. Raises: KeyError, for a symbol that has not appeared in an output."""
        if isinstance(value, dict):
            return {key: self.put_in(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.put_in(item) for item in value]
        return SYMBOL.sub(lambda found: self._value(found[0]), value) if isinstance(value, str) else value

    def _value(self, symbol: str) -> str:
        return SOME_VALUE.get(symbol) or self._values[symbol]

    def expect(self, actual: Any, expected: Any, what: str = "the result") -> None:
        """Compare as JSON, binding what appears for the first time. Raises: AssertionError."""
        match expected:
            case dict() if isinstance(actual, dict):
                expect_equal(sorted(actual), sorted(expected), f"the list of keys of {what}")
                for key, item in expected.items():
                    self.expect(actual[key], item, f"{key} of {what}")
            case list() if isinstance(actual, list):
                expect_equal(len(actual), len(expected), f"the length of {what}")
                for index, item in enumerate(expected):
                    self.expect(actual[index], item, f"{what}[{index}]")
            case "$stack" if actual is None:
                return  # Stacks tell paths: they are in system errors only where that is asked for.
            case str() if SYMBOL.search(expected) and isinstance(actual, str):
                self._expect_text(actual, expected, what)
            case _:
                expect_equal(actual, expected, what)

    def _expect_text(self, actual: str, expected: str, what: str) -> None:
        symbols = SYMBOL.findall(expected)
        literals = SYMBOL.split(expected)
        pattern = re.escape(literals[0])
        for symbol, literal in zip(symbols, literals[1:], strict=True):
            pattern += f"({self._pattern(symbol)}){re.escape(literal)}"
        found = re.fullmatch(pattern, actual)
        assert found, f"{what} is {actual!r}; the reference has {expected!r}, where {self._values}"
        for symbol, value in zip(symbols, found.groups(), strict=True):
            if symbol not in self._values and symbol not in ANY_VALUE:
                self._bind(symbol, value)

    def _pattern(self, symbol: str) -> str:
        known = self._values.get(symbol)
        return ANY_VALUE.get(symbol, ".+") if known is None else re.escape(known)

    def _bind(self, symbol: str, value: str) -> None:
        assert value not in self._values.values(), f"{symbol} is {value!r}, which another symbol has"
        self._values[symbol] = value
        if symbol in self._subjects:
            content = decode_document(value)
            assert content["execution"].pop("domain", "missing") is None, "a new subject has to carry a null domain"
            self.expect(content, self._subjects[symbol]["content"], f"the content of {symbol}")
