"""Check what a user's Python gives: a wrong kind of value is told of where it is given, not where it is used."""

from collections.abc import Mapping
from typing import Any, TypeVar

from worker.core.errors import SetupError

Value = TypeVar("Value")

_SHOWN_MAX = 60


def expect(value: Any, kind: type[Value] | tuple[type[Value], ...], what: str, expected: str) -> Value:
    """Give back a value of this kind; a boolean is no number. Raises: SetupError."""
    if isinstance(value, bool) or not isinstance(value, kind):
        raise SetupError(f"{what} is {shown(value)}; expected {expected}.")
    return value


def expect_list(value: Any, kind: type[Value], what: str, expected: str) -> tuple[Value, ...]:
    """Give the entries of a list or tuple of this kind. Raises: SetupError."""
    if not isinstance(value, (list, tuple)):
        raise SetupError(f"{what} is {shown(value)}; expected a list: {expected}.")
    for one in value:
        if isinstance(one, bool) or not isinstance(one, kind):
            raise SetupError(f"{what} has {shown(one)} in it; expected {expected}.")
    return tuple(value)


def expect_mapping(value: Any, what: str, expected: str) -> Mapping[str, Any]:
    """Give back a mapping whose keys are texts. Raises: SetupError."""
    if not isinstance(value, Mapping):
        raise SetupError(f"{what} is {shown(value)}; expected {expected}.")
    for key in value:
        if not isinstance(key, str):
            raise SetupError(f"{what} has the key {shown(key)}; expected texts: {expected}.")
    return value


def shown(value: object) -> str:
    """Say what a value is, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, (str, int, float)):
        return f"{value!r:.{_SHOWN_MAX}}"
    name = type(value).__name__
    return f"an {name}" if name[:1] in "aeiouAEIOU" else f"a {name}"
