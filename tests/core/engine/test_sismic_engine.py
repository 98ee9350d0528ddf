"""What SPEC machines adds to sismic, one fact a test."""

from importlib.metadata import version
from typing import Any

import pytest
from sismic.interpreter import Interpreter
from sismic.io import import_from_yaml

from tests.core.engine.charts import INIT_TYPE, NOW, Run, chart, chart_text, step_input
from worker.core.bounds import Bounds
from worker.core.engine.api import Microstep
from worker.core.engine.chart import Chart
from worker.core.engine.sismic_engine import SISMIC_VERSION, SismicEngine
from worker.core.errors import ExecutionFailure, SetupError
from worker.core.snapshots import decode_snapshot, encode_snapshot

ONE = "initial: a\nstates:\n  - name: a\n"


def on_go(code: str) -> str:
    """Give a root whose state `a` runs this line on the event `go`."""
    return f"{ONE}    transitions:\n      - event: go\n        action: |\n          {code}\n"


def failure(run: Run, type_: str = "go", **data: Any) -> ExecutionFailure:
    before = run.snapshot
    with pytest.raises(ExecutionFailure) as raised:
        run.send(type_, **data)
    assert run.snapshot is before
    return raised.value


def test_the_installed_sismic_is_the_one_whose_state_is_restored() -> None:
    assert version("sismic") == SISMIC_VERSION


def test_the_interpreter_has_no_state_that_a_snapshot_does_not_know() -> None:
    # A new name here may be state to store: look before it is added.
    assert set(vars(Interpreter(import_from_yaml(chart_text(ONE))))) == {
        "_configuration",
        "_entry_time",
        "_evaluator",
        "_external_queue",
        "_idle_time",
        "_ignore_contract",
        "_initialized",
        "_internal_queue",
        "_listeners",
        "_memory",
        "_sent_events",
        "_statechart",
        "_time",
        "clock",
    }


def test_compiles_charts_only() -> None:
    with pytest.raises(SetupError, match="runs a Chart, not a str"):
        SismicEngine().compile("statechart")


class TestScope:
    def test_nested_code_sees_the_context(self) -> None:
        run = Run(
            chart(
                """
                initial: a
                states:
                  - name: a
                    on entry: |
                      def _scaled(x):
                          return x * factor
                      a = [_scaled(n) + factor for n in range(factor)]
                      b = sorted(words, key=lambda word: rank[word])
                      c = {k: v for k, v in rank.items() if v < factor}
                """,
                "factor, a, b, c, words, rank = 2, None, None, None, ['x', 'y'], {'x': 2, 'y': 1}",
            )
        )
        assert run.context["a"] == [2, 4]
        assert run.context["b"] == ["y", "x"]
        assert run.context["c"] == {"y": 1}

    def test_only_what_the_chart_declares_is_context(self) -> None:
        run = Run(
            chart(
                "initial: a\nstates:\n  - name: a\n    on entry: |\n"
                "      for _n in [1, 2]:\n        total += _n\n      setdefault('seen', []).append(_n)\n",
                "total = 0\n_start = 1",
                {"shout": str.upper},
            )
        )
        assert run.context == {"total": 3, "seen": [2]}

    def test_temporaries_end_with_their_piece_of_code(self) -> None:
        of = chart(
            "initial: a\nstates:\n  - name: a\n    on entry: _n = 1\n    transitions:\n"
            "      - event: go\n        guard: _n == 1\n        target: b\n  - name: b\n"
        )
        assert failure(Run(of)).name == "NameError"

    def test_a_deleted_variable_is_gone(self) -> None:
        assert Run(chart("initial: a\nstates:\n  - name: a\n    on entry: del n", "n = 1\nm = 2")).context == {"m": 2}

    def test_provided_names(self) -> None:
        run = Run(
            chart(
                ONE + "    on entry: |\n      seen = [subject, now.isoformat(), new_id(), new_id()]\n"
                "      seen += [init['x'], shout('y'), event.id, event.name]\n",
                "seen = None",
                {"shout": str.upper},
            ),
            {"x": 1},
        )
        assert run.context["seen"] == ["the-subject", NOW.isoformat(), "e-1-0", "e-1-1", 1, "Y", "e-1", INIT_TYPE]

    def test_a_state_is_active_during_its_own_entry_and_exit(self) -> None:
        run = Run(
            chart(
                """
                initial: a
                states:
                  - name: a
                    on entry: seen.append([active('a'), active('b'), active('root')])
                    on exit: seen.append([active('a'), active('b')])
                    transitions:
                      - event: go
                        target: b
                        action: seen.append([active('a'), active('b')])
                  - name: b
                    on entry: seen.append([active('a'), active('b')])
                """,
                "seen = []",
            )
        )
        run.send("go")
        assert run.context["seen"] == [[True, False, True], [True, False], [False, False], [False, True]]

    def test_chart_code_does_not_see_the_order_of_keys(self) -> None:
        of = chart(
            "initial: a\nstates:\n  - name: a\n    transitions:\n      - event: go\n"
            "        action: seen = [list(counts), list(init['m'])]",
            "counts, seen = {'b': 1, 'a': 2}, None",
        )
        run = Run(of, {"m": {"z": 1, "y": 2}})
        run.send("go")
        assert run.context["seen"] == [["a", "b"], ["y", "z"]]

    def test_chart_code_can_not_change_what_it_is_given(self) -> None:
        of = chart(
            "initial: a\nstates:\n  - name: a\n    on entry: init['x'].append(event.data['x'].append(3))\n"
            "    transitions:\n      - event: go\n        action: event.data['x'].append(init['x'].pop())\n"
        )
        data = {"x": [1, 2]}
        run = Run(of, data)
        before = run.snapshot
        run.send("go", x=[])
        assert data == {"x": [1, 2]}
        assert run.snapshot.init == before.init == {"x": [1, 2]}


