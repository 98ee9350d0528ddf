"""The commands, as `--help` shows them. What a command needs is imported when it runs, so that help is fast."""

from pathlib import Path
from typing import Annotated

import typer

from worker.terminal.faults import reports_faults

app = typer.Typer(
    help="Run event-driven workflows, written as statecharts, on Kafka and PostgreSQL.",
    epilog="Settings are read from WORKER_* variables and from .env; `worker config` lists them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

machines_app = typer.Typer(
    help="Look at the machines: list, check and draw them. Needs no server.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(machines_app, name="machines")

dead_letters_app = typer.Typer(
    help="Look at the dead letters, and redrive them: what could not be processed, and why.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(dead_letters_app, name="dead-letters")

partitions_app = typer.Typer(
    help="See how the input topic's partitions stand, and go on from where a worker refuses one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(partitions_app, name="partitions")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", metavar="R", help="Only of this reason. May be repeated.", show_default=False),
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
Since = Annotated[
    str | None,
    typer.Option(metavar="T", help="Only what failed since: 2026-11-24T13:00 (UTC), or 2h ago.", show_default=False),
]
Until = Annotated[str | None, typer.Option(metavar="T", help="Only what failed before this time.", show_default=False)]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="TOPIC[-PARTITION]",
        help="Only what came from there, or was to go there. May be repeated.",
        show_default=False,
    ),
]


def _examples(*lines: str) -> str:
    """Lay out examples so that help does not wrap them."""
    return "\b\n" + "\n".join(("Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))


@app.command(epilog=_examples("worker run"))
@reports_faults
def run() -> None:
    """Run the worker until SIGTERM or Ctrl-C.

    Needs a migrated database (`worker migrate`) and the topics of its machines.
    """
    from worker.bootstrap import build_worker, deploy, run_until_stopped
    from worker.logs import configure_logs
    from worker.settings import load_settings

    settings = load_settings().settings
    configure_logs(settings.log_level, settings.log_format)
    run_until_stopped(build_worker(deploy(settings)))


@app.command(epilog=_examples("worker serve shop.services", "worker serve shop,payments"))
@reports_faults
def serve(
    packages: Annotated[str, typer.Argument(metavar="PACKAGE[,PACKAGE…]", help="Packages with services.")],
) -> None:
    """Run services until SIGTERM or Ctrl-C: all that the packages have.

    A service is a function with @service(contract.version(…)) above it. Needs Kafka, and no database.
    """
    from worker.cli.serving import serve_packages

    serve_packages(packages)


@app.command(epilog=_examples("worker dev"))
@reports_faults
def dev() -> None:
    """Bring up a worker to try out, and stay up until Ctrl-C.

    Starts PostgreSQL, a Kafka-protocol broker, the worker and sample services that answer the order machine;
    nothing of them is left afterwards. Servers that WORKER_DATABASE_URL and WORKER_KAFKA_BOOTSTRAP_SERVERS name
    are used instead.
    """
    from worker.cli.development import develop

    develop()


@app.command(epilog=_examples("worker migrate", "worker migrate --check"))
@reports_faults
def migrate(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 if the schema is not current.")
    ] = False,
) -> None:
    """Bring the database to the schema that this worker needs."""
    from worker.cli.migrating import check_schema, migrate_schema

    (check_schema if check else migrate_schema)()


@app.command(
    epilog=_examples(
        """worker produce arvo.orc.order --data '{"order_id": "A-1", "amount": 40}'""",
        "worker produce arvo.orc.order --file orders.ndjson",
        "echo 'no event' | worker produce --unchecked --file -",
    )
)
@reports_faults
def produce(  # noqa: PLR0913  # A command has as many arguments as it has options.
    *,
    event_type: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="Type of the events that are made.", show_default=False)
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="Data of one event.", show_default=False)] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A line per event: its data, or without TYPE the whole event. `-` is standard input.",
            show_default=False,
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            metavar="S", help="Instance that gets the event; a workflow's start makes its own.", show_default=False
        ),
    ] = None,
    source: Annotated[str, typer.Option(metavar="NAME", help="Who sends it.")] = "com.example.cli",
    version: Annotated[
        str | None,
        typer.Option(metavar="X.Y.Z", help="Version of the workflow. [default: the newest]", show_default=False),
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Send the lines as they are, events or not: to see dead letters.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start a workflow, or send it an event.

    All events are checked against the machines' contracts before the first is sent. Prints id and subject of each.
    """
    from worker.cli.producing import Draft, Origin, produce_events

    draft = Draft(event_type, subject, source, version)
    produce_events(draft, Origin(data, file, unchecked=unchecked), as_json=as_json)


@app.command(
    epilog=_examples(
        "worker tail", "worker tail --from-beginning --domain dlq", "worker tail --subject 3f2a9c1e --json"
    )
)
@reports_faults
def tail(
    *,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this topic: a domain, `input` or `dlq`. May be repeated.", show_default=False
        ),
    ] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with what is there already.")] = False,
    subject: Annotated[
        str | None,
        typer.Option(metavar="S", help="Only this instance: its subject, or the beginning of its execution's id."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="End after N lines.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Follow the topics, a line per event, until Ctrl-C.

    Shows what is committed: the time (UTC), the topic, the event's type, the instance, the event's id.
    """
    from worker.cli.tailing import Wanted, tail_topics

    wanted = Wanted(tuple(domain or ()), subject, count, from_beginning=from_beginning)
    tail_topics(wanted, as_json=as_json)


@app.command(epilog=_examples("worker config", "worker config --json"))
@reports_faults
def config(*, as_json: AsJson = False) -> None:
    """Show every setting, its value and its origin.

    Secrets are masked. Exits with 2 if a setting is wrong, after naming all faults.
    """
    from worker.cli.configuration import show_settings

    show_settings(as_json=as_json)


@machines_app.command("list", epilog=_examples("worker machines list", "worker machines list --json"))
@reports_faults
def list_machines(*, as_json: AsJson = False) -> None:
    """List the machines that WORKER_MACHINES names."""
    from worker.cli import machines

    machines.list_machines(as_json=as_json)


@machines_app.command("check", epilog=_examples("worker machines check", "worker machines check shop.machines --json"))
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
    epilog=_examples(
        "worker machines graph arvo.orc.order",
        "worker machines graph arvo.orc.order@1.0.0 --format svg --output order.svg",
    ),
)
@reports_faults
def graph_machine(
    *,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME[@VERSION]]", help="[default: the only machine there is]", show_default=False),
    ] = None,
    graph_format: Annotated[str, typer.Option("--format", metavar="mermaid|svg", help="What to draw.")] = "mermaid",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: standard output]", show_default=False)
    ] = None,
) -> None:
    """Draw a machine: states, transitions with their guards, what is emitted and into which domains."""
    from worker.cli.graphing import draw_machine

    draw_machine(name, graph_format, output)


