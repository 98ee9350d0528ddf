"""All checks of one machine, in the order of the file."""

from collections.abc import Iterator

from worker.core.checks.code import action_findings, code_findings, guard_findings
from worker.core.checks.data import data_findings
from worker.core.checks.findings import Finding
from worker.core.checks.ignoring import kept_findings
from worker.core.checks.loops import loop_findings
from worker.core.checks.reach import Reach
from worker.core.checks.structure import structure_findings
from worker.core.checks.wiring import all_code, wiring_findings
from worker.core.engine.outline import Outline, outline_of
from worker.core.machines import Machine


def check_machine(machine: Machine) -> tuple[Finding, ...]:
    """Find what would go wrong with a machine that set-up has taken, sorted by line."""
    outline = outline_of(machine.chart)
    found = dict.fromkeys(_findings(machine, outline))
    file = None if outline.file is None else str(outline.file)
    kept = kept_findings(found, outline.lines, file)
    return tuple(sorted(kept, key=lambda one: (one.place.line or 0, one.rule, one.message)))


def _findings(machine: Machine, outline: Outline) -> Iterator[Finding]:
    reach = Reach(outline)
    yield from structure_findings(outline, reach)
    yield from loop_findings(outline, reach)
    yield from wiring_findings(machine, outline, reach)
    yield from data_findings(machine, outline, reach)
    for code in all_code(outline):
        yield from code_findings(machine.chart, code)
    for state in outline.states.values():
        for transition in state.transitions:
            yield from guard_findings(transition.guard) if transition.guard else ()
        for code in state.actions:
            yield from action_findings(code)
