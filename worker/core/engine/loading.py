"""Read a statechart from YAML, and refuse what sismic would take silently for something else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

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
from worker.core.engine.shape import shape_findings
from worker.core.engine.structure import FrozenStatechart
from worker.core.errors import SetupError

_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a statechart is from: its name for error texts, and its file, if it has one."""

    name: str
    file: Path | None

    def at(self, line: int | None) -> str:
        """Name a line: of a file as editors find it, of a text in words."""
        if line is None:
            return self.name
        return f"{self.name}, line {line}" if self.file is None else f"{self.name}:{line}"

    def refusal(self, line: int | None, finding: str) -> SetupError:
        """Make the error that refuses a chart for a finding."""
        return SetupError(f"{self.at(line)}: {finding}", file=None if self.file is None else self.name, line=line)


@dataclass(frozen=True, slots=True)
class LoadedStatechart:
    """A statechart, where it is from, and where its parts stand in its text."""

    statechart: FrozenStatechart
    origin: Origin
    positions: Positions = field(default_factory=Positions)


def load_statechart(source: str | Path | Statechart, name: str | None) -> LoadedStatechart:
    """Read a statechart from YAML text, a file or sismic's own model.

    A text of one line that ends in `.yaml` or `.yml` names a file.
    Raises: SetupError.
    """
    if isinstance(source, str) and "\n" not in source and source.endswith(_ENDINGS):
        source = Path(source)
    file = source if isinstance(source, Path) else None
    if isinstance(source, Statechart):
        place = Origin(name or f"statechart {source.name!r}", None)
        loaded = LoadedStatechart(_validated(source, place), place)
    else:
        place = Origin(str(file) if file else name or "statechart", file)
        loaded = _read(_text(source, place), place)
    for state, finding in _structural_findings(loaded.statechart):
        raise place.refusal(loaded.positions.states.get(state), finding)
    return loaded


def canonical_text(statechart: Statechart) -> str:
    """Write a statechart as YAML; the same chart always gives the same text."""
    text: str = export_to_yaml(statechart)
    return text


def _text(source: str | Path, place: Origin) -> str:
    if isinstance(source, str):
        return source
    try:
        return source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise place.refusal(None, f"the statechart can't be read ({error}); name a YAML file in UTF-8.") from error


def _read(text: str, place: Origin) -> LoadedStatechart:
    try:
        reader = YAML(typ="safe", pure=True)
        node, document = reader.compose(text), reader.load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise place.refusal(line, f"no valid YAML ({error.problem}); correct it.") from error
    except (YAMLError, ValueError) as error:
        raise place.refusal(None, f"no valid YAML ({error}); correct it.") from error
    for line, finding in shape_findings(node):
        raise place.refusal(line, finding)
    try:
        statechart = import_from_dict(document)
    except StatechartError as error:
        raise _refused(place, error) from error
    return LoadedStatechart(FrozenStatechart(statechart), place, positions_of(node, text))


def _validated(statechart: Statechart, place: Origin) -> FrozenStatechart:
    if statechart.root is None:
        raise place.refusal(None, "the chart has no root state; give it one.")
    try:
        statechart.validate()
    except StatechartError as error:
        raise _refused(place, error) from error
    return FrozenStatechart(statechart)


def _refused(place: Origin, error: StatechartError) -> SetupError:
    return place.refusal(None, f"sismic refuses the chart: {_reason(error)}; correct it.")


def _reason(error: StatechartError) -> str:
    """Find the line that says it in the tower of texts that the schema library builds."""
    lines = [line for line in getattr(error.__cause__, "autos", ()) if line]
    return str(lines[-1] if lines else error.__cause__ or error)


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