class TestEvents:
    def test_event_is_the_last_consumed_everywhere(self) -> None:
        run = Run(
            chart(
                """
                initial: a
                states:
                  - name: a
                    on entry: seen.append(event.type)
                    on exit: seen.append('exit ' + event.type)
                    transitions:
                      - event: go
                        guard: event.data['ok'] and event.source == 'com.test'
                        target: b
                        action: send('inner', value=1)
                  - name: b
                    on entry: seen.append(event.type)
                    transitions:
                      - event: inner
                        guard: event.value == event.data['value'] == 1
                        target: c
                  - name: c
                    on exit: seen.append(event.name)
                    transitions:
                      - guard: event.type == 'inner'
                        target: d
                        action: seen.append('eventless ' + event.type)
                  - name: d
                """,
                "seen = []",
            )
        )
        run.send("go", ok=True)
        assert run.context["seen"] == [INIT_TYPE, "exit go", "go", "inner", "eventless inner"]

    def test_a_resumed_instance_consumes_its_event_first(self) -> None:
        # It was stable when it was left; its eventless transitions look again when there is an event to look at.
        run = Run(
            chart(
                """
                initial: a
                states:
                  - name: a
                    transitions:
                      - guard: event.type == 'go'
                        target: b
                      - event: go
                        action: seen.append('taken in a')
                  - name: b
                    transitions:
                      - event: go
                        action: seen.append('taken in b')
                """,
                "seen = []",
            )
        )
        run.send("go")
        assert run.context["seen"] == ["taken in a"]
        assert run.states == ("root", "b")

    def test_data_named_as_sismics_own_is_plain_data(self) -> None:
        run = Run(
            chart(
                """
                initial: a
                states:
                  - name: a
                    transitions:
                      - event: go
                        target: b
                        action: |
                          _data = dict(event.data)
                          send('inner', **_data)
                          notify('told', **_data)
                  - name: b
                    transitions:
                      - event: inner
                        target: c
                        action: seen = [event.delay, event.name, event.type, event.data]
                  - name: c
                """,
                "seen = None",
            )
        )
        data = {"delay": 60, "name": "n", "data": 1, "type": "t", "self": 2}
        run.send("go", **data)
        assert run.states == ("root", "c")
        assert run.context["seen"] == [60, "inner", "inner", data]

    def test_an_attribute_that_is_not_there_is_named_without_the_data(self) -> None:
        of = chart(ONE + "    transitions:\n      - event: go\n        guard: event.amount\n")
        found = failure(Run(of), amount="secret")
        assert found.name == "AttributeError"
        assert found.message == "an event has no attribute 'amount'; its data is `event.data`"

    def test_expected_says_whether_a_transition_took_the_event(self) -> None:
        run = Run(chart(ONE + "    transitions:\n      - event: go\n        guard: event.data['ok']\n"))
        assert run.result.expected
        assert run.program.expected(run.snapshot) == ("go",)
        before = run.snapshot
        assert not run.send("other").expected
        assert not run.send("go", ok=False).expected
        assert run.snapshot == before
        assert run.send("go", ok=True).expected


