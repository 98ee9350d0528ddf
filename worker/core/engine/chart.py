"""A validated chart: its structure, and all its code, compiled and checked once."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self, TypeAlias, TypeVar

from sismic.model import OrthogonalState, Statechart

from worker.core.engine.code_rules import Names, code_findings
from worker.core.engine.loading import LoadedStatechart, canonical_text, load_statechart
from worker.core.engine.positions import Positions
from worker.core.engine.snippets import (
    Kind,
    Snippet,
    argument,
    compile_snippet,
    is_temporary,
    literal_texts,
)
from worker.core.engine.structure import FrozenStatechart

Functions = Mapping[str, Callable[..., Any]]
StatechartSource: TypeAlias = str | Path | Statechart
"""YAML text, a file (also as the text of its name, ending in `.yaml` or `.yml`), or sismic's own model."""

STATECHART_TYPES: Final = (str, Path, Statechart)

_Key = TypeVar("_Key", str, int)


@dataclass(frozen=True, slots=True)
class Conditions:
    """Sismic's contract of one state or transition.

    `key` is a stable name of it: the state's, or `source>index`.
    `remembers` is true if a condition asks for `__old__`.
    """

    key: str
    preconditions: tuple[Snippet, ...]
    postconditions: tuple[Snippet, ...]
    invariants: tuple[Snippet, ...]

    @property
    def remembers(self) -> bool:
        """Tell whether the context at the beginning is asked for later."""
        return any("__old__" in snippet.loads for snippet in (*self.postconditions, *self.invariants))


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart that sismic's validation and our own took, ready to run.

    `text` is canonical YAML. `context_names` are the variables that the preamble names, and those that
    `setdefault("name", …)` declares, sorted. Entry and exit code is found by the state's name; what belongs to a
    transition by the transition's `id()`, since sismic's transitions may be equal.
    """

    name: str
    statechart: FrozenStatechart
    text: str
    functions: Functions
    functions_text: str
    context_names: tuple[str, ...] = ()
    preamble: Snippet | None = None
    entries: Mapping[str, Snippet] = field(default_factory=dict)
    exits: Mapping[str, Snippet] = field(default_factory=dict)
    guards: Mapping[int, Snippet] = field(default_factory=dict)
    actions: Mapping[int, Snippet] = field(default_factory=dict)
    conditions: Mapping[int, Conditions] = field(default_factory=dict)
    file: Path | None = None
    positions: Positions = field(default_factory=Positions)

    @classmethod
    def parse(
        cls,
        source: StatechartSource,
        functions: Functions | ModuleType | None = None,
        name: str | None = None,
    ) -> Self:
        """Read a chart and check all of it.

        `source` is YAML text, a file, or sismic's own model; `functions` what its code may call by name: a mapping,
        or a module, whose own public callables count. `name` stands in error texts.
        Raises: SetupError.
        """
        loaded = load_statechart(source, name)
        statechart = loaded.statechart
        named = _named_functions(functions)
        compiler = _Compiler(loaded, named)
        chart = cls(
            name=loaded.origin.name,
            statechart=statechart,
            text=canonical_text(statechart),
            functions=named,
            functions_text=_functions_text(functions, named),
            context_names=tuple(sorted(compiler.context_names())),
            preamble=compiler.preamble,
            entries=compiler.entries,
            exits=compiler.exits,
            guards=compiler.guards,
            actions=compiler.actions,
            conditions=compiler.conditions,
            file=loaded.origin.file,
            positions=loaded.positions,
        )
        names = Names(frozenset(chart.context_names), frozenset(chart.functions), frozenset(statechart.states))
        for line, finding in code_findings(compiler.snippets, names):
            raise loaded.origin.refusal(line, finding)
        return chart

    @property
    def snippets(self) -> Iterator[Snippet]:
        """Go through all code of the chart."""
        if self.preamble:
            yield self.preamble
        for snippets in (self.entries, self.exits, self.guards, self.actions):
            yield from snippets.values()
        for conditions in self.conditions.values():
            yield from (*conditions.preconditions, *conditions.postconditions, *conditions.invariants)

    @property
    def emitted_types(self) -> tuple[str, ...]:
        """Name the event types that stand as literals in `emit(…)`, sorted."""
        return self._literals(0, "type")

    @property
    def emitted_domains(self) -> tuple[str, ...]:
        """Name the domains that stand as literals in `emit(…)`, sorted."""
        return self._literals(2, "domains")

    @property
    def awaited_events(self) -> tuple[str, ...]:
        """Name the events that transitions wait for, sorted."""
        events: list[str] = self.statechart.events_for()
        return tuple(events)

    @cached_property
    def has_eventless(self) -> bool:
        """Tell whether some transition waits for no event."""
        return any(transition.event is None for transition in self.statechart.transitions)

    @property
    def is_parallel(self) -> bool:
        """Tell whether the chart has orthogonal regions."""
        states = self.statechart
        return any(isinstance(states.state_for(name), OrthogonalState) for name in states.states)

    def _literals(self, position: int, parameter: str) -> tuple[str, ...]:
        found = {
            text
            for snippet in self.snippets
            for call in snippet.calls("emit")
            for text in literal_texts(argument(call, position, parameter))
        }
        return tuple(sorted(found))


class _Compiler:
    """Compile all code of a statechart."""

    def __init__(self, loaded: LoadedStatechart, functions: Functions) -> None:
        self._loaded = loaded
        self._functions = functions
        self.snippets: list[Snippet] = []
        statechart = loaded.statechart
        self.preamble = self._compile(_Code(statechart.preamble, "the preamble", Kind.PREAMBLE, ("preamble",)))
        self.entries: dict[str, Snippet] = {}
        self.exits: dict[str, Snippet] = {}
        self.guards: dict[int, Snippet] = {}
        self.actions: dict[int, Snippet] = {}
        self.conditions: dict[int, Conditions] = {}
        for state_name in statechart.states:
            self._add_state(statechart, state_name)

    def context_names(self) -> set[str]:
        """Name the variables that the preamble stores and those that `setdefault` declares anywhere."""
        declared = {
            text
            for snippet in self.snippets
            for call in snippet.calls("setdefault")
            for text in literal_texts(argument(call, 0, "name"))
        }
        return declared | {name for name in (self.preamble.stores if self.preamble else ()) if not is_temporary(name)}

    def _add_state(self, statechart: FrozenStatechart, name: str) -> None:
        state = statechart.state_for(name)
        place = f"state {name!r}"
        for snippets, attribute in ((self.entries, "on_entry"), (self.exits, "on_exit")):
            key = attribute.replace("_", " ")
            code = _Code(getattr(state, attribute, None), f"{place}, {key}", Kind.ACTION, (name, key))
            self._add(snippets, name, code)
        self._add_conditions(state, (name,), place)
        for index, transition in enumerate(statechart.transitions_from(name)):
            target = f" to {transition.target!r}" if transition.target else ""
            event = f" on {transition.event!r}" if transition.event else ""
            where = f"{place}, transition {index + 1}{event}{target}"
            guard = _Code(transition.guard, f"{where}, guard", Kind.GUARD, (name, index, "guard"))
            action = _Code(transition.action, f"{where}, action", Kind.ACTION, (name, index, "action"))
            self._add(self.guards, id(transition), guard)
            self._add(self.actions, id(transition), action)
            self._add_conditions(transition, (name, index), where)

    def _add_conditions(self, element: Any, key: tuple[str | int, ...], place: str) -> None:
        def compiled(conditions: str, word: str) -> tuple[Snippet, ...]:
            where = f"{place}, {conditions.removesuffix('s')}"
            codes = (
                _Code(text, where, Kind.GUARD, (*key, word, number))
                for number, text in enumerate(getattr(element, conditions, ()))
            )
            return tuple(snippet for snippet in map(self._compile, codes) if snippet)

        conditions = Conditions(
            ">".join(map(str, key)),
            compiled("preconditions", "before"),
            compiled("postconditions", "after"),
            compiled("invariants", "always"),
        )
        if conditions.preconditions or conditions.postconditions or conditions.invariants:
            self.conditions[id(element)] = conditions

    def _add(self, snippets: dict[_Key, Snippet], key: _Key, code: "_Code") -> None:
        snippet = self._compile(code)
        if snippet:
            snippets[key] = snippet

    def _compile(self, code: "_Code") -> Snippet | None:
        if not code.text:
            return None
        line = self._loaded.positions.code.get(code.key)
        try:
            snippet = compile_snippet(code.text, code.place, code.kind, self._functions)
        except SyntaxError as error:
            told = f" (line {error.lineno} of it)" if error.lineno and line is None else ""
            finding = f"{code.place}: the code doesn't compile{told}: {error.msg}."
            raise self._loaded.origin.refusal(line and line + (error.lineno or 1) - 1, finding) from error
        except (ValueError, RecursionError, MemoryError) as error:
            reason = str(error) or "it is nested too deeply"
            raise self._loaded.origin.refusal(line, f"{code.place}: the code doesn't compile: {reason}.") from error
        snippet = replace(snippet, line=line)
        self.snippets.append(snippet)
        return snippet


@dataclass(frozen=True, slots=True)
class _Code:
    """A piece of code that is to be compiled; `key` is its own among the positions."""

    text: str | None
    place: str
    kind: Kind
    key: tuple[str | int, ...]


def _named_functions(functions: Functions | ModuleType | None) -> Functions:
    if functions is None:
        return {}
    if isinstance(functions, ModuleType):
        return {
            name: value
            for name, value in vars(functions).items()
            if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == functions.__name__
        }
    return dict(functions)


def _functions_text(functions: Functions | ModuleType | None, named: Functions) -> str:
    """Give the source of the functions: part of what a machine is."""
    if isinstance(functions, ModuleType):
        return _source(functions)
    return "\n".join(_source(named[name]) for name in sorted(named))


def _source(function: Callable[..., Any] | ModuleType) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        # Built-in or made at run time: its name is all there is.
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(type(function)))}\n"
