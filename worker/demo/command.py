"""The demo's command line."""

from typing import Annotated

import typer

from worker.terminal.faults import reports_faults
from worker.terminal.signals import sigterm_interrupts

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
@reports_faults
def demo(
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders flow.")] = 300,
) -> None:
    """Show orders flow through a worker, on servers of its own."""
    from worker.demo.run import run_demo
    from worker.demo.screen import say
    from worker.logs import configure_logs

    configure_logs("error", "console")
    with sigterm_interrupts():
        try:
            run_demo(orders)
        except KeyboardInterrupt:
            say("\nstopped before the end; nothing is left behind")
            raise
