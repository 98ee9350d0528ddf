"""Lead the lines of a placed grid: ports on the boxes, channels between the rows, corners.

Within a row a line runs straight down; between two rows is a channel, high enough for all the horizontal parts that
are needed there, each on a track of its own where they would touch.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
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
_STRAIGHT: Final = 0.01


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
        self._tracks: dict[Link | Node, float] = {}
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
        for links, ends in ((node.below, self._uppers), (node.above, self._lowers)):
            if node.kind is Kind.STATE:
                ends.update(_ports(node, links))
            else:
                ends.update((link, node.x + node.line) for link in links)

    def _channel(self, row: int, top: float) -> float:
        """Give the tracks of the channel below a row, and say where the next row begins."""
        links = list(self._grid.links_below(row))
        bends: dict[Link | Node, Bend] = {}
        for link in links:
            upper, lower = self._uppers[link], self._lowers[link]
            if link.lower.kind is Kind.TURN:
                before = bends.get(link.lower, Bend((), ()))
                bends[link.lower] = Bend((*before.uppers, upper), ())
            elif abs(upper - lower) > _STRAIGHT:
                bends[link] = Bend((upper,), (lower,))
        tracks = choose_tracks(bends)
        begin = top + self._room(self._grid.rows[row], links)
        for line, track in tracks.items():
            self._tracks[line] = begin + track * _TRACKS_GAP
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
            corners += self._corners(link, node)
        return simplified(corners)

    def _corners(self, link: Link, begin: Node) -> Iterator[Point]:
        """Give the corners of a link, from the node at which it begins."""
        if link.lower.kind is Kind.TURN:
            yield Point(self._uppers[link], self._tracks[link.lower])
            return
        # A straight one has a corner only where the next link begins.
        y = self._tracks.get(link, self._tops[link.lower.row])
        ends = [Point(self._uppers[link], y), Point(self._lowers[link], y)]
        yield from ends if begin is link.upper else reversed(ends)

    def _end(self, node: Node, link: Link) -> Point:
        """Give where a trail begins or ends."""
        top = self._tops[node.row]
        if link.upper is node:
            below = node.box.height if node.kind is Kind.STATE else node.height
            return Point(self._uppers[link], top + below)
        return Point(self._lowers[link], top)


def _ports(node: Node, links: Sequence[Link]) -> dict[Link, float]:
    """Choose where the links of one side of a state's box are: straight where possible, in the order of the others."""
    first, last = node.x + PORT_MARGIN, node.x + node.box.width - PORT_MARGIN
    # One half of the side has room for all, so that none pushes another away from the middle.
    distance = min(LINES_GAP, max(0.0, last - first) / 2 / max(1, len(links) - 1))

    def wish(link: Link) -> tuple[float, float]:
        """Give where the link would be, and where its other end is."""
        other = link.lower if link.upper is node else link.upper
        there = other.x + other.link_offset(link.arrow)
        return min(max(there, first), last), there

    wishes = {link: wish(link) for link in links}
    ordered = sorted(links, key=lambda link: wishes[link])
    ports = {link: node.x + node.ports[link.arrow] for link in ordered if link.arrow in node.ports}
    if ports:
        for link in ordered:
            if link not in ports:
                ports[link] = _free(wishes[link][0], ports.values(), (first, last), distance)
        return ports
    places = separate([[(wishes[link][0], link.weight)] for link in ordered], [distance] * (len(ordered) - 1))
    for index, (link, place) in enumerate(zip(ordered, places, strict=True)):
        rest = len(ordered) - 1 - index
        ports[link] = min(max(place, first + index * distance), last - rest * distance)
    return ports


def _free(wish: float, taken: Collection[float], room: tuple[float, float], distance: float) -> float:
    """Give the place nearest to the wish that is far enough from those taken; the wish itself if there is none."""
    beside = [place + way for place in taken for way in (-distance, distance)]
    places = [
        place
        for place in (wish, *beside)
        if room[0] <= place <= room[1] and all(abs(place - other) > distance - _STRAIGHT for other in taken)
    ]
    return min(places, key=lambda place: abs(place - wish), default=wish)
