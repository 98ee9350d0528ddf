"""Charts and steps for tests, with as little text as possible."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from textwrap import dedent, indent
from typing import Any

from worker.core.bounds import DEFAULT_BOUNDS, Bounds
from worker.core.engine.api import Program, Snapshot, StepInput, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.compiled.program import CompiledEngine
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import ExecutionFailure
from worker.core.events import Event
from worker.core.snapshots import decode_snapshot, encode_snapshot

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
INIT_TYPE = "arvo.orc.test"


def chart_text(root: str, preamble: str = "") -> str:
    """Give a chart's YAML; `root` is the content of the root state, which is called `root`."""
    text = "statechart:\n  name: test\n"
    if preamble:
        text += "  preamble: |\n" + indent(dedent(preamble).strip(), "    ") + "\n"
    return text + "  root state:\n    name: root\n" + indent(dedent(root).strip("\n"), "    ") + "\n"


def chart(root: str, preamble: str = "", functions: Mapping[str, Callable[..., Any]] | None = None) -> Chart:
    return Chart.parse(chart_text(root, preamble), functions, "test.yaml")


def step_input(
    type_: str, data: Mapping[str, Any] | None = None, *, bounds: Bounds = DEFAULT_BOUNDS, id_: str = "e-1"
) -> StepInput:
    ids = count()
    data = data or {}
    event = Event(
        id=id_, source="com.test", type=type_, subject="the-subject", data=data, time="2026-01-02T03:04:05Z", to=type_
    )
    return StepInput(
        event=event,
        data=data,
        subject="the-subject",
        now=NOW,
        new_id=lambda: f"{id_}-{next(ids)}",
        bounds=bounds,
    )


def as_jsonb_gives_it(text: bytes) -> bytes:
    """Write JSON as PostgreSQL's JSONB does: keys in the order of their lengths, then bytes, and spaces between."""
    return json.dumps(_reordered(json.loads(text)), ensure_ascii=False).encode()


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda item: (len(item[0].encode()), item[0].encode()))
        return {key: _reordered(item) for key, item in ordered}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


class Run:
    """One instance on every engine, stored and read back between its events."""

    def __init__(self, of: Chart, init: Mapping[str, Any] | None = None, *, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self.program = CompiledEngine().compile(of)
        self._sismic = SismicEngine().compile(of)
        self.bounds = bounds
        self.result = self._same(lambda program: program.start(step_input(INIT_TYPE, init, bounds=bounds)))

    @property
    def snapshot(self) -> Snapshot:
        return self.result.snapshot

    @property
    def context(self) -> Mapping[str, Any]:
        return self.snapshot.context

    @property
    def states(self) -> tuple[str, ...]:
        return self.snapshot.configuration

    def send(self, type_: str, /, **data: Any) -> StepResult:
        stored = decode_snapshot(encode_snapshot(self.snapshot))
        self.result = self._same(lambda program: program.resume(stored, step_input(type_, data, bounds=self.bounds)))
        return self.result

    def _same(self, run: Callable[[Program], StepResult]) -> StepResult:
        """Run a step on every engine; they differ in nothing."""
        expected = _result_or_failure(lambda: run(self._sismic))
        if isinstance(expected, tuple):
            assert _result_or_failure(lambda: run(self.program)) == expected
        result = run(self.program)
        assert repr(result) == repr(expected)
        return result


def _result_or_failure(run: Callable[[], StepResult]) -> StepResult | tuple[str, str]:
    try:
        return run()
    except ExecutionFailure as failure:
        return failure.name, failure.message
