"""Pictures of the examples and of a chart that has everything: what is in them, and that nothing lies on anything."""

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from worker.core.engine.chart import Chart
from worker.core.engine.outline import Outline, outline_of
from worker.core.graphs.drawing import Drawing
from worker.core.graphs.layout import Box, Layout, Point
from worker.core.graphs.mermaid import mermaid_of
from worker.core.graphs.svg import svg_of
from worker.core.graphs.wording import Heading
from worker.machine_loader import load_machines

ROOT = Path(__file__).parents[3]
NEAR = 0.5

EVERYTHING = """\
statechart:
  name: every <thing> & "more"
  preamble: n = 0
  root state:
    name: root
    initial: first
    transitions:
      - event: evt.leave
        target: end
    states:
      - name: first
        on entry: emit("com.a.b", {}, domains=["external", "default"])
        transitions:
          - event: evt.go
            guard: n < 3 and "a" < "b"
            target: both
            action: emit("com.c.d", {})
          - event: evt.again
            target: first
          - event: evt.count
            action: n += 1
      - name: both
        parallel states:
          - name: left
            initial: one
            states:
              - name: one
                transitions:
                  - event: evt.next
                    target: two
              - name: two
                transitions:
                  - event: evt.back
                    target: one
                  - event: evt.deep
                    target: there
          - name: right
            initial: outer
            states:
              - name: outer
                initial: inner
                states:
                  - name: inner
                    transitions:
                      - event: evt.up
                        target: there
                  - name: there
                  - name: back
                    type: deep history
                    memory: inner
        transitions:
          - guard: active("two") and active("there")
            target: end
          - event: evt.pause
            target: paused
      - name: paused
        transitions:
          - event: evt.resume
            target: back
      - name: end
        type: final
"""

MACHINES = {f"{one.source}@{one.version}": one for one in load_machines(["machines"], ROOT)}
OUTLINES = {name: outline_of(machine.chart) for name, machine in MACHINES.items()} | {
    "everything": outline_of(Chart.parse(EVERYTHING))
}
each = pytest.mark.parametrize("outline", OUTLINES.values(), ids=OUTLINES.keys())


def layout_of(outline: Outline) -> Layout:
    return Drawing(outline, Heading(outline.name)).layout


def related(outline: Outline, one: str, other: str) -> bool:
    """Tell whether one of the states is within the other."""

    def above(name: str) -> Iterator[str]:
        parent = outline.states[name].parent
        while parent is not None:
            yield parent
            parent = outline.states[parent].parent

    return one in above(other) or other in above(one)


def overlap(one: Box, other: Box) -> bool:
    across = min(one.right, other.right) - max(one.x, other.x)
    down = min(one.bottom, other.bottom) - max(one.y, other.y)
    return across > NEAR and down > NEAR


def on_the_way(path: tuple[Point, ...]) -> Iterator[Box]:
    for begin, end in pairwise(path):
        left, top = min(begin.x, end.x), min(begin.y, end.y)
        yield Box(left, top, abs(begin.x - end.x) + 2 * NEAR, abs(begin.y - end.y) + 2 * NEAR)


@each
def test_states_lie_within_their_parents_and_beside_one_another(outline: Outline) -> None:
    boxes = layout_of(outline).boxes
    assert boxes.keys() == outline.states.keys()
    for name, state in outline.states.items():
        if state.parent is not None:
            assert boxes[state.parent].holds(boxes[name]), name
    for one, other in combinations(outline.states, 2):
        if not related(outline, one, other):
            assert not overlap(boxes[one], boxes[other]), (one, other)


@each
def test_labels_lie_on_no_state_and_no_other_label(outline: Outline) -> None:
    layout = layout_of(outline)
    leaves = [layout.boxes[name] for name, state in outline.states.items() if not state.children]
    for number, label in layout.labels.items():
        assert not any(overlap(label, box) for box in leaves), number
        assert Box(0, 0, layout.size.width, layout.size.height).holds(label), number
    for one, other in combinations(layout.labels.values(), 2):
        assert not overlap(one, other)


@each
def test_lines_run_through_no_state_that_they_do_not_concern(outline: Outline) -> None:
    drawing = Drawing(outline, Heading(outline.name))
    leaves = [name for name, state in outline.states.items() if not state.children]
    for number, edge in enumerate(drawing.edges):
        for name in leaves:
            if name not in (edge.source, edge.target):
                box = drawing.layout.boxes[name]
                crossed = any(overlap(part, box) for part in on_the_way(drawing.layout.paths[number]))
                assert not crossed, f"{edge.source} → {edge.target} runs through {name}"


@each
def test_everything_of_the_chart_is_in_both_pictures(outline: Outline) -> None:
    svg, mermaid = svg_of(outline), mermaid_of(outline)
    for name, state in outline.states.items():
        assert f'data-state="{name}"' in svg
        assert name == outline.root or name in mermaid
        for transition in state.transitions:
            assert transition.event is None or (transition.event in svg and transition.event in mermaid)
            if transition.target is not None:
                assert f'data-source="{name}" data-target="{transition.target}"' in svg
    for emitted in re.findall(r'emit\(\s*"([\w.]+)"', "\n".join(outline.lines)):
        assert emitted in svg
        assert emitted in mermaid


@each
def test_the_same_chart_gives_the_same_pictures(outline: Outline) -> None:
    assert svg_of(outline) == svg_of(outline)
    assert mermaid_of(outline) == mermaid_of(outline)


def test_text_is_escaped() -> None:
    svg = svg_of(OUTLINES["everything"])
    assert "every &lt;thing&gt; &amp;" in svg
    assert "<thing>" not in svg
    assert '"a" < "b"' not in svg


def test_active_states_are_set_off() -> None:
    outline = OUTLINES["everything"]
    svg = svg_of(outline, active=frozenset({"root", "first"}))
    assert svg.count("(active)") == 2
    with pytest.raises(ValueError, match="has no state 'nowhere'"):
        svg_of(outline, active=frozenset({"nowhere"}))
