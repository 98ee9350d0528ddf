"""Calls beside the loop, on threads that never keep the process from ending: the runtime's `Background` port."""

import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

SWITCH_SECONDS: Final = 0.0005
"""How soon the loop lets another thread go on. By Python's default, 5 ms, a Kafka transaction that runs beside a
computing loop takes some 30 ms longer: its thread waits so long each time that a broker has answered."""

THREADS_MAX: Final = 16
"""Above what a worker ever has under way: a publication, a look at the topic, an attempt to take, dead owners."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call under way on another thread."""

    _future: "Future[None]"

    @property
    def is_done(self) -> bool:
        """Whether `result` would return, or raise, at once."""
        return self._future.done()

    def result(self, wait_seconds: float) -> None:
        """Wait for the call to end, and raise what it raised. Raises: TimeoutError, if it is still under way."""
        self._future.result(wait_seconds)


@dataclass(slots=True)
class Threads:
    """Make calls on threads that are kept for the next; a call waits for a thread once all THREADS_MAX are busy."""

    _calls: "SimpleQueue[tuple[Future[None], Callable[[], None]]]" = field(default_factory=SimpleQueue)
    _lock: Lock = field(default_factory=Lock)
    _threads: int = 0
    _busy: int = 0

    def start(self, call: Callable[[], None]) -> PendingCall:
        """Begin a call on another thread."""
        future: Future[None] = Future()
        with self._lock:
            self._busy += 1
            if self._busy > self._threads and self._threads < THREADS_MAX:
                self._threads += 1
                sys.setswitchinterval(SWITCH_SECONDS)
                # No thread keeps the process from ending: a call that never returns must not.
                Thread(target=self._serve, name=f"background-{self._threads}", daemon=True).start()
        self._calls.put((future, call))
        return PendingCall(future)

    def _serve(self) -> None:
        while True:
            future, call = self._calls.get()
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - Whoever asks for the result is told.
                future.set_exception(error)
            else:
                future.set_result(None)
            finally:
                with self._lock:
                    self._busy -= 1
