"""The command `worker`: each subcommand reads its arguments and calls one function."""

from worker.terminal.faults import reports_faults


@reports_faults
def main() -> None:
    """Run the command that the arguments name."""
    from worker.cli.app import app

    app(prog_name="worker")
