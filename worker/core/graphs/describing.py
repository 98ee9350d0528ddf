"""A chart in sentences: what a picture says to whom can't see it."""

from collections.abc import Iterable, Iterator, Mapping

from worker.core.engine.outline import Outline
from worker.core.graphs.wording import Edge, StateWords, TransitionWords


def sentences_of(outline: Outline, words_of: Mapping[str, StateWords], edges: Iterable[Edge]) -> Iterator[str]:
    """Tell the whole chart."""
    for name, state in outline.states.items():
        words = words_of[name]
        parts = [f"{name} is a {words.kind.value} state"]
        if state.initial is not None:
            parts.append(f"begins in {state.initial}")
        yield "; ".join([*parts, *_emission_clauses(words)]) + "."
        yield from (f"In {name}: {_clause(one)}." for one in words.internal)
    for edge in edges:
        yield from sentences_of_edge(edge)


def _emission_clauses(words: StateWords) -> Iterator[str]:
    for moment, emissions in (("entered", words.entry), ("left", words.exit)):
        for emitted in emissions:
            yield f"emits {emitted.type} into {emitted.where} when {moment}"


def sentences_of_edge(edge: Edge) -> Iterator[str]:
    """Tell the transitions of one line."""
    if not edge.transitions:
        yield f"From {edge.source} to {edge.target} by default."
    for one in edge.transitions:
        yield f"From {edge.source} to {edge.target}: {_clause(one)}."


def _clause(one: TransitionWords) -> str:
    parts = [one.trigger, one.guard and f"if {one.guard}"]
    parts += (f"emits {emitted.type} into {emitted.where}" for emitted in one.emitted)
    return ", ".join(part for part in parts if part)
