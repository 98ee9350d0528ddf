"""Straight functions: what is written of a chart's code, and what is left to the scope."""

from collections.abc import Mapping
from typing import Any

import pytest

from machines.order import machine as order_machine
from tests.bench.engine import deep_load, order_load
from tests.core.engine.charts import INIT_TYPE, as_jsonb_gives_it, chart, step_input
from worker.core.bounds import DEFAULT_BOUNDS, Bounds
from worker.core.engine.api import Snapshot, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.compiled.program import CompiledEngine, CompiledProgram
from worker.core.engine.compiled.straight import Straight, StraightOpening
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import ExecutionFailure
from worker.core.snapshots import decode_snapshot, encode_snapshot

PREAMBLE = "n = 1\nitems = [{'z': 1, 'aa': 2}]\nratio = 0.5"
"""JSONB has the keys in another order than the one that code sees."""


def acting(*lines: str, guard: str = "True", functions: Any = None) -> Chart:
    code = "".join(f"\n          {line}" for line in lines)
    return chart(
        f"initial: a\nstates:\n  - name: a\n    transitions:\n      - event: go\n        guard: {guard}\n"
        f"        action: |{code}\n",
        PREAMBLE,
        functions,
    )


def row_of(snapshot: Snapshot) -> Snapshot:
    return decode_snapshot(as_jsonb_gives_it(encode_snapshot(snapshot)))


def compiled(of: Chart) -> CompiledProgram:
    program = CompiledEngine().compile(of)
    assert isinstance(program, CompiledProgram)
    return program


def both(
    of: Chart, data: Mapping[str, Any] | None = None, bounds: Bounds = DEFAULT_BOUNDS
) -> tuple[bool, tuple[str, object]]:
    """Send `go` on both engines, which must agree; tell whether a straight function did it, and what came of it."""
    program, sismic = compiled(of), SismicEngine().compile(of)
    before = row_of(sismic.start(step_input(INIT_TYPE)).snapshot)
    outcomes: list[tuple[str, object]] = []
    for one in (program, sismic):
        try:
            result = one.resume(before, step_input("go", data or {"k": 2}, bounds=bounds))
            outcomes.append((repr(result), encode_snapshot(result.snapshot)))
        except ExecutionFailure as failure:
            outcomes.append((failure.name, failure.message))
    assert outcomes[0] == outcomes[1]
    plan = program._plans.find(before, "go")
    assert plan is not None
    assert plan.straight is not None
    step = step_input("go", data or {"k": 2}, bounds=bounds)
    return plan.straight.run(row_of(before), step) is not None, outcomes[0]


@pytest.mark.parametrize(
    "lines",
    [
        ("n = event.data['k']",),
        ("n = event.data.get('none', 3)", "emit('x', {'n': n, 't': event.type})"),
        ("emit('x', {'items': items}, domains=['b', 'a', 'b'])",),
        ("emit('x', {'n': n}, 'b')", "emit('y', {}, to='com.some.one')"),
        ("emit(domains=[event.type], data={**items[0]}, type='x' + str(n))",),
        ("complete(n=n)", "complete(items=items)"),
        ("_x = items[0]['z']", "for _i in range(_x):", "  n += _i", "items.append({'b': [], 'a': {}})"),
        ("items = [n for n in range(3)]",),
        ("n = list(items[0])",),
        ("n = sum(k for k in [len(event.data), n] if k)", "ratio = max(ratio, 0.1)"),
        ("n = f'{event.data!r:>10} {n}'",),
        ("n = '''a", "  b'''", "ratio = f'''{n}", "'''"),
        ("n = active('a')", "items = [active(_name) for _name in ['root', 'none']]"),
        ("n = twice(event)", "ratio = twice(n)"),
        ("n = init.get('n'), 1", "n = list(n)"),
        ("n = [now.isoformat(), subject]",),
        ("if n: pass", "else: n = 1"),
    ],
)
def test_plain_code_runs_straight(lines: tuple[str, ...]) -> None:
    assert both(acting(*lines, functions={"twice": lambda value: [type(value).__name__, 2]}))[0]


@pytest.mark.parametrize(
    "lines",
    [
        ("n = new_id()",),
        ("send('x', n=n)",),
        ("notify('x')",),
        ("n = sent('x')",),
        ("setdefault('late', 1)",),
        ("del n",),
        ("_f = lambda: n", "n = _f()"),
        ("def _f():", "  return n", "n = _f()"),
        ("while n < 3: n += 1",),
        ("try: 1 / 0", "except ZeroDivisionError: n = 2"),
        ("n = (_x := 2)",),
        ("n = 0 * len(dir())",),
        ("[emit('x', {'i': _i}) for _i in range(2)]",),
        ("_send = emit", "_send('x', {})"),
        ("n = emit('x', {})",),
        ("emit('x', {}, executionunits=1)",),
        ("emit('x', {}, None, None, None, 'role')",),
        ("emit(*['x', {}])",),
        ("emit('x')",),
        ("emit('x', {}, type='y')",),
        ("emit('x', {}, **{})",),
        ("complete(1)",),
        ("complete(**{'n': 1})",),
        ("n = missing",),
        ("n = _given",),
        ("items = [0 for _given in items]", "n = _given"),
        ("n = _own([1, 2])",),
    ],
)
def test_other_code_is_the_scope_s(lines: tuple[str, ...]) -> None:
    assert not both(acting(*lines, functions={"_own": len}))[0]


@pytest.mark.parametrize("guard", ["n == 1", "event.data['k'] > 1", "active('a') and items", "len(event.source) > 0"])
def test_plain_guards_are_looked_at_straight(guard: str) -> None:
    assert both(acting("n += 1", guard=f'"{guard}"'))[0]


