"""The one place that every call of a port goes through, so that each can fail before its work, or after all of it."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Killed(BaseException):
    """The process died here."""


class Busy(Exception):
    """The server has the caller wait: for a lock, or for a transaction to end. The call is to be made again.

    `error` is what the caller is told once it waited in vain. `resort`, where there is one, is done before that, and
    the call made once more.
    """

    def __init__(self, error: Exception, resort: Callable[[], None] | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.resort = resort


class Hook(Protocol):
    """What stands between a process and the servers."""

    def call(self, name: str, effect: Callable[[], Result], *about: object) -> Result:
        """Have a server do `effect`, which may raise Busy, and give its answer; `about` goes into a trace."""
        ...

    def later(self, name: str, effect: Callable[[], bool]) -> None:
        """Have a server do `effect` without waiting; it is done again for as long as it says True."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass on the caller's thread."""
        ...


class Faults:
    """The failures that are planned, by the call's name, in order; None lets one call pass. Nothing here waits.

    Names are the ports' methods, but for `Publisher.commit`, which is `flush` and then `publish`, and `Consumer.close`,
    which is `leave`.
    """

    def __init__(self, wait: Callable[[float], None] = lambda _: None) -> None:
        self._planned: defaultdict[str, deque[tuple[BaseException, bool] | None]] = defaultdict(deque)
        self._wait = wait
        self._waiting: list[Callable[[], bool]] = []
        self.calls: list[str] = []

    def plan(self, call: str, *errors: BaseException | None, happened: bool = False) -> None:
        """Fail the next calls of this name, one for each error; `happened` says that they did their work."""
        self._planned[call].extend(None if error is None else (error, happened) for error in errors)

    def clear(self) -> None:
        self._planned.clear()

    @property
    def pending(self) -> list[str]:
        return [call for call, planned in self._planned.items() if planned]

    def call(self, name: str, effect: Callable[[], Result], *about: object) -> Result:
        self.calls.append(name)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self.later("", one)
        planned = self._planned[name].popleft() if self._planned[name] else None
        if planned is not None and not planned[1]:
            raise planned[0]
        result = _insisting(effect)
        if planned is not None:
            raise planned[0]
        return result

    def later(self, name: str, effect: Callable[[], bool]) -> None:
        try:
            while effect():
                pass
        except Busy:
            # Tried again at the next call, whichever it is.
            self._waiting.append(effect)

    def wait(self, seconds: float) -> None:
        self._wait(seconds)


def _insisting(effect: Callable[[], Result]) -> Result:
    """Take a server that has the caller wait for one that never comes round."""
    try:
        return effect()
    except Busy as busy:
        if busy.resort is None:
            raise busy.error from None
        busy.resort()
    try:
        return effect()
    except Busy as busy:
        raise busy.error from None
