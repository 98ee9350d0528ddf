"""The demo's screen: a live display on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from worker.demo.watching import Watch
from worker.terminal.lines import counts_text

_PLAIN_INTERVAL_SECONDS: Final = 1.0
_REFRESHES_PER_SECOND: Final = 10
_BAR_WIDTH: Final = 40


class Display(Protocol):
    """Show a watch, as often as it is asked to."""

    def show(self) -> None:
        """Show how it stands."""
        ...


def say(text: str = "") -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def display(watch: Watch) -> Iterator[Display]:
    """Give what shows the watch while it goes on; the last state stays on the screen."""
    if sys.stdout.isatty():
        with _live(watch) as live:
            yield live
    else:
        plain = _Plain(watch)
        yield plain
        plain.show_last()


class _Plain:
    """A line a second, without control codes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._next = time.monotonic()
        self._shown = ""

    def show(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PLAIN_INTERVAL_SECONDS
            self.show_last()

    def show_last(self) -> None:
        watch = self._watch
        counts = {name: watch.counts[name] for name in watch.names}
        text = f"  {watch.ended:>5} of {len(watch.orders.orders)} orders ended; events: {counts_text(counts)}"
        if text != self._shown:
            say(text)
            self._shown = text


@contextmanager
def _live(watch: Watch) -> Iterator[Display]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    begun = time.monotonic()

    def rows() -> Table:
        seconds = max(time.monotonic() - begun, 0.001)
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        table.add_column("topic")
        table.add_column("events", justify="right")
        table.add_column("per second", justify="right")
        for name in watch.names:
            count = watch.counts[name]
            table.add_row(name, str(count), f"{count / seconds:.0f}", style=None if count else "dim")
        return table

    def bar() -> Table:
        total = len(watch.orders.orders)
        line = Table.grid(padding=(0, 1))
        line.add_row(
            "orders ended", ProgressBar(total=total, completed=watch.ended, width=_BAR_WIDTH), f"{watch.ended}/{total}"
        )
        return line

    def picture() -> Group:
        recent = Text("\n".join(watch.recent), style="dim", no_wrap=True, overflow="ellipsis")
        return Group("", rows(), "", recent, "", bar())

    class _Live:
        def show(self) -> None:
            live.update(picture())

    with Live(picture(), console=Console(), refresh_per_second=_REFRESHES_PER_SECOND) as live:
        yield _Live()
        # Once everything is there, what passed last is of no interest.
        watch.recent.clear()
        live.update(Group("", rows(), "", bar()), refresh=True)
