"""Bounds for calls of librdkafka's that have none."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

GRACE_SECONDS = 2.0
"""How much longer than its own time-out a call may take before it is given up."""


class Unreturned(Exception):
    """A call did not return. Its thread is left behind, with whatever it works on, until it does."""

    def __init__(self, call: str, seconds: float, thread: Thread) -> None:
        super().__init__(f"{call} did not return in {seconds:g} s, past its own time-out")
        self.thread = thread


def call_within(seconds: float, name: str, call: Callable[[], None]) -> None:
    """Make a call on a thread of its own, and wait so long for it. Raises: Unreturned, or what the call raises."""
    ended: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - Whoever waits is told.
            ended.set_exception(error)
        else:
            ended.set_result(None)

    # No such thread keeps the process from ending.
    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        ended.result(seconds)
    except TimeoutError as error:
        raise Unreturned(name, seconds, thread) from error
