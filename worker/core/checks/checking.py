"""All checks of one machine, in the order of the file."""

from worker.core.checks.code import code_findings
from worker.core.checks.findings import Finding
from worker.core.checks.ignoring import kept_findings
from worker.core.checks.reach import Reach
from worker.core.checks.structure import structure_findings
from worker.core.checks.wiring import all_code, wiring_findings
from worker.core.engine.outline import outline_of
from worker.core.machines import Machine


def check_machine(machine: Machine) -> tuple[Finding, ...]:
    """Find what would go wrong with a machine that set-up has taken, sorted by line."""
    outline = outline_of(machine.chart)
    reach = Reach(outline)
    found = [*structure_findings(outline, reach), *wiring_findings(machine, outline, reach)]
    for code in all_code(outline):
        found.extend(code_findings(machine.chart, code))
    file = None if outline.file is None else str(outline.file)
    kept = kept_findings(found, outline.lines, file)
    return tuple(sorted(kept, key=lambda one: (one.place.line or 0, one.rule, one.message)))
