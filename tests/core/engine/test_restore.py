"""A live instance and one that is stored after every event never differ.

The live one is sismic's own interpreter on sismic's own statechart, with our evaluator and nothing else of ours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from sismic.interpreter import Interpreter
from sismic.model import MacroStep, MicroStep, Statechart

from tests.core.engine.charts import INIT_TYPE, as_jsonb_gives_it, step_input
from worker.core.bounds import Bounds
from worker.core.engine.api import Microstep, Snapshot, StepInput, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.failures import guarded
from worker.core.engine.scope import Received, ReceivedView, Scope
from worker.core.engine.session import ScopeEvaluator
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.engine.values import fresh
from worker.core.errors import ExecutionFailure
from worker.core.snapshots import decode_snapshot, encode_snapshot

EXTERNAL = ("e1", "e2", "e3")
INTERNAL = ("i1", "i2")
BOUNDS = Bounds(microsteps_max=30)
PREAMBLE = "n = init['n']\ntrace = []\ncounts = {'z': 0, 'a': 0}"

ACTIONS = (
    "n += 1",
    "n += event.data.get('k', 1) if event.data else 1",
    "counts['a'] += 1; trace.append(f'{event.type} {n} {list(counts)}')",
    "send('i1', k=n)",
    "send('i2', **{'delay': n, 'name': 'plain'})",
    "emit('com.x', {'n': n, 'id': new_id()}, domains=['x'] if n % 2 else None)",
    "trace.extend([n + len(trace) for _ in range(2)])",
    "complete(n=n)",
    "trace = trace[-3:]",
    "1 / (n % 7 - 6)",
)
GUARDS = ("n % 2 == 0", "n % 3 != 1", "event.type != 'e1'", "active('{state}')", "sum(counts.values()) < 4", "n > 4")
EVENTLESS_GUARDS = ("n % 5 == 3", "n > 6 and active('{state}')", "event.type == 'i1'")
CONTRACTS = ({"after": "n >= __old__.n"}, {"always": "n - __old__.n < 9"}, {"before": "n < 12"})


@st.composite
def statecharts(draw: st.DrawFn) -> str:
    """Draw a chart as YAML (in its JSON subset)."""
    names = iter(draw(st.permutations([f"s{number}" for number in range(24)])))
    root = _compound(draw, names, 3, "root")
    states = list(_walk(root))
    targets = [state["name"] for state in states]
    for state in states:
        _decorate(draw, state, targets)
    return orjson.dumps({"statechart": {"name": "drawn", "preamble": PREAMBLE, "root state": root}}).decode()


def _compound(draw: st.DrawFn, names: Iterator[str], depth: int, name: str) -> dict[str, Any]:
    children = [_state(draw, names, depth - 1) for _ in range(draw(st.integers(1, 3)))]
    plain = [child["name"] for child in children]
    for kind in draw(st.lists(st.sampled_from(["shallow history", "deep history"]), max_size=2, unique=True)):
        memory = draw(st.sampled_from(plain))
        children.append({"name": f"{name}-{kind.split()[0]}", "type": kind, "memory": memory})
    if draw(st.integers(0, 3)) == 0:
        children.append({"name": f"{name}-final", "type": "final"})
    return {"name": name, "initial": plain[0], "states": draw(st.permutations(children))}


def _state(draw: st.DrawFn, names: Iterator[str], depth: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(["basic", "compound", "orthogonal"])) if depth else "basic"
    name = next(names, None)
    if name is None or kind == "basic":
        return {"name": name or f"extra{draw(st.uuids())}"}
    if kind == "compound":
        return _compound(draw, names, depth, name)
    return {"name": name, "parallel states": [_state(draw, names, depth - 1) for _ in range(draw(st.integers(2, 3)))]}


def _walk(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield state
    for child in (*state.get("states", ()), *state.get("parallel states", ())):
        yield from _walk(child)


def _decorate(draw: st.DrawFn, state: dict[str, Any], targets: list[str]) -> None:
    name = state["name"]
    state["on entry"] = f"trace.append('>{name}' + str(active('{name}')))"
    if draw(st.booleans()):
        state["on exit"] = f"trace.append('<{name}'); " + draw(st.sampled_from(ACTIONS))
    if draw(st.integers(0, 4)) == 0:
        state["contract"] = [draw(st.sampled_from(CONTRACTS))]
    if "type" not in state:
        state["transitions"] = [_transition(draw, name, targets) for _ in range(draw(st.integers(0, 3)))]


def _transition(draw: st.DrawFn, name: str, targets: list[str]) -> dict[str, Any]:
    transition: dict[str, Any] = {}
    if draw(st.integers(0, 4)):
        transition["event"] = draw(st.sampled_from(EXTERNAL + INTERNAL))
        guards = draw(st.sampled_from((None, *GUARDS)))
    else:
        guards = draw(st.sampled_from(EVENTLESS_GUARDS))
    if guards:
        transition["guard"] = guards.format(state=name)
    if draw(st.integers(0, 4)):
        transition["target"] = draw(st.sampled_from(targets))
    actions = draw(st.lists(st.sampled_from(ACTIONS), max_size=2))
    if actions:
        transition["action"] = "\n".join(actions)
    transition["priority"] = draw(st.sampled_from(("low", "high", 0, 2, 3, 4)))
    if draw(st.integers(0, 4)) == 0:
        transition["contract"] = [{"after": "n >= __old__.n"}]
    return transition


class Live:
    """One instance on sismic's own interpreter, never stored."""

    def __init__(self, chart: Chart, step: StepInput) -> None:
        statechart = Statechart("plain")
        vars(statechart).update({name: vars(chart.statechart)[name] for name in vars(statechart)})
        self.init = dict(step.data)
        self.scope = Scope(chart, {}, dict(step.data))
        self.interpreter = Interpreter(
            statechart, evaluator_klass=lambda interpreter, **_: ScopeEvaluator(chart, self.scope, interpreter)
        )
        self.evaluator: ScopeEvaluator = self.interpreter._evaluator
        self.interpreter.attach(self.evaluator.observe)

    def start(self, step: StepInput) -> StepResult:
        self.scope.begin(step)
        self.scope.consume(Received(ReceivedView(step.event, step.data)))
        self.evaluator.run_preamble()
        return self._settled(started=True)

    def take(self, step: StepInput) -> StepResult:
        self.scope.begin(step)
        self.evaluator.awaits_event = True
        self.interpreter.queue(Received(ReceivedView(step.event, step.data)))
        return self._settled(started=False)

    def _settled(self, *, started: bool) -> StepResult:
        steps: list[MicroStep] = []
        macrostep: MacroStep | None = self.interpreter.execute_once()
        while macrostep:
            self.scope.count_microsteps(len(macrostep.steps))
            steps += macrostep.steps
            macrostep = self.interpreter.execute_once()
        active = self.interpreter.configuration
        remembered = {key: kept for key, kept in self.evaluator.remembered.items() if key in active}
        context = self.scope.context()
        # What SPEC machines promises of a live instance: after a step its context is what the stored form gives back.
        self.scope.namespace.update(fresh(context))
        return StepResult(
            snapshot=Snapshot(
                configuration=tuple(active),
                context=context,
                init=self.init,
                history={name: tuple(sorted(states)) for name, states in self.interpreter._memory.items()},
                remembered=remembered,
                output=self.scope.output,
            ),
            emissions=tuple(self.scope.emissions),
            done=self.interpreter.final,
            expected=started or any(step.transition for step in steps),
            trace=tuple(
                Microstep(step.event and step.event.name, tuple(step.exited_states), tuple(step.entered_states))
                for step in steps
            ),
        )


