"""Lay out the sheets of a chart from the inside to the outside, then put them into one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from worker.core.graphs.layout.grid import LABEL_GAP, Cell, Grid, Kind, make_grid
from worker.core.graphs.layout.hops import Sheets
from worker.core.graphs.layout.model import NOTHING, Arrow, Box, Layout, Path, Point, Size, Vertex, simplified
from worker.core.graphs.layout.ordering import order_rows
from worker.core.graphs.layout.placing import place_nodes
from worker.core.graphs.layout.routing import PADDING, Routes, route

_CANVAS: Final = ""
"""The sheet that the whole chart is on. No state has this name."""

_LOOP_WIDTH: Final = 22.0
_LOOP_HEIGHT: Final = 18.0
_LOOP_TOP: Final = 12.0


def lay_out(vertices: Sequence[Vertex], arrows: Sequence[Arrow]) -> Layout:
    """Lay out a chart. The first vertex is the root; every other one is a child of exactly one."""
    canvas = Vertex(_CANVAS, NOTHING, (vertices[0].name,))
    by_name = {vertex.name: vertex for vertex in (canvas, *vertices)}
    return _Nesting(by_name, arrows).layout()


@dataclass(frozen=True, slots=True)
class _Laid:
    """A sheet that is laid out, and the room that it takes."""

    grid: Grid
    routes: Routes
    size: Size


class _Nesting:
    def __init__(self, vertices: Mapping[str, Vertex], arrows: Sequence[Arrow]) -> None:
        self._vertices = vertices
        self._arrows = arrows
        self._sheets = Sheets(vertices, arrows)
        self._laid: dict[str, _Laid] = {}
        self._boxes: dict[str, Box] = {}
        self._labels: dict[int, Box] = {}
        self._parts: dict[tuple[int, str], Path] = {}
        self._starts: dict[str, Box] = {}
        self._start_paths: dict[str, Path] = {}
        self._dividers: list[tuple[Point, Point]] = []

    def layout(self) -> Layout:
        names = [_CANVAS]
        for name in names:
            names += self._vertices[name].children
        for name in reversed(names):
            if self._vertices[name].children:
                self._lay(name)
        for name in names:
            if self._vertices[name].children:
                self._put(name)
        paths = {
            arrow: _connected([self._parts[arrow, sheet] for sheet in way]) for arrow, way in self._sheets.ways.items()
        }
        del self._boxes[_CANVAS]
        loops = {arrow: self._loop(self._boxes[state]) for state, arrow in self._sheets.loops.items()}
        return Layout(
            size=self._laid[_CANVAS].size,
            boxes=self._boxes,
            paths=dict(sorted((paths | loops).items())),
            labels=dict(sorted(self._labels.items())),
            starts=self._starts,
            start_paths=self._start_paths,
            dividers=tuple(self._dividers),
        )

    def _lay(self, name: str) -> None:
        sheet = self._sheets.by_state[name]
        cells = {child: self._cell(child) for child in sheet.ranks}
        labels = {number: arrow.label for number, arrow in enumerate(self._arrows)}
        grid = make_grid(sheet, cells, labels)
        order_rows(grid)
        place_nodes(grid)
        routes = route(grid)
        self._laid[name] = _Laid(grid, routes, Size(routes.width + 2 * PADDING, routes.height))

    def _cell(self, name: str) -> Cell:
        laid = self._laid.get(name)
        box = self._vertices[name].size if laid is None else laid.size
        ports = {} if laid is None else {key: x + PADDING for key, x in laid.routes.ports.items()}
        loop = self._sheets.loops.get(name)
        if loop is None:
            return Cell(box, box, ports)
        label = self._arrows[loop].label
        room = _LOOP_WIDTH + LABEL_GAP + label.width
        height = max(box.height, _LOOP_TOP + max(_LOOP_HEIGHT, label.height))
        return Cell(box, Size(box.width + room, height), ports)

    def _put(self, name: str) -> None:
        """Say where everything on a sheet is in the whole picture; its own box is known."""
        laid = self._laid[name]
        outer = self._boxes.setdefault(name, Box(0, 0, *laid.size))
        corner = Point(outer.x + PADDING, outer.y)
        tops = laid.routes.tops
        for state, node in laid.grid.states.items():
            box = self._boxes[state] = Box(node.x, tops[node.row], *node.box).moved(corner)
            if state in self._sheets.loops:
                self._put_loop_label(self._sheets.loops[state], box)
        for arrow, node in laid.grid.labels.items():
            x = node.x + node.width - node.box.width
            self._labels[arrow] = Box(x, tops[node.row], *node.box).moved(corner)
        for arrow, path in laid.routes.paths.items():
            self._parts[arrow, name] = tuple(point.moved(corner) for point in path)
        if laid.routes.start is not None and laid.grid.start is not None:
            mark = laid.grid.start.nodes[0]
            self._starts[name] = Box(mark.x, tops[mark.row], mark.width, mark.height).moved(corner)
            self._start_paths[name] = tuple(point.moved(corner) for point in laid.routes.start)
        if self._vertices[name].side_by_side:
            self._divide(name, corner)

    def _divide(self, name: str, corner: Point) -> None:
        laid = self._laid[name]
        regions = [node for row in laid.grid.rows for node in row if node.kind is Kind.STATE]
        for left, right in pairwise(regions):
            x = corner.x + (left.x + left.width + right.x) / 2
            top = corner.y + laid.routes.tops[left.row]
            self._dividers.append((Point(x, top), Point(x, top + max(node.height for node in regions))))

    def _put_loop_label(self, arrow: int, box: Box) -> None:
        label = self._arrows[arrow].label
        if label.width:
            self._labels[arrow] = Box(box.right + _LOOP_WIDTH + LABEL_GAP, box.y + _LOOP_TOP, *label)

    def _loop(self, box: Box) -> Path:
        top = box.y + min(_LOOP_TOP, box.height / 4)
        bottom, out = top + min(_LOOP_HEIGHT, box.height / 2), box.right + _LOOP_WIDTH
        return Point(box.right, top), Point(out, top), Point(out, bottom), Point(box.right, bottom)


def _connected(parts: Sequence[Path]) -> Path:
    """Join the parts of an arrow: each begins where the one before ends."""
    points: list[Point] = list(parts[0])
    for part in parts[1:]:
        points += part[1:]
    return simplified(points)
