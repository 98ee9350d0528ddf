"""The expression language of the vectors' machines: JSON that stands for a JavaScript expression."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class Undefined:
    """JavaScript's `undefined`: what is missing."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = Undefined()


class Error(Exception):
    """A plain error of a machine; its name travels in the system error event."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What an expression may look at."""

    context: Any = UNDEFINED
    event: Any = UNDEFINED
    input: Any = UNDEFINED
    params: Any = UNDEFINED


def evaluate(expression: Any, sight: Sight) -> Any:
    """Evaluate an expression; what is missing is `UNDEFINED`. Raises: Error, where it throws."""
    if isinstance(expression, list):
        return [evaluate(item, sight) for item in expression]
    if not isinstance(expression, dict):
        return expression
    if len(expression) != 1 or not next(iter(expression)).startswith("$"):
        return {key: evaluate(item, sight) for key, item in expression.items()}
    ((name, operand),) = expression.items()
    if name in FORMS:
        return FORMS[name](operand, sight)
    if name not in OPERATORS:
        raise NotImplementedError(f"the expression has the operator {name}, which is not translated")
    return OPERATORS[name](evaluate(operand, sight))


def is_true(value: Any) -> bool:
    """Tell what JavaScript takes for true: lists and objects always."""
    return isinstance(value, (dict, list)) or (value is not UNDEFINED and bool(value))


def as_json(value: Any) -> Any:
    """Write a value as `JSON.stringify` does: undefined is dropped from objects, and null in lists."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items() if item is not UNDEFINED}
    if isinstance(value, list):
        return [None if item is UNDEFINED else as_json(item) for item in value]
    return value


def _at(value: Any, path: str) -> Any:
    for key in path.split("/") if path else ():
        if isinstance(value, dict):
            value = value.get(key, UNDEFINED)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return UNDEFINED
    return value


def _thrown(text: str, _: Sight) -> Any:
    raise Error(text)


def _chosen(operands: list[Any], sight: Sight) -> Any:
    condition, then, otherwise = operands
    return evaluate(then if is_true(evaluate(condition, sight)) else otherwise, sight)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _strictly_equal(operands: list[Any]) -> bool:
    left, right = operands
    if isinstance(left, (dict, list, bool)) or isinstance(right, (dict, list, bool)):
        return left is right
    return bool(left == right)


def _merged(operands: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: item for operand in operands for key, item in operand.items()}


def _of_two(operation: Callable[[Any, Any], Any]) -> Callable[[list[Any]], Any]:
    return lambda operands: operation(*operands)


# These decide themselves what of their operand is evaluated.
FORMS: dict[str, Callable[[Any, Sight], Any]] = {
    "$lit": lambda operand, _: operand,
    "$undefined": lambda _, __: UNDEFINED,
    "$throw": _thrown,
    "$context": lambda path, sight: _at(sight.context, path),
    "$event": lambda path, sight: _at(sight.event, path),
    "$input": lambda path, sight: _at(sight.input, path),
    "$params": lambda path, sight: _at(sight.params, path),
    "$if": _chosen,
    "$and": lambda operands, sight: all(is_true(evaluate(one, sight)) for one in operands),
    "$or": lambda operands, sight: any(is_true(evaluate(one, sight)) for one in operands),
}

OPERATORS: dict[str, Callable[[Any], Any]] = {
    "$concat": lambda operands: "".join(map(_text, operands)),
    "$append": lambda operands: [*operands[0], *operands[1:]],
    "$merge": _merged,
    "$add": _of_two(operator.add),
    "$sub": _of_two(operator.sub),
    "$mul": _of_two(operator.mul),
    "$div": _of_two(operator.truediv),
    "$eq": _strictly_equal,
    "$ne": lambda operands: not _strictly_equal(operands),
    "$gt": _of_two(operator.gt),
    "$gte": _of_two(operator.ge),
    "$lt": _of_two(operator.lt),
    "$not": lambda operand: not is_true(operand),
    "$len": len,
}
