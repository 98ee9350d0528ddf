"""One server program: started on loopback, waited for, and stopped for certain."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from worker.adapters.embedded import keeper
from worker.core.errors import SetupError, WorkerError

LOOPBACK = "127.0.0.1"
LOG_LINES_SHOWN = 15
KEEPER_GRACE_SECONDS = 5.0
POLL_SECONDS = 0.02
# Below the range from which systems take the ports of outgoing connections: a client that dials a closed port of
# that range again and again may in the end be connected to itself.
PORTS = range(20_000, 32_000)
PORT_TRIES = 100

_LATELY_GIVEN: Final[deque[int]] = deque(maxlen=200)
"""Ports that somebody may be about to listen on."""


class ServerStartError(WorkerError):
    """A server did not come up; the text has the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Account:
    """Name the user that a server runs as, when that is not our own."""

    name: str
    user_id: int
    group_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """Say how one server is started and stopped; without a `directory` it works in its own folder."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 5.0
    start_timeout_seconds: float = 30.0


@dataclass(slots=True)
class Server:
    """Run one server in a folder, under a keeper that outlives us only to clean up.

    The server is in a session of its own, so a terminal's Ctrl-C reaches it through us alone. It is stopped by
    `stop`, and by the keeper as soon as this program is gone, whatever ended it.
    """

    plan: ServerPlan
    folder: Path
    remove_folder: bool = True
    _keeper: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _pid: int = field(default=0, init=False)

    @property
    def log(self) -> Path:
        """Say where the server's standard output and error go."""
        return self.folder / f"{self.plan.name}.log"

    @property
    def running(self) -> bool:
        """Tell whether the server was started and has not ended."""
        return self._keeper is not None and self._keeper.poll() is None

    @property
    def pid(self) -> int:
        """Give the id of the server itself, for tests that kill it."""
        return self._pid

    def start(self, ready: Callable[[], bool]) -> Self:
        """Start the server and block until it is ready.

        Raises: ServerStartError, when it ends or is not ready in time; it is stopped then.
        """
        try:
            self._spawn()
            self._wait(ready)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server, within its grace period and a little more, and remove its folder if it owns it."""
        running, self._keeper = self._keeper, None
        if running is not None:
            _end(running, self.plan.grace_seconds + KEEPER_GRACE_SECONDS)
            if self._pid and running.returncode == -signal.SIGKILL:
                # A keeper that was killed could not stop its server.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._pid, signal.SIGKILL)
        if self.remove_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, *self._keeper_options(), "--", *self.plan.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.plan.directory or self.folder,
                env=dict(self.plan.environment),
                start_new_session=True,
            )
        first_line = self._keeper.stdout.readline() if self._keeper.stdout else b""
        self._pid = int(first_line or 0)

    def _keeper_options(self) -> list[str]:
        plan = self.plan
        options = ["--stop-signal", plan.stop_signal.name, "--grace-seconds", str(plan.grace_seconds)]
        if self.remove_folder:
            options += ["--remove", str(self.folder)]
        if plan.account is not None:
            options += ["--user", str(plan.account.user_id), "--group", str(plan.account.group_id)]
        return options

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.plan.start_timeout_seconds
        while not ready():
            if not self.running:
                raise ServerStartError(self._failure("ended while it started"))
            if time.monotonic() > deadline:
                raise ServerStartError(self._failure(f"was not ready within {self.plan.start_timeout_seconds:g} s"))
            time.sleep(POLL_SECONDS)

    def _failure(self, what: str) -> str:
        with self.log.open(errors="replace") as log:
            lines = "".join(f"  {line.rstrip()}\n" for line in deque(log, LOG_LINES_SHOWN))
        return f"The server {self.plan.name} {what}. The last lines of its log:\n{lines or '  (empty)'}"


def _end(running: subprocess.Popen[bytes], timeout_seconds: float) -> None:
    with running:  # Closes the pipes: that is what the keeper waits for.
        if running.stdin is not None:
            running.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            running.wait(timeout_seconds)
        running.kill()


def temporary_folder(kind: str) -> Path:
    """Make a folder for one server, readable by us alone."""
    return Path(tempfile.mkdtemp(prefix=f"orchestrator-worker-{kind}-"))


def free_port() -> int:
    """Find a loopback port that nothing listens on.

    Raises: SetupError, when none is found.
    """
    for port in random.SystemRandom().sample(PORTS, PORT_TRIES):
        if port in _LATELY_GIVEN:
            continue
        with socket.socket() as probe:
            # As servers do: a port whose last connections linger is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((LOOPBACK, port))
                _LATELY_GIVEN.append(port)
                return port
    raise SetupError(
        f"None of {PORT_TRIES} ports tried from {PORTS.start} to {PORTS.stop - 1} on {LOOPBACK} is free. "
        "Stop some of the servers that listen there."
    )


def listens(port: int) -> bool:
    """Tell whether something accepts connections on a loopback port."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False
