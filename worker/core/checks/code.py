"""Findings in a chart's code: names that nothing defines, sets whose order leaks out."""

import ast
from collections.abc import Iterator
from typing import Final

from worker.core.checks.findings import Finding
from worker.core.engine.chart import Chart
from worker.core.engine.outline import OutlineCode
from worker.core.engine.snippets import BUILTINS, PROVIDED

_IN_ORDER: Final = frozenset(("enumerate", "iter", "join", "list", "map", "next", "reversed", "tuple", "zip"))
_UNORDERED: Final = frozenset(("frozenset", "set"))
_REDUCING: Final = frozenset(("all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"))


def code_findings(chart: Chart, code: OutlineCode) -> Iterator[Finding]:
    """Find what is wrong with one piece of code."""
    yield from _undefined(chart, code)
    yield from (
        Finding("unordered-set", code.place_of(node), "The order of a set is gone through.")
        for node in _unordered(code.snippet.tree, reduced=False)
    )


def _undefined(chart: Chart, code: OutlineCode) -> Iterator[Finding]:
    snippet = code.snippet
    known = {*chart.context_names, *chart.functions, *snippet.stores, *PROVIDED, *BUILTINS}
    unknown = snippet.loads - known
    told: set[str] = set()
    for node in ast.walk(snippet.tree):
        if isinstance(node, ast.Name) and node.id in unknown - told:
            told.add(node.id)
            yield Finding("undefined-name", code.place_of(node), f"Nothing defines {node.id!r}.")


def _unordered(node: ast.AST, *, reduced: bool) -> Iterator[ast.AST]:
    """Find where a set is gone through; `reduced` says that what comes of it has no order anyway."""
    match node:
        case ast.Call(func=func, args=[first, *_]) if _called(func) in _IN_ORDER and _is_set(first) and not reduced:
            yield node
        case ast.For(iter=iterated) if _is_set(iterated):
            yield node
        case ast.ListComp(generators=generators) | ast.DictComp(generators=generators) if not reduced:
            if _is_set(generators[0].iter):
                yield node
        case ast.GeneratorExp(generators=generators) if not reduced and _is_set(generators[0].iter):
            yield node
    inner = isinstance(node, ast.SetComp) or (isinstance(node, ast.Call) and _called(node.func) in _REDUCING)
    for child in ast.iter_child_nodes(node):
        yield from _unordered(child, reduced=inner)


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _is_set(node: ast.expr) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in _UNORDERED
        case _:
            return False
