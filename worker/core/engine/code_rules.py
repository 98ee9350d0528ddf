"""What a chart's code may not do: told when the chart is set up, by line, each with what to do instead."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.core.domains import unique_domains
from worker.core.engine.snippets import (
    ACTING,
    BUILTINS,
    PROVIDED,
    UNAVAILABLE,
    Kind,
    Snippet,
    argument,
    is_temporary,
    literal_texts,
)

Found = tuple[int | None, str]
"""A line of the chart's file, if it is known, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Names:
    """What code of one chart may name, beside what is provided."""

    context: frozenset[str]
    functions: frozenset[str]
    states: frozenset[str]


def code_findings(snippets: Iterable[Snippet], names: Names) -> Iterator[Found]:
    """Find what would go wrong when the code runs."""
    for finding in _function_findings(names):
        yield None, finding
    for snippet in snippets:
        for node, finding in _snippet_findings(snippet, names):
            yield snippet.line_of(node), f"{snippet.place}: {finding}"


def _function_findings(names: Names) -> Iterator[str]:
    for name in sorted(names.functions):
        if name in PROVIDED or name in BUILTINS or name in UNAVAILABLE:
            yield f"the function {name!r} hides a name that chart code already has; rename it."
        if name in names.context:
            yield f"the function {name!r} has the name of a context variable; rename one of them."


def _snippet_findings(snippet: Snippet, names: Names) -> Iterator[tuple[ast.AST | None, str]]:
    if snippet.imports:
        yield _first_import(snippet), "chart code doesn't import; write a function beside the chart that does."
    for name in sorted(snippet.loads - {*names.context, *names.functions, *snippet.stores}):
        if name in UNAVAILABLE:
            yield snippet.first(name), f"{name!r} is not available: {UNAVAILABLE[name]}."
    for name in sorted(snippet.stores & {"__builtins__", *PROVIDED, *names.functions}):
        yield snippet.first(name), f"the code assigns {name!r}, which is provided; choose another name."
    yield from _kind_findings(snippet, names)
    yield from _call_findings(snippet, names)


def _kind_findings(snippet: Snippet, names: Names) -> Iterator[tuple[ast.AST | None, str]]:
    if snippet.kind is not Kind.ACTION:
        for name in sorted(snippet.loads & ACTING):
            text = f"a {snippet.kind} can't use {name!r}; do it on entry, on exit or in an action."
            yield snippet.first(name), text
    lasting = sorted(name for name in snippet.stores if not is_temporary(name))
    if snippet.kind is Kind.GUARD:
        for name in (*lasting, *sorted(snippet.loads & {"setdefault"})):
            text = f"a guard can't change the context, and this one sets {name!r}; do it in an action."
            yield snippet.first(name), text
    if snippet.kind is Kind.ACTION:
        for name in lasting:
            if name not in names.context:
                text = (
                    f"the code assigns {name!r}, which is no context variable; "
                    f"name it in the preamble, or call it {'_' + name!r} if it is temporary."
                )
                yield snippet.first(name), text


def _call_findings(snippet: Snippet, names: Names) -> Iterator[tuple[ast.AST | None, str]]:
    for call in snippet.calls("send"):
        if any(keyword.arg == "delay" for keyword in call.keywords):
            yield call, f"`send` with a delay is not available: {UNAVAILABLE['after']}."
    for call in snippet.calls("active"):
        for state in literal_texts(argument(call, 0, "name")):
            if state not in names.states:
                yield call, f"active({state!r}) asks for a state that the chart does not have; correct the name."
    for call in snippet.calls("emit"):
        try:
            unique_domains(literal_texts(argument(call, 2, "domains")))
        except ValueError as error:
            yield call, str(error)


def _first_import(snippet: Snippet) -> ast.AST | None:
    imports = (node for node in ast.walk(snippet.tree) if isinstance(node, (ast.Import, ast.ImportFrom)))
    return next(imports, None)