class TestOrder:
    def test_sismics_errors_are_named_and_concise(self) -> None:
        two = ONE + "    transitions:\n      - event: go\n        target: b\n      - event: go\n  - name: b\n"
        found = failure(Run(chart(two, "secret = 'context'")))
        assert found.name == "NonDeterminismError"
        assert found.message.startswith("Non-determinist choice between transitions a -> go [None]")
        assert "\n" not in found.message

    def test_two_transitions_of_the_root_are_named_likewise(self) -> None:
        found = failure(Run(chart("transitions:\n  - event: go\n  - event: go\n" + ONE)))
        assert found.name == "NonDeterminismError"
        assert "transitions of the root" in found.message

    def test_priorities_give_the_first_match(self) -> None:
        of = chart(
            ONE + "    transitions:\n      - event: go\n        target: b\n        priority: 2\n"
            "      - event: go\n        target: c\n        priority: 1\n  - name: b\n  - name: c\n"
        )
        assert Run(of).send("go").snapshot.configuration == ("root", "b")

    def test_a_region_that_leaves_while_another_moves_conflicts(self) -> None:
        of = chart(
            """
            initial: p
            states:
              - name: p
                parallel states:
                  - name: r1
                    transitions:
                      - event: go
                        target: out
                  - name: r2
                    transitions:
                      - event: go
                        target: r2
              - name: out
            """
        )
        found = failure(Run(of))
        assert found.name == "ConflictingTransitionsError"
        assert "\n" not in found.message

    def test_what_comes_from_sets_is_sorted(self) -> None:
        regions = "".join(
            f"          - name: r{n}\n            on entry: seen.append('r{n}')\n" for n in (7, 3, 9, 1, 5)
        )
        of = chart(
            "initial: p\nstates:\n  - name: p\n    initial: q\n    transitions:\n      - event: go\n"
            "        target: out\n    states:\n      - name: h\n        type: deep history\n        memory: q\n"
            "      - name: q\n        parallel states:\n" + regions + "  - name: out\n    transitions:\n"
            "      - event: back\n        target: h\n",
            "seen = []",
        )
        run = Run(of)
        assert run.context["seen"] == ["r1", "r3", "r5", "r7", "r9"]
        run.send("go")
        assert run.snapshot.history == {"h": ("q", "r1", "r3", "r5", "r7", "r9")}
        run.send("back")
        assert run.context["seen"] == ["r1", "r3", "r5", "r7", "r9"] * 2
        assert run.states == ("root", "p", "q", "r1", "r3", "r5", "r7", "r9")

    def test_a_history_state_that_remembers_nothing_takes_its_default(self) -> None:
        of = chart(
            ONE + "    transitions:\n      - event: go\n        target: h\n  - name: p\n    states:\n"
            "      - name: h\n        type: shallow history\n        memory: x\n      - name: x\n"
        )
        assert Run(of).send("go").snapshot.configuration == ("root", "p", "x")

    def test_the_trace_tells_each_microstep(self) -> None:
        of = chart(
            ONE
            + "    transitions:\n      - event: go\n        target: b\n"
            + "  - name: b\n    type: final\n    on entry: complete(n=1)\n"
        )
        result = Run(of).send("go")
        assert result.trace == (Microstep("go", ("a",), ("b",)), Microstep(None, ("b", "root"), ()))
        assert result.done
        assert result.snapshot.configuration == ()
        assert result.snapshot.output == {"n": 1}


