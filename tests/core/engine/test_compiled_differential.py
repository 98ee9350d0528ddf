"""Sismic's interpreter and the compiled one, on drawn charts: the same traces, contexts, snapshots and errors."""

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sismic.clock import SimulatedClock
from sismic.interpreter import Interpreter
from sismic.model import MacroStep, Statechart

from tests.core.engine.charts import INIT_TYPE, as_jsonb_gives_it, step_input
from tests.core.engine.drawn_charts import EXTERNAL, Language, statecharts
from worker.core.bounds import Bounds
from worker.core.engine.api import Program, Snapshot, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.compiled.interpreter import CompiledInterpreter, CompiledStatechart
from worker.core.engine.compiled.program import CompiledEngine, CompiledProgram
from worker.core.engine.compiled.straight import Straight
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import ExecutionFailure
from worker.core.snapshots import decode_snapshot, encode_snapshot

BOUNDS = Bounds(microsteps_max=40)
STEPS_MAX = 12

MACHINES = Language(
    preamble="n = init['n']\ntrace = []\ncounts = {'z': 0, 'a': [1, {'y': 1, 'b': 2}]}\nother = None\nratio = 0.5",
    actions=(
        "n += 1",
        "n += event.data.get('k', 1)",
        "counts['z'] += 1; trace.append(f'{event.type} {n} {list(counts)}')",
        "send('i1', k=n)",
        "send('i2', **{'delay': n, 'name': 'plain'})",
        "send('i1'); notify('i2'); send('i2')",
        "trace.append(sent('i1'))",
        "emit('com.x', {'n': n, 'id': new_id(), 'all': counts}, domains=['x', 'x'] if n % 2 else None)",
        "emit('com.y', {'now': now.isoformat(), 'to': subject}, to='a', extensions={'k': 1}, executionunits=n)",
        "trace.extend([n + len(trace) for _ in range(2)])",
        "complete(n=n)",
        "trace = trace[-3:]",
        "other = counts['a']\nother[1]['q'] = n",
        "other = (n, [ratio])\nratio = ratio / 2",
        "setdefault('late', []).append((n, None))",
        "_f = lambda x: [x, *trace[:1]]\nother = _f(n)",
        "if n > 2: init['list'].append(n)",
        "del counts\ncounts = {'z': n, 'a': [n, {}]}",
        "1 / (n % 7 - 6)",
        "ratio = float('inf') if n == 5 else -0.0",
    ),
    guards=(
        "n % 2 == 0",
        "n % 3 != 1",
        "event.type != 'e1'",
        "active('{state}')",
        "counts['z'] < 4 and not other",
        "n > 4",
        "sorted(trace, key=lambda x: str(x))[:1] != []",
        "event.data.get('k', 0) > 1",
        "trace.append(1) or n > 3",
        "missing",
    ),
    eventless_guards=("n % 5 == 3", "n > 6 and active('{state}')", "event.type == 'i1'", "sent('i2')", "n == 2"),
)

STRAIGHT = Language(
    preamble="n = init['n']\ntrace = []\ncounts = {'z': 0, 'a': [1, {'y': 1, 'b': 2}]}\nother = None\nratio = 0.5",
    actions=(
        "n += event.data['k']",
        "n += event.data.get('k', 1) + len(event.type)",
        "counts['z'] += 1; trace.append(f'{event.type} {n} {list(counts)}')",
        "emit('com.x', {'n': n, 'r': ratio, 'none': None, 'all': counts}, domains=['x', 'x'])",
        "emit(type='com.y', data={'now': now.isoformat(), 'k': [n, {'z': 1, 'a': subject}]}, to=subject)",
        "emit('com.' + str(n), {'z': 1, 'a': event.data}, ['x', str(n)] if n % 2 else None)",
        "complete(n=n, other=other, ratio=ratio)",
        "complete()\ncomplete(trace=trace)",
        "trace = trace[-3:]",
        "_k = n % 3\nfor _i in range(_k):\n  trace.append([_i])\n  emit('com.i', {'i': _i})",
        "if n > 3:\n  other = {'k': [n], 'a': active(str(n))}\nelse:\n  ratio = ratio / 2",
        "other = counts['a']\nother[1]['q'] = n",
        "other = [_x for _x in trace if _x]",
        "other = n, ratio",
        "init['list'].append(n)\nother = init['list']",
        "ratio = 1 / (n % 7 - 6)",
        "ratio = float('inf') if n == 5 else 0.0 * -n",
        "trace.append({'a': ratio})\ntrace.append('\\0' if n == 4 else 'x')",
    ),
    guards=(
        "n % 2 == 0",
        "event.data['k'] > 1",
        "event.type != 'e1' and active('{state}')",
        "counts['z'] < 4",
        "ratio",
    ),
    eventless_guards=("n % 5 == 3", "n > 6 and active('{state}')"),
)

