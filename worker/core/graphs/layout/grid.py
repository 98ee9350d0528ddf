"""The rows of one sheet: states, labels, marks, and what keeps room for lines that pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from worker.core.graphs.layout.hops import Hop, Sheet, Side
from worker.core.graphs.layout.model import NOTHING, Size

STATES_GAP: Final = 28.0
LINES_GAP: Final = 14.0
"""How far lines are apart that run down beside each other; ports of one box, too."""

GAP: Final = 18.0
LABEL_GAP: Final = 6.0
"""Between a line and its label."""

PORT_MARGIN: Final = 12.0
"""How far the ports of a box keep from its corners."""

_CENTRE: Final = 0.1
"""How much it matters, beside being straight, that a line is at the middle of a box."""

_MAIN_WEIGHT: Final = 20.0
_STRAIGHT_WEIGHTS: Final = (1.0, 1.0, 8.0)
"""How much it matters that a link is straight, by how many of its ends are no states."""


class Kind(StrEnum):
    """Say what a node of the grid stands for."""

    STATE = "state"
    LABEL = "label"
    PASSING = "passing"
    BORDER = "border"
    """Where a line crosses the sheet's border."""
    HEADER = "header"
    START = "start"
    TURN = "turn"
    """Where a line between two states of one row turns, in the channel above it; it may have a label below that."""


@dataclass(eq=False, slots=True)
class Node:
    """One thing in a row.

    `line` is how far right of the node's left end its line, or the middle of its box, is. `ports` tells where lines
    leave a state that was laid out before, by arrow.
    """

    kind: Kind
    row: int
    width: float
    height: float = 0.0
    line: float = 0.0
    name: str = ""
    box: Size = NOTHING
    ports: Mapping[int, float] = field(default_factory=dict)
    above: list["Link"] = field(default_factory=list)
    below: list["Link"] = field(default_factory=list)
    x: float = 0.0
    place: int = 0
    """Its number in its row."""

    @property
    def is_fixed(self) -> bool:
        """Tell whether it stands first in its row, whatever comes."""
        return self.kind is Kind.HEADER

    def link_offset(self, arrow: int) -> float:
        """Give how far right of its left end a link is, as far as that is known before ports are chosen."""
        return self.ports.get(arrow, self.line)


@dataclass(eq=False, slots=True)
class Link:
    """A part of a line, from a node to one in the next row."""

    upper: Node
    lower: Node
    arrow: int
    weight: float
    slack: float = 0.0
    """How far apart its ends may be without a bend: a port can be anywhere on its side of a box."""

    def pull(self, end: Node) -> list[tuple[float, float]]:
        """Give how far the link would have one of its ends move to the right, and how much each of that matters."""
        bend = self.bend if end is self.upper else -self.bend
        if not self.slack:
            return [(bend, self.weight)]
        # Half of the weight at each end of the room costs nothing between them.
        sides = [(bend - self.slack, self.weight / 2), (bend + self.slack, self.weight / 2)]
        return [*sides, (bend, self.weight * _CENTRE)]

    @property
    def bend(self) -> float:
        """Tell how far right of its upper end its lower end is."""
        upper = self.upper.x + self.upper.link_offset(self.arrow)
        return self.lower.x + self.lower.link_offset(self.arrow) - upper


@dataclass(slots=True)
class Trail:
    """The nodes that a hop, or the line from the mark of the initial state, goes through, in its direction."""

    nodes: list[Node]
    links: list[Link]


@dataclass(slots=True)
class Grid:
    """All rows of a sheet, and the way of each arrow through them; `start` is the way from the mark."""

    rows: list[list[Node]]
    states: dict[str, Node]
    labels: dict[int, Node]
    trails: dict[int, Trail]
    start: Trail | None
    keeps_order: bool

    def links_below(self, row: int) -> Iterator[Link]:
        """Go through the links from this row to the next."""
        for node in self.rows[row]:
            yield from node.below


@dataclass(frozen=True, slots=True)
class Cell:
    """The room of a state that is laid out: its box, with the loop of a transition to itself at its right side."""

    box: Size
    size: Size
    ports: Mapping[tuple[int, Side], float]


START: Final = -1
"""Stands for the arrow from the mark of the initial state."""


def make_grid(sheet: Sheet, cells: Mapping[str, Cell], labels: Mapping[int, Size]) -> Grid:
    """Put everything of a sheet into rows; the order within them is not yet a good one."""
    return _Builder(sheet, cells, labels).grid()


def gap_between(left: Node, right: Node) -> float:
    """Give the room that two neighbours of a row keep free."""
    kinds = {left.kind, right.kind}
    if kinds == {Kind.STATE}:
        return STATES_GAP
    return LINES_GAP if kinds <= {Kind.PASSING, Kind.BORDER} else GAP


def _slack(node: Node, link: Link) -> float:
    """Give how far from the middle of a box a line may be: what the other lines of that side leave."""
    if node.kind is not Kind.STATE or link.arrow in node.ports:
        return 0.0
    others = len(node.below if node is link.upper else node.above) - 1
    return max(0.0, node.box.width / 2 - PORT_MARGIN - others * LINES_GAP)


