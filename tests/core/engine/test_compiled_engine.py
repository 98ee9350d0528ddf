"""What the compiled engine is held to beside the drawn charts: differences once found, and its own promises."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from sismic.clock import SimulatedClock
from sismic.exceptions import CodeEvaluationError
from sismic.interpreter import Interpreter
from sismic.io import import_from_yaml

from machines.order import machine as order_machine
from tests.bench.engine import deep_load
from tests.core.engine.charts import INIT_TYPE, chart, chart_text, step_input
from tests.workload import records
from worker.core.bounds import DEFAULT_BOUNDS, Bounds
from worker.core.codec import decode_record
from worker.core.engine.api import Engine, Snapshot, StepInput, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.compiled.interpreter import CompiledStatechart, missing_for
from worker.core.engine.compiled.pieces import Pieces
from worker.core.engine.compiled.plans import Plans
from worker.core.engine.compiled.program import CONTRACTS, CompiledEngine, fallback_reason
from worker.core.engine.compiled.tables import KEPT_MAX, Tables
from worker.core.engine.sismic_engine import SismicEngine, SismicProgram
from worker.core.engine.stored_object import StoredObject
from worker.core.errors import ExecutionFailure, SetupError
from worker.core.snapshots import decode_snapshot, encode_snapshot

ENGINES: tuple[Engine, ...] = (CompiledEngine(), SismicEngine())


def on_go(*lines: str) -> str:
    code = "".join(f"\n          {line}" for line in lines)
    return f"initial: a\nstates:\n  - name: a\n    transitions:\n      - event: go\n        action: |{code}\n"


def both(of: Chart, *events: str, init: dict[str, Any] | None = None) -> Snapshot:
    """Run events on both engines, the compiled one from sismic's snapshots and the other way round."""
    snapshots = [engine.compile(of).start(step_input(INIT_TYPE, init)).snapshot for engine in ENGINES]
    for event in events:
        assert encode_snapshot(snapshots[0]) == encode_snapshot(snapshots[1])
        pairs = zip(ENGINES, reversed(snapshots), strict=True)
        results = [engine.compile(of).resume(before, step_input(event, {"k": 1})) for engine, before in pairs]
        assert results[0] == results[1]
        snapshots = [result.snapshot for result in results]
    assert repr(snapshots[0]) == repr(snapshots[1])
    return snapshots[0]


def alike(of: Chart, before: Snapshot, bounds: Bounds = DEFAULT_BOUNDS) -> object:
    """Send `go` on both engines; give what both give, or how both fail."""
    outcomes: list[object] = []
    for engine in ENGINES:
        try:
            outcomes.append(engine.compile(of).resume(before, step_input("go", bounds=bounds)))
        except ExecutionFailure as failure:
            outcomes.append((failure.name, failure.message))
    assert outcomes[0] == outcomes[1]
    return outcomes[0]


class TestDifferencesFound:
    def test_a_value_without_exact_text_does_not_keep_the_order_of_other_keys(self) -> None:
        of = chart(on_go("late = (n, None)"), "n = 1\nlate = None\ncounts = {'z': 0, 'a': [1, {'y': 1, 'b': 2}]}")
        assert list(both(of, "go").context["counts"]) == ["a", "z"]

    def test_in_the_first_step_two_variables_may_be_one_value(self) -> None:
        of = chart("initial: a\nstates:\n  - name: a\n    on entry: second.append(1)", "first = []\nsecond = first")
        assert both(of).context == {"first": [1], "second": [1]}

    def test_the_first_step_leaves_keys_in_the_order_in_which_they_were_made(self) -> None:
        of = chart(
            "initial: a\nstates:\n  - name: a\n    on entry: seen = list(m)", "m = {'z': 1, 'a': 2}\nseen = None"
        )
        assert both(of).context["seen"] == ["z", "a"]

    def test_the_first_step_leaves_the_init_data_as_they_came(self) -> None:
        of = chart("initial: a\nstates:\n  - name: a\n    on entry: items.append(2)", "items = init['items']")
        snapshot = both(of, init={"items": [1]})
        assert (snapshot.context, snapshot.init) == ({"items": [1, 2]}, {"items": [1]})

    def test_regions_move_in_the_order_of_depth_then_name(self) -> None:
        region = (
            "      - name: {0}\n        transitions:\n          - event: go\n            action: seen.append('{0}')\n"
        )
        regions = "".join(region.format(name) for name in ("r2", "r1", "r3"))
        of = chart(f"initial: p\nstates:\n  - name: p\n    parallel states:\n{regions}", "seen = []")
        assert both(of, "go").context["seen"] == ["r1", "r2", "r3"]

    def test_the_event_s_data_can_be_replaced(self) -> None:
        of = chart(on_go("event.data = {'k': 5}", "n = event.data['k']"), "n = 0")
        assert both(of, "go").context == {"n": 5}


