"""The layout: nothing lies on anything else, lines lead from box to box and around what is between."""

from hypothesis import given, settings

from tests.core.graphs.layouts import Chart, charts, faults
from worker.core.graphs.layout import Size, lay_out

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
