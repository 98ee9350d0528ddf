"""The outline of a chart: its parts, in document order, each with its line."""

from pathlib import Path

from machines.order import machine as order
from worker.core.engine.chart import Chart
from worker.core.engine.outline import Place, StateKind, emissions_of, outline_of

TEXT = """\
statechart:
  name: shapes
  preamble: |
    count = 0
    _seen = 1
  root state:
    name: root
    initial: second
    states:
      - name: second
        on entry: emit("com.a.b", {}, domains=["external"])
        transitions:
          - event: evt.go
            guard: count > 0
            target: both
            action: |
              count += 1

              emit("com.a.c" if count else "com.a.d", {})
          - target: first
            priority: 2
      - name: first
        type: final
      - name: both
        parallel states:
          - name: left
            initial: there
            states:
              - name: there
              - name: back
                type: deep history
                memory: there
          - name: right
            on exit: emit(received.__name__, {}, domains=init["domains"])
"""


def test_tells_the_parts_in_document_order_with_their_lines() -> None:
    outline = outline_of(Chart.parse(TEXT))
    assert (outline.name, outline.file, outline.root) == ("shapes", None, "root")
    assert [(name, state.place.line) for name, state in outline.states.items()] == [
        ("root", 7),
        ("second", 10),
        ("first", 22),
        ("both", 24),
        ("left", 26),
        ("there", 29),
        ("back", 30),
        ("right", 33),
    ]
    kinds = [state.kind for state in outline.states.values()]
    assert kinds == [
        StateKind.COMPOUND,
        StateKind.BASIC,
        StateKind.FINAL,
        StateKind.PARALLEL,
        StateKind.COMPOUND,
        StateKind.BASIC,
        StateKind.DEEP_HISTORY,
        StateKind.BASIC,
    ]
    assert outline.states["root"].children == ("second", "first", "both")
    assert (outline.states["back"].memory, outline.states["left"].initial) == ("there", "there")
    assert outline.preamble is not None
    assert outline.preamble.place == Place(None, 4)


def test_tells_transitions_and_what_code_emits() -> None:
    second = outline_of(Chart.parse(TEXT)).states["second"]
    go, eventless = second.transitions
    assert (go.event, go.target, go.place.line, eventless.event, eventless.priority) == ("evt.go", "both", 13, None, 2)
    assert second.entry is not None
    assert go.guard is not None
    assert go.action is not None
    assert (second.entry.place.line, go.guard.place.line, go.action.place.line) == (11, 14, 17)
    (entry,) = emissions_of(second.entry)
    assert (entry.types, entry.domains, entry.dynamic_type, entry.dynamic_domains) == (
        ("com.a.b",),
        ("external",),
        False,
        False,
    )
    (action,) = emissions_of(go.action)
    assert (action.types, action.domains, action.dynamic_type) == (("com.a.c", "com.a.d"), ("default",), False)
    assert action.place == Place(None, 19)
    right = outline_of(Chart.parse(TEXT)).states["right"]
    assert right.exit is not None
    (unknown,) = emissions_of(right.exit)
    assert (unknown.types, unknown.dynamic_type, unknown.dynamic_domains) == ((), True, True)


def test_names_the_file() -> None:
    outline = outline_of(order.chart)
    assert outline.file is not None
    place = outline.states["charging"].place
    assert place.line is not None
    assert Path(str(place.file)).read_text().splitlines()[place.line - 1].strip() == "- name: charging"


def test_a_chart_made_in_python_has_no_places() -> None:
    outline = outline_of(Chart.parse(Chart.parse(TEXT).statechart))
    assert {state.place for state in outline.states.values()} == {Place(None, None)}
    assert outline.states["root"].children == ("both", "first", "second")
