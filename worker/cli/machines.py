"""`worker machines list` and `check`: what is there, and what would go wrong with it. Needs no server."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from worker.cli.loading import settings_without
from worker.core.checks import Finding, check_machine
from worker.core.engine.outline import Place, outline_of
from worker.core.json import dumps
from worker.core.machines import Machine
from worker.machine_loader import load_machines, machines_and_faults
from worker.terminal.faults import FAILED
from worker.terminal.texts import counted, table

_UNNEEDED: Final = ("database_url", "kafka_bootstrap_servers")
_HEADS: Final = ("MACHINE", "VERSION", "STATES", "CALLS", "DOMAINS", "FILE")


def loaded_machines() -> tuple[Machine, ...]:
    """Load the machines that the settings name. Raises: SetupError."""
    return load_machines(settings_without(*_UNNEEDED).machines, Path.cwd())


def list_machines(*, as_json: bool) -> None:
    """Print a line for each machine. Raises: SetupError."""
    rows = [_described(machine) for machine in loaded_machines()]
    if as_json:
        sys.stdout.write("".join(f"{dumps(row).decode()}\n" for row in rows))
        return
    lines: list[tuple[str, ...]] = [_HEADS]
    for row in rows:
        counts = (str(len(row["states"])), str(len(row["services"])))
        lines.append((row["source"], row["version"], *counts, ",".join(row["domains"]), row["file"] or ""))
    sys.stdout.write(f"{table(lines)}\n")


def check_machines(packages: Sequence[str], *, as_json: bool) -> None:
    """Print what is found in the machines of these packages, or of the settings'; end with 1 if there is anything."""
    named = tuple(packages) or settings_without(*_UNNEEDED).machines
    machines, faults = machines_and_faults(named, Path.cwd())
    here = f"{Path.cwd()}{os.sep}"
    findings = [Finding("set-up", Place(None, None), str(fault).replace(here, "")) for fault in faults]
    findings += [finding for machine in machines for finding in check_machine(machine)]
    if as_json:
        sys.stdout.write("".join(f"{dumps(_finding(one)).decode()}\n" for one in findings))
    else:
        sys.stdout.write("".join(f"{_line(one)}\n" for one in findings))
        sys.stderr.write(f"{counted(len(machines), 'machine')} checked, {counted(len(findings), 'finding')}\n")
    if findings:
        sys.stdout.flush()
        sys.exit(FAILED)


def _described(machine: Machine) -> dict[str, Any]:
    outline = outline_of(machine.chart)
    return {
        "source": machine.source,
        "version": machine.version,
        "services": [{"type": one.type, "version": one.version, "uri": one.uri} for one in machine.services],
        "domains": list(machine.domains),
        "states": list(outline.states),
        "requires_locking": machine.requires_locking,
        "file": _shown_file(None if outline.file is None else str(outline.file)),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "file": _shown_file(one.place.file),
        "line": one.place.line,
        "message": one.message,
        "remedy": one.remedy,
    }


def _line(one: Finding) -> str:
    place = Place(_shown_file(one.place.file), one.place.line)
    return f"{place}: {one.rule}: {one.message} {one.remedy}" if str(place) else f"{one.rule}: {one.message}"


def _shown_file(file: str | None) -> str | None:
    """Name a file from the working directory, if it is below it."""
    if file is None:
        return None
    path = os.path.relpath(file)
    return file if path.startswith("..") else path
