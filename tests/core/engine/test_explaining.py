"""What an event does to a chart, as it is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sismic.model import Statechart

from tests.core.engine.charts import INIT_TYPE, chart, step_input
from tests.core.engine.drawn_charts import EXTERNAL, statecharts
from tests.core.engine.test_compiled_differential import BOUNDS, MACHINES, failing
from worker.core.engine.api import Snapshot, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.explaining import ExplainingEngine, Round, Verdict
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import ExecutionFailure, SetupError

ROOT = """
initial: outer
transitions:
  - event: go
    target: end
states:
  - name: outer
    initial: a
    transitions:
      - event: go
        target: end
    states:
      - name: a
        transitions:
          - event: go
            guard: n > 5
            target: b
            priority: high
          - event: go
            guard: n > 0
            target: c
          - event: go
            target: end
            priority: low
          - event: boom
            guard: 1 / 0
            target: b
      - name: b
      - name: c
        on entry: |
          emit("com.a.b", {})
          send("more")
        on exit: emit("com.c.d", {})
        transitions:
          - event: more
            guard: active("c")
            target: d
      - name: d
        transitions:
          - guard: n == 1
            target: e
      - name: e
  - name: end
    type: final
"""
CHART = chart(ROOT, "n = 1")


def told(of: Chart, *events: str) -> tuple[ExplainingEngine, Snapshot]:
    """Start a chart and have it take events; the engine knows what the last one did."""
    engine = ExplainingEngine()
    program = engine.compile(of)
    snapshot = program.start(step_input(INIT_TYPE)).snapshot
    for event in events:
        snapshot = program.resume(snapshot, step_input(event)).snapshot
    return engine, snapshot


def verdicts(one: Round) -> list[tuple[str, str | None, Verdict]]:
    return [(weighed.source, weighed.target, weighed.verdict) for weighed in one.weighed]


def test_every_transition_that_the_event_could_take_has_its_verdict() -> None:
    engine, _ = told(CHART, "go")
    assert verdicts(engine.rounds[0]) == [
        ("a", "b", Verdict.FALSE),
        ("a", "c", Verdict.TAKEN),
        ("a", "end", Verdict.PASSED),
        ("outer", "end", Verdict.PASSED),
        ("root", "end", Verdict.PASSED),
    ]
    guard = engine.rounds[0].weighed[1]
    assert (guard.event, guard.guard) == ("go", "n > 0")
    assert guard.line is not None


def test_a_step_is_told_to_its_end_round_by_round() -> None:
    engine, snapshot = told(CHART, "go")
    first, second, third, *_ = engine.rounds
    (entered,) = first.steps
    assert (entered.exited, entered.entered, entered.sent) == (("a",), ("c",), ("more",))
    assert [emission.type for emission in entered.emissions] == ["com.a.b"]
    assert (second.event, verdicts(second)) == ("more", [("c", "d", Verdict.TAKEN)])
    assert [emission.type for emission in second.steps[0].emissions] == ["com.c.d"]
    assert (third.event, verdicts(third)) == (None, [("d", "e", Verdict.TAKEN)])
    assert "e" in snapshot.configuration


def test_a_start_has_its_steps() -> None:
    engine, _ = told(CHART)
    assert [step.entered for step in engine.rounds[0].steps] == [("root",), ("outer",), ("a",)]
    assert engine.rounds[0].weighed == ()


def test_what_nothing_waits_for_weighs_nothing() -> None:
    engine, _ = told(CHART, "nothing")
    assert engine.rounds[0].event == "nothing"
    assert engine.rounds[0].weighed == ()


def test_a_guard_that_raises_is_told() -> None:
    engine = ExplainingEngine()
    program = engine.compile(CHART)
    snapshot = program.start(step_input(INIT_TYPE)).snapshot
    with pytest.raises(ExecutionFailure):
        program.resume(snapshot, step_input("boom"))
    assert verdicts(engine.rounds[0]) == [("a", "b", Verdict.RAISED)]


def test_an_eventless_transition_is_not_tried_before_the_event_is_taken() -> None:
    waiting = chart(
        """
        initial: a
        states:
          - name: a
            transitions:
              - guard: event.name == "go"
                target: b
              - event: go
                action: x = 1
          - name: b
        """,
        "x = 0",
    )
    engine, snapshot = told(waiting, "go")
    assert verdicts(engine.rounds[0]) == [("a", "b", Verdict.PASSED), ("a", None, Verdict.TAKEN)]
    assert verdicts(engine.rounds[1]) == [("a", "b", Verdict.TAKEN)]
    assert "b" in snapshot.configuration


def test_watching_changes_nothing() -> None:
    sismic, explaining = SismicEngine().compile(CHART), ExplainingEngine().compile(CHART)
    begun = sismic.start(step_input(INIT_TYPE))
    assert explaining.start(step_input(INIT_TYPE)) == begun
    for event in ("go", "nothing"):
        assert explaining.resume(begun.snapshot, step_input(event)) == sismic.resume(begun.snapshot, step_input(event))
    assert explaining.expected(begun.snapshot) == sismic.expected(begun.snapshot)


@settings(deadline=None)
@given(statecharts(MACHINES), st.integers(0, 10_000))
def test_whatever_the_chart_watching_changes_nothing_and_misses_nothing(statechart: Statechart, seed: int) -> None:
    drawn = Chart.parse(statechart)
    engine = ExplainingEngine()
    sismic, explaining = SismicEngine().compile(drawn), engine.compile(drawn)
    init = {"n": seed % 7, "list": []}
    begun = failing(lambda: sismic.start(step_input(INIT_TYPE, init, bounds=BOUNDS)))
    assert failing(lambda: explaining.start(step_input(INIT_TYPE, init, bounds=BOUNDS))) == begun
    for number in range(4):
        if not isinstance(begun, StepResult) or begun.done:
            return
        snapshot, event = begun.snapshot, EXTERNAL[(seed >> number) % len(EXTERNAL)]
        begun = failing(lambda: sismic.resume(snapshot, step_input(event, {"k": number}, bounds=BOUNDS)))  # noqa: B023
        told = failing(lambda: explaining.resume(snapshot, step_input(event, {"k": number}, bounds=BOUNDS)))  # noqa: B023
        assert told == begun
        if isinstance(begun, StepResult):
            assert_told(engine.rounds, begun)


def assert_told(rounds: list[Round], result: StepResult) -> None:
    """Hold what was watched against the result: all steps, all emissions, and a transition taken where one was."""
    steps = [step for one in rounds for step in one.steps]
    assert [(step.exited, step.entered) for step in steps] == [(one.exited, one.entered) for one in result.trace]
    assert tuple(emission for step in steps for emission in step.emissions) == result.emissions
    taken = [one for one in rounds for weighed in one.weighed if weighed.verdict is Verdict.TAKEN]
    assert bool(taken) == result.expected


def test_what_is_no_chart_is_refused() -> None:
    with pytest.raises(SetupError, match="only a Chart"):
        ExplainingEngine().compile("text")
