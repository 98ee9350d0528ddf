"""What a case is, and how its outcome is compared."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.core.errors import WorkerError

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One fact of a vector file; `check` raises AssertionError if the worker does otherwise."""

    section: str
    title: str
    check: Check


JAVASCRIPT_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}


def from_javascript(value: Any) -> Any:
    """Replace `{"$js": expression}` by what Python has for it. Raises: LookupError, where it has nothing."""
    if isinstance(value, dict):
        if set(value) == {"$js"}:
            return JAVASCRIPT_NUMBERS[value["$js"]]
        return {key: from_javascript(item) for key, item in value.items()}
    return [from_javascript(item) for item in value] if isinstance(value, list) else value


def expect_equal(actual: object, expected: object, what: str = "the result") -> None:
    """Compare as JSON: 1 and 1.0 are one number, true is none, the order of keys does not matter."""
    assert _canonical(actual) == _canonical(expected), (
        f"{what} is {_canonical(actual)}; the reference has {_canonical(expected)}"
    )


def expect_refused(
    action: Callable[[], object], error: type[WorkerError] | tuple[type[WorkerError], ...] = WorkerError
) -> WorkerError:
    """Give the error that the action has to end with."""
    try:
        result = action()
    except error as refusal:
        return refusal
    message = f"it was accepted, as {result!r}; the reference refuses it"
    raise AssertionError(message)


def expect_same_places(actual: Iterable[Sequence[object]], expected: Iterable[Sequence[object]]) -> None:
    """Compare the places of faults, in any order."""
    expect_equal(sorted(map(list, actual), key=repr), sorted(map(list, expected), key=repr), "the list of faults")


def _canonical(value: object) -> str:
    return json.dumps(_with_one_number_type(value), sort_keys=True)


def _with_one_number_type(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _with_one_number_type(item) for key, item in value.items()}
    return [_with_one_number_type(item) for item in value] if isinstance(value, (list, tuple)) else value
