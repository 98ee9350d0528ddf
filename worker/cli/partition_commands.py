"""`worker partitions`, as `--help` shows it."""

from typing import Annotated

import typer

from worker.cli.command_options import AsJson, examples
from worker.terminal.faults import reports_faults

partitions_app = typer.Typer(
    help="See how the input topic's partitions stand, and go on from where a worker refuses one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@partitions_app.command("list", epilog=examples("worker partitions list", "worker partitions list --json"))
@reports_faults
def list_partitions(*, as_json: AsJson = False) -> None:
    """List the partitions: how far they are applied and published, whose they are, what a worker would do.

    It changes nothing, and may be run beside workers.
    """
    from worker.cli import partitions

    partitions.list_partitions(as_json=as_json)


@partitions_app.command(
    "begin",
    epilog=examples(
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
