"""The commands, as `--help` shows them. What a command needs is imported when it runs, so that help is fast."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.command_options import AsJson, examples, machine_names, one_of
from worker.cli.dead_letter_commands import dead_letters_app
from worker.cli.instance_commands import instances_app
from worker.cli.machine_commands import machines_app
from worker.cli.partition_commands import partitions_app
from worker.terminal.faults import reports_faults

app = typer.Typer(
    help="Run event-driven workflows, written as statecharts, on Kafka and PostgreSQL.",
    epilog="Settings are read from WORKER_* variables and from .env; `worker config` lists them. Exit status: 0 done; "
    "1 something failed, or was found; 2 nothing was begun: wrong use, settings or set-up; 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(instances_app, name="instances")
app.add_typer(machines_app, name="machines")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(partitions_app, name="partitions")


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("orchestrator-worker"))
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda value: _print_version(wanted=value), is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take what stands before a command."""


@app.command(epilog=examples("worker run"))
@reports_faults
def run() -> None:
    """Run the worker until SIGTERM or Ctrl-C.

    Needs a migrated database (`worker migrate`) and the topics of its machines.
    """
    from worker.bootstrap import deploy, run_worker
    from worker.logs import configure_logs
    from worker.settings import load_settings

    settings = load_settings().settings
    configure_logs(settings.log_level, settings.log_format)
    run_worker(deploy(settings))


@app.command(epilog=examples("worker serve shop.services", "worker serve shop,payments"))
@reports_faults
def serve(
    packages: Annotated[str, typer.Argument(metavar="PACKAGE[,PACKAGE…]", help="Packages with services.")],
) -> None:
    """Run services until SIGTERM or Ctrl-C: all that the packages have.

    A service is a function with @service(contract.version(…)) above it. Needs Kafka, and no database.
    """
    from worker.cli.serving import serve_packages

    serve_packages(packages)


@app.command(epilog=examples("worker dev"))
@reports_faults
def dev() -> None:
    """Bring up a worker to try out, and stay up until Ctrl-C.

    Starts PostgreSQL, a Kafka-protocol broker, the worker and sample services that answer the order machine;
    nothing of them is left afterwards. Servers that WORKER_DATABASE_URL and WORKER_KAFKA_BOOTSTRAP_SERVERS name
    are used instead.
    """
    from worker.cli.development import develop

    develop()


@app.command(epilog=examples("worker migrate", "worker migrate --check", "worker migrate --after-rollout"))
@reports_faults
def migrate(
    *,
    after_rollout: Annotated[
        bool,
        typer.Option(
            "--after-rollout",
            help="Also take away what workers of the version before needed: once none of them is running.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 if the schema is not current.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the database to the schema that this worker needs."""
    from worker.cli.migrating import check_schema, migrate_schema

    if check:
        check_schema(as_json=as_json)
    else:
        migrate_schema(as_json=as_json, after_rollout=after_rollout)


@app.command(
    epilog=examples(
        """worker produce arvo.orc.order --data '{"order_id": "A-1", "amount": 40}'""",
        "worker produce arvo.orc.order --file orders.ndjson",
        "echo 'no event' | worker produce --unchecked --file -",
    )
)
@reports_faults
def produce(  # noqa: PLR0913  # A command has as many arguments as it has options.
    *,
    event_type: Annotated[
        str | None,
        typer.Argument(
            metavar="TYPE",
            help="Type of the events that are made.",
            show_default=False,
            autocompletion=one_of(machine_names),
        ),
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
    epilog=examples(
        "worker tail",
        "worker tail --from-beginning --domain dlq",
        "worker tail --subject 3f2a9c1e --json",
        "worker tail --from-beginning --workflow 3f2a9c1e --type 'arvo.orc.*'",
    )
)
@reports_faults
def tail(  # noqa: PLR0913  # A command has as many arguments as it has options.
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
    workflow: Annotated[
        str | None,
        typer.Option(metavar="S", help="Only this instance and those that it started, however many levels below."),
    ] = None,
    event_type: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Only events of this type; `*` stands for anything. May be repeated.",
            show_default=False,
        ),
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

    types = tuple(event_type or ())
    wanted = Wanted(tuple(domain or ()), subject, count, from_beginning, workflow, types)
    tail_topics(wanted, as_json=as_json)


@app.command(epilog=examples("worker config", "worker config timeout", "worker config --changed --json"))
@reports_faults
def config(
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]…", help="Only settings with this in their names.", show_default=False),
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only settings that are set somewhere.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting, its value and its origin.

    Secrets are masked. Exits with 2 if a setting is wrong, after naming all faults.
    """
    from worker.cli.configuration import show_settings

    show_settings(names or (), changed=changed, as_json=as_json)


@app.command(epilog=examples("worker doctor", "worker doctor --json"))
@reports_faults
def doctor(*, as_json: AsJson = False) -> None:
    """Look at everything that a deployment needs: machines, database, brokers, topics, rights, clocks.

    Changes nothing, and may be run beside workers. Each finding has its remedy. Exits with 2 if workers would not start
    or their promises don't hold, with 1 if there are warnings, else with 0.
    """
    from worker.cli.doctor import examine

    examine(as_json=as_json)


@app.command(epilog=examples("worker health", "worker health --ready"))
@reports_faults
def health(
    *,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it does its work now, not whether it lives.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the worker on this machine how it is, on its WORKER_HTTP_PORT.

    For an image's health check. Exits with 1 if it is not well, or does not answer.
    """
    from worker.cli.health import ask

    ask(ready=ready, as_json=as_json)


@app.command(epilog=examples("worker adopt"))
@reports_faults
def adopt(*, yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False) -> None:
    """Have the database serve the cluster, group and input topic that the settings name.

    For a group that was renamed, or a cluster that was moved; the instances stay. Stop all workers first.
    """
    from worker.cli import partitions

    partitions.adopt_database(yes=yes)