@dead_letters_app.command(
    "list",
    epilog=_examples("worker dead-letters list", "worker dead-letters list --reason NO_INSTANCE --since 2h --json"),
)
@reports_faults
def list_dead_letters(  # noqa: PLR0913  # A command has as many arguments as it has options.
    *,
    reason: Reasons = None,
    subject: OfSubject = None,
    since: Since = None,
    until: Until = None,
    source: Sources = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N.")] = 100,
    redriven_too: Annotated[bool, typer.Option("--all", help="Show those too that were redriven.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, the newest last.

    PLACE, as PARTITION:OFFSET in the topic of dead letters, is what `show` and `redrive` take. Needs no database.
    """
    from worker.cli import dead_letters

    filters = dead_letters.Filters(reason or (), subject, since, until, source or ())
    dead_letters.list_dead_letters(filters, limit, redriven_too=redriven_too, as_json=as_json)


@dead_letters_app.command("show", epilog=_examples("worker dead-letters show 0:17"))
@reports_faults
def show_dead_letter(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As the list shows it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show all of one dead letter: why, what to do, headers and value. Needs no database."""
    from worker.cli import dead_letters

    dead_letters.show_dead_letter(place, as_json=as_json)


@dead_letters_app.command(
    "redrive",
    epilog=_examples(
        "worker dead-letters redrive --reason NO_INSTANCE --dry-run",
        "worker dead-letters redrive --reason NO_INSTANCE --yes",
        "worker dead-letters redrive 0:17 3:4",
    ),
)
@reports_faults
def redrive_dead_letters(  # noqa: PLR0913  # A command has as many arguments as it has options.
    *,
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PARTITION:OFFSET]…", help="[default: all that the options let through]"),
    ] = None,
    reason: Reasons = None,
    subject: OfSubject = None,
    since: Since = None,
    until: Until = None,
    source: Sources = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="At most N, in order.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be redriven.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to where they came from, each exactly once.

    May be ended and run again, or run twice at the same time: nothing is redriven twice. Exits with 1 if something
    could not be redriven, after naming it.
    """
    from worker.cli.dead_letters import Filters
    from worker.cli.redriving import Going, redrive_dead_letters

    filters = Filters(reason or (), subject, since, until, source or (), places or ())
    redrive_dead_letters(filters, Going(limit, dry_run, yes, as_json))


@partitions_app.command("list", epilog=_examples("worker partitions list", "worker partitions list --json"))
@reports_faults
def list_partitions(*, as_json: AsJson = False) -> None:
    """List the partitions: how far they are applied and published, whose they are, what a worker would do.

    It changes nothing, and may be run beside workers.
    """
    from worker.cli import partitions

    partitions.list_partitions(as_json=as_json)


@partitions_app.command(
    "begin",
    epilog=_examples(
        "worker partitions begin --partition 3 --at first",
        "worker partitions begin --all --at committed --yes",
    ),
)
@reports_faults
def begin_partitions(
    *,
    at: Annotated[str, typer.Option(metavar="first|committed|OFFSET", help="Where they are to begin.")],
    partition: Annotated[
        list[int] | None, typer.Option(metavar="P", help="May be repeated.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All partitions of the input topic.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Have partitions begin elsewhere, for where a worker refuses them.

    `first` is the oldest record that the topic still has, `committed` what the group has committed in Kafka. Says what
    follows and asks. Stop all workers first. Exits with 2 if nothing was changed because something is in the way, and
    with 1 if the answer is no.
    """
    from worker.cli import partitions

    partitions.begin_partitions(partitions.Wanted(partition or (), every, at), yes=yes)


@app.command(epilog=_examples("worker adopt"))
@reports_faults
def adopt(*, yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False) -> None:
    """Have the database serve the cluster, group and input topic that the settings name.

    For a group that was renamed, or a cluster that was moved; the instances stay. Stop all workers first.
    """
    from worker.cli import partitions

    partitions.adopt_database(yes=yes)
