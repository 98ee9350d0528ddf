"""The engines alone: sismic's interpreter, the engine on it, and the compiled one. Prints ratios of one run.

Each step is what the worker does with one: read a snapshot's text, run an event, write the next snapshot's text.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from sismic.clock import SimulatedClock
from sismic.code import PythonEvaluator
from sismic.interpreter import Interpreter
from sismic.io import import_from_yaml
from sismic.model import Event as SismicEvent

from machines.order import machine
from tests.core.engine.charts import as_jsonb_gives_it
from tests.workload import records
from worker.core.codec import decode_record
from worker.core.engine.api import Engine, StepInput
from worker.core.engine.chart import Chart
from worker.core.engine.compiled.interpreter import CompiledStatechart, InterpreterState
from worker.core.engine.compiled.program import CompiledEngine
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.events import Event
from worker.core.snapshots import decode_snapshot, encode_snapshot

ROUNDS: Final = 9
ORDERS: Final = 50
TURNS: Final = 30
NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Load:
    """A chart, and events with the snapshot that each of them finds."""

    name: str
    chart: Chart
    steps: Sequence[tuple[StepInput, bytes]]


def order_load() -> Load:
    """Give workload W: the replies that orders get."""
    events = [decode_record(record.value, record.headers) for record in records(ORDERS)]
    return _load("workload W's order", machine.chart, [event for event in events if event.type != machine.source])


def deep_load() -> Load:
    """Give a chart of four regions, three states deep each, that is left and come back to by its history."""
    region = """
              - name: {0}
                initial: {0}-a
                states:
                  - name: {0}-a
                    initial: {0}-a1
                    transitions:
                      - event: turn
                        target: {0}-b
                        action: counts["{0}"] = counts.get("{0}", 0) + 1
                    states:
                      - name: {0}-a1
                  - name: {0}-b
                    initial: {0}-b1
                    transitions:
                      - event: turn
                        guard: counts["{0}"] >= 0
                        target: {0}-a
                    states:
                      - name: {0}-b1
"""
    text = """
statechart:
  name: deep
  preamble: |
    counts, pauses = {}, 0
  root state:
    name: root
    initial: work
    states:
      - name: aside
        transitions:
          - event: back
            target: remembered
      - name: work
        initial: regions
        transitions:
          - event: away
            target: aside
            action: pauses += 1
        states:
          - name: remembered
            type: deep history
            memory: regions
          - name: regions
            parallel states:""" + "".join(region.format(name) for name in ("north", "east", "south", "west"))
    kinds = ("turn", "away", "back", "turn")
    return _load("deep, parallel, with history", Chart.parse(text), [_event(kinds[n % 4]) for n in range(TURNS * 4)])


def main() -> int:
    """Measure each load on each engine and print what came of it."""
    console = Console(width=110)
    for load in (order_load(), deep_load()):
        console.print(_table(load, measured(load)))
    return 0


def measured(load: Load, rounds: int = ROUNDS) -> dict[str, float]:
    """Give the CPU time of one step on each engine, in µs: the best of some rounds, which take turns."""
    candidates = {
        "sismic's interpreter": _on_interpreter(load.chart, keeps_code=False),
        "the same, its code compiled once": _on_interpreter(load.chart, keeps_code=True),
        "CompiledInterpreter": _on_compiled_interpreter(load.chart),
        "engine on sismic": _on_engine(SismicEngine(), load.chart),
        "compiled engine": _on_engine(CompiledEngine(), load.chart),
    }
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(rounds):
        for name, run in candidates.items():
            begun = time.process_time()
            for step, text in load.steps:
                run(step, text)
            best[name] = min(best[name], (time.process_time() - begun) / len(load.steps) * 1e6)
    return best


def _table(load: Load, micros: Mapping[str, float]) -> Table:
    table = Table(title=f"One step of {load.name}, restored from its snapshot", title_justify="left")
    table.add_column("engine")
    for column in ("CPU in µs", "sismic's interpreter ÷ this"):
        table.add_column(column, justify="right")
    base = next(iter(micros.values()))
    for name, value in micros.items():
        table.add_row(name, f"{value:,.1f}", f"{base / value:.1f}")
    return table


def _load(name: str, chart: Chart, events: Sequence[Event]) -> Load:
    """Pair events with the snapshots that they find; an instance of its own begins where none is."""
    program = SismicEngine().compile(chart)
    texts: dict[str, bytes] = {}
    steps = []
    for event in events:
        step = _step_input(event)
        if event.subject not in texts:
            texts[event.subject] = encode_snapshot(program.start(_step_input(_init_of(event))).snapshot)
        before = as_jsonb_gives_it(texts[event.subject])
        steps.append((step, before))
        texts[event.subject] = encode_snapshot(program.resume(decode_snapshot(before), step).snapshot)
    return Load(name, chart, steps)


_INITS: Final = {
    event.subject: event
    for event in (decode_record(record.value, record.headers) for record in records(ORDERS))
    if event.type == machine.source
}


def _init_of(event: Event) -> Event:
    return _INITS.get(event.subject, event)


def _event(type_: str) -> Event:
    return Event(id="1", source="com.test", type=type_, subject="deep", data={}, time="2026-01-02T00:00:00Z", to="deep")


def _step_input(event: Event) -> StepInput:
    ids = count()
    return StepInput(event, event.data, event.subject, NOW, lambda: str(next(ids)))


def _on_engine(engine: Engine, chart: Chart) -> Callable[[StepInput, bytes], bytes]:
    program = engine.compile(chart)
    return lambda step, text: encode_snapshot(program.resume(decode_snapshot(text), step).snapshot)


class _Restored(PythonEvaluator):  # type: ignore[misc]  # sismic ships no types.
    """Sismic's own evaluator; an instance that goes on has had its preamble."""

    def execute_statechart(self, statechart: object) -> None:
        """Leave the preamble alone."""