PLAIN = Language(
    preamble="n = k0\ntrace = []\ncounts = {'a': 0}",
    actions=(
        "n += 1",
        "counts['a'] += 1; trace.append((time, n))",
        "send('i1', k=n)",
        "send('i2', delay=2)",
        "send('i1', delay=n); notify('seen'); send('i2')",
        "trace.append(active('s01') or active('s02'))",
        "setdefault('late', []).append(n)",
        "trace.append(event.name if event else None)",
        "def double(x):\n  return 2 * x\nn = double(n) % 9",
        "trace = trace[-3:]",
        "def later():\n  return time\nn = (n + later()) % 9",
        "[send(name, k=n) for name in ['i1']]",
        "kept = send",
        "kept('i1')",
        "1 / (n % 7 - 6)",
        "global g\ng = n",
        "trace.append(g)",
        "trace.append(sorted(name for name in globals() if name != '__builtins__'))",
        "n = =",
    ),
    guards=(
        "n % 2 == 0",
        "n % 3 != 1",
        "event.name != 'e1'",
        "event.k > 1",
        "active('{state}')",
        "after(2)",
        "idle(3)",
        "time > 3",
        "missing",
    ),
    eventless_guards=("n % 5 == 3", "after(4) and n < 5", "idle(5) and n < 6", "event is not None", "n == 2"),
)


