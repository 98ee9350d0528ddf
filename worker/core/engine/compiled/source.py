"""A chart's code as straight functions: what an event does in a configuration, from top to bottom.

A context variable is a local variable; guards, exit, action and entry code stand in the order in which they run;
`emit` and `complete` make what they give. What is written here is for plain code on plain values: for code that needs
more there is no function, and one that meets anything unusual raises. The scope runs the code then, and tells.
"""

import ast
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Final

from worker.core.engine.compiled.pieces import Piece, Touched
from worker.core.engine.compiled.plans import Plan, Run, Way
from worker.core.engine.scope import domain_names
from worker.core.engine.snippets import BUILTINS, PROVIDED, argument, literal_texts

PIECES_MAX: Final = 100
"""No function is written for a longer way."""

_HEAD: Final = "def {}(_given, _data, event, init, now, subject): pass"
"""What every function takes: the context, the event's data, and what code may ask for by name."""

_PLAIN: Final = (
    *(ast.Module, ast.Expression, ast.Expr, ast.Assign, ast.AugAssign, ast.If, ast.For, ast.Pass, ast.Break),
    *(ast.Continue, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Set, ast.List, ast.Tuple, ast.Compare),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Call, ast.keyword, ast.Starred),
    *(ast.FormattedValue, ast.JoinedStr, ast.Constant, ast.Attribute, ast.Subscript, ast.Slice, ast.Name),
    *(ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop),
)
"""What does in a function as it does in a namespace of its own."""

_OFFERED: Final = frozenset({"active", "complete", "emit", "event", "init", "now", "subject"})
_NAMED_OTHERWISE: Final = frozenset({"dir"})
"""Builtins that tell a function from a namespace."""

_EMITTED: Final = ("type", "data", "domains", "to")


class NotPlain(Exception):  # It is no error: the scope runs the code.
    """The code needs more than a straight function gives."""


