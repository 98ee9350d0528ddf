"""Read a statechart from YAML, and refuse what sismic would take silently for something else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from sismic.exceptions import StatechartError
from sismic.io import export_to_yaml
from sismic.io.datadict import import_from_dict
from sismic.model import (
    DeepHistoryState,
    FinalState,
    OrthogonalState,
    ShallowHistoryState,
    Statechart,
)

from worker.core.engine.positions import Positions, positions_of
from worker.core.engine.structure import FrozenStatechart
from worker.core.errors import SetupError

_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class LoadedStatechart:
    """A statechart, its name for error texts, and where its parts stand in its text."""

    statechart: FrozenStatechart
    name: str
    file: Path | None
    positions: Positions

    def at(self, line: int | None) -> str:
        """Name a line for error texts: of a file, as editors find it."""
        return self.name if self.file is None or line is None else f"{self.name}:{line}"


def load_statechart(source: str | Path | Statechart, name: str | None) -> LoadedStatechart:
    """Read a statechart from YAML text, a file or sismic's own model.

    A text of one line that ends in `.yaml` or `.yml` names a file.
    Raises: SetupError.
    """
    if isinstance(source, str) and "\n" not in source and source.endswith(_ENDINGS):
        source = Path(source)
    file = source if isinstance(source, Path) else None
    positions = Positions()
    if isinstance(source, Statechart):
        name = name or f"statechart {source.name!r}"
        statechart = _validated(source, name)
    else:
        name = str(file) if file else name or "statechart"
        text = _text(source, name)
        statechart = _imported(text, name)
        positions = positions_of(text)
    if statechart.root is None:
        raise SetupError(f"{name}: the chart has no root state; give it one.")
    loaded = LoadedStatechart(FrozenStatechart(statechart), name, file, positions)
    for state, finding in _structural_findings(statechart):
        raise SetupError(f"{loaded.at(positions.states.get(state))}: {finding}")
    return loaded


def canonical_text(statechart: Statechart) -> str:
    """Write a statechart as YAML; the same chart always gives the same text."""
    text: str = export_to_yaml(statechart)
    return text


def _text(source: str | Path, name: str) -> str:
    if isinstance(source, str):
        return source
    try:
        return source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{name}: the statechart can't be read ({error}); name a YAML file in UTF-8.") from error


def _imported(text: str, name: str) -> Statechart:
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}" if mark else "the text"
        raise SetupError(f"{name}: {line}: no valid YAML ({error.problem}); correct it.") from error
    except (YAMLError, ValueError) as error:
        raise SetupError(f"{name}: no valid YAML ({error}); correct it.") from error
    for finding in _silent_findings(document):
        raise SetupError(f"{name}: {finding}")
    try:
        return import_from_dict(document)
    except StatechartError as error:
        raise SetupError(f"{name}: sismic refuses the chart: {_reason(error)}; correct it.") from error


def _validated(statechart: Statechart, name: str) -> Statechart:
    try:
        statechart.validate()
    except StatechartError as error:
        raise SetupError(f"{name}: sismic refuses the chart: {_reason(error)}; correct it.") from error
    return statechart


def _reason(error: StatechartError) -> str:
    """Find the line that says it in the tower of texts that the schema library builds."""
    lines = [line for line in getattr(error.__cause__, "autos", ()) if line]
    return str(lines[-1] if lines else error.__cause__ or error)


def _silent_findings(document: Any) -> Iterator[str]:
    """Find keys without a value (sismic reads `guard:` as the text "None") and children that sismic drops."""
    chart = document.get("statechart") if isinstance(document, Mapping) else None
    if isinstance(chart, Mapping):
        yield from _empty_keys(chart, "the chart", but=("description", "root state"))
        yield from _silent_in_state(chart.get("root state"))


def _silent_in_state(state: Any) -> Iterator[str]:
    if not isinstance(state, Mapping):
        return
    place = f"state {state.get('name')!r}"
    children = [child for key in ("states", "parallel states") for child in _entries(state, key)]
    yield from _empty_keys(state, place)
    if "type" in state and children:
        yield f"{place}: a {state['type']} state has no states of its own; move them out of it."
    for transition in _entries(state, "transitions"):
        if isinstance(transition, Mapping):
            yield from _empty_keys(transition, f"{place}, transition on {transition.get('event')!r}")
    for child in children:
        yield from _silent_in_state(child)


def _entries(state: Mapping[str, Any], key: str) -> list[Any]:
    entries = state.get(key)
    return entries if isinstance(entries, list) else []


def _empty_keys(mapping: Mapping[str, Any], place: str, but: tuple[str, ...] = ()) -> Iterator[str]:
    for key, value in mapping.items():
        if key not in but and (value is None or (isinstance(value, str) and not value.strip())):
            yield f"{place}: {key!r} has no value; give it one or remove the key."


def _structural_findings(statechart: Statechart) -> Iterator[tuple[str, str]]:
    """Find what sismic takes and can't run: the state, and what is wrong with it."""
    for name in statechart.states:
        state = statechart.state_for(name)
        if isinstance(state, (ShallowHistoryState, DeepHistoryState)):
            for finding in _history_findings(statechart, state):
                yield name, finding
        if isinstance(state, FinalState) and _is_parallel_root(statechart, statechart.parent_for(name)):
            # Sismic leaves the final state and the root, and forgets the other regions.
            yield name, f"state {name!r}: a parallel root never ends; wrap it in a compound root."
    for transition in statechart.transitions:
        if transition.event and "*" in transition.event:
            text = f"the event {transition.event!r} never matches; there are no wildcards: name each event."
            yield transition.source, f"state {transition.source!r}: {text}"


def _is_parallel_root(statechart: Statechart, name: str | None) -> bool:
    return name is not None and name == statechart.root and isinstance(statechart.state_for(name), OrthogonalState)


def _history_findings(statechart: Statechart, state: ShallowHistoryState | DeepHistoryState) -> Iterator[str]:
    if not state.memory:
        yield f"state {state.name!r}: a history state needs a default; name one as its `memory`."
    elif isinstance(statechart.state_for(state.memory), (ShallowHistoryState, DeepHistoryState)):
        yield f"state {state.name!r}: the default of a history state can't be a history state; name another one."