class TestOfAnEarlierChart:
    @pytest.mark.parametrize("name", ["emit", "event", "init", "refuse"])
    def test_a_variable_has_the_name_of_something_else(self, name: str) -> None:
        of = chart(on_go("n = refuse(init)", "emit('x', {'n': n})"), "n = 0", {"refuse": len})
        outcome = alike(of, Snapshot(("root", "a"), {"n": 1, name: 2}, {}))
        assert isinstance(outcome, tuple)
        assert f"The context variable {name!r} can't be stored" in outcome[1] or name == "init"

    def test_what_is_eventless_now_is_taken_before_the_event(self) -> None:
        of = chart(
            "initial: a\nstates:\n  - name: a\n    transitions:\n      - event: go\n      - target: b\n  - name: b\n"
        )
        outcome = alike(of, Snapshot(("root", "a"), {}, {}))
        assert isinstance(outcome, StepResult)
        assert outcome.snapshot.configuration == ("root", "b")


def test_microsteps_of_a_plain_step_are_bounded() -> None:
    inner = "  - name: b\n    initial: c\n    states:\n      - name: c\n"
    of = chart(f"initial: a\nstates:\n  - name: a\n    transitions:\n      - event: go\n        target: b\n{inner}")
    before = Snapshot(("root", "a"), {}, {})
    assert isinstance(alike(of, before, Bounds(microsteps_max=2)), StepResult)
    failed = alike(of, before, Bounds(microsteps_max=1))
    assert isinstance(failed, tuple)
    assert failed[0] == "MicrostepsBoundExceeded"


class TestSnapshots:
    def test_a_step_leaves_the_snapshot_as_it_is(self) -> None:
        of = chart(
            on_go("init['x'].append(1)", "items[0]['n'].append(2)", "other = items"), "items = [{'n': []}]\nother = 1"
        )
        program = CompiledEngine().compile(of)
        before = program.start(step_input(INIT_TYPE, {"x": []})).snapshot
        for given in (before, decode_snapshot(encode_snapshot(before)), replace(before, context=dict(before.context))):
            text = encode_snapshot(given)
            after = program.resume(given, step_input("go")).snapshot
            assert encode_snapshot(given) == text
            assert after.context == {"items": [{"n": [2]}], "other": [{"n": [2]}]}

    def test_values_that_are_set_by_setdefault_are_stored_in_their_stored_form(self) -> None:
        of = chart(on_go("_name = 'seen'", "setdefault(_name, []).append((1, 2))", "setdefault('seen', None)"))
        assert both(of, "go", "go").context == {"seen": [[1, 2], [1, 2]]}

    def test_variables_of_an_earlier_chart_are_kept(self) -> None:
        program = CompiledEngine().compile(chart(on_go("n += 1"), "n = 0"))
        before = replace(program.start(step_input(INIT_TYPE)).snapshot, context={"n": 1, "old": {"b": 1, "a": ()}})
        assert program.resume(before, step_input("go")).snapshot.context == {"n": 2, "old": {"a": [], "b": 1}}

    @pytest.mark.parametrize(
        "value", ["1e300", "-0.0", "'\\0'", "float('nan')", "{1: 2}", "2**70", "'\\ud800'", "[len]"]
    )
    def test_values_are_told_of_alike(self, value: str) -> None:
        of = chart(on_go(f"n = {value}"), "n = 0")
        outcomes: list[object] = []
        for engine in ENGINES:
            program = engine.compile(of)
            before = program.start(step_input(INIT_TYPE)).snapshot
            try:
                outcomes.append(encode_snapshot(program.resume(before, step_input("go")).snapshot))
            except ExecutionFailure as failure:
                outcomes.append((failure.name, failure.message))
        assert outcomes[0] == outcomes[1]

    def test_what_setdefault_gives_is_looked_at(self) -> None:
        program = CompiledEngine().compile(chart(on_go("setdefault('seen', []).append(float('nan'))")))
        before = program.start(step_input(INIT_TYPE)).snapshot
        with pytest.raises(ExecutionFailure, match="The context variable 'seen' can't be stored"):
            program.resume(before, step_input("go"))

    def test_the_context_is_bounded(self) -> None:
        program = CompiledEngine().compile(chart(on_go("n = 'x' * 100"), "n = 0"))
        before = program.start(step_input(INIT_TYPE)).snapshot
        with pytest.raises(ExecutionFailure, match="bound of 99 bytes of context"):
            program.resume(before, step_input("go", bounds=Bounds(context_bytes_max=99)))

    def test_a_stored_context_reads_as_a_mapping(self) -> None:
        context = StoredObject(b'{"a":1,"b":[2]}')
        plain = {"a": 1, "b": [2]}
        assert context == plain
        assert plain == context
        assert context == StoredObject(b'{"b":[2],"a":1}')
        assert context != {"a": 1}
        assert (repr(context), len(context), [*context], {**context}) == (repr(plain), 2, ["a", "b"], plain)
        context.decoded()["b"].append(3)
        assert context == plain

    def test_large_floats_are_spelled_out_as_ever(self) -> None:
        snapshot = Snapshot(("a",), StoredObject(b'{"n":1e+16}'), {})
        assert orjson.loads(encode_snapshot(snapshot))["context"] == {"n": 1e16}
        assert b"10000000000000000.0" in encode_snapshot(snapshot)


