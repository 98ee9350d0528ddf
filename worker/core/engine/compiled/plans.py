"""What an event does in a configuration, worked out when it first comes and then only looked up.

A `Plan` holds the transitions that an event could trigger in a configuration; a `Way` the whole macrostep of some of
them: all code in its order, and where it ends. Both follow from the chart alone, what is active and what history
states remember; code decides only which transitions are enabled.
"""

from collections.abc import Callable, Mapping
from types import CodeType
from typing import TYPE_CHECKING, Final, NamedTuple, final

from worker.core.engine.api import Microstep, Snapshot
from worker.core.engine.compiled.pieces import Piece, Pieces, Touched
from worker.core.engine.compiled.tables import Candidate, Edge, Move, Tables, bits, keep

if TYPE_CHECKING:
    from worker.core.engine.compiled.straight import Straight

_ASKS_ABOUT_THE_MACROSTEP: Final = frozenset({"sent"})
"""What code asks that changes from one microstep of a way to the next."""


MOVES_MAX: Final = 1_000
"""Longer ways are left to the kernel."""


class Run(NamedTuple):
    """One piece of a way; `is_active` is what it is told about states, if it asks."""

    piece: Piece
    code: CodeType
    temporaries: tuple[str, ...]
    is_active: Callable[[object], bool] | None


@final
class Way:
    """One macrostep.

    `reads` and `sets` name the context variables of all its code. `history` is what history states remember
    afterwards, by name. `goes_on` is true if an eventless transition might follow.
    """

    __slots__ = (
        "active",
        "configuration",
        "done",
        "goes_on",
        "history",
        "moved",
        "moves",
        "reads",
        "runs",
        "sets",
        "trace",
    )

    def __init__(self, path: "_Path", tables: Tables, event: str | None) -> None:
        moves = path.moves
        self.moves: tuple[Move, ...] = tuple(moves)
        self.runs: tuple[Run, ...] = tuple(path.runs)
        self.reads, self.sets = Touched.by(piece for move in moves for piece in move.pieces)
        self.trace = tuple(Microstep(event, (), ()) if move is tables.empty else move.trace for move in moves)
        self.active = path.active
        self.configuration = tables.configuration(path.active)
        self.done = not path.active
        self.moved = event is None or moves[0] is not tables.empty
        self.history = {name: path.memory[name] for name in sorted(path.memory)}
        self.goes_on = tables.has_eventless and bool(tables.candidates(path.active, None))


@final
class Plan:
    """What one event could trigger in one configuration.

    `edges` are the transitions of all candidates, in order; `straight` has the functions made of them.
    `reads` names the context variables of all guards. `reads_data` is true if a guard or an action asks for the
    event's data.
    """

    __slots__ = (
        "_active",
        "_memory",
        "_tables",
        "_ways",
        "candidates",
        "edges",
        "event",
        "is_active",
        "reads",
        "reads_data",
        "straight",
    )

    def __init__(self, tables: Tables, active: int, event: str, memory: Mapping[str, tuple[str, ...]]) -> None:
        self.candidates: tuple[Candidate, ...] = tables.candidates(active, event)
        self.edges = edges = [edge for one in self.candidates for group in one.groups for edge in group]
        self.reads = Touched.by(edge.guard for edge in edges if edge.guard).reads
        pieces = [piece for edge in edges for piece in (edge.guard, edge.action) if piece]
        self.reads_data = any(piece.reads_event and "data" in piece.code.co_names for piece in pieces)
        self.is_active = _names(tables, active).__contains__
        self._tables = tables
        self._active = active
        self.event = event
        self._memory = memory
        self._ways: dict[tuple[Edge, ...], Way | None] = {}
        self.straight: Straight | None = None

    def way(self, edges: list[Edge]) -> Way | None:
        """Give the way of the transitions that are enabled; none: it is to be found step by step.

        Raises: NonDeterminismError, ConflictingTransitionsError, StatechartError.
        """
        key = tuple(edges)
        try:
            return self._ways[key]
        except KeyError:
            moves = self._tables.moves(self._active, edges)
            return keep(self._ways, key, _way(self._tables, moves, self._active, self._memory, self.event))