@dataclass(frozen=True)
class Failure:
    name: str
    message: str


def outcome(run: Callable[[], StepResult]) -> StepResult | Failure:
    try:
        return guarded(run)
    except ExecutionFailure as failure:
        return Failure(failure.name, failure.message)


EVENTS = st.lists(st.tuples(st.sampled_from((*EXTERNAL, "unknown")), st.integers(0, 3)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(statecharts(), st.integers(0, 6), EVENTS)
def test_a_stored_instance_goes_on_as_a_live_one(text: str, n: int, events: list[tuple[str, int]]) -> None:
    chart = Chart.parse(text)
    program = SismicEngine().compile(chart)
    first = step_input(INIT_TYPE, {"n": n}, bounds=BOUNDS)
    live = Live(chart, first)
    lived = outcome(lambda: live.start(first))
    stored = outcome(lambda: program.start(step_input(INIT_TYPE, {"n": n}, bounds=BOUNDS)))
    assert stored == lived
    for number, (event_type, k) in enumerate(events):
        # After an error a live interpreter is not to be used again.
        if isinstance(stored, Failure) or stored.done:
            return
        steps = [step_input(event_type, {"k": k}, bounds=BOUNDS, id_=f"e-{number}") for _ in range(2)]
        snapshot = decode_snapshot(as_jsonb_gives_it(encode_snapshot(stored.snapshot)))
        before = encode_snapshot(snapshot)
        lived = outcome(lambda: live.take(steps[0]))  # noqa: B023  # It is called at once.
        stored = outcome(lambda: program.resume(snapshot, steps[1]))  # noqa: B023
        assert stored == lived
        assert encode_snapshot(snapshot) == before
