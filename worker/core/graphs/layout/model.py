"""What the layout takes and gives."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

_UNSEEN: Final = 0.01


class Point(NamedTuple):
    """A place."""

    x: float
    y: float

    def moved(self, by: "Point") -> "Point":
        """Give the place as seen from a sheet that this one's lies on."""
        return Point(self.x + by.x, self.y + by.y)


class Size(NamedTuple):
    """How much room something takes."""

    width: float
    height: float


NOTHING: Final = Size(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; x and y are its upper left corner's."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Give where it ends."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Give where it ends."""
        return self.y + self.height

    def moved(self, by: Point) -> "Box":
        """Give the box as seen from a sheet that this one's lies on."""
        return Box(self.x + by.x, self.y + by.y, self.width, self.height)

    def overlaps(self, other: "Box") -> bool:
        """Tell whether some of it is in both; touching is not."""
        beside = self.right <= other.x or other.right <= self.x
        return not (beside or self.bottom <= other.y or other.bottom <= self.y)

    def holds(self, other: "Box") -> bool:
        """Tell whether all of the other is in it."""
        across = self.x <= other.x and other.right <= self.right
        return across and self.y <= other.y and other.bottom <= self.bottom


Path = tuple[Point, ...]
"""The corners of a line, from its beginning to its arrowhead; each part is vertical or horizontal."""


@dataclass(frozen=True, slots=True)
class Vertex:
    """A state. `size` is its box's, or, if it has children, its text's, which stands above them.

    `start` is the room of the mark, and the text beside it, from which a line leads to `initial`.
    """

    name: str
    size: Size
    children: tuple[str, ...] = ()
    initial: str | None = None
    start: Size = NOTHING
    side_by_side: bool = False
    """The children are regions: they stand in one row, in their order."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line from one state to another, or to itself; a label without width is none."""

    source: str
    target: str
    label: Size = NOTHING


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is. Arrows are known by their number."""

    size: Size
    boxes: Mapping[str, Box]
    paths: Mapping[int, Path]
    labels: Mapping[int, Box]
    starts: Mapping[str, Box]
    """By the state whose initial state the mark leads to."""
    start_paths: Mapping[str, Path]
    dividers: tuple[tuple[Point, Point], ...]


def simplified(corners: Iterable[Point]) -> Path:
    """Leave out corners at which nothing turns, and parts that are too short to be seen."""
    kept: list[Point] = []
    for point in corners:
        if kept and _near(kept[-1].x, point.x) and _near(kept[-1].y, point.y):
            continue
        if len(kept) > 1 and any(
            _near(a, b) and _near(b, c) for a, b, c in zip(kept[-2], kept[-1], point, strict=True)
        ):
            kept.pop()
        kept.append(point)
    return tuple(kept)


def _near(a: float, b: float) -> bool:
    return abs(a - b) < _UNSEEN
