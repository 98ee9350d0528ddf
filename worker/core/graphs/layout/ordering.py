"""Choose the order within the rows of a grid so that few lines cross."""

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import Final

from worker.core.graphs.layout.grid import Grid, Kind, Link, Node

_SWEEPS: Final = 12
_PATIENCE: Final = 4
"""After so many sweeps without a gain there will be none."""

_EXCHANGES: Final = 4


def order_rows(grid: Grid) -> None:
    """Order the rows; what is fixed stands first, and regions keep their order."""
    for row in grid.rows:
        row.sort(key=lambda node: not node.is_fixed)
        _number(row)
    best = [list(row) for row in grid.rows]
    fewest, last_gain = _crossings(grid), 0
    for sweep in range(_SWEEPS):
        _sweep(grid, downwards=sweep % 2 == 0)
        _exchange_neighbours(grid)
        crossings = _crossings(grid)
        if crossings < fewest:
            best, fewest, last_gain = [list(row) for row in grid.rows], crossings, sweep
        if fewest == 0 or sweep - last_gain >= _PATIENCE:
            break
    grid.rows[:] = best
    for row in grid.rows:
        _number(row)


def _number(row: list[Node]) -> None:
    for place, node in enumerate(row):
        node.place = place


def _is_movable(grid: Grid, node: Node) -> bool:
    return not node.is_fixed and not (grid.keeps_order and node.kind is Kind.STATE)


def _sweep(grid: Grid, *, downwards: bool) -> None:
    """Order each row by the middle of what its nodes are linked to in the row before."""
    for row in grid.rows if downwards else reversed(grid.rows):
        if not all(_is_movable(grid, node) for node in row if not node.is_fixed):
            continue
        keys = {node: _middle(node, downwards=downwards) for node in row}
        row.sort(key=lambda node: (not node.is_fixed, keys[node]))
        _number(row)


def _middle(node: Node, *, downwards: bool) -> float:
    ends = [_upper_end(link) for link in node.above] if downwards else [_lower_end(link) for link in node.below]
    return sum(ends) / len(ends) if ends else node.place + 0.5


def _upper_end(link: Link) -> float:
    return link.upper.place + _part(link.upper, link.arrow)


def _lower_end(link: Link) -> float:
    return link.lower.place + _part(link.lower, link.arrow)


def _part(node: Node, arrow: int) -> float:
    """Give where a link is within its node, from 0 to 1."""
    return node.link_offset(arrow) / node.width if node.ports and node.width else 0.5


def _exchange_neighbours(grid: Grid) -> None:
    """Exchange neighbours as long as fewer lines cross then."""
    for _ in range(_EXCHANGES):
        exchanged = False
        for row in grid.rows:
            for place in range(len(row) - 1):
                left, right = row[place], row[place + 1]
                if _is_movable(grid, left) and _is_movable(grid, right) and _gain(left, right) > 0:
                    row[place], row[place + 1] = right, left
                    left.place, right.place = place + 1, place
                    exchanged = True
        if not exchanged:
            break


def _gain(left: Node, right: Node) -> int:
    """Tell how many crossings fewer there are if two neighbours are exchanged."""
    gain = 0
    for ours, theirs in (
        ([_upper_end(link) for link in left.above], [_upper_end(link) for link in right.above]),
        ([_lower_end(link) for link in left.below], [_lower_end(link) for link in right.below]),
    ):
        gain += sum((a > b) - (a < b) for a in ours for b in theirs)
    return gain


def _crossings(grid: Grid) -> int:
    return sum(_crossings_of(grid.links_below(row)) for row in range(len(grid.rows) - 1))


def _crossings_of(links: Iterable[Link]) -> int:
    """Count the pairs of links whose ends are in another order below than above."""
    seen: list[float] = []
    crossings = 0
    for _, lower in sorted((_upper_end(link), _lower_end(link)) for link in links):
        crossings += len(seen) - bisect_right(seen, lower)
        insort(seen, lower)
    return crossings