class TestContracts:
    CONTRACT = """
    initial: a
    states:
      - name: a
        contract:
          - before: n == 0
          - always: n >= __old__.n
          - after: n == __old__.n + 2
        transitions:
          - event: add
            action: n += event.data['by']
            contract:
              - after: n == __old__.n + event.data['by']
          - event: go
            target: b
      - name: b
    """

    def test_old_is_restored(self) -> None:
        run = Run(chart(self.CONTRACT, "n = 0"))
        assert run.snapshot.remembered == {"a": {"n": 0}}
        run.send("add", by=1)
        run.send("add", by=1)
        assert run.snapshot.remembered == {"a": {"n": 0}}
        run.send("go")
        assert run.states == ("root", "b")
        assert run.snapshot.remembered == {}

    @pytest.mark.parametrize(
        ("type_", "by", "name", "condition"),
        [
            ("add", -1, "InvariantError", "state 'a', invariant: n >= __old__.n"),
            ("go", 0, "PostconditionError", "state 'a', postcondition: n == __old__.n + 2"),
        ],
    )
    def test_broken_conditions_are_named_without_the_context(
        self, type_: str, by: int, name: str, condition: str
    ) -> None:
        found = failure(Run(chart(self.CONTRACT, "n = 0")), type_, by=by)
        assert (found.name, found.message) == (name, f"The condition does not hold: {condition}")

    def test_a_precondition_at_the_start(self) -> None:
        with pytest.raises(ExecutionFailure, match="precondition: n == 0"):
            Run(chart(self.CONTRACT, "n = 1"))

    def test_sent_and_received(self) -> None:
        of = chart(
            ONE + "    transitions:\n      - event: go\n        action: send('x', n=1)\n        contract:\n"
            "          - before: received('go') and not sent('x')\n"
            "  - name: b\n    contract:\n      - always: 'False'\n"
        )
        assert Run(of).send("go").expected