class _Beside:
    """What plain sismic charts lack: the names that the worker provides."""

    def __init__(self, chart: Chart, init: Any) -> None:
        self.outputs: dict[str, Any] = {}
        self.emitted: list[tuple[Any, ...]] = []
        self.names = {**chart.functions, "init": init, "emit": self._emit, "complete": self.outputs.update}

    def _emit(self, type_: str, data: Any, domains: Any = None) -> None:
        self.emitted.append((type_, orjson.dumps(data), domains))

    def without(self, context: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in context.items() if name not in self.names}


def _on_interpreter(chart: Chart, *, keeps_code: bool) -> Callable[[StepInput, bytes], bytes]:
    """Run steps on sismic's interpreter as it is. It compiles code at first use, so each that is restored does."""
    statechart = import_from_yaml(chart.text)
    evaluable: dict[str, Any] = {}
    executable: dict[str, Any] = {}

    def run(step: StepInput, text: bytes) -> bytes:
        document = orjson.loads(text)
        beside = _Beside(chart, document["init"])
        interpreter = Interpreter(
            statechart,
            evaluator_klass=_Restored,
            initial_context=beside.names | document["context"],
            clock=SimulatedClock(),
        )
        if keeps_code:
            interpreter._evaluator._evaluable_code, interpreter._evaluator._executable_code = evaluable, executable
        interpreter._initialized = True
        interpreter._configuration = set(document["configuration"])
        interpreter._memory = document.get("history", {})
        interpreter.queue(SismicEvent(step.event.type, **step.data))
        interpreter.execute()
        document.update(
            configuration=interpreter.configuration,
            context=beside.without(interpreter.context),
            history=interpreter._memory,
        )
        return orjson.dumps(document)

    return run


def _on_compiled_interpreter(chart: Chart) -> Callable[[StepInput, bytes], bytes]:
    """Run steps on the compiled interpreter, with the same duties as sismic's has here."""
    compiled = CompiledStatechart(import_from_yaml(chart.text))

    def run(step: StepInput, text: bytes) -> bytes:
        document = orjson.loads(text)
        beside = _Beside(chart, document["init"])
        history = {name: tuple(states) for name, states in document.get("history", {}).items()}
        configuration, context = document["configuration"], beside.names | document["context"]
        interpreter = compiled.restored(InterpreterState(configuration, context, started=True, time=0, history=history))
        interpreter.queue(SismicEvent(step.event.type, **step.data))
        interpreter.execute()
        document.update(
            configuration=interpreter.configuration,
            context=beside.without(interpreter.context),
            history=interpreter.memory,
        )
        return orjson.dumps(document)

    return run


if __name__ == "__main__":
    sys.exit(main())
