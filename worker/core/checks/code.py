"""Findings in a chart's code: names that nothing defines, conditions that never hold, sets whose order leaks out."""

import ast
from collections.abc import Iterator
from typing import Final

from worker.core.checks.findings import Finding
from worker.core.engine.chart import Chart
from worker.core.engine.outline import OutlineCode
from worker.core.engine.snippets import BUILTINS, PROVIDED, argument

_IN_ORDER: Final = frozenset(("enumerate", "iter", "join", "list", "map", "next", "reversed", "str", "tuple", "zip"))
_REDUCING: Final = frozenset(("all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"))
_UNORDERED: Final = frozenset(("frozenset", "set"))
_SET_METHODS: Final = frozenset(("difference", "intersection", "symmetric_difference", "union"))
_SET_OPERATORS: Final = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.Sub)


def code_findings(chart: Chart, code: OutlineCode) -> Iterator[Finding]:
    """Find what is wrong with one piece of code."""
    yield from _undefined(chart, code)
    sets = _Sets(code.snippet.tree)
    places = (code.place_of(node) for node in sets.gone_through(code.snippet.tree, reduced=False))
    yield from (Finding("unordered-set", place, "The order of a set is gone through.") for place in places)


def guard_findings(guard: OutlineCode) -> Iterator[Finding]:
    """Find what a transition's guard asks for in vain."""
    for name in ("received", "sent"):
        for call in guard.snippet.calls(name):
            yield Finding("always-false", guard.place_of(call), f"A guard asks `{name}(…)`.")


def action_findings(code: OutlineCode) -> Iterator[Finding]:
    """Find what entry, exit and action code asks for in vain."""
    for call in code.snippet.calls("received"):
        yield Finding("always-false", code.place_of(call), "An action asks `received(…)`.")


def _undefined(chart: Chart, code: OutlineCode) -> Iterator[Finding]:
    snippet = code.snippet
    known = {*chart.context_names, *chart.functions, *snippet.stores, *PROVIDED, *BUILTINS}
    unknown = snippet.loads - known
    told: set[str] = set()
    for node in ast.walk(snippet.tree):
        if isinstance(node, ast.Name) and node.id in unknown - told:
            told.add(node.id)
            yield Finding("undefined-name", code.place_of(node), f"Nothing defines {node.id!r}.")


class _Sets:
    """Tell which expressions of one piece of code are sets, and where one is gone through."""

    def __init__(self, tree: ast.AST) -> None:
        assigned: dict[str, list[ast.expr | None]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
                for target in node.targets:
                    assigned.setdefault(ast.unparse(target), []).append(node.value)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                # However else a name is given a value, what it holds is not known.
                assigned.setdefault(node.id, []).append(None)
        plain = {name: [value for value in values if value] for name, values in assigned.items()}
        # Each plain assignment also stores its name.
        certain = {name: values for name, values in plain.items() if 2 * len(values) == len(assigned[name])}
        self._named: frozenset[str] = frozenset()
        self._named = frozenset(name for name, values in certain.items() if all(map(self._is_set, values)))

    def gone_through(self, node: ast.AST, *, reduced: bool) -> Iterator[ast.AST]:
        """Find where a set is gone through; `reduced` says that what comes of it has no order anyway."""
        match node:
            case ast.Call(func=func, args=args) if _called(func) in _IN_ORDER and any(map(self._is_set, args)):
                if not reduced:
                    yield node
            case ast.Call() if _called(node.func) == "emit" and self._is_set(argument(node, 2, "domains")):
                yield node
            case ast.For(iter=iterated) if self._is_set(iterated):
                yield node
            case ast.ListComp(generators=generators) | ast.GeneratorExp(generators=generators) if not reduced:
                if any(self._is_set(one.iter) for one in generators):
                    yield node
            case ast.Starred(value=value, ctx=ast.Load()) if not reduced and self._is_set(value):
                yield node
            case ast.FormattedValue(value=value) if self._is_set(value):
                yield node
        inner = isinstance(node, (ast.Set, ast.SetComp)) or (
            isinstance(node, ast.Call) and _called(node.func) in _REDUCING
        )
        for child in ast.iter_child_nodes(node):
            yield from self.gone_through(child, reduced=inner)

    def _is_set(self, node: ast.expr | None) -> bool:
        match node:
            case ast.Set(elts=members):
                # Numbers stand in the same order everywhere.
                return not all(isinstance(one, ast.Constant) and isinstance(one.value, int) for one in members)
            case ast.Name(id=name):
                return name in self._named
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in _SET_METHODS:
                return self._is_set(value)
            case ast.BinOp(left=left, op=op, right=right):
                return isinstance(op, _SET_OPERATORS) and (self._is_set(left) or self._is_set(right))
            case _:
                return isinstance(node, ast.SetComp) or (
                    isinstance(node, ast.Call) and _called(node.func) in _UNORDERED
                )


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""
