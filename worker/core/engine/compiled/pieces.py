"""A chart's code, with what each piece touches of the context, and the namespace that each step's begins as."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final, final

from sismic.model import Transition

from worker.core.engine.chart import Chart
from worker.core.engine.compiled.tables import Tables
from worker.core.engine.snippets import BUILTINS, PROVIDED, Snippet

_VALUES: Final = frozenset({"__old__", "event", "init", "new_id", "now", "subject"})
_OF_THE_STEP: Final = frozenset({"new_id", "now", "subject"})


@final
class Piece:
    """One piece of code. `touched` names the context variables that it reads, changes or sets."""

    __slots__ = ("code", "pure", "reads_event", "snippet", "temporaries", "touched")

    def __init__(self, snippet: Snippet, context_names: frozenset[str]) -> None:
        self.snippet = snippet
        self.code = snippet.code
        self.temporaries = snippet.temporaries
        self.touched = tuple(sorted(context_names & (snippet.loads | snippet.stores)))
        self.reads_event = "event" in snippet.loads
        self.pure = snippet.pure and not snippet.temporaries


@final
class Pieces:
    """All code of a chart, and its tables."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.context_names = frozenset(chart.context_names)
        self.get_variables = itemgetter(*chart.context_names, "init", "init")
        snippets = tuple(chart.snippets)
        loads = frozenset(name for snippet in snippets for name in snippet.loads)
        self.provided = tuple(sorted((PROVIDED - _VALUES) & loads))
        self.values = tuple(sorted(_OF_THE_STEP & loads))
        self.touches_init = any("init" in snippet.loads for snippet in snippets if snippet is not chart.preamble)
        self.namespace: dict[str, Any] = {**chart.functions, "__builtins__": dict(BUILTINS), "__name__": "chart"}
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

    def note_on(self, pieces: tuple[Piece, ...]) -> tuple[str, ...]:
        """Name the context variables that pieces touch."""
        return tuple(sorted({name for piece in pieces for name in piece.touched}))

    def names_with(self, context: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the context's variables; those of an earlier chart of the same version are kept."""
        if context.keys() <= self.context_names:
            return self.chart.context_names
        return tuple(sorted(self.context_names | context.keys()))

    def _piece(self, snippet: Snippet | None) -> Piece | None:
        return None if snippet is None else Piece(snippet, self.context_names)