class TestFailures:
    @pytest.mark.parametrize(
        ("code", "name", "message"),
        [
            ("1 / 0", "ZeroDivisionError", "division by zero"),
            ("nowhere", "NameError", "name 'nowhere' is not defined"),
            ("raise SystemExit('bye')", "SystemExit", "bye"),
            ("raise GeneratorExit('bye')", "GeneratorExit", "bye"),
            ("raise BaseException('base')", "BaseException", "base"),
            ("exit_when_told()", "ExitWhenTold", "an error of type ExitWhenTold that has no text"),
            ("fail()", "Unprintable", "an error of type Unprintable that has no text"),
            ("emit('x', 1)", "TypeError", "emit: the data must be an object, not a int"),
            ("emit('', {})", "TypeError", "emit: the type must be a text that is not empty"),
            ("emit('x', {}, to=1)", "TypeError", "emit: to must be a text or None, not a int"),
            ("emit('x', {}, executionunits=True)", "TypeError", "emit: executionunits must be a finite number or None"),
            ("emit('x', {}, domains=[1])", "TypeError", "emit: a domain must be a text, not a int"),
            (
                "emit('x', dict(n=now))",
                "ValueError",
                "emit: the data can't be written as JSON: a value of type datetime",
            ),
            (
                "complete(n=1e999)",
                "ValueError",
                "complete: the output can't be written as JSON: a number is not finite",
            ),
            ("send('')", "TypeError", "send: the name must be a text that is not empty"),
            ("setdefault('a' + 'b', 1)", "NameError", "'ab' is no context variable"),
        ],
    )
    def test_an_error_keeps_its_name_and_text(self, code: str, name: str, message: str) -> None:
        class Unprintable(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        class ExitWhenTold(BaseException):
            def __str__(self) -> str:
                raise SystemExit

        def fail() -> None:
            raise Unprintable

        def exit_when_told() -> None:
            raise ExitWhenTold

        of = chart(
            on_go(code),
            functions={"fail": fail, "exit_when_told": exit_when_told},
        )
        found = failure(Run(of))
        assert found.name == name
        assert found.message.startswith(message)
        assert found.stack is not None

    def test_an_interrupt_from_outside_is_no_failure(self) -> None:
        def interrupted() -> None:
            raise KeyboardInterrupt

        run = Run(chart(on_go("interrupted()"), functions={"interrupted": interrupted}))
        with pytest.raises(KeyboardInterrupt):
            run.send("go")

    def test_a_failed_step_leaves_nothing_behind(self) -> None:
        run = Run(
            chart(
                ONE
                + "    transitions:\n      - event: go\n        action: |\n          n.append(1)\n          1 / 0\n",
                "n = []",
            )
        )
        failure(run)
        assert run.context == {"n": []}
        assert not run.send("other").expected

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("float('nan')", "a number is not finite"),
            ("2 ** 64", "an integer is beyond 64 bits"),
            ("'a\\0'", "a text holds U+0000"),
            ("{1: 2}", "a key of type int is no text"),
            ("[{1}]", "a value of type set is no JSON value"),
            ("event", "a value of type ReceivedView is no JSON value"),
            ("(lambda: 1)", "a value of type function is no JSON value"),
        ],
    )
    def test_a_context_that_is_no_json_fails_with_variable_and_state(self, value: str, reason: str) -> None:
        of = chart(
            on_go(f"n = {value}"),
            "n, m = 0, 0",
        )
        found = failure(Run(of))
        assert found.name == "ContextValueError"
        assert f"The context variable 'n' can't be stored: {reason}" in found.message
        assert "It was last used in state 'a', transition 1 on 'go', action" in found.message

    def test_the_context_is_what_its_stored_form_gives_back(self) -> None:
        run = Run(chart(ONE + "    on entry: pair = (1, (2, 3))\n", "pair = None"))
        assert run.context == {"pair": [1, [2, 3]]}

    @pytest.mark.parametrize(
        "guard",
        [
            "n.append(1) or True",
            "grow(n) or True",
            "sorted([1], key=n.append) or True",
            "(_m := n) and _m.clear() or True",
            "1 and [0 for n[0] in [2]]",
            "any(True for n[0] in [2])",
            "init['x'].append(1) or True",
            "event.data.popitem()",
            "1 and [0 for event.data in [{}]]",
        ],
    )
    def test_a_guard_can_not_change_the_context(self, guard: str) -> None:
        of = chart(
            ONE + f"    transitions:\n      - event: go\n        guard: {guard}\n",
            "n = [1]",
            {"grow": lambda values: values.append(1)},
        )
        found = failure(Run(of, {"x": []}), k=1)
        assert found.name == "GuardChangedContext"
        assert "state 'a', transition 1 on 'go', guard" in found.message

    def test_a_guard_may_call_what_only_looks(self) -> None:
        of = chart(
            ONE + "    transitions:\n      - event: go\n        guard: |\n"
            "          total(n) == 1 and n.copy() and max(n, key=lambda v: -v) and active('a')\n",
            "n = [1]",
            {"total": sum},
        )
        assert Run(of).send("go").expected

    def test_a_contract_can_not_change_the_context(self) -> None:
        of = chart(ONE + "    contract:\n      - always: n.append(1) or True\n", "n = []")
        with pytest.raises(ExecutionFailure, match="changed the context"):
            Run(of)

    def test_a_snapshot_of_another_chart_is_refused(self) -> None:
        run = Run(chart(ONE))
        other = SismicEngine().compile(chart("initial: z\nstates:\n  - name: z\n"))
        with pytest.raises(ExecutionFailure, match="in the state 'a', which the chart does not have"):
            other.resume(run.snapshot, step_input("go"))
        assert other.expected(run.snapshot) == ()

    def test_a_variable_that_the_chart_no_longer_names_is_kept(self) -> None:
        run = Run(chart(ONE, "n = 1"))
        result = SismicEngine().compile(chart(ONE, "m = 1")).resume(run.snapshot, step_input("go"))
        assert result.snapshot.context == {"n": 1}

    @pytest.mark.parametrize("depth", [200, 245, 250, 251, 252, 253, 254, 300])
    def test_a_context_that_is_kept_can_be_stored(self, depth: int) -> None:
        of = chart(
            ONE
            + f"    on entry: |\n      for _i in range({depth}): n = [n]\n"
            + "    contract:\n      - always: __old__.n or 1\n",
            "n = 0",
        )
        try:
            run = Run(of)
        except ExecutionFailure as found:
            assert found.name == "ContextValueError"  # noqa: PT017  # Either is right, but nothing else.
        else:
            assert decode_snapshot(encode_snapshot(run.snapshot)) == run.snapshot

    def test_init_data_that_can_not_be_stored(self) -> None:
        with pytest.raises(ExecutionFailure, match=r"The init data can't be stored: a text holds U\+0000"):
            Run(chart(ONE), {"x": "\0"})