def told(run: Callable[[], Any]) -> Any:
    """Give what a call gives, or what it raises."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001  # Chart code may raise anything.
        return type(error).__name__, str(error), type(error.__cause__).__name__


def failing(run: Callable[[], StepResult]) -> StepResult | tuple[str, str]:
    try:
        return run()
    except ExecutionFailure as failure:
        return failure.name, failure.message


RUNS = 20
EVENTS_MAX = 8
SENT = (*EXTERNAL, *EXTERNAL, "unknown")


def drawn_runs(seed: int) -> Iterator[tuple[int, list[tuple[str, int, int, bool]]]]:
    """Give runs: a number to begin with; events, each with a number, the seconds before it, and whether to restore."""
    draw = Random(seed)
    for _ in range(RUNS):
        events = range(draw.randint(1, EVENTS_MAX))
        yield (
            draw.randrange(7),
            [(draw.choice(SENT), draw.randrange(4), draw.randrange(4), draw.random() < 0.5) for _ in events],
        )


thorough = settings(
    max_examples=60,
    phases=[Phase.generate],
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


STRAIGHTLY: Counter[bool] = Counter()
"""How many steps of compiled programs were, and were not, done by a straight function."""


@pytest.fixture(autouse=True)
def _straight_functions_are_always_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(straight: Straight, *arguments: Any) -> StepResult | None:
        result = run(straight, *arguments)
        STRAIGHTLY[result is not None] += 1
        return result

    run = Straight._run
    monkeypatch.setattr(Straight, "_run", counted)
    monkeypatch.setattr("worker.core.engine.compiled.straight.RESTING_MAX", 0)


class Pair:
    """One instance on both engines; each goes on from what the other has stored."""

    def __init__(self, chart: Chart) -> None:
        self.compiled = CompiledEngine().compile(chart)
        self.sismic = SismicEngine().compile(chart)
        assert isinstance(self.compiled, CompiledProgram)

    def run(self, n: int, sent: list[tuple[str, int, int, bool]]) -> None:
        """Start an instance and send it events."""
        result = self.start(n)
        for type_, k, _, _ in sent:
            if result is None or result.done:
                return
            # After a step that failed the instance is as it was.
            result = self.resume(result.snapshot, type_, k) or result

    def start(self, n: int) -> StepResult | None:
        data = {"n": n, "list": [1]}
        return self._same(
            lambda program: program.start(step_input(INIT_TYPE, data, bounds=BOUNDS)),
            lambda program: program.start(step_input(INIT_TYPE, data, bounds=BOUNDS)),
        )

    def resume(self, before: Snapshot, type_: str, k: int) -> StepResult | None:
        text = encode_snapshot(before)
        stored = decode_snapshot(text)
        after = self._same(
            lambda program: program.resume(before, step_input(type_, {"k": k}, bounds=BOUNDS)),
            lambda program: program.resume(stored, step_input(type_, {"k": k}, bounds=BOUNDS)),
        )
        as_a_row = decode_snapshot(as_jsonb_gives_it(text))
        of_a_row = failing(lambda: self.compiled.resume(as_a_row, step_input(type_, {"k": k}, bounds=BOUNDS)))
        assert of_a_row == after if after is not None else isinstance(of_a_row, tuple)
        assert as_a_row == before
        assert encode_snapshot(before) == encode_snapshot(stored) == text
        assert self.compiled.expected(before) == self.sismic.expected(before)
        return after

    def _same(
        self, first: Callable[[Program], StepResult], second: Callable[[Program], StepResult]
    ) -> StepResult | None:
        compiled = failing(lambda: first(self.compiled))
        sismic = failing(lambda: second(self.sismic))
        assert compiled == sismic
        assert failing(lambda: second(self.compiled)) == compiled
        if not isinstance(compiled, StepResult) or not isinstance(sismic, StepResult):
            return None
        assert repr(compiled) == repr(sismic)
        assert encode_snapshot(compiled.snapshot) == encode_snapshot(sismic.snapshot)
        return compiled


@pytest.mark.timeout(240)
@thorough
@given(statecharts(MACHINES), st.integers(0, 10_000))
def test_programs_are_interchangeable(statechart: Statechart, seed: int) -> None:
    pair = Pair(Chart.parse(statechart))
    for n, sent in drawn_runs(seed):
        pair.run(n, sent)


@pytest.mark.timeout(240)
def test_programs_of_plain_code_are_interchangeable_and_mostly_straight() -> None:
    @settings(thorough, max_examples=25)
    @given(statecharts(STRAIGHT), st.integers(0, 10_000))
    def are_interchangeable(statechart: Statechart, seed: int) -> None:
        pair = Pair(Chart.parse(statechart))
        for n, sent in drawn_runs(seed):
            pair.run(n, sent)

    STRAIGHTLY.clear()
    are_interchangeable()
    assert STRAIGHTLY[True] > STRAIGHTLY[False] / 2


def step_text(step: MacroStep) -> list[Any]:
    return [
        (micro.event, micro.transition, micro.exited_states, micro.entered_states, micro.sent_events)
        for micro in step.steps
    ]


class Twins:
    """One instance on sismic's own interpreter and on the compiled one, with a clock each."""

    def __init__(self, compiled: CompiledStatechart, k0: int) -> None:
        self.compiled = compiled
        self.clocks = SimulatedClock(), SimulatedClock()
        made = told(lambda: Interpreter(compiled.statechart, initial_context={"k0": k0}, clock=self.clocks[0]))
        twin = told(lambda: self.compiled.interpreter(initial_context={"k0": k0}, clock=self.clocks[1]))
        self.failed = isinstance(made, tuple)
        if self.failed:
            assert made == twin
        else:
            self.sismic: Interpreter = made
            self.twin: CompiledInterpreter = twin

    def advance(self, seconds: int) -> None:
        for clock in self.clocks:
            clock.time += seconds

    def queue(self, name: str, k: int) -> None:
        data: dict[str, int] = {"k": k, "delay": k} if k == 3 else {"k": k}
        self.sismic.queue(name, **data)
        self.twin.queue(name, **data)

    def execute(self) -> None:
        for _ in range(STEPS_MAX):
            expected, found = told(self.sismic.execute_once), told(self.twin.execute_once)
            if isinstance(expected, tuple):
                assert found == expected
                self.failed = True
                return
            self.compare()
            if expected is None:
                assert found is None
                return
            assert step_text(found) == step_text(expected)
            assert found.time == expected.time

    def compare(self) -> None:
        sismic, twin = self.sismic, self.twin
        assert twin.configuration == sismic.configuration
        assert twin.final == sismic.final
        assert readable(twin.context) == readable(sismic.context)
        assert twin.memory == {name: tuple(sorted(states)) for name, states in sismic._memory.items()}
        assert twin.internal == sismic._internal_queue
        assert twin.external == sismic._external_queue
        state = twin.state()
        assert dict(state.entered) == sismic._entry_time
        assert dict(state.moved) == sismic._idle_time

    def restore(self) -> None:
        """Go on from the state, as another process would."""
        self.twin = self.compiled.restored(self.twin.state(), clock=self.clocks[1])


def readable(context: Any) -> dict[str, Any]:
    return {name: value for name, value in context.items() if not callable(value)}


def run_twins(compiled: CompiledStatechart, k0: int, sent: list[tuple[str, int, int, bool]]) -> None:
    twins = Twins(compiled, k0)
    for name, k, seconds, restored in (("e1", 0, 0, False), *sent):
        if twins.failed:
            return
        twins.queue(name, k)
        twins.advance(seconds)
        twins.execute()
        if restored and not twins.failed:
            twins.restore()


@pytest.mark.timeout(240)
@thorough
@given(statecharts(PLAIN), st.integers(0, 10_000))
def test_interpreters_are_interchangeable(statechart: Statechart, seed: int) -> None:
    compiled = CompiledStatechart(statechart)
    for k0, sent in drawn_runs(seed):
        run_twins(compiled, k0, sent)