class Writer:
    """Write one function of a chart. `constants` is what it finds by name, beside the tools that all functions use.

    `type_` is the type of the event that it takes; none: it differs, and code is given the event as an object.
    """

    def __init__(self, context_names: frozenset[str], functions: Iterable[str], type_: str | None) -> None:
        self._known = context_names | set(functions) | BUILTINS.keys() | _OFFERED
        self._type = type_
        self._count = 0
        self.constants: dict[str, object] = {}

    def uses_view(self, pieces: Iterable[Piece | None]) -> bool:
        """Tell whether code asks for more of the event than its type and single values of its data."""
        return any(
            isinstance(node, ast.Name) and node.id == "event"
            for piece in pieces
            if piece is not None
            for node in ast.walk(self._without_event(piece.snippet.tree))
        )

    def choice(self, plan: Plan) -> ast.Module:
        """Write the function that tells which transitions are enabled: one bit for each, in order. Raises: NotPlain."""
        body: list[ast.stmt] = []
        earlier: list[tuple[int, int]] = []
        bit = 1
        for candidate in plan.candidates:
            first = bit
            looks: list[ast.stmt] = []
            for group in candidate.groups:
                higher = bit - first
                found: list[ast.stmt] = []
                for edge in group:
                    found.append(_if(self._guard(edge.guard, plan), _statements(f"_chosen |= {bit}")))
                    bit <<= 1
                looks += _unless_chosen(higher, found)
            inner = sum(bits for cover, bits in earlier if cover & candidate.bit)
            body += _unless_chosen(inner, looks)
            earlier.append((candidate.cover, bit - first))
        begun = _statements(*_loaded(plan.reads, plan.reads), "_chosen = 0")
        return _function("choice", [*begun, *body, *_statements("return _chosen")])

    def way(self, way: Way, own: Sequence[str] = (), *, starts: bool = False) -> ast.Module:
        """Write the function that runs code, puts what it touched into the context, and gives what it emitted.

        What it `starts` has no context yet. `own` names variables that are the step's own already. Raises: NotPlain.
        """
        if len(way.runs) > PIECES_MAX:
            raise NotPlain
        view = self.uses_view(run.piece for run in way.runs)
        body = [one for run in way.runs for one in self._action(run, view=view)]
        reads, sets = Touched.by(run.piece for run in way.runs)
        names = sorted({*reads, *sets})
        loaded = [] if starts else _loaded(names, set(reads) - set(own))
        kept = [line for name in names for line in _kept(name, is_set=starts or name in sets)]
        begun = _statements("_emissions, _output, _size = [], None, 0", *loaded)
        return _function("way", [*begun, *body, *_statements(*kept, "return _emissions, _output, _size")])

    def _guard(self, guard: Piece | None, plan: Plan) -> ast.expr:
        if guard is None:
            return ast.Constant(value=True)
        if not guard.pure:
            raise NotPlain
        made = self._plain(guard, plan.is_active, view=self.uses_view((guard,)))
        assert isinstance(made, ast.Expression)
        return made.body

    def _action(self, run: Run, *, view: bool) -> list[ast.stmt]:
        made = self._plain(run.piece, run.is_active, view=view)
        assert isinstance(made, ast.Module)
        return made.body

    def _plain(self, piece: Piece, active: object, *, view: bool) -> ast.AST:
        snippet = piece.snippet
        nodes = [*ast.walk(snippet.tree)]
        named = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
        hidden = {name for name in snippet.loads if name.startswith("_")}
        if (
            not all(isinstance(node, _PLAIN) for node in nodes)
            or named & PROVIDED
            or snippet.loads & _NAMED_OTHERWISE
            or not snippet.loads <= self._known | snippet.stores
            or not hidden <= {*piece.temporaries}
        ):
            raise NotPlain
        self._count += 1
        made = deepcopy(snippet.tree) if view else self._without_event(snippet.tree)
        if "active" in snippet.loads:
            self.constants[f"_active{self._count}"] = active
        _Inlined(piece.temporaries, self._count).visit(made)
        return made

    def _without_event(self, tree: ast.AST) -> ast.AST:
        made = deepcopy(tree)
        if self._type is not None:
            _OfEvent(self._type).visit(made)
        return made


class _OfEvent(ast.NodeTransformer):
    """Replace what is asked of the event, where that needs no object: its type, and single values of its data."""

    def __init__(self, type_: str) -> None:
        self._type = type_

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if _is_of_event(node, "type", "name") and isinstance(node.ctx, ast.Load):
            return ast.Constant(value=self._type)
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if _is_of_event(node.value, "data") and isinstance(node.ctx, ast.Load) and _is_text(node.slice):
            node.value = ast.Name("_data", ast.Load())
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        asked = node.func
        if isinstance(asked, ast.Attribute) and asked.attr == "get" and _is_of_event(asked.value, "data"):
            asked.value = ast.Name("_data", ast.Load())
        return self.generic_visit(node)


class _Inlined(ast.NodeTransformer):
    """Give temporaries names of their own, and write `emit`, `complete` and `active` as what they do."""

    def __init__(self, temporaries: Sequence[str], number: int) -> None:
        self._names = {name: f"{name}_{number}" for name in temporaries} | {"active": f"_active{number}"}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in ("complete", "emit"):
            # It stands where it is more than a statement.
            raise NotPlain
        return ast.Name(self._names.get(node.id, node.id), node.ctx)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("complete", "emit"):
            # Only its arguments are code.
            name, call.func.id = call.func.id, ""
            self.generic_visit(call)
            return _emission(call) if name == "emit" else _output(call)
        return self.generic_visit(node)


