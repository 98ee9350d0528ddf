"""`worker machines list` and `check`: what is there, and what would go wrong with it. Needs no server."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.cli.loading import settings_without
from worker.core.checks import Finding, check_machine
from worker.core.engine.outline import Place, outline_of
from worker.core.json import dumps
from worker.core.machines import Machine
from worker.machine_loader import load_machines, machines_and_faults
from worker.terminal.faults import FAILED
from worker.terminal.texts import counted, harmless, table

_UNNEEDED: Final = ("database_url", "kafka_bootstrap_servers")
_HEADS: Final = ("MACHINE", "VERSION", "STATES", "SERVICES", "DOMAINS", "LOCKING", "FILE")


@dataclass(frozen=True, slots=True)
class _Found:
    """A finding, and the machine that it is in, if one could be set up."""

    finding: Finding
    machine: Machine | None

    def line(self) -> str:
        """Write the finding as editors and people read it."""
        place = _shown(self.finding.place)
        where = str(place)
        if place.file is None and self.machine is not None:
            # The text of its chart stands somewhere in Python.
            line = "" if place.line is None else f", line {place.line} of its chart"
            where = f"{self.machine.source} {self.machine.version}{line}"
        told = f"{self.finding.rule}: {_shortened(self.finding.message)} {self.finding.remedy}"
        # What other libraries say of a module may have lines.
        return harmless(" ".join((f"{where}: {told}" if where else told).split()))

    def document(self) -> dict[str, Any]:
        """Give the finding as JSON."""
        place = _shown(self.finding.place)
        return {
            "rule": self.finding.rule,
            "machine": self.machine and self.machine.source,
            "version": self.machine and self.machine.version,
            "file": place.file,
            "line": place.line,
            "message": _shortened(self.finding.message),
            "remedy": self.finding.remedy,
        }


def loaded_machines() -> tuple[Machine, ...]:
    """Load the machines that the settings name. Raises: SetupError."""
    return load_machines(settings_without(*_UNNEEDED).machines, Path.cwd())


def list_machines(*, as_json: bool) -> None:
    """Print a line for each machine. Raises: SetupError."""
    described = [_described(machine) for machine in loaded_machines()]
    if as_json:
        sys.stdout.write("".join(f"{dumps(one).decode()}\n" for one in described))
    else:
        sys.stdout.write(f"{table([_HEADS, *map(_row, described)])}\n")


def check_machines(packages: Sequence[str], *, as_json: bool) -> None:
    """Print what is found in the machines of these packages, or of the settings'; end with 1 if there is anything.

    Raises: SetupError, if a package is not there, or has no machine at all.
    """
    named = tuple(packages) or settings_without(*_UNNEEDED).machines
    setting = "the command line" if packages else "WORKER_MACHINES"
    machines, faults = machines_and_faults(named, Path.cwd(), setting)
    found = [_Found(Finding("set-up", fault.place, fault.text), None) for fault in faults]
    found += [_Found(finding, machine) for machine in machines for finding in check_machine(machine)]
    lines = (dumps(one.document()).decode() if as_json else one.line() for one in found)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    if not as_json:
        sys.stderr.write(f"{_summary(len(machines), len(faults), len(found))}\n")
    if found:
        sys.exit(FAILED)


def _summary(machines: int, refused: int, findings: int) -> str:
    told = f"{counted(machines, 'machine')} checked, {counted(findings, 'finding')}"
    return f"{told}; {counted(refused, 'module')} could not be set up" if refused else told


def _described(machine: Machine) -> dict[str, Any]:
    outline = outline_of(machine.chart)
    place = _shown(Place(None if outline.file is None else str(outline.file), None))
    return {
        "source": machine.source,
        "version": machine.version,
        "services": [{"type": one.type, "version": one.version, "uri": one.uri} for one in machine.services],
        "domains": list(machine.domains),
        "states": list(outline.states),
        "requires_locking": machine.requires_locking,
        "file": place.file,
    }


def _row(described: dict[str, Any]) -> tuple[str, ...]:
    return tuple(_cells(described))


def _cells(described: dict[str, Any]) -> Iterator[str]:
    yield described["source"]
    yield described["version"]
    yield from (str(len(described[key])) for key in ("states", "services"))
    yield ",".join(described["domains"])
    yield "yes" if described["requires_locking"] else "no"
    yield described["file"] or ""


def _shown(place: Place) -> Place:
    """Name a file from the working directory, if it is below it."""
    if place.file is None:
        return place
    path = os.path.relpath(place.file)
    return place if path.startswith("..") else Place(path, place.line)


def _shortened(text: str) -> str:
    """Name files in a text from the working directory."""
    return text.replace(f"{Path.cwd()}{os.sep}", "")
