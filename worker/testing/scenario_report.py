"""Where a machine stands and how it came there, written down for a person who looks at a failed test."""

from collections.abc import Iterator, Sequence
from typing import Final

from worker.core.engine.chart import Chart
from worker.core.instances import Instance, Status
from worker.core.machines import Machine
from worker.core.outcomes import Advanced
from worker.testing.configurations import innermost
from worker.testing.steps import Step
from worker.testing.texts import CONTEXT_CHARACTERS_MAX, data_text, emitted_text, event_text, outcome_text

STEPS_SHOWN_MAX: Final = 20


def scenario_report(machine: Machine, instance: Instance | None, steps: Sequence[Step], expected: Sequence[str]) -> str:
    """Write the state, the context, what is waited for, and the last steps."""
    lines = [f"  {machine.source} {machine.version}"]
    if instance is None:
        lines.append("    did not start")
    else:
        standing = "stands in" if instance.status is Status.ACTIVE else "ended in "
        lines += [
            f"    {standing}  {states_text(machine.chart, steps[-1].after)}",
            f"    waits for  {', '.join(expected) or 'nothing'}",
            f"    context    {data_text(instance.snapshot.context, CONTEXT_CHARACTERS_MAX)}",
        ]
    lines.append("  What happened:")
    first = max(len(steps) - STEPS_SHOWN_MAX, 0)
    for number, step in enumerate(steps[first:], first + 1):
        lines += _step(machine.chart, number, step)
    return "\n".join(lines)


def states_text(chart: Chart, active: Sequence[str]) -> str:
    """Name the innermost of the active states."""
    return ", ".join(innermost(chart, active)) or "no state"


def came_of(chart: Chart, step: Step) -> str:
    """Say what came of an event: the way that the chart took, or why it took none."""
    if not isinstance(step.outcome, Advanced):
        return outcome_text(step.outcome).rstrip(".")
    begin = states_text(chart, step.before) if step.before else "start"
    way = [", ".join(micro.entered) for micro in step.trace if micro.entered]
    return " → ".join((begin, *way)) if way else f"{begin}, without leaving it"


def _step(chart: Chart, number: int, step: Step) -> Iterator[str]:
    yield f"    {number}. {event_text(step.event)}"
    yield f"       {came_of(chart, step)}"
    for one in step.emitted:
        yield f"       + {emitted_text(one)}"
    if isinstance(step.outcome, Advanced):
        yield from (f"       + {emitted_text(one)}" for one in step.outcome.emitted if one not in step.emitted)
    if step.note:
        yield f"       {step.note}"
