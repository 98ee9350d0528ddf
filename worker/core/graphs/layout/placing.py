"""Choose positions within the rows of a grid so that lines are straight.

Each row is placed exactly for what its neighbours are: the sum of weighted distances between the ends of links is the
least that the order and the room of the nodes allow. That is an isotonic regression, solved by pooling neighbours that
want to be in the same place. Rows are placed one after the other, down and up again, and the best of all is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from worker.core.graphs.layout.grid import Grid, Link, Node, gap_between
from worker.core.graphs.layout.straightening import straighten

Wish = tuple[float, float]
"""A place, and how much it matters."""

_ROUNDS: Final = 8
_STAYING_WEIGHT: Final = 1e-6
"""What nothing pulls stays where it is."""


def place_nodes(grid: Grid) -> None:
    """Give every node its x; the least is 0."""
    for row in grid.rows:
        _pack(row)
    best, least = _places(grid), _length(grid)
    for round_ in range(_ROUNDS):
        both = round_ >= _ROUNDS // 2
        for rows, downwards in ((grid.rows, True), (grid.rows[::-1], False)):
            for row in rows:
                _place(row, above=downwards or both, below=both or not downwards)
            length = _length(grid)
            if length < least - _STAYING_WEIGHT:
                best, least = _places(grid), length
    for node, x in best.items():
        node.x = x
    straighten(grid)
    _move_fixed(grid)


def separate(wishes: Sequence[Sequence[Wish]], distances: Sequence[float]) -> list[float]:
    """Give places in their order, each at least its distance after the one before, as near to the wishes as possible.

    `distances` has one value less than `wishes`; each of these needs at least one wish.
    """
    pools: list[_Pool] = []
    offset = 0.0
    offsets: list[float] = []
    for index, wished in enumerate(wishes):
        offset += distances[index - 1] if index else 0.0
        offsets.append(offset)
        pool = _Pool([(place - offset, weight) for place, weight in wished], 1)
        while pools and pools[-1].middle >= pool.middle:
            pool = pools.pop().joined(pool)
        pools.append(pool)
    middles = [pool.middle for pool in pools for _ in range(pool.count)]
    return [middle + offset for middle, offset in zip(middles, offsets, strict=True)]


@dataclass(slots=True)
class _Pool:
    """Neighbours that touch; `middle` is where the sum of weighted distances to all their wishes is least."""

    wishes: list[Wish]
    count: int
    middle: float = 0.0

    def __post_init__(self) -> None:
        self.wishes.sort()
        half = sum(weight for _, weight in self.wishes) / 2
        passed = 0.0
        for index, (place, weight) in enumerate(self.wishes):
            passed += weight
            if passed > half:
                self.middle = place
                return
            if passed == half:
                # Every place up to the next wish is as good: take the middle.
                self.middle = (place + self.wishes[index + 1][0]) / 2
                return

    def joined(self, other: "_Pool") -> "_Pool":
        return _Pool(self.wishes + other.wishes, self.count + other.count)


def _pack(row: Sequence[Node]) -> None:
    x = 0.0
    for index, node in enumerate(row):
        x += gap_between(row[index - 1], node) if index else 0.0
        node.x = x
        x += node.width
    for node in row:
        node.x -= x / 2


def _place(row: Sequence[Node], *, above: bool, below: bool) -> None:
    wishes = [
        [*(_wishes(node, node.above) if above else ()), *(_wishes(node, node.below) if below else ())]
        or [(node.x, _STAYING_WEIGHT)]
        for node in row
    ]
    distances = [a.width + gap_between(a, b) for a, b in pairwise(row)]
    for node, x in zip(row, separate(wishes, distances), strict=True):
        node.x = x


def _wishes(node: Node, links: Iterable[Link]) -> Iterable[Wish]:
    for link in links:
        yield from ((node.x + shift, weight) for shift, weight in link.pull(node))


def _length(grid: Grid) -> float:
    return sum(
        weight * abs(shift)
        for row in range(len(grid.rows))
        for link in grid.links_below(row)
        for shift, weight in link.pull(link.upper)
    )


def _places(grid: Grid) -> dict[Node, float]:
    return {node: node.x for row in grid.rows for node in row}


def _move_fixed(grid: Grid) -> None:
    """Let the sheet begin at 0, and what stands first in its row stand there."""
    left = min(node.x for row in grid.rows for node in row)
    for row in grid.rows:
        for node in row:
            node.x = 0.0 if node.is_fixed else node.x - left
