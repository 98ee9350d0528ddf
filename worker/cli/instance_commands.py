"""`worker instances`, as `--help` shows it."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.command_options import (
    AsJson,
    GraphFormat,
    Machines,
    StartedSince,
    StartedUntil,
    States,
    Statuses,
    Stuck,
    Version,
    examples,
)
from worker.terminal.faults import reports_faults

instances_app = typer.Typer(
    help="Look at the instances: where they stand, what they wait for, what an event would do. And cancel them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Named = Annotated[
    str,
    typer.Argument(metavar="INSTANCE", help="Its subject, its id in the list, or the beginning of its execution's id."),
]


@instances_app.command(
    "list",
    epilog=examples(
        "worker instances list", "worker instances list --machine order --state charging --stuck 2h --json"
    ),
)
@reports_faults
def list_instances(  # noqa: PLR0913  # A command has as many arguments as it has options.
    *,
    machine: Machines = None,
    version: Version = None,
    status: Statuses = None,
    state: States = None,
    since: StartedSince = None,
    until: StartedUntil = None,
    stuck: Stuck = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N.")] = 100,
    after: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on behind this one, as a list ends.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the instances, the newest first. Needs no Kafka.

    ID is what the other commands take. JSON has a line for each.
    """
    from worker.cli import instances

    filters = instances.Filters(machine or (), version, status or (), state or (), since, until, stuck)
    instances.list_instances(filters, limit, after, as_json=as_json)


@instances_app.command(
    "show", epilog=examples("worker instances show 3f2a9c1e", "worker instances show 3f2a9c1e --graph")
)
@reports_faults
def show_instance(  # noqa: PLR0913
    *,
    named: Named,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N records of its history.")] = 100,
    graph: Annotated[bool, typer.Option("--graph", help="Draw its chart instead, its active states set off.")] = False,
    graph_format: GraphFormat = "mermaid",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: standard output]", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show all of one instance: where it stands, what it waits for, its context, family and history.

    Of the chart only what the machine in WORKER_MACHINES tells.
    """
    from worker.cli import instance_showing

    if graph:
        instance_showing.draw_instance(named, graph_format, output)
    else:
        instance_showing.show_instance(named, limit, as_json=as_json)


@instances_app.command(
    "history", epilog=examples("worker instances history 3f2a9c1e", "worker instances history 3f2a9c1e --json")
)
@reports_faults
def show_history(
    *,
    named: Named,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """List the records that came for an instance, what each came to, and what it emitted.

    JSON has a line for each, with the whole events. The journal is looked through from the instance's first day on,
    for as long as WORKER_JOURNAL_DAYS keeps it.
    """
    from worker.cli import instance_showing

    instance_showing.show_history(named, limit, as_json=as_json)


@instances_app.command("export", epilog=examples("worker instances export --status done --until 7d > done.ndjson"))
@reports_faults
def export_instances(  # noqa: PLR0913
    *,
    machine: Machines = None,
    version: Version = None,
    status: Statuses = None,
    state: States = None,
    since: StartedSince = None,
    until: StartedUntil = None,
    stuck: Stuck = None,
) -> None:
    """Print all instances as JSON, a line each, with their snapshots."""
    from worker.cli import instances

    filters = instances.Filters(machine or (), version, status or (), state or (), since, until, stuck)
    instances.export_instances(filters)


@instances_app.command(
    "explain",
    epilog=examples(
        "worker instances explain 3f2a9c1e --event reply.json",
        """echo '{"type": "evt.payment.charge.declined", "data": {"reason": "x"}}' \\""",
        "  | worker instances explain 3f2a9c1e --event - --json",
    ),
)
@reports_faults
def explain_event(
    *,
    named: Named,
    event: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The event as JSON; its type and data will do. `-` is standard input."),
    ],
    as_json: AsJson = False,
) -> None:
    """Tell what an event would do to an instance now, transition by transition and guard by guard. Does nothing.

    The step is the worker's own, on the machines of WORKER_MACHINES. Exits with 0, whatever the outcome.
    """
    from worker.cli import explaining

    explaining.explain_event(named, event, as_json=as_json)


@instances_app.command(
    "cancel",
    epilog=examples(
        "worker instances cancel 3f2a9c1e --reason 'ordered twice' --dry-run",
        "worker instances cancel 3f2a9c1e --reason 'ordered twice' --children --yes",
        "worker instances cancel 3f2a9c1e --at-step 4 --wait 0 --yes --json",
    ),
)
@reports_faults
def cancel_instances(  # noqa: PLR0913
    *,
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="INSTANCE…", help="Their subjects, ids in the list, or beginnings of their executions' ids."
        ),
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Told to whoever started it.", show_default=False)] = "",
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who asks. [default: USER@HOST]", show_default=False)
    ] = None,
    children: Annotated[
        bool, typer.Option("--children", help="Also all that they started, and those started.")
    ] = False,
    at_step: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Only if N is still its number of steps.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which these are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for workers to do it; 0: not at all.")
    ] = 60,
    as_json: AsJson = False,
) -> None:
    """End active instances: whoever started one gets one system error event that says so.

    The command goes through the input topic, in order with the instance's events, exactly once. It is told of each
    what came of it; one that had ended is left as it is. Exits with 1 if one goes on, or that is not known.
    """
    from worker.cli import cancelling

    wish = cancelling.Wish(named, reason, by, children, at_step)
    cancelling.cancel_instances(wish, cancelling.Going(dry_run, yes, wait, as_json))