@final
class Plans:
    """The plans of one chart."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._tables = pieces.tables
        self._plans: dict[tuple[object, ...], Plan] = {}
        self.opening = _way(pieces.tables, [pieces.tables.opening], 0, {}, None, pieces.preamble)

    def find(self, snapshot: Snapshot, event: str) -> Plan | None:
        """Give the plan of an event where a snapshot is; none: the kernel has to look."""
        history = snapshot.history
        key: tuple[object, ...] = (snapshot.configuration, event)
        if history:
            key = (*key, *history.items())
        try:
            return self._plans[key]
        except (KeyError, TypeError):
            return self._made(key, snapshot, event)

    def _made(self, key: tuple[object, ...], snapshot: Snapshot, event: str) -> Plan | None:
        tables = self._tables
        if any(name not in tables.index for name in snapshot.configuration):
            return None
        active = 0
        for name in snapshot.configuration:
            active |= 1 << tables.index[name]
        eventless = tables.candidates(active, None)
        if any(not edge.guarded for one in eventless for group in one.groups for edge in group):
            return None
        # Events that nothing waits for may have any name.
        if not tables.candidates(active, event):
            return None
        memory = {name: tuple(sorted(states)) for name, states in snapshot.history.items()}
        plan = Plan(tables, active, event, memory)
        try:
            return keep(self._plans, key, plan)
        except TypeError:
            # Custom memories may give lists.
            return plan


class _Unforeseen(Exception):  # It is no error: the kernel goes that way, and says what is wrong with it.
    """The way leads where only the kernel can tell what happens."""


def _way(  # noqa: PLR0913  # What there is to know of a macrostep.
    tables: Tables,
    moves: list[Move],
    active: int,
    memory: Mapping[str, tuple[str, ...]],
    event: str | None,
    preamble: Piece | None = None,
) -> Way | None:
    path = _Path(tables, active, memory)
    try:
        path.run(preamble, 0)
        path.follow(moves)
    except _Unforeseen:
        return None
    return Way(path, tables, event)


class _Path:
    """Follow moves as the kernel makes them, noting code in place of running it."""

    def __init__(self, tables: Tables, active: int, memory: Mapping[str, tuple[str, ...]]) -> None:
        self._tables = tables
        self.active = active
        self.memory = dict(memory)
        self.moves: list[Move] = []
        self.runs: list[Run] = []

    def follow(self, moves: list[Move]) -> None:
        tables = self._tables
        for move in moves:
            self._make(move)
            settling = tables.settling(self.active)
            while settling is not None:
                if settling.history >= 0:
                    settling = self._recalled(settling.history)
                self._make(settling)
                settling = tables.settling(self.active)

    def run(self, piece: Piece | None, active: int) -> None:
        if piece is None:
            return
        loads = piece.snippet.loads
        if loads & _ASKS_ABOUT_THE_MACROSTEP:
            raise _Unforeseen
        is_active = _names(self._tables, active).__contains__ if "active" in loads else None
        self.runs.append(Run(piece, piece.code, piece.temporaries, is_active))

    def _recalled(self, history: int) -> Move:
        try:
            return self._tables.recall(history, self.memory.get(self._tables.names[history]))
        except Exception as error:
            raise _Unforeseen from error

    def _make(self, move: Move) -> None:
        if self.active & move.exit_mask != move.exit_mask or len(self.moves) >= MOVES_MAX:
            raise _Unforeseen
        self.moves.append(move)
        before = self.active
        for bit, code, histories in move.leaving:
            self.run(code, self.active)
            for history in histories:
                try:
                    self.memory[history.name] = self._tables.remembered(history, before)
                except AssertionError:
                    raise _Unforeseen from None
            self.active ^= bit
        self.active &= ~move.exit_mask
        self.run(move.action, self.active)
        for bit, code in move.entering:
            self.run(code, self.active | bit)
            self.active |= bit
        self.active |= move.enter_mask


def _names(tables: Tables, active: int) -> frozenset[str]:
    return frozenset(tables.names[state] for state in bits(active))
