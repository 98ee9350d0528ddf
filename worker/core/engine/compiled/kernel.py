"""One instance on a chart's tables: macrosteps as sismic makes them, whatever runs the code.

The order of everything that can be seen is sismic's: guards from the innermost state on, then for each transition
exits, action and entries, then what settles the configuration; what was sent is queued when its microstep is over.

Source: `sismic.interpreter.Interpreter.execute_once`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NoReturn, TypeVar

from worker.core.engine.compiled.tables import Edge, Move, Tables, bits

Taken = TypeVar("Taken")
"""What is kept of a microstep that was taken."""


class Kernel(ABC, Generic[Taken]):
    """Run one instance. After an error it is not to be used again.

    `active` is the configuration; `entering` has the state whose entry code runs. `memory` maps history states to the
    sorted names that they remember. Events are anything that has a `name`.
    """

    active = 0
    entering = 0
    started = False
    run: Callable[[Any, Any, bool], Sequence[Any]]
    """Run a piece of code; give what it sent. It is told the event of the microstep, and whether it is an action."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.memory: dict[str, tuple[str, ...]] = {}
        self.internal: list[Any] = []
        self.external: list[Any] = []
        self.sent: list[Any] = []

    @abstractmethod
    def begin(self, move: Move) -> None:
        """Make ready for a microstep."""

    @abstractmethod
    def holds(self, edge: Edge, event: Any) -> bool:
        """Evaluate a transition's guard; `event` is the one that it would take."""

    @abstractmethod
    def consume(self, event: Any) -> None:
        """Note that an event is taken."""

    @abstractmethod
    def queue_sent(self, event: Any) -> None:
        """Queue what code sent."""

    @abstractmethod
    def taken(self, move: Move, event: Any, sent: list[Any]) -> Taken:
        """Say what to keep of a microstep."""

    def next_queue(self) -> list[Any] | None:
        """Give the queue whose first event is next, if there is one."""
        return self.internal or self.external or None

    def first_of(self, queue: list[Any]) -> Any:
        """Give the event at the head of a queue."""
        return queue[0]

    def macrostep(self) -> list[Taken] | None:
        """Take one event, or what needs none, and settle. Give the microsteps; none: there was nothing to do."""
        if self.sent:
            self.sent.clear()
        if not self.started:
            self.started = True
            return self._applied([self.tables.opening], None)
        queue = self.next_queue()
        event = None if queue is None else self.first_of(queue)
        edges = self._chosen(None, None) if self.tables.has_eventless else []
        if not edges and event is not None:
            edges = self._chosen(event.name, event)
        if edges and edges[0].event is None:
            return self._applied(self.tables.moves(self.active, edges), None)
        if event is None:
            return None
        moves = self.tables.moves(self.active, edges)
        assert queue is not None
        del queue[0]
        self.consume(event)
        return self._applied(moves, event)

    def take(self, edges: list[Edge], event: Any) -> list[Taken]:
        """Make the macrostep in which these transitions, which are those that are enabled, take an event."""
        moves = self.tables.moves(self.active, edges)
        self.consume(event)
        return self._applied(moves, event)

    def _chosen(self, name: str | None, event: Any) -> list[Edge]:
        chosen: list[Edge] = []
        covered = 0
        for candidate in self.tables.candidates(self.active, name):
            if covered & candidate.bit:
                continue
            for group in candidate.groups:
                enabled = [edge for edge in group if not edge.guarded or self.holds(edge, event)]
                if enabled:
                    chosen += enabled
                    covered |= candidate.cover
                    break
        return chosen

    def _applied(self, moves: Iterable[Move], event: Any) -> list[Taken]:
        taken: list[Taken] = []
        tables = self.tables
        for move in moves:
            taken.append(self._apply(move, event))
            settling = tables.settling(self.active)
            while settling is not None:
                if settling.history >= 0:
                    name = tables.names[settling.history]
                    settling = tables.recall(settling.history, self.memory.get(name))
                taken.append(self._apply(settling, None))
                settling = tables.settling(self.active)
        return taken

    def _apply(self, move: Move, event: Any) -> Taken:
        self.begin(move)
        sent: list[Any] = []
        if move.leaving or self.active & move.exit_mask != move.exit_mask:
            self._leave(move, event, sent)
        else:
            self.active ^= move.exit_mask
        if move.action is not None:
            sent += self.run(move.action, event, True)  # noqa: FBT003  # Named arguments cost time here.
        if move.entering:
            for bit, code in move.entering:
                if code is not None:
                    self.entering = bit
                    sent += self.run(code, event, False)  # noqa: FBT003
                    self.entering = 0
                self.active |= bit
        else:
            self.active |= move.enter_mask
        for one in sent:
            self.queue_sent(one)
            self.sent.append(one)
        return self.taken(move, event, sent)

    def _leave(self, move: Move, event: Any, sent: list[Any]) -> None:
        before = self.active
        for bit, code, histories in move.leaving:
            if code is not None:
                sent += self.run(code, event, False)  # noqa: FBT003
            for history in histories:
                self.memory[history.name] = self.tables.remembered(history, before)
            if not self.active & bit:
                self._miss(bit)
            self.active ^= bit
        if not move.leaving:
            self._miss(move.exit_mask & ~before)

    def _miss(self, states: int) -> NoReturn:
        """Raise what sismic's set of states raises when one is left that is not in it."""
        raise KeyError(self.tables.names[next(bits(states))])