def _emission(call: ast.Call) -> list[ast.stmt]:
    given = [argument(call, position, name) for position, name in enumerate(_EMITTED)]
    type_, data, domains, to = given
    asked = [*call.args, *(keyword.value for keyword in call.keywords)]
    # Whatever else it is called with, twice the same included, is no plain case.
    if type_ is None or data is None or len(asked) != len(given) - given.count(None):
        raise NotPlain
    if any(isinstance(one, ast.Starred) or one not in given for one in asked):
        raise NotPlain
    names: ast.expr = ast.Constant(value=None)
    if domains is not None and _spells_out(domains):
        names = ast.parse(repr(domain_names(literal_texts(domains))), mode="eval").body
    elif domains is not None:
        names = _filled("_domain_names(_domains)", _domains=domains)
    if (
        isinstance(type_, ast.Constant)
        and type_.value
        and _is_text(type_)
        and isinstance(data, ast.Dict)
        and to is None
    ):
        made = _filled(
            "_new(_Emission, (_type, _stored(_data), _names, None, None, None, None, None, _NOTHING))",
            _type=type_,
            _data=data,
            _names=names,
        )
    else:
        to = to or ast.Constant(value=None)
        made = _filled("_emission(_type, _data, _names, _to)", _type=type_, _data=data, _names=names, _to=to)
    return [ast.Expr(_filled("_emissions.append(_made)", _made=made))]


def _output(call: ast.Call) -> list[ast.stmt]:
    if call.args or not all(keyword.arg for keyword in call.keywords):
        raise NotPlain
    keys: list[ast.expr | None] = [ast.Constant(value=keyword.arg) for keyword in call.keywords]
    members = ast.Dict(keys, [keyword.value for keyword in call.keywords])
    (stored,) = _statements("_output = _stored(_members)")
    assert isinstance(stored, ast.Assign)
    stored.value = _filled("_stored(_members)", _members=members)
    return [stored, *_statements("_size += len(_output.text)")]


class _Filling(ast.NodeTransformer):
    def __init__(self, parts: dict[str, ast.expr]) -> None:
        self._parts = parts

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._parts.get(node.id, node)


def _filled(text: str, **parts: ast.expr) -> ast.expr:
    """Read an expression and put parts in the place of names."""
    made: ast.expr = _Filling(parts).visit(ast.parse(text, mode="eval").body)
    return made


def _loaded(names: Iterable[str], own: Iterable[str]) -> list[str]:
    """Read context variables; what code may look into becomes the step's own."""
    own = set(own)
    lines: list[str] = []
    for name in names:
        lines.append(f"{name} = _given[{name!r}]")
        if name in own:
            lines.append(f"if type({name}) in _CONTAINERS: {name} = _given[{name!r}] = _own({name})")
    return lines


def _kept(name: str, *, is_set: bool) -> tuple[str, ...]:
    """Look at a context variable's value, and put it back; one that is only read may have changed within."""
    if not is_set:
        return (f"if type({name}) in _CONTAINERS: _check({name})",)
    return f"if type({name}) not in _EXACT: _check({name})", f"_given[{name!r}] = {name}"


def _function(name: str, body: list[ast.stmt]) -> ast.Module:
    module = ast.parse(_HEAD.format(name))
    (function,) = module.body
    assert isinstance(function, ast.FunctionDef)
    function.body = body
    return ast.fix_missing_locations(module)


def _statements(*lines: str) -> list[ast.stmt]:
    return ast.parse("\n".join(lines)).body


def _if(condition: ast.expr, then: list[ast.stmt]) -> ast.stmt:
    return ast.If(condition, then, [])


def _unless_chosen(bits: int, then: list[ast.stmt]) -> list[ast.stmt]:
    """Do it if none of some transitions is enabled."""
    return [_if(_filled(f"not _chosen & {bits}"), then)] if bits else then


def _is_of_event(node: ast.AST, *names: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == "event"
    )


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _spells_out(domains: ast.expr) -> bool:
    """Tell whether domains are one text, or a list of texts."""
    if isinstance(domains, (ast.List, ast.Tuple)):
        return all(map(_is_text, domains.elts))
    return _is_text(domains)
