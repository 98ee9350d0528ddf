"""`worker dead-letters`, as `--help` shows it."""

from typing import Annotated

import typer

from worker.cli.command_options import (
    AsJson,
    FailedSince,
    FailedUntil,
    Machines,
    Matching,
    OfSubject,
    Reasons,
    Sources,
    examples,
)
from worker.terminal.faults import reports_faults

dead_letters_app = typer.Typer(
    help="Look at the dead letters, redrive or discard them: what could not be processed, and why.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Places = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PARTITION:OFFSET]…", help="[default: all that the options let through]"),
]
AtMost = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="At most N, in order.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show which these are.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@dead_letters_app.command(
    "list",
    epilog=examples("worker dead-letters list", "worker dead-letters list --reason NO_INSTANCE --since 2h --json"),
)
@reports_faults
def list_dead_letters(  # noqa: PLR0913  # A command has as many arguments as it has options.
    *,
    reason: Reasons = None,
    subject: OfSubject = None,
    since: FailedSince = None,
    until: FailedUntil = None,
    source: Sources = None,
    machine: Machines = None,
    matching: Matching = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N.")] = 100,
    redriven_too: Annotated[bool, typer.Option("--all", help="Also those that were redriven or discarded.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, the newest last.

    PLACE, as PARTITION:OFFSET in the topic of dead letters, is what `show` and `redrive` take. Needs no database.
    """
    from worker.cli import dead_letters

    filters = dead_letters.Filters(reason or (), subject, since, until, source or (), (), machine or (), matching)
    dead_letters.list_dead_letters(filters, limit, redriven_too=redriven_too, as_json=as_json)


@dead_letters_app.command("show", epilog=examples("worker dead-letters show 0:17"))
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
    epilog=examples(
        "worker dead-letters redrive --reason NO_INSTANCE --dry-run",
        "worker dead-letters redrive --reason NO_INSTANCE --yes",
        "worker dead-letters redrive 0:17 3:4",
    ),
)
@reports_faults
def redrive_dead_letters(  # noqa: PLR0913  # A command has as many arguments as it has options.
    *,
    places: Places = None,
    reason: Reasons = None,
    subject: OfSubject = None,
    since: FailedSince = None,
    until: FailedUntil = None,
    source: Sources = None,
    machine: Machines = None,
    matching: Matching = None,
    limit: AtMost = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to where they came from, each exactly once.

    May be ended and run again, or run twice at the same time: nothing is redriven twice. Exits with 1 if something
    could not be redriven, after naming it.
    """
    from worker.cli.dead_letters import Filters
    from worker.cli.redriving import Going, redrive_dead_letters

    filters = Filters(reason or (), subject, since, until, source or (), places or (), machine or (), matching)
    redrive_dead_letters(filters, Going(limit, dry_run, yes, as_json))


@dead_letters_app.command(
    "discard",
    epilog=examples(
        "worker dead-letters discard --machine order --matching 'no such' --dry-run",
        "worker dead-letters discard --reason INVALID_EVENT --until 30d --yes",
        "worker dead-letters discard 0:17 3:4",
    ),
)
@reports_faults
def discard_dead_letters(  # noqa: PLR0913  # A command has as many arguments as it has options.
    *,
    places: Places = None,
    reason: Reasons = None,
    subject: OfSubject = None,
    since: FailedSince = None,
    until: FailedUntil = None,
    source: Sources = None,
    machine: Machines = None,
    matching: Matching = None,
    limit: AtMost = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Have dead letters count as seen to: they are not listed any more, and never redriven.

    Their records stay in the topic for as long as it keeps them. Exits with 1 if something could not be discarded.
    """
    from worker.cli.dead_letters import Filters
    from worker.cli.redriving import Going, redrive_dead_letters

    filters = Filters(reason or (), subject, since, until, source or (), places or (), machine or (), matching)
    redrive_dead_letters(filters, Going(limit, dry_run, yes, as_json, discards=True))
