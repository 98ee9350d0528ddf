"""The chart's values with their comments, as README and schema are made from them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.helm.chart import CHART, load_yaml

_KEY: Final = re.compile(r"( *)([A-Za-z]\w*):(?: .*)?")
_COMMENT: Final = re.compile(r" *# (.*)")
_INDENT: Final = 2


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its path, its default, and what its comment says."""

    path: tuple[str, ...]
    default: Any
    text: str

    @property
    def name(self) -> str:
        return ".".join(self.path)


def documented_values() -> list[Value]:
    """Give every value that has a comment, in order. Raises: AssertionError for one that nobody describes."""
    text = (CHART / "values.yaml").read_text()
    defaults = load_yaml(text)
    found = [Value(path, _at(defaults, path), told) for path, told in _commented(text.splitlines())]
    described = {value.path for value in found}
    for path in _leaves(defaults, ()):
        assert any(path[:length] in described for length in range(1, len(path) + 1)), f"{path} has no comment"
    return found


def _commented(lines: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give path and comment of each key right below a comment."""
    path: list[str] = []
    told: list[str] = []
    for line in lines:
        if comment := _COMMENT.fullmatch(line):
            told.append(comment[1])
            continue
        if key := _KEY.fullmatch(line):
            path[len(key[1]) // _INDENT :] = [key[2]]
            if told:
                yield tuple(path), " ".join(told)
        told = []


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values[name]
    return values


def _leaves(values: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from _leaves(value, (*path, name))
    else:
        yield path