class TestFallback:
    CONTRACT = chart("initial: a\nstates:\n  - name: a\n    contract:\n      - always: n == 0", "n = 0")

    def test_a_chart_with_contracts_runs_on_sismic(self) -> None:
        assert fallback_reason(self.CONTRACT) == CONTRACTS
        assert isinstance(CompiledEngine().compile(self.CONTRACT), SismicProgram)
        assert fallback_reason(order_machine.chart) is None

    def test_the_interpreter_names_what_it_does_not_check(self) -> None:
        statechart = self.CONTRACT.statechart
        assert missing_for(statechart) == ("invariants",)
        with pytest.raises(SetupError, match="has invariants, which the compiled interpreter does not check"):
            CompiledStatechart(statechart)
        assert CompiledStatechart(statechart, ignore_contract=True).interpreter().execute()

    @pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
    def test_compiles_charts_only(self, engine: Engine) -> None:
        with pytest.raises(SetupError, match="runs a Chart, not a str"):
            engine.compile("statechart")


def test_the_order_s_steps_are_the_same() -> None:
    programs = [engine.compile(order_machine.chart) for engine in ENGINES]
    texts: dict[str, bytes] = {}
    for record in records(3):
        event = decode_record(record.value, record.headers)
        step = replace(step_input(event.type, event.data), event=event)
        results = [_next(program, texts.get(event.subject), step) for program in programs]
        assert results[0] == results[1]
        texts[event.subject] = encode_snapshot(results[0].snapshot)
        assert texts[event.subject] == encode_snapshot(results[1].snapshot)
    assert all(b'"completed"' in text for text in texts.values())


def _next(program: Any, text: bytes | None, step: StepInput) -> Any:
    return program.start(step) if text is None else program.resume(decode_snapshot(text), step)


def test_what_is_kept_of_configurations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT_MAX > 100
    monkeypatch.setattr("worker.core.engine.compiled.tables.KEPT_MAX", 2)
    compiled = CompiledStatechart(import_from_yaml(chart_text(on_go("pass"))))
    for active in range(8):
        compiled.tables.configuration(active & 3)
        compiled.tables.candidates(active & 3, "go")
        compiled.tables.settling(active & 3)
    for kept in ("_configurations", "_candidates", "_settlings"):
        assert len(getattr(compiled.tables, kept)) <= 2, kept
    compiled.tables.candidates(3, "nobody waits for this")
    assert (3, "nobody waits for this") not in compiled.tables._candidates


