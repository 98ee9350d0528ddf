"""A chart's code, with what each piece touches of the context, and the namespace that each step's begins as."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Self, final

from sismic.model import Transition

from worker.core.engine.chart import Chart
from worker.core.engine.compiled.tables import Tables
from worker.core.engine.snippets import BUILTINS, PROVIDED, Snippet

_VALUES: Final = frozenset({"__old__", "event", "init", "new_id", "now", "subject"})
_OF_THE_STEP: Final = frozenset({"new_id", "now", "subject"})


@final
class Piece:
    """One piece of code. `reads` and `sets` name the context variables that it reads or changes, and those it sets."""

    __slots__ = ("code", "pure", "reads", "reads_event", "sets", "snippet", "temporaries")

    def __init__(self, snippet: Snippet, context_names: frozenset[str]) -> None:
        self.snippet = snippet
        self.code = snippet.code
        self.temporaries = snippet.temporaries
        self.reads = tuple(sorted(context_names & snippet.loads))
        self.sets = tuple(sorted(context_names & snippet.stores))
        self.reads_event = "event" in snippet.loads
        self.pure = snippet.pure and not snippet.temporaries


class Touched(NamedTuple):
    """The context variables that pieces touch, as each piece names them."""

    reads: tuple[str, ...]
    sets: tuple[str, ...]

    @classmethod
    def by(cls, pieces: Iterable[Piece]) -> Self:
        """Give what pieces touch."""
        found = tuple(pieces)
        reads = {name for piece in found for name in piece.reads}
        sets = {name for piece in found for name in piece.sets}
        return cls(tuple(sorted(reads)), tuple(sorted(sets)))


@final
class Pieces:
    """All code of a chart, and its tables."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.context_names = frozenset(chart.context_names)
        snippets = tuple(chart.snippets)
        loads = frozenset(name for snippet in snippets for name in snippet.loads)
        self.provided = tuple(sorted((PROVIDED - _VALUES) & loads))
        self.values = tuple(sorted(_OF_THE_STEP & loads))
        self.touches_init = any("init" in snippet.loads for snippet in snippets if snippet is not chart.preamble)
        self.touches_init_at_start = "init" in loads
        self.namespace: dict[str, Any] = {
            **chart.functions,
            "__builtins__": dict(BUILTINS),
            "__name__": "chart",
            **dict.fromkeys(("event", "init", *self.provided, *self.values)),
        }
        # What an earlier chart's variables are called may be something else's name by now.
        self.hides = frozenset(self.namespace)
        self.preamble = self._piece(chart.preamble)
        self.tables = Tables(chart.statechart, self)

    def entry_of(self, state: str) -> Piece | None:
        """Give a state's entry code."""
        return self._piece(self.chart.entries.get(state))

    def exit_of(self, state: str) -> Piece | None:
        """Give a state's exit code."""
        return self._piece(self.chart.exits.get(state))

    def action_of(self, transition: Transition) -> Piece | None:
        """Give a transition's action."""
        return self._piece(self.chart.actions.get(id(transition)))

    def guard_of(self, transition: Transition) -> Piece | None:
        """Give a transition's guard."""
        return self._piece(self.chart.guards.get(id(transition)))

    def note_on(self, pieces: tuple[Piece, ...]) -> Touched:
        """Name the context variables that pieces touch."""
        return Touched.by(pieces)

    def _piece(self, snippet: Snippet | None) -> Piece | None:
        return None if snippet is None else Piece(snippet, self.context_names)