@pytest.mark.parametrize("guard", ["items.clear() or n", "check(n)", "missing", "n / 0", "[n for n in items].pop()"])
def test_other_guards_are_the_scope_s(guard: str) -> None:
    assert not both(acting("n += 1", guard=f'"{guard}"', functions={"check": bool}))[0]


VALUES = {
    "0.0": True,
    "1.5": True,
    "1e300": True,
    "'\\u20ac \\\\ \\n'": True,
    "[1, [2.0, {'b': None, 'a': True}]]": True,
    "2**64 - 1": True,
    "-0.0": False,
    "[-0.0]": False,
    "'\\0'": False,
    "['\\0']": False,
    "float('nan')": False,
    "{'a': [float('inf')]}": False,
    "{1: 2}": False,
    "(1, 2)": False,
    "[(1, 2)]": False,
    "2**70": False,
    "'\\ud800'": False,
    "[len]": False,
    "number(7)": False,
    "text('red')": False,
    "deep(190)": True,
    "deep(260)": False,
}


class _Number(int):
    pass


class _Text(str):
    __slots__ = ()


def _deep(levels: int) -> list[Any]:
    return [_deep(levels - 1)] if levels else []


@pytest.mark.parametrize("line", ["n = {}", "items.append({})", "emit('x', {{'n': {}}})", "complete(n={})"])
@pytest.mark.parametrize("value", VALUES)
def test_values_that_need_a_closer_look_are_the_scope_s(value: str, line: str) -> None:
    functions = {"number": _Number, "text": _Text, "deep": _deep}
    assert both(acting(line.format(value), functions=functions))[0] == VALUES[value]


def test_the_step_s_data_stay_as_they_are() -> None:
    data = {"k": [1, {"z": 1, "a": 2}], "ratio": 1.5}
    straight, _ = both(acting("n = event.data['k']", "n.append(1)", "emit('x', {'list': list(n[1])})"), data)
    assert straight
    assert data == {"k": [1, {"z": 1, "a": 2}], "ratio": 1.5}
    assert both(acting("n = event.data['k']", "ratio = event.data['ratio']"), {"k": None, "ratio": 1.5})[0]


@pytest.mark.parametrize(
    ("bounds", "name"),
    [
        (Bounds(emissions_max=1), "EmissionsBoundExceeded"),
        (Bounds(emission_bytes_max=20), "EmissionBytesBoundExceeded"),
        (Bounds(context_bytes_max=40), "ContextBytesBoundExceeded"),
        (Bounds(microsteps_max=0), "MicrostepsBoundExceeded"),
    ],
)
def test_bounds_are_the_scope_s_to_tell(bounds: Bounds, name: str) -> None:
    lines = "emit('x', {'n': 12})", "complete(n=1)", "complete(n=2)", "emit('y', {})"
    straight, outcome = both(acting(*lines), bounds=bounds)
    assert (straight, outcome[0]) == (False, name)
    bytes_max = len('{"n":12}{"n":1}{"n":2}{}')
    assert both(acting(*lines), bounds=Bounds(emissions_max=2, emission_bytes_max=bytes_max, microsteps_max=1))[0]
    assert not both(acting(*lines), bounds=Bounds(emission_bytes_max=bytes_max - 1))[0]


def test_the_bench_s_charts_need_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.core.engine.compiled.program.LeanScope", None)
    for load in (order_load(), deep_load()):
        program = compiled(load.chart)
        assert all(program.resume(decode_snapshot(text), step).expected for step, text in load.steps)


def test_a_first_step_runs_straight() -> None:
    opening = compiled(order_machine.chart)._opening
    assert isinstance(opening, StraightOpening)
    data = {"order_id": "1", "amount": 1, "customer": "c", "currency": "EUR", "items": [{"z": 1, "a": 2}]}
    step = step_input(order_machine.source, data)
    result = opening.run(step)
    assert isinstance(result, StepResult)
    assert repr(result) == repr(SismicEngine().compile(order_machine.chart).start(step))
    assert opening.run(step_input(order_machine.source, {**data, "items": [(1,)]})) is None


def test_the_functions_can_be_looked_at() -> None:
    program = compiled(acting("n += event.data['k']", guard='"ratio"'))
    before = row_of(program.start(step_input(INIT_TYPE)).snapshot)
    assert program.source(before, "go") == program.source(before, "never") == ""
    program.resume(before, step_input("go", {"k": 2}))
    assert "if ratio:\n        _chosen |= 1" in program.source(before, "go")
    assert "n += _data['k']" in program.source(before, "go")


def test_what_is_unusual_each_time_is_tried_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bool] = []
    run = Straight._run

    def counted(*arguments: Any) -> StepResult | None:
        tried.append(True)
        return run(*arguments)

    monkeypatch.setattr(Straight, "_run", counted)
    program = compiled(acting("n = (n, 1) if event.data['k'] else 1"))
    before = row_of(program.start(step_input(INIT_TYPE)).snapshot)
    for _ in range(100):
        program.resume(before, step_input("go", {"k": 1}))
    assert 1 < len(tried) < 10
    tried.clear()
    for _ in range(200):
        program.resume(before, step_input("go", {"k": 0}))
    assert len(tried) > 50


def test_a_context_that_somebody_looks_at_stays_as_it_is() -> None:
    program = compiled(acting("items[0]['z'] = 5", "items.append(1)"))
    before = row_of(program.start(step_input(INIT_TYPE)).snapshot)
    items = before.context["items"]
    after = [program.resume(before, step_input("go")).snapshot.context["items"] for _ in range(2)]
    assert items == before.context["items"] == [{"aa": 2, "z": 1}]
    assert after == [[{"aa": 2, "z": 5}, 1]] * 2
