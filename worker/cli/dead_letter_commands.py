"""`worker dead-letters`, as `--help` shows it."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

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

if TYPE_CHECKING:
    from worker.cli.dead_letters import Filters

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

_FILTERS: Final = {
    "reasons": Reasons,
    "subject": OfSubject,
    "since": FailedSince,
    "until": FailedUntil,
    "sources": Sources,
    "machines": Machines,
    "matching": Matching,
}
"""What dead letters are chosen by: each an option, and a field of `Filters`."""


def chosen(*, by_place: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of the table in place of its parameter `filters`, and the places if it takes them."""
    options: dict[str, Any] = {"places": Places, **_FILTERS} if by_place else _FILTERS

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(command).parameters.values() if one.name != "filters"]
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in options.items()
        ]

        @functools.wraps(command)
        def called(**given: Any) -> None:
            command(_filters({name: given.pop(name) for name in options}), **given)

        called.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in (*shared, *own)}
        return called

    return with_options


def _filters(given: dict[str, Any]) -> "Filters":
    from worker.cli.dead_letters import Filters

    # An option that may be repeated is None where it is not given.
    return Filters(**{name: value for name, value in given.items() if value is not None})


@dead_letters_app.command(
    "list",
    epilog=examples("worker dead-letters list", "worker dead-letters list --reason NO_INSTANCE --since 2h --json"),
)
@reports_faults
@chosen(by_place=False)
def list_dead_letters(
    filters: "Filters",
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N.")] = 100,
    redriven_too: Annotated[bool, typer.Option("--all", help="Also those that were redriven or discarded.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, the newest last.

    PLACE, as PARTITION:OFFSET in the topic of dead letters, is what `show` and `redrive` take. Needs no database.
    """
    from worker.cli import dead_letters

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
@chosen(by_place=True)
def redrive_dead_letters(
    filters: "Filters", *, limit: AtMost = None, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Send dead letters back to where they came from, each exactly once.

    May be ended and run again, or run twice at the same time: nothing is redriven twice. Exits with 1 if something
    could not be redriven, after naming it.
    """
    from worker.cli.redriving import Going, redrive_dead_letters

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
@chosen(by_place=True)
def discard_dead_letters(
    filters: "Filters", *, limit: AtMost = None, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Have dead letters count as seen to: they are not listed any more, and never redriven.

    Their records stay in the topic for as long as it keeps them. Exits with 1 if something could not be discarded.
    """
    from worker.cli.redriving import Going, redrive_dead_letters

    redrive_dead_letters(filters, Going(limit, dry_run, yes, as_json, discards=True))
