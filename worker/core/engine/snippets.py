"""Pieces of chart code, compiled once, with what each touches known before it runs.

All code of a chart runs in one namespace (`worker.core.engine.scope`), so that comprehensions, lambdas and
nested functions see the context. What a piece stores there is read from its bytecode: that is what will happen,
whatever statement spells it.
"""

import ast
import builtins
import dis
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import CodeType, MappingProxyType
from typing import Any, Final

PROVIDED: Final = frozenset(
    {
        "__old__",
        "active",
        "complete",
        "emit",
        "event",
        "init",
        "new_id",
        "notify",
        "now",
        "received",
        "send",
        "sent",
        "setdefault",
        "subject",
    }
)
"""Names that the worker provides to chart code."""

ACTING: Final = frozenset({"complete", "emit", "notify", "send"})
"""Provided names that do something: for entry, exit and action code only."""

_TIMERS: Final = "durable timers do not exist yet; let a service answer when the time has come"
_OUTSIDE: Final = "chart code reaches nothing outside the chart; write a function beside the chart"
_PROCESS: Final = "its value differs between processes"
_INTERRUPT: Final = "it ends the process, not the step; raise another error"

UNAVAILABLE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "after": _TIMERS,
        "idle": _TIMERS,
        "time": "use `now`, the time of the step",
        "KeyboardInterrupt": _INTERRUPT,
        "hash": _PROCESS,
        "id": _PROCESS,
        **dict.fromkeys(
            (
                "__builtins__",
                "__import__",
                "breakpoint",
                "compile",
                "copyright",
                "credits",
                "eval",
                "exec",
                "exit",
                "globals",
                "help",
                "input",
                "license",
                "locals",
                "open",
                "print",
                "quit",
                "vars",
            ),
            _OUTSIDE,
        ),
    }
)
"""Names that chart code may not use unless they are its own, and what to do instead."""

BUILTINS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        name: value
        for name, value in vars(builtins).items()
        if name not in UNAVAILABLE and (not name.startswith("_") or name == "__build_class__")
    }
)

_PURE_FUNCTIONS: Final = frozenset(
    {
        *("abs", "active", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "int", "isinstance", "len"),
        *("list", "max", "min", "range", "received", "round", "sent", "set", "sorted", "str", "sum", "tuple", "zip"),
    }
)
_CHANGING_METHODS: Final = frozenset(
    {
        *("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse"),
        *("setdefault", "sort", "update"),
    }
)
_PURE_METHODS: Final = frozenset(
    {
        *("casefold", "count", "endswith", "find", "get", "index", "isdigit", "isdisjoint", "issubset", "items"),
        *("join", "keys", "lower", "lstrip", "replace", "rsplit", "rstrip", "split", "startswith", "strip"),
        *("upper", "values"),
    }
)


class Kind(StrEnum):
    """Say what a piece of code is for. A guard is any condition, those of sismic's contracts included."""

    PREAMBLE = "preamble"
    ACTION = "action"
    GUARD = "guard"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One piece of chart code.

    `place` tells where it stands, for error texts; `line` is that of its first line, if it is known. `loads` and
    `stores` are names of the shared namespace; a deleted name counts as stored. `temporaries` are those of `stores`
    that are gone when the piece ends. `pure` is true if running it can't change a context of JSON values.
    """

    place: str
    text: str
    kind: Kind
    code: CodeType
    tree: ast.AST = field(repr=False)
    loads: frozenset[str]
    stores: frozenset[str]
    temporaries: tuple[str, ...]
    imports: bool
    pure: bool
    line: int | None = None

    def line_of(self, node: ast.AST | None) -> int | None:
        """Give the line of a part of the code in the chart's file; of the whole, if there is no such part."""
        return None if self.line is None else self.line + getattr(node, "lineno", 1) - 1

    def first(self, name: str) -> ast.AST | None:
        """Find where a name first stands."""
        named = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name) and node.id == name]
        return min(named, key=lambda node: node.lineno, default=None)

    def calls(self, name: str) -> Iterator[ast.Call]:
        """Find the calls of a provided function."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield node


def is_temporary(name: str) -> bool:
    """Tell whether a name stands for a temporary value, not for context."""
    return name.startswith("_")


def compile_snippet(text: str, place: str, kind: Kind, functions: Container[str] = ()) -> Snippet:
    """Compile one piece of code; `functions` are names of functions that may change what they are given.

    Raises: SyntaxError; ValueError, if it holds U+0000.
    """
    mode = "eval" if kind is Kind.GUARD else "exec"
    tree = ast.parse(text, f"<{place}>", mode)
    code: CodeType = compile(text, f"<{place}>", mode, dont_inherit=True)
    instructions = [(nested, step) for nested, part in _parts(code) for step in dis.get_instructions(part)]
    stores = frozenset(step.argval for nested, step in instructions if _stores(step.opname, nested=nested))
    return Snippet(
        place=place,
        text=text,
        kind=kind,
        code=code,
        tree=tree,
        loads=frozenset(step.argval for _, step in instructions if step.opname in ("LOAD_NAME", "LOAD_GLOBAL")),
        stores=stores,
        temporaries=tuple(sorted(name for name in stores if is_temporary(name))),
        imports=any(step.opname == "IMPORT_NAME" for _, step in instructions),
        pure=all(_is_pure(node, functions) for node in ast.walk(tree)),
    )


def literal_texts(node: ast.expr | None) -> tuple[str, ...]:
    """Give the texts that an expression spells out: one text, a list of texts, or a choice of these."""
    if isinstance(node, ast.Constant):
        return (node.value,) if isinstance(node.value, str) else ()
    parts: list[ast.expr] = []
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        parts = node.elts
    elif isinstance(node, ast.IfExp):
        parts = [node.body, node.orelse]
    elif isinstance(node, ast.BoolOp):
        parts = node.values
    return tuple(text for part in parts for text in literal_texts(part))


def argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """Find an argument of a call, by its name or its position."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[position] if len(call.args) > position else None


def _parts(code: CodeType, *, nested: bool = False) -> Iterator[tuple[bool, CodeType]]:
    yield nested, code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant, nested=True)


def _stores(opname: str, *, nested: bool) -> bool:
    # In nested code a NAME is a class's own; a GLOBAL is the namespace's wherever it stands.
    return opname in ("STORE_GLOBAL", "DELETE_GLOBAL") or (not nested and opname in ("STORE_NAME", "DELETE_NAME"))


def _is_pure(node: ast.AST, functions: Container[str]) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name in _PURE_FUNCTIONS
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in _PURE_METHODS
        case ast.Call() | ast.Subscript(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()):
            # A comprehension may put what it goes through anywhere: [0 for items[0] in …].
            return False
        case ast.Attribute(attr=name):
            return name not in _CHANGING_METHODS and not name.startswith("_")
        case ast.Name(id=name):
            return name not in functions
        case _:
            return True
