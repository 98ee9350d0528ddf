"""Virtual time, and threads of which exactly one runs: the others wait until the scheduler wakes them.

Whoever has the baton runs what is due, server-side effects and wake-ups alike, until a wake-up is somebody's, who gets
the baton then. So a run is one sequence of events, the same for the same seed, however the machine is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from threading import Lock, Thread


class Stuck(Exception):
    """Nothing is left to happen."""


@dataclass(eq=False, slots=True)
class Task:
    """One thread of a simulated process. `held_until` keeps it from being woken before that time: a stopped process."""

    name: str
    held_until: Callable[[], float]
    baton: Lock = field(default_factory=Lock)
    is_parked: bool = False
    waits: int = 0

    def __post_init__(self) -> None:
        self.baton.acquire()


@dataclass(eq=False)
class Scheduler:
    """The simulation's clock, in seconds, and its one queue of events. Its maker's thread is the first task."""

    now: float = 0.0
    failure: BaseException | None = None
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _number: int = 0
    _next: Task | None = None

    def __post_init__(self) -> None:
        self.main = self.current = Task("main", lambda: 0.0)

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Have something happen at a time, on whichever thread has the baton then; it must not wait."""
        self._number += 1
        heappush(self._events, (time, self._number, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen after so many seconds."""
        self.at(self.now + seconds, action)

    def spawn(self, task: Task, body: Callable[[], None]) -> None:
        """Begin a task, a moment later."""

        def run() -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - told to the main task, which raises it
                self.fail(error)

        _CREW.run(task.baton, run, self._finish)
        task.is_parked = True
        self.at(self.now, lambda: self._wake(task, task.waits))

    def wait(self, until: float) -> None:
        """Let the others go on until then, or until somebody wakes this task."""
        task = self.current
        task.waits += 1
        number = task.waits
        task.is_parked = True
        self.at(until, lambda: self._wake(task, number))
        following = self._following()
        if following is not task:
            self._hand_over(following)
            task.baton.acquire()

    def sleep(self, seconds: float) -> None:
        """Let the others go on for so many seconds."""
        self.wait(self.now + seconds)

    def wake(self, task: Task) -> None:
        """End a task's wait now."""
        number = task.waits
        self.at(self.now, lambda: self._wake(task, number))

    def fail(self, error: BaseException) -> None:
        """Have the main task go on, and find this."""
        if self.failure is None:
            self.failure = error
        self.main.is_parked = False
        self._next = self.main

    def _wake(self, task: Task, number: int) -> None:
        if not task.is_parked or task.waits != number:
            return
        held_until = task.held_until()
        if held_until > self.now:
            self.at(held_until, lambda: self._wake(task, number))
            return
        task.is_parked = False
        self._next = task

    def _following(self) -> Task:
        """Run what is due until somebody is woken."""
        while self._next is None:
            if not self._events:
                self.fail(Stuck())
                break
            time, _, action = heappop(self._events)
            self.now = max(self.now, time)
            try:
                action()
            except BaseException as error:  # noqa: BLE001 - as in `spawn`
                self.fail(error)
        task, self._next = self._next, None
        assert task is not None
        self.current = task
        return task

    def _hand_over(self, task: Task) -> None:
        task.baton.release()

    def _finish(self) -> None:
        self._hand_over(self._following())


class _Crew:
    """Threads that are used again and again, since a run needs many for a moment each."""

    def __init__(self) -> None:
        self._idle: list[_Hand] = []

    def run(self, baton: Lock, body: Callable[[], None], finished: Callable[[], None]) -> None:
        hand = self._idle.pop() if self._idle else _Hand(self._idle)
        hand.begin(baton, body, finished)


class _Hand:
    """One thread of the crew."""

    def __init__(self, idle: "list[_Hand]") -> None:
        self._idle = idle
        self._called = Lock()
        self._called.acquire()
        self._work: tuple[Lock, Callable[[], None], Callable[[], None]] | None = None
        Thread(target=self._serve, daemon=True).start()

    def begin(self, baton: Lock, body: Callable[[], None], finished: Callable[[], None]) -> None:
        self._work = (baton, body, finished)
        self._called.release()

    def _serve(self) -> None:
        while True:
            self._called.acquire()
            assert self._work is not None
            baton, body, finished = self._work
            baton.acquire()
            body()
            # Still with the baton: nobody else touches the list.
            self._idle.append(self)
            finished()


_CREW = _Crew()
