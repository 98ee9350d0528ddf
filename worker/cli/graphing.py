"""`worker machines graph`: one machine as Mermaid or as SVG. Needs no server."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from worker.cli.machines import loaded_machines
from worker.core.engine.outline import Outline, outline_of
from worker.core.errors import SetupError
from worker.core.graphs.mermaid import mermaid_of
from worker.core.graphs.svg import svg_of
from worker.core.graphs.wording import Heading
from worker.core.machines import Machine
from worker.core.versions import version_key

FORMATS: Final[Mapping[str, Callable[[Outline, Heading, frozenset[str]], str]]] = {
    "mermaid": mermaid_of,
    "svg": svg_of,
}


def draw_machine(named: str | None, graph_format: str, output: Path | None) -> None:
    """Print the picture, or write it to a file. Raises: SetupError."""
    _check_format(graph_format)
    write_picture(_chosen(loaded_machines(), named), graph_format, output)


def write_picture(
    machine: Machine, graph_format: str, output: Path | None, active: frozenset[str] = frozenset()
) -> None:
    """Print a machine's picture, or write it to a file, with these of its states set off. Raises: SetupError."""
    _check_format(graph_format)
    picture = FORMATS[graph_format](outline_of(machine.chart), Heading.of_machine(machine), active).rstrip("\n") + "\n"
    if output is None:
        sys.stdout.write(picture)
        return
    try:
        output.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"the picture can't be written to {output}: {error.strerror}") from error
    sys.stderr.write(f"{machine.source} {machine.version} drawn to {output}\n")


def _check_format(graph_format: str) -> None:
    if graph_format not in FORMATS:
        raise SetupError(f"--format {graph_format}: expected {' or '.join(FORMATS)}")


def _chosen(machines: Sequence[Machine], named: str | None) -> Machine:
    """Find the machine `NAME` or `NAME@VERSION`; without a version, the newest; without a name, the only one."""
    there = ", ".join(f"{one.source}@{one.version}" for one in machines)
    if named is None:
        if len(machines) == 1:
            return machines[0]
        raise SetupError(f"name the machine to draw: {there}")
    name, _, version = named.partition("@")
    found = [one for one in machines if one.source == name and version in ("", one.version)]
    if not found:
        raise SetupError(f"there is no machine {named}; there are {there}")
    return max(found, key=lambda one: version_key(one.version))
