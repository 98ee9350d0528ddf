"""What stands between the runtime and its ports, and does to one call what is planned.

Every call is counted by its name. At the call that is planned, the deed is done, and it is told that it was.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NoReturn, Protocol

from tests.failpoints.cells import CALLS, PORTS, Deed, steps
from worker import ports
from worker.runtime.loop import Parts


class Stalling(Protocol):
    """A way to servers that can be blocked."""

    def stall(self) -> None: ...

    def restore(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Do this deed at the call of this name, the `at`-th of the process."""

    call: str
    deed: Deed
    error: str | None = None
    at: int = 1


@dataclass(frozen=True, slots=True)
class Fired:
    """What is told of a deed. `raised` is what the call itself raised, `seconds` how long it took."""

    call: str
    deed: str
    raised: str | None = None
    seconds: float = 0.0


def die() -> NoReturn:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


@dataclass(slots=True)
class Tampering:
    """The plans of one process, and the calls so far; the loop and its background call at the same time.

    `tell` is called for the last plan of the list: the others only prepare for it. `die` ends the process; `ways`
    lead to the servers, by "database" and "kafka".
    """

    plans: Sequence[Plan]
    tell: Callable[[Fired], None]
    ways: Mapping[str, Stalling]
    die: Callable[[], NoReturn] = die
    _calls: Counter[str] = field(default_factory=Counter, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def parts(self, parts: Parts) -> Parts:
        """Put ourselves before every server."""
        names = {(step.field, step.method): step.name for step in steps()}
        changed: dict[str, Any] = {name: Tampered(getattr(parts, name), name, names, self) for name in PORTS}
        changed |= {name: partial(self.call, names[name, name], getattr(parts, name)) for name in CALLS}
        return replace(parts, **changed)

    def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Make a call, or do to it what is planned."""
        with self._lock:
            self._calls[name] += 1
            count = self._calls[name]
        plan = next((one for one in self.plans if (one.call, one.at) == (name, count)), None)
        if plan is None:
            return function(*arguments)
        deed: Callable[[Plan, Callable[[], Any]], Any] = getattr(self, f"_{plan.deed.name.lower()}")
        return deed(plan, partial(function, *arguments))

    def _killed_before(self, plan: Plan, _: Callable[[], Any]) -> NoReturn:
        self._die(plan)

    def _killed_after(self, plan: Plan, call: Callable[[], Any]) -> NoReturn:
        # What it raises comes after it, too.
        with suppress(Exception):
            call()
        self._die(plan)

    def _fails(self, plan: Plan, call: partial[Any]) -> NoReturn:
        self._drop_transaction(plan, call)
        self._tell(plan)
        raise _error(plan.error)

    def _fails_though_done(self, plan: Plan, call: partial[Any]) -> NoReturn:
        call()
        self._drop_transaction(plan, call)
        self._tell(plan)
        raise _error(plan.error)

    def _hangs(self, plan: Plan, call: Callable[[], Any]) -> Any:
        way = self.ways["database" if plan.call.startswith(_OF_THE_DATABASE) else "kafka"]
        raised: str | None = None
        begun = time.monotonic()
        way.stall()
        try:
            return call()
        except BaseException as error:
            raised = type(error).__name__
            raise
        finally:
            way.restore()
            self._tell(plan, raised, time.monotonic() - begun)

    def _die(self, plan: Plan) -> NoReturn:
        self._tell(plan)
        self.die()

    def _drop_transaction(self, plan: Plan, call: partial[Any]) -> None:
        """Keep the port's word: a batch of which a call failed is rolled back; after a commit nothing is left to be."""
        if plan.call.startswith("Database."):
            method: Any = call.func
            method.__self__.roll_back()

    def _tell(self, plan: Plan, raised: str | None = None, seconds: float = 0.0) -> None:
        if plan is not self.plans[-1]:
            return
        self.tell(Fired(plan.call, plan.deed, raised, seconds))


_OF_THE_DATABASE = ("Positions.", "Database.", "Parts.housekeep")


class Tampered:
    """Stand for one part of a worker."""

    def __init__(self, part: Any, field: str, names: Mapping[tuple[str, str], str], tampering: Tampering) -> None:
        self._part = part
        self._field = field
        self._names = names
        self._tampering = tampering

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._part, method)
        name = self._names.get((self._field, method))
        return found if name is None else partial(self._tampering.call, name, found)


def _error(name: str | None) -> Exception:
    """Make the port's error."""
    assert name is not None
    text = "a failure that the test planned"
    if name == "OffsetUnavailable":
        return ports.OffsetUnavailable(0, text)
    made: Exception = getattr(ports, name)(text)
    return made
