"""Cut every arrow into hops, one for each sheet that it is on, and say which sides of the boxes it uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from worker.core.graphs.layout.model import Arrow, Vertex
from worker.core.graphs.layout.ranks import rank_states


class Side(StrEnum):
    """A side of a box. An arrow leads downwards from bottom to top, and back from top to bottom."""

    TOP = "top"
    BOTTOM = "bottom"


@dataclass(frozen=True, slots=True)
class Hop:
    """The part of an arrow on one sheet. An end is a state on the sheet, or None for the sheet's own border.

    A side is the one of the state, or of the border, that the line is on.
    """

    arrow: int
    tail: str | None
    tail_side: Side
    head: str | None
    head_side: Side
    labelled: bool


@dataclass(slots=True)
class Sheet:
    """What is on the sheet of a state that holds others: in which row each is, and the parts of arrows."""

    vertex: Vertex
    ranks: dict[str, int] = field(default_factory=dict)
    hops: list[Hop] = field(default_factory=list)


class Sheets:
    """The sheets of a chart, by their states, and the sheets that each arrow goes through, in its direction.

    `loops` are the arrows that lead from a state to itself, by that state.
    """

    def __init__(self, vertices: Mapping[str, Vertex], arrows: Sequence[Arrow]) -> None:
        self.parents = {child: vertex.name for vertex in vertices.values() for child in vertex.children}
        self.by_state = {vertex.name: Sheet(vertex) for vertex in vertices.values() if vertex.children}
        self.ways: dict[int, list[str]] = {}
        self.loops: dict[str, int] = {}
        self._lines_up = {arrow: self._line_up(arrow) for arrow in dict.fromkeys(arrows)}
        for sheet in self.by_state.values():
            sheet.ranks = self._ranks(sheet.vertex, arrows)
        for number, arrow in enumerate(arrows):
            if arrow.source == arrow.target:
                self.loops[arrow.source] = number
            else:
                self._add(number, arrow)

    def _ranks(self, vertex: Vertex, arrows: Sequence[Arrow]) -> dict[str, int]:
        if vertex.side_by_side:
            return dict.fromkeys(vertex.children, 0)
        found = (self._lines_up[arrow] for arrow in arrows if arrow.source != arrow.target)
        ends = [(out[-1], into[-1]) for where, out, into in found if where == vertex.name and out and into]
        return rank_states(vertex.children, vertex.initial, ends)

    def _line_up(self, arrow: Arrow) -> tuple[str, list[str], list[str]]:
        """Give the innermost state that holds both ends, and what is between it and each end, this end first."""
        out, into = self._upwards(arrow.source), self._upwards(arrow.target)
        common = next(name for name in out if name in into)
        return common, out[: out.index(common)], into[: into.index(common)]

    def _upwards(self, name: str) -> list[str]:
        names = [name]
        while names[-1] in self.parents:
            names.append(self.parents[names[-1]])
        return names

    def _add(self, number: int, arrow: Arrow) -> None:
        common, out, into = self._lines_up[arrow]
        tail_side, head_side = self._sides(common, out, into)
        # Up to the border of what holds both ends, across it, and down again.
        hops = [
            *((outer, inner, None, tail_side, tail_side) for inner, outer in pairwise(out)),
            (common, out[-1] if out else None, into[-1] if into else None, tail_side, head_side),
            *((outer, None, inner, head_side, head_side) for outer, inner in pairwise(reversed(into))),
        ]
        self.ways[number] = [sheet for sheet, *_ in hops]
        for index, (sheet, tail, head, leaving, entering) in enumerate(hops):
            labelled = index == 0 and arrow.label.width > 0
            self.by_state[sheet].hops.append(Hop(number, tail, leaving, head, entering, labelled=labelled))

    def _sides(self, common: str, out: list[str], into: list[str]) -> tuple[Side, Side]:
        if not out:
            return Side.TOP, Side.TOP
        if not into:
            return Side.BOTTOM, Side.BOTTOM
        ranks = self.by_state[common].ranks
        if ranks[out[-1]] == ranks[into[-1]]:
            return Side.BOTTOM, Side.BOTTOM
        return (Side.BOTTOM, Side.TOP) if ranks[out[-1]] < ranks[into[-1]] else (Side.TOP, Side.BOTTOM)
