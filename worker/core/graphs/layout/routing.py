"""Lead the lines of a placed grid: ports on the boxes, channels between the rows, corners.

Within a row a line runs straight down; between two rows is a channel, high enough for all the horizontal parts that
are needed there, each on a track of its own where they would touch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from worker.core.graphs.layout.grid import LINES_GAP, PORT_MARGIN, Grid, Kind, Link, Node, Trail
from worker.core.graphs.layout.hops import Side
from worker.core.graphs.layout.model import Path, Point, simplified
from worker.core.graphs.layout.placing import separate
from worker.core.graphs.layout.tracks import Bend, choose_tracks

ARROW_ROOM: Final = 16.0
"""The straight end of a line, with the arrowhead."""

PADDING: Final = 16.0
"""Between the border of a sheet and what is on it."""

_CHANNEL_ROOM: Final = 8.0
_TRACKS_GAP: Final = 9.0
_FIXED_WEIGHT: Final = 1e9
_STRAIGHT: Final = 0.01
_TURN_DEPTH: Final = 6.0


@dataclass(slots=True)
class Routes:
    """Where the rows of a sheet begin, its size, and the lines on it, in the direction of their arrows.

    `ports` are the x of lines that cross its border, by arrow and side.
    """

    tops: list[float]
    width: float
    height: float
    paths: dict[int, Path]
    start: Path | None
    ports: dict[tuple[int, Side], float]


def route(grid: Grid) -> Routes:
    """Lead all lines of a grid, and put its rows below one another."""
    return _Router(grid).routes()


class _Router:
    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._uppers: dict[Link, float] = {}
        self._lowers: dict[Link, float] = {}
        for row in grid.rows:
            for node in row:
                self._attach(node)
        self._heights = [max((node.height for node in row), default=0.0) for row in grid.rows]
        self._tracks: dict[Link, float] = {}
        self._tops: list[float] = []

    def routes(self) -> Routes:
        bottom = 0.0
        for row in range(len(self._grid.rows)):
            if row:
                bottom = self._channel(row - 1, bottom)
            self._tops.append(bottom)
            bottom += self._heights[row]
        has_ports = any(node.kind is Kind.BORDER for node in self._grid.rows[-1])
        height = bottom if has_ports else bottom + PADDING
        grid = self._grid
        paths = {arrow: self._path(trail) for arrow, trail in grid.trails.items()}
        ports = {}
        for arrow, trail in grid.trails.items():
            for node in (trail.nodes[0], trail.nodes[-1]):
                if node.kind is Kind.BORDER:
                    ports[arrow, Side.TOP if node.row == 0 else Side.BOTTOM] = node.x
        return Routes(
            tops=self._tops,
            width=max(node.x + node.width for row in grid.rows for node in row),
            height=height,
            paths=paths,
            start=None if grid.start is None else self._path(grid.start),
            ports=ports,
        )

    def _attach(self, node: Node) -> None:
        """Say where lines leave a node."""
        for links, ends, others in (
            (node.below, self._uppers, self._lowers),
            (node.above, self._lowers, self._uppers),
        ):
            if node.kind is Kind.STATE:
                ends.update(_ports(node, links))
            elif node.kind is Kind.TURN:
                ordered = sorted(links, key=lambda link: link.upper.x + link.upper.link_offset(link.arrow))
                ends.update((link, node.x + index * LINES_GAP) for index, link in enumerate(ordered))
            else:
                ends.update((link, node.x + node.line) for link in links)

    def _channel(self, row: int, top: float) -> float:
        """Give the tracks of the channel below a row, and say where the next row begins."""
        links = list(self._grid.links_below(row))
        bends = {link: Bend(self._uppers[link], self._lowers[link]) for link in links}
        bent = {link: bend for link, bend in bends.items() if abs(bend.upper - bend.lower) > _STRAIGHT}
        tracks = choose_tracks(bent)
        begin = top + self._room(self._grid.rows[row], links)
        for link, track in tracks.items():
            self._tracks[link] = begin + track * _TRACKS_GAP
        last = max(tracks.values(), default=-1)
        return begin + max(last, 0) * _TRACKS_GAP + self._room(self._grid.rows[row + 1], links)

    def _room(self, row: Sequence[Node], links: Sequence[Link]) -> float:
        """Give how far the first or last track keeps from a row."""
        linked = {end for link in links for end in (link.upper, link.lower)}
        touched = [node for node in row if node in linked]
        if any(node.kind in (Kind.STATE, Kind.BORDER) for node in touched):
            return ARROW_ROOM
        return _CHANNEL_ROOM if row else 0.0

    def _path(self, trail: Trail) -> Path:
        corners: list[Point] = []
        for node, link in zip(trail.nodes, [*trail.links, None], strict=True):
            if link is None:
                corners.append(self._end(node, trail.links[-1]))
                break
            if node is trail.nodes[0]:
                corners.append(self._end(node, link))
            elif node.kind is Kind.TURN:
                depth = self._tops[node.row] + _TURN_DEPTH
                corners += (Point(corners[-1].x, depth), Point(self._uppers_or_lowers(node, link), depth))
            corners += self._bend(link, node)
        return simplified(corners)

    def _bend(self, link: Link, begin: Node) -> Iterator[Point]:
        """Give the corners of a link, from the node at which it begins."""
        track = self._tracks.get(link)
        if track is None:
            # Straight: a corner is needed only where the next link begins.
            track = self._tops[link.lower.row]
        ends = [Point(self._uppers[link], track), Point(self._lowers[link], track)]
        yield from ends if begin is link.upper else reversed(ends)

    def _uppers_or_lowers(self, node: Node, link: Link) -> float:
        return self._uppers[link] if link.upper is node else self._lowers[link]

    def _end(self, node: Node, link: Link) -> Point:
        """Give where a trail begins or ends."""
        top = self._tops[node.row]
        if link.upper is node:
            below = node.box.height if node.kind is Kind.STATE else node.height
            return Point(self._uppers[link], top + below)
        return Point(self._lowers[link], top)


def _ports(node: Node, links: Sequence[Link]) -> Iterable[tuple[Link, float]]:
    """Choose where the links of one side of a state's box are: straight where that is possible, in the others' order."""
    if not links:
        return ()
    first, last = node.x + PORT_MARGIN, node.x + node.box.width - PORT_MARGIN
    distance = min(LINES_GAP, max(0.0, last - first) / max(1, len(links) - 1))

    def wish(link: Link) -> tuple[float, float, float]:
        """Give where the link would be, where its other end is, and how much it matters."""
        other = link.lower if link.upper is node else link.upper
        there = other.x + other.link_offset(link.arrow)
        if link.arrow in node.ports:
            return node.x + node.ports[link.arrow], there, _FIXED_WEIGHT
        return min(max(there, first), last), there, 1.0

    wishes = {link: wish(link) for link in links}
    ordered = sorted(links, key=lambda link: wishes[link][:2])
    distances = [
        0.0 if all(link.arrow in node.ports for link in pair) else distance for pair in pairwise(ordered)
    ]
    places = separate([[(wishes[link][0], wishes[link][2])] for link in ordered], distances)
    return [
        (link, place if link.arrow in node.ports else _between(place, first, last, index, len(ordered), distance))
        for index, (link, place) in enumerate(zip(ordered, places, strict=True))
    ]


def _between(place: float, first: float, last: float, index: int, count: int, distance: float) -> float:
    return min(max(place, first + index * distance), last - (count - 1 - index) * distance)
