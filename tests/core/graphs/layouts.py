"""Made-up charts for the layout, and what must be true of every layout."""

from collections.abc import Iterator
from itertools import combinations, pairwise

from hypothesis import strategies as st

from worker.core.graphs.layout import Arrow, Box, Layout, Path, Point, Size, Vertex

SLIGHTLY = 0.05
SIZES = st.builds(Size, st.integers(20, 240), st.integers(16, 60))
LABELS = st.just(Size(0, 0)) | SIZES

Chart = tuple[list[Vertex], list[Arrow]]


@st.composite
def charts(draw: st.DrawFn, states_max: int = 14, arrows_max: int = 24) -> Chart:
    """Draw nested states, regions among them, and arrows between any two: also into, out of, and to oneself."""
    count = draw(st.integers(1, states_max))
    parents = {number: draw(st.integers(0, number - 1)) for number in range(1, count)}
    vertices = []
    for number in range(count):
        children = tuple(f"s{child}" for child, parent in parents.items() if parent == number)
        side_by_side = bool(children) and draw(st.booleans())
        initial = draw(st.sampled_from(children)) if children and not side_by_side else None
        vertices.append(Vertex(f"s{number}", draw(SIZES), children, initial, Size(12, 12), side_by_side=side_by_side))
    names = st.sampled_from([vertex.name for vertex in vertices])
    ends = draw(st.lists(st.tuples(names, names), max_size=arrows_max, unique=True))
    return vertices, [Arrow(source, target, draw(LABELS)) for source, target in ends]


def ancestors(vertices: list[Vertex]) -> dict[str, set[str]]:
    parents = {child: vertex.name for vertex in vertices for child in vertex.children}
    found: dict[str, set[str]] = {}
    for vertex in vertices:
        name, around = vertex.name, set[str]()
        while name in parents:
            name = parents[name]
            around.add(name)
        found[vertex.name] = around
    return found


def faults(vertices: list[Vertex], arrows: list[Arrow], layout: Layout) -> Iterator[str]:
    """Find what is wrong with a layout."""
    yield from box_faults(vertices, layout)
    solid = dict(solid_boxes(vertices, layout))
    for (one, a), (other, b) in combinations(solid.items(), 2):
        if a.overlaps(b) and not (one.startswith("box") and other.startswith("box")):
            yield f"{one} overlaps {other}"
    for label, box in layout.labels.items():
        for name, state in layout.boxes.items():
            if box.overlaps(state) and not state.holds(box):
                yield f"label {label} lies on the border of {name}"
    yield from line_faults(arrows, layout, solid)
    everything = Box(0, 0, *layout.size)
    for name, box in [*layout.boxes.items(), *solid.items()]:
        if not everything.holds(box):
            yield f"{name} is not on the picture"


def line_faults(arrows: list[Arrow], layout: Layout, solid: dict[str, Box]) -> Iterator[str]:
    for number, arrow in enumerate(arrows):
        path = layout.paths[number]
        yield from (f"arrow {number}: {fault}" for fault in path_faults(path))
        if not on_border(path[0], layout.boxes[arrow.source]):
            yield f"arrow {number} does not begin at {arrow.source}"
        if not on_border(path[-1], layout.boxes[arrow.target]):
            yield f"arrow {number} does not end at {arrow.target}"
        yield from (f"arrow {number} runs through {name}" for name, box in solid.items() if runs_through(path, box))
    for name, path in layout.start_paths.items():
        yield from (f"start of {name}: {fault}" for fault in path_faults(path))
        yield from (f"start of {name} runs through {other}" for other, box in solid.items() if runs_through(path, box))


def box_faults(vertices: list[Vertex], layout: Layout) -> Iterator[str]:
    around = ancestors(vertices)
    for one, other in combinations(layout.boxes, 2):
        a, b = layout.boxes[one], layout.boxes[other]
        if other in around[one] or one in around[other]:
            outer, inner = (b, a) if other in around[one] else (a, b)
            if not outer.holds(inner):
                yield f"of {one} and {other} one should hold the other"
        elif a.overlaps(b):
            yield f"{one} overlaps {other}"


def solid_boxes(vertices: list[Vertex], layout: Layout) -> Iterator[tuple[str, Box]]:
    """Give what no line may run through: simple states, what is written in others, labels, and marks."""
    for vertex in vertices:
        box = layout.boxes[vertex.name]
        if vertex.children:
            yield f"text of {vertex.name}", Box(box.x, box.y, *vertex.size)
        else:
            yield f"box of {vertex.name}", box
    yield from ((f"label {number}", box) for number, box in layout.labels.items())
    yield from ((f"mark of {name}", box) for name, box in layout.starts.items())


def path_faults(path: Path) -> Iterator[str]:
    if len(path) < 2:
        yield "it has no length"
    for a, b in pairwise(path):
        if abs(a.x - b.x) > SLIGHTLY and abs(a.y - b.y) > SLIGHTLY:
            yield f"a part is neither vertical nor horizontal: {a} to {b}"


def on_border(point: Point, box: Box) -> bool:
    beside = min(abs(point.x - box.x), abs(point.x - box.right)) < SLIGHTLY
    level = min(abs(point.y - box.y), abs(point.y - box.bottom)) < SLIGHTLY
    within_x = box.x - SLIGHTLY < point.x < box.right + SLIGHTLY
    within_y = box.y - SLIGHTLY < point.y < box.bottom + SLIGHTLY
    return (beside and within_y) or (level and within_x)


def runs_through(path: Path, box: Box) -> bool:
    """Tell whether a line is inside of a box; along its border is not inside."""
    inside = Box(box.x + SLIGHTLY, box.y + SLIGHTLY, box.width - 2 * SLIGHTLY, box.height - 2 * SLIGHTLY)
    return any(
        min(a.x, b.x) < inside.right
        and max(a.x, b.x) > inside.x
        and min(a.y, b.y) < inside.bottom
        and max(a.y, b.y) > inside.y
        for a, b in pairwise(path)
    )
