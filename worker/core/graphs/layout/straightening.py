"""Move nodes that straight lines hold together: one row after the other, none of them would go alone."""

from collections.abc import Iterable, Iterator
from typing import Final

from worker.core.graphs.layout.grid import Grid, Link, Node, gap_between

_ROUNDS: Final = 4
_STRAIGHT: Final = 0.01
_GLUES: Final = (8.0, 0.0)
"""Weights from which on a straight link holds: long lines are moved first, then states with their lines."""


def straighten(grid: Grid) -> None:
    """Move groups of nodes where that makes the lines straighter, as long as it does."""
    for _ in range(_ROUNDS):
        moved = False
        for glue in _GLUES:
            for group in _groups(grid, glue):
                moved = _move(grid, group) or moved
        if not moved:
            break


def _groups(grid: Grid, glue: float) -> Iterator[list[Node]]:
    seen: set[Node] = set()
    for row in grid.rows:
        for node in row:
            if node not in seen:
                group = _group(node, glue)
                seen.update(group)
                yield group


def _group(start: Node, glue: float) -> list[Node]:
    group = {start: None}
    waiting = [start]
    while waiting:
        node = waiting.pop()
        for link, other in _neighbours(node):
            if other not in group and link.weight >= glue and abs(link.bend) < _STRAIGHT:
                group[other] = None
                waiting.append(other)
    return list(group)


def _neighbours(node: Node) -> Iterator[tuple[Link, Node]]:
    yield from ((link, link.upper) for link in node.above)
    yield from ((link, link.lower) for link in node.below)


def _move(grid: Grid, group: list[Node]) -> bool:
    """Move a group to where its links are shortest; tell whether that is elsewhere."""
    members = set(group)
    pulls = [
        pull for node in group for link, other in _neighbours(node) if other not in members for pull in link.pull(node)
    ]
    if not any(abs(shift) > _STRAIGHT for shift, _ in pulls):
        return False
    left, right = _room(grid, group, members)
    # The sum of the distances is least at one of the wishes, or where the room ends before it.
    shifts = {min(max(shift, left), right) for shift, _ in pulls}
    best = min(shifts, key=lambda shift: (_cost(pulls, shift), abs(shift), shift))
    if _cost(pulls, best) >= _cost(pulls, 0.0) - _STRAIGHT:
        return False
    for node in group:
        node.x += best
    return True


def _cost(pulls: Iterable[tuple[float, float]], shift: float) -> float:
    return sum(weight * abs(wished - shift) for wished, weight in pulls)


def _room(grid: Grid, group: Iterable[Node], members: set[Node]) -> tuple[float, float]:
    """Give how far a group can go to the left (not above 0) and to the right."""
    left, right = float("-inf"), float("inf")
    for node in group:
        row = grid.rows[node.row]
        if node.place > 0 and (other := row[node.place - 1]) not in members:
            left = max(left, other.x + other.width + gap_between(other, node) - node.x)
        if node.place + 1 < len(row) and (other := row[node.place + 1]) not in members:
            right = min(right, other.x - gap_between(node, other) - node.x - node.width)
    return min(left, 0.0), max(right, 0.0)
