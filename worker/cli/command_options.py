"""What the commands' options share, and how their help is laid out."""

from collections.abc import Callable, Iterator
from typing import Annotated

import typer


def examples(*lines: str) -> str:
    """Lay out examples so that help does not wrap them."""
    return "\b\n" + "\n".join(("Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))


def one_of(find: Callable[[], list[str]]) -> Callable[[str], Iterator[str]]:
    """Complete what is typed by what is found; completion has nowhere to tell a fault, so a fault finds nothing."""

    def complete(incomplete: str) -> Iterator[str]:
        try:
            found = find()
        except Exception:  # noqa: BLE001
            return
        yield from (one for one in found if one.startswith(incomplete))

    return complete


def reasons() -> list[str]:
    """Give the reasons of dead letters."""
    from worker.core.dead_letter_advice import ADVICE

    return list(ADVICE)


def statuses() -> list[str]:
    """Give what an instance can be."""
    return ["active", "done", "cancelled"]


def machine_names() -> list[str]:
    """Give the machines that the settings name."""
    from worker.cli.machines import loaded_machines

    return sorted({machine.source for machine in loaded_machines()})


def versioned_machines() -> list[str]:
    """Give the machines that the settings name, with their versions."""
    from worker.cli.machines import loaded_machines

    return [f"{machine.source}@{machine.version}" for machine in loaded_machines()]


def graph_formats() -> list[str]:
    """Give the forms of a picture."""
    return ["mermaid", "svg"]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        metavar="R",
        help="Only of this reason. May be repeated.",
        show_default=False,
        autocompletion=one_of(reasons),
    ),
]
OfSubject = Annotated[
    str | None,
    typer.Option(
        "--subject",
        metavar="S",
        help="Only of this instance: its subject, or the beginning of its execution's id.",
        show_default=False,
    ),
]
Machines = Annotated[
    list[str] | None,
    typer.Option(
        "--machine",
        metavar="NAME",
        help="Only of this machine, with or without `arvo.orc.`. May be repeated.",
        show_default=False,
        autocompletion=one_of(machine_names),
    ),
]
FailedSince = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="T",
        help="Only what failed since: 2026-11-24T13:00 (UTC), or 2h ago.",
        show_default=False,
    ),
]
FailedUntil = Annotated[
    str | None, typer.Option("--until", metavar="T", help="Only what failed before this time.", show_default=False)
]
Matching = Annotated[
    str | None,
    typer.Option(
        "--matching",
        metavar="REGEX",
        help="Only those in whose error, type or value this is found.",
        show_default=False,
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="TOPIC[-PARTITION]",
        help="Only what came from there, or was to go there. May be repeated.",
        show_default=False,
    ),
]
StartedSince = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="T", help="Only started since: 2026-11-24T13:00 (UTC), or 2h ago.", show_default=False
    ),
]
StartedUntil = Annotated[
    str | None, typer.Option("--until", metavar="T", help="Only started before: older than that.", show_default=False)
]
Stuck = Annotated[
    str | None,
    typer.Option("--stuck", metavar="T", help="Only active ones without a step since: 2h, say.", show_default=False),
]
Version = Annotated[str | None, typer.Option("--version", metavar="X.Y.Z", help="Only of it.", show_default=False)]
Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="active|done|cancelled",
        help="May be repeated.",
        show_default=False,
        autocompletion=one_of(statuses),
    ),
]
States = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="NAME", help="Only where it is active. May be repeated.", show_default=False),
]
GraphFormat = Annotated[
    str,
    typer.Option("--format", metavar="mermaid|svg", help="What to draw.", autocompletion=one_of(graph_formats)),
]
