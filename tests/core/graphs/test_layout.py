"""The layout: nothing lies on anything else, lines lead from box to box and around what is between."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings

from tests.core.graphs.layouts import Chart, charts, faults
from worker.core.graphs.layout import Arrow, Box, Point, Size, Vertex, lay_out
from worker.core.graphs.layout.placing import separate
from worker.core.graphs.layout.ranks import rank_states
from worker.core.graphs.layout.tracks import Bend, choose_tracks

LEAF = Size(80, 40)


@settings(max_examples=200, deadline=None)
@given(charts())
def test_nothing_lies_on_anything_else(chart: Chart) -> None:
    layout = lay_out(*chart)
    assert set(layout.boxes) == {vertex.name for vertex in chart[0]}
    assert set(layout.paths) == set(range(len(chart[1])))
    assert set(layout.labels) == {number for number, arrow in enumerate(chart[1]) if arrow.label.width}
    assert set(layout.starts) == set(layout.start_paths) == {one.name for one in chart[0] if one.initial}
    assert list(faults(*chart, layout)) == []


@settings(max_examples=20, deadline=None)
@given(charts())
def test_the_same_chart_gives_the_same_layout(chart: Chart) -> None:
    assert lay_out(*chart) == lay_out(*chart)


@pytest.mark.parametrize("fault", ["moved", "label", "path"])
def test_what_lies_on_something_is_found(fault: str) -> None:
    vertices = [Vertex("root", LEAF, ("a", "b"), "a", Size(12, 12)), Vertex("a", LEAF), Vertex("b", LEAF)]
    arrows = [Arrow("a", "b", Size(60, 14))]
    layout = lay_out(vertices, arrows)
    a, b = layout.boxes["a"], layout.boxes["b"]
    spoilt = {
        "moved": replace(layout, boxes={**layout.boxes, "b": a.moved(Point(5, 5))}),
        "label": replace(layout, labels={0: Box(b.x + 4, b.y + 4, 10, 10)}),
        "path": replace(layout, paths={0: (Point(a.x + 20, a.y), Point(a.x + 20, b.bottom))}),
    }
    assert list(faults(vertices, arrows, layout)) == []
    assert list(faults(vertices, arrows, spoilt[fault])) != []


def test_the_way_one_expects_is_a_straight_line_down() -> None:
    """The first transition of each state leads straight down, whatever leads elsewhere."""
    names = ("a", "b", "c", "d")
    vertices = [Vertex("root", LEAF, (*names, "failed"), "a", Size(12, 12)), *(Vertex(name, LEAF) for name in names)]
    vertices.append(Vertex("failed", Size(120, 40)))
    arrows = [Arrow(*ends, Size(60, 14)) for ends in pairwise(names)]
    arrows += [Arrow(name, "failed", Size(70, 28)) for name in names[:3]]
    layout = lay_out(vertices, arrows)
    assert len({layout.boxes[name].x for name in names}) == 1
    assert all(len(layout.paths[number]) == 2 for number in range(3))
    assert sorted(layout.boxes[name].y for name in names) == [layout.boxes[name].y for name in names]


def test_lines_lead_back_up_from_top_to_bottom() -> None:
    vertices = [Vertex("root", LEAF, ("a", "b"), "a", Size(12, 12)), Vertex("a", LEAF), Vertex("b", LEAF)]
    layout = lay_out(vertices, [Arrow("a", "b"), Arrow("b", "a")])
    back = layout.paths[1]
    assert back[0].y == layout.boxes["b"].y
    assert back[-1].y == layout.boxes["a"].bottom


def test_regions_stand_beside_one_another_in_their_order() -> None:
    regions = ("x", "y", "z")
    vertices = [Vertex("root", LEAF, regions, side_by_side=True), *(Vertex(name, LEAF) for name in regions)]
    layout = lay_out(vertices, [Arrow("z", "x", Size(40, 14))])
    boxes = [layout.boxes[name] for name in regions]
    assert [box.x for box in boxes] == sorted(box.x for box in boxes)
    assert len({box.y for box in boxes}) == 1
    assert [round(start.x) for start, _ in layout.dividers] == [
        round((left.right + right.x) / 2) for left, right in pairwise(boxes)
    ]


def test_a_hundred_states_are_laid_out() -> None:
    """Far more than a person can look at; what is chosen by trying has bounds."""
    names = [f"s{number}" for number in range(100)]
    vertices = [Vertex("root", LEAF, tuple(names), names[0], Size(12, 12)), *(Vertex(name, LEAF) for name in names)]
    arrows = [Arrow(names[number], names[number * 7 % 100], Size(60, 14)) for number in range(100)]
    arrows += [Arrow(names[number], names[number + 1]) for number in range(0, 99, 3)]
    unlike = list(dict.fromkeys(arrows))
    assert list(faults(vertices, unlike, lay_out(vertices, unlike))) == []


def test_lines_between_the_same_rows_run_on_tracks_of_their_own() -> None:
    nested = {"long": Bend((0,), (100,)), "short": Bend((20,), (80,)), "beside": Bend((200,), (240,))}
    tracks = choose_tracks(nested)
    assert tracks["long"] != tracks["short"]
    assert tracks["beside"] == 0
    # One leaves where the other comes in: on the upper track they would lie on each other.
    assert choose_tracks({"in": Bend((50,), (90,)), "out": Bend((10,), (50,))}) == {"in": 0, "out": 1}


def test_places_are_as_near_to_the_wishes_as_they_can_be() -> None:
    assert separate([[(0, 1)], [(100, 1)]], [10]) == [0, 100]
    assert separate([[(50, 3)], [(50, 1)]], [10]) == [50, 60]
    # Between two wishes that matter the same, every place is as good; the middle looks best.
    assert separate([[(0, 1), (10, 1)]], []) == [5]
    assert separate([[(5, 1)], [(0, 1)], [(100, 1)]], [10, 10]) == [-2.5, 7.5, 100]


def test_rows_are_as_far_down_as_the_longest_way() -> None:
    ends = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "a"), ("lonely", "c")]
    assert rank_states(["lonely", "c", "b", "a"], "a", ends) == {"a": 0, "b": 1, "c": 2, "lonely": 1}
