"""A TCP proxy on loopback that can cut, stall and slow down what goes through it."""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from worker.adapters.embedded.server import LOOPBACK

CHUNK_BYTES = 64 * 1024
JOIN_TIMEOUT_SECONDS = 5
TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a connection is: what each chunk waits, and how many bytes a second go through, either way."""

    delay_seconds: float = 0.0
    bytes_per_second: float | None = None

    def seconds(self, size: int) -> float:
        """Say how long so many bytes are held up."""
        return self.delay_seconds + (size / self.bytes_per_second if self.bytes_per_second else 0.0)


FULL_PACE = Pace()


@dataclass(slots=True)
class TcpProxy:
    """Forward connections to a loopback port until told otherwise; `port` 0 takes any free one."""

    target_port: int
    port: int = 0
    _listener: socket.socket = field(init=False)
    _flowing: threading.Event = field(default_factory=threading.Event, init=False)
    _open: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _pace: Pace = field(default=FULL_PACE, init=False)
    _sockets: set[socket.socket] = field(default_factory=set, init=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        self._listener = socket.create_server((LOOPBACK, self.port))
        self.port = self._listener.getsockname()[1]
        self._flowing.set()
        self._open.set()
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._listener)
        self.cut()
        self._flowing.set()
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_SECONDS)

    def cut(self) -> None:
        """Reset every connection, and every new one, until `restore`."""
        self._open.clear()
        self.cut_once()

    def cut_once(self) -> None:
        """Reset every connection of now."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for connection in sockets:
            _reset(connection)

    def stall(self) -> None:
        """Forward nothing, and keep every connection, until `restore`: a network that swallows packets."""
        self._flowing.clear()

    def slow(self, pace: Pace) -> None:
        """Hold up what goes through, of old and of new connections, until `restore`."""
        self._pace = pace

    def restore(self) -> None:
        self._pace = FULL_PACE
        self._open.set()
        self._flowing.set()

    def _accept(self) -> None:
        with suppress(OSError):  # The listener is closed: the end.
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        if not self._open.is_set():
            _reset(client)
            return
        try:
            server = socket.create_connection((LOOPBACK, self.target_port), TIMEOUT_SECONDS)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        with self._lock:
            self._sockets |= {client, server}
        self._run(self._forward, client, server)
        self._run(self._forward, server, client)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                self._flowing.wait()
                if held_up := self._pace.seconds(len(chunk)):
                    time.sleep(held_up)
                target.sendall(chunk)
        _close(source)
        _close(target)
        with self._lock:
            self._sockets -= {source, target}

    def _run(self, target: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        thread.start()


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        # No lingering: the peer sees a reset, not an end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    _close(connection)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # Wakes up the thread that reads from it.
    connection.close()
