"""`python -m worker.demo`, which is `make demo`."""

from typing import Annotated

import typer

from worker.terminal.faults import reports_faults
from worker.terminal.signals import sigterm_interrupts


@reports_faults
def main(
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders flow.")] = 300,
) -> None:
    """Show orders flow through a worker, on servers of its own."""
    from worker.demo.run import run_demo
    from worker.logs import configure_logs

    configure_logs("error", "console")
    with sigterm_interrupts():
        run_demo(orders)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(main)
    app(prog_name="python -m worker.demo")