class TestEmissions:
    def test_emissions_stand_in_order_of_execution_with_all_that_was_asked(self) -> None:
        run = Run(
            chart(
                ONE + "    on entry: |\n"
                "      _data = {'n': [1]}\n"
                "      emit('com.a', _data)\n"
                "      _data['n'].append(2)\n"
                "      emit('com.b', _data, ['x', 'y', 'x'], to='t', redirectto='r', accesscontrol='c',\n"
                "           executionunits=1.5, dataschema='#/d/1.0.0', extensions={'e': 1})\n"
                "      emit('com.c', {}, domains=[])\n"
                "      emit('com.d', {}, domains='x')\n"
            )
        )
        a, b, c, d = run.result.emissions
        assert (a.type, a.data, a.domains) == ("com.a", {"n": [1]}, None)
        assert (b.data, b.domains, b.to, b.redirectto) == ({"n": [1, 2]}, ("x", "y"), "t", "r")
        assert (b.accesscontrol, b.executionunits, b.dataschema) == ("c", 1.5, "#/d/1.0.0")
        assert b.extensions == {"e": 1}
        assert c.domains is None
        assert d.domains == ("x",)

    def test_the_output_is_kept_until_the_end(self) -> None:
        run = Run(
            chart(
                ONE + "    on entry: complete(n=1, self=2)\n    transitions:\n      - event: go\n        target: b\n"
                "  - name: b\n    type: final\n"
            )
        )
        assert not run.result.done
        assert run.send("go").snapshot.output == {"n": 1, "self": 2}


class TestBounds:
    def run(self, code: str, bounds: Bounds) -> str:
        of = chart(f"initial: a\nstates:\n  - name: a\n    on entry: |\n      {code}\n")
        with pytest.raises(ExecutionFailure) as raised:
            Run(of, bounds=bounds)
        assert str(getattr(bounds, next(iter(vars_that_differ(bounds))))) in raised.value.message
        return raised.value.name

    def test_emissions(self) -> None:
        code = "for _n in range(4): emit('x', {})"
        assert self.run(code, Bounds(emissions_max=3)) == "EmissionsBoundExceeded"
        Run(chart(f'initial: a\nstates:\n  - name: a\n    on entry: "{code}"\n'), bounds=Bounds(emissions_max=4))

    def test_bytes(self) -> None:
        assert self.run("emit('x', {'t': 'ü' * 50})", Bounds(emission_bytes_max=100)) == "EmissionBytesBoundExceeded"
        assert self.run("complete(t='x' * 100)", Bounds(emission_bytes_max=100)) == "EmissionBytesBoundExceeded"

    def test_context(self) -> None:
        code = "setdefault('n', 'x' * 100)"
        assert self.run(code, Bounds(context_bytes_max=100)) == "ContextBytesBoundExceeded"

    def test_sent_events(self) -> None:
        assert self.run("while True: send('x')", Bounds(microsteps_max=50)) == "MicrostepsBoundExceeded"

    def test_a_chart_that_catches_it_fails_all_the_same(self) -> None:
        code = "try:\n        for _n in range(4): emit('x', {})\n      except Exception: pass"
        assert self.run(code, Bounds(emissions_max=3)) == "EmissionsBoundExceeded"

    @pytest.mark.parametrize("loop", ["- guard: True", "- target: a", "- guard: n >= 0\n        action: n += 1"])
    def test_microsteps(self, loop: str) -> None:
        with pytest.raises(ExecutionFailure, match="bound of 20 microsteps; is there an eventless loop") as raised:
            Run(chart(ONE + f"    transitions:\n      {loop}\n", "n = 0"), bounds=Bounds(microsteps_max=20))
        assert raised.value.name == "MicrostepsBoundExceeded"


def vars_that_differ(bounds: Bounds) -> list[str]:
    return [name for name in Bounds.__slots__ if getattr(bounds, name) != getattr(Bounds(), name)]


def test_the_same_input_gives_the_same_result() -> None:
    of = Chart.parse(chart_text(ONE + "    on entry: |\n      emit('x', {'id': new_id(), 'at': now.isoformat()})\n"))
    assert Run(of).result == Run(of).result
