"""`worker machines`, as `--help` shows it."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.command_options import AsJson, GraphFormat, examples, one_of, versioned_machines
from worker.terminal.faults import reports_faults

machines_app = typer.Typer(
    help="Look at the machines: list, check and draw them. Needs no server.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@machines_app.command("list", epilog=examples("worker machines list", "worker machines list --json"))
@reports_faults
def list_machines(*, as_json: AsJson = False) -> None:
    """List the machines that WORKER_MACHINES names."""
    from worker.cli import machines

    machines.list_machines(as_json=as_json)


@machines_app.command("check", epilog=examples("worker machines check", "worker machines check shop.machines --json"))
@reports_faults
def check_machines(
    *,
    packages: Annotated[
        list[str] | None, typer.Argument(metavar="[PACKAGE]…", help="[default: WORKER_MACHINES]", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find what would go wrong in production.

    A line per finding: file, line, rule, what, and what to do. Exits with 1 if there are any, with 0 if not.
    A comment beside the chart switches a rule off: `# check: ignore RULE: reason`.
    """
    from worker.cli import machines

    machines.check_machines(packages or (), as_json=as_json)


@machines_app.command(
    "graph",
    epilog=examples(
        "worker machines graph arvo.orc.order",
        "worker machines graph arvo.orc.order@1.0.0 --format svg --output order.svg",
    ),
)
@reports_faults
def graph_machine(
    *,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME[@VERSION]]",
            help="[default: the only machine there is]",
            show_default=False,
            autocompletion=one_of(versioned_machines),
        ),
    ] = None,
    graph_format: GraphFormat = "mermaid",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: standard output]", show_default=False)
    ] = None,
) -> None:
    """Draw a machine: states, transitions with their guards, what is emitted and into which domains."""
    from worker.cli.graphing import draw_machine

    draw_machine(name, graph_format, output)
