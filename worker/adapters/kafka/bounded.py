"""Bounds for calls of librdkafka's that have none."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Final

GRACE_SECONDS = 2.0
"""How much longer than its own time-out a call may take before it is given up."""


class Unreturned(Exception):
    """A call did not return. Its thread is left behind, with whatever it works on, until it does."""

    def __init__(self, call: str, seconds: float, thread: Thread) -> None:
        super().__init__(f"{call} did not return in {seconds:g} s, past its own time-out")
        self.thread = thread


class _Caller:
    """A thread that makes one call after the other."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[None], Callable[[], None]] | None] = SimpleQueue()
        # No such thread keeps the process from ending.
        self.thread = Thread(target=self._serve, daemon=True)
        self.thread.start()

    def begin(self, name: str, call: Callable[[], None]) -> "Future[None]":
        """Make a call."""
        self.thread.name = name
        ended: Future[None] = Future()
        self._calls.put((ended, call))
        return ended

    def leave(self) -> None:
        """Have the thread end once its call returns."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (begun := self._calls.get()) is not None:
            ended, call = begun
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - Whoever waits is told.
                ended.set_exception(error)
            else:
                ended.set_result(None)


_IDLE: Final[list[_Caller]] = []
"""Kept for the next calls: every publication makes one, and a thread takes longer to begin than the call takes."""


def call_within(seconds: float, name: str, call: Callable[[], None]) -> None:
    """Make a call on another thread, and wait so long for it. Raises: Unreturned, or what the call raises."""
    try:
        caller = _IDLE.pop()
    except IndexError:
        caller = _Caller()
    ended = caller.begin(name, call)
    try:
        error = ended.exception(seconds)
    except TimeoutError as late:
        caller.leave()
        raise Unreturned(name, seconds, caller.thread) from late
    _IDLE.append(caller)
    if error is not None:
        raise error