class _Builder:
    def __init__(self, sheet: Sheet, cells: Mapping[str, Cell], labels: Mapping[int, Size]) -> None:
        self._sheet = sheet
        self._sizes = labels
        self._labels: dict[int, Node] = {}
        vertex = sheet.vertex
        header = Node(Kind.HEADER, -2, vertex.size.width, vertex.size.height)
        self._states = {name: self._state(name, cells[name]) for name in sheet.ranks}
        self._nodes = [header, *self._states.values()]
        self._bottom = 2 * max(sheet.ranks.values()) + 2

    def grid(self) -> Grid:
        vertex = self._sheet.vertex
        ways = {hop.arrow: self._way(hop) for hop in self._sheet.hops}
        start = None
        if vertex.initial is not None:
            initial = self._states[vertex.initial]
            mark = Node(Kind.START, initial.row - 1, vertex.start.width, vertex.start.height, vertex.start.height / 2)
            self._nodes.append(mark)
            start = [mark, initial]
        rows = {row: index for index, row in enumerate(sorted({node.row for node in self._nodes}))}
        for node in self._nodes:
            node.row = rows[node.row]
        main = self._main_arrows()
        trails = {arrow: self._trail(arrow, way, is_main=arrow in main) for arrow, way in ways.items()}
        start_trail = None if start is None else self._trail(START, start, is_main=True)
        for arrow, trail in trails.items():
            if arrow not in main:
                for link in trail.links:
                    link.slack = sum(_slack(node, link) for node in (link.upper, link.lower))
        ordered: list[list[Node]] = [[] for _ in rows]
        for node in self._nodes:
            ordered[node.row].append(node)
        return Grid(ordered, self._states, self._labels, trails, start_trail, vertex.side_by_side)

    def _state(self, name: str, cell: Cell) -> Node:
        ports = {arrow: offset for (arrow, _), offset in cell.ports.items()}
        row = 2 * self._sheet.ranks[name]
        return Node(Kind.STATE, row, cell.size.width, cell.size.height, cell.box.width / 2, name, cell.box, ports)

    def _way(self, hop: Hop) -> list[Node]:
        """Give the nodes that a hop goes through, without those in rows that it only passes."""
        tail, head = self._end(hop.tail, hop.tail_side), self._end(hop.head, hop.head_side)
        is_turn = hop.tail_side is Side.BOTTOM and hop.head_side is Side.BOTTOM and bool(hop.tail and hop.head)
        if not (hop.labelled or is_turn):
            return [tail, head]
        label = self._label(hop, tail, Kind.TURN if is_turn else Kind.LABEL)
        return [tail, label, head]

    def _end(self, name: str | None, side: Side) -> Node:
        if name is not None:
            return self._states[name]
        node = Node(Kind.BORDER, self._bottom if side is Side.BOTTOM else -2, 0.0)
        self._nodes.append(node)
        return node

    def _label(self, hop: Hop, tail: Node, kind: Kind) -> Node:
        size = self._sizes[hop.arrow] if hop.labelled else NOTHING
        below = tail.kind is Kind.BORDER or hop.tail_side is Side.BOTTOM
        row = tail.row + 1 if below else tail.row - 1
        node = Node(kind, row, LABEL_GAP + size.width, size.height, box=size)
        self._nodes.append(node)
        if hop.labelled:
            self._labels[hop.arrow] = node
        return node

    def _trail(self, arrow: int, way: list[Node], *, is_main: bool) -> Trail:
        """Fill the rows between the nodes of a way, and link them."""
        nodes = [way[0]]
        for node in way[1:]:
            step = 1 if node.row > nodes[-1].row else -1
            for row in range(nodes[-1].row + step, node.row, step):
                passing = Node(Kind.PASSING, row, 0.0)
                self._nodes.append(passing)
                nodes.append(passing)
            nodes.append(node)
        links = [self._link(arrow, a, b, is_main=is_main) for a, b in pairwise(nodes)]
        return Trail(nodes, links)

    def _link(self, arrow: int, a: Node, b: Node, *, is_main: bool) -> Link:
        upper, lower = (a, b) if a.row < b.row else (b, a)
        lines = sum(node.kind is not Kind.STATE for node in (upper, lower))
        weight = _STRAIGHT_WEIGHTS[lines] * (_MAIN_WEIGHT if is_main else 1.0)
        link = Link(upper, lower, arrow, weight)
        upper.below.append(link)
        lower.above.append(link)
        return link

    def _main_arrows(self) -> set[int]:
        """Find the arrows of the way that one expects: the first down from each state."""
        firsts: dict[str, int] = {}
        for hop in sorted(self._sheet.hops, key=lambda hop: hop.arrow):
            if hop.tail is not None and hop.tail_side is Side.BOTTOM:
                firsts.setdefault(hop.tail, hop.arrow)
        return set(firsts.values())