class TestPlans:
    ASKS = "initial: a\nstates:\n  - name: a\n    transitions:\n      - event: go\n        action: n = sent('x')\n"

    def test_a_plain_step_needs_no_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("worker.core.engine.compiled.program._Instance", None)
        test_the_order_s_steps_are_the_same()
        deep = deep_load()
        program = CompiledEngine().compile(deep.chart)
        assert all(program.resume(decode_snapshot(text), step).expected for step, text in deep.steps)

    def test_what_asks_about_its_macrostep_is_the_kernel_s(self, monkeypatch: pytest.MonkeyPatch) -> None:
        of = chart(self.ASKS, "n = 0")
        assert both(of, "go").context == {"n": False}
        program = CompiledEngine().compile(of)
        before = program.start(step_input(INIT_TYPE)).snapshot
        monkeypatch.setattr("worker.core.engine.compiled.program._Instance", None)
        with pytest.raises(ExecutionFailure, match="'NoneType' object is not callable"):
            program.resume(before, step_input("go"))

    def test_guards_are_evaluated_once(self) -> None:
        seen: list[str] = []
        of = chart(
            self.ASKS.replace("action", "guard: look(event.type)\n        action"),
            "n = 0",
            {"look": lambda text: not seen.append(text)},  # type: ignore[func-returns-value]
        )
        program = CompiledEngine().compile(of)
        program.resume(program.start(step_input(INIT_TYPE)).snapshot, step_input("go"))
        assert seen == ["go"]

    def test_they_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("worker.core.engine.compiled.tables.KEPT_MAX", 2)
        states = "".join(
            f"  - name: s{n}\n    transitions:\n      - event: go\n        target: s{n + 1}\n" for n in range(5)
        )
        pieces = Pieces(chart(f"initial: s0\nstates:\n{states}  - name: s5\n"))
        plans = Plans(pieces)
        for n in range(5):
            snapshot = Snapshot(("root", f"s{n}"), {}, {})
            assert plans.find(snapshot, f"nobody waits for this {n}") is None
            assert plans.find(snapshot, "go") is plans.find(snapshot, "go")
            assert len(plans._plans) <= 2

    def test_a_snapshot_of_lists_is_taken(self) -> None:
        program = CompiledEngine().compile(chart(on_go("n += 1"), "n = 0"))
        before = program.start(step_input(INIT_TYPE)).snapshot
        names: Any = [*before.configuration]
        loose = replace(before, configuration=names)
        assert program.resume(loose, step_input("go")) == program.resume(before, step_input("go"))


def test_a_snapshot_of_states_that_are_not_there_is_refused() -> None:
    program = CompiledEngine().compile(chart(on_go("pass")))
    with pytest.raises(ExecutionFailure, match="in the state 'gone', which the chart does not have"):
        program.resume(Snapshot(("root", "gone"), {}, {}), step_input("go"))


class TestInterpreter:
    TEXT = chart_text(
        """
        initial: a
        states:
          - name: a
            transitions:
              - event: go
                guard: event.n > 0
                target: b
                action: n = event.n; send('later', delay=5)
          - name: b
            transitions:
              - event: later
                guard: idle(5)
                target: c
          - name: c
            on entry: when = time
        """,
        "n = 0",
    )

    def test_goes_on_from_its_state(self) -> None:
        compiled = CompiledStatechart(import_from_yaml(self.TEXT))
        interpreter = compiled.interpreter()
        interpreter.queue("go", n=0).queue("go", n=2).execute()
        assert interpreter.configuration == ["root", "b"]
        clock = SimulatedClock()
        later = compiled.restored(interpreter.state(), clock=clock)
        assert later.execute() == []
        clock.time = 5
        (step,) = later.execute()
        assert (step.entered_states, step.exited_states) == (["c"], ["b"])
        assert dict(later.context) == {"n": 2, "when": 5}
        assert not later.final

    def test_bounded_steps_are_as_sismic_s(self) -> None:
        statechart = import_from_yaml(self.TEXT)
        for interpreter in (Interpreter(statechart), CompiledStatechart(statechart).interpreter()):
            interpreter.queue("x", "x", "x")
            assert [len(interpreter.execute(bound)) for bound in (2, 1, 0)] == [2, 1, 1]

    def test_events_can_not_be_sent_by_the_preamble(self) -> None:
        statechart = import_from_yaml(chart_text("initial: a\nstates:\n  - name: a\n", "send('x')"))
        for make in (lambda: Interpreter(statechart), CompiledStatechart(statechart).interpreter):
            with pytest.raises(CodeEvaluationError, match="Events cannot be raised by statechart preamble"):
                make()


def test_tables_number_states_from_the_deepest_on() -> None:
    statechart = import_from_yaml(chart_text("initial: b\nstates:\n  - name: b\n  - name: a\n"))
    tables: Tables = CompiledStatechart(statechart).tables
    assert tables.names == ("a", "b", "root")
    assert tables.configuration(0b111) == ("root", "a", "b")
