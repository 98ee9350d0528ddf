"""A worker's process: threads that share a fate, and its calls, which go through the network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from tests.simulation.network import CALL_SECONDS_MAX, DATABASE, LOCAL, LOCK_SECONDS_MAX, Fate, Network, error_of
from tests.simulation.scheduler import Scheduler, Task
from tests.simulation.servers import Busy, Killed

Result = TypeVar("Result")

BUSY_SECONDS = 0.05
"""How long one who has to wait at a server does so before it is looked at again."""

EPOCH_MS = 1_800_000_000_000


Entry = tuple[float, str, str, str, tuple[object, ...]]
"""When, who, what, how it went, and what it was about."""


@dataclass
class Trace:
    """What happened, in order; kept as it is, and written out only for a seed that fails."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, time: float, who: str, what: str, how: str, about: tuple[object, ...] = ()) -> None:
        self.entries.append((time, who, what, how, about))


@dataclass(eq=False)
class Process:
    """One worker process, which may be stopped for a while, or killed."""

    name: str
    scheduler: Scheduler
    network: Network
    trace: Trace
    is_dead: bool = False
    stopped_until: float = 0.0
    skew_ms: int = 0
    when_stopped: Callable[[float], None] = lambda _: None
    tasks: list[Task] = field(default_factory=list)
    main_waits: Task | None = None

    def start(self, body: Callable[[], None], name: str = "") -> Task:
        """Begin a thread of this process. It ends with the process."""
        task = Task(f"{self.name}{name}", lambda: self.stopped_until)
        self.tasks.append(task)

        def run() -> None:
            try:
                if not self.is_dead:
                    body()
            except Killed:
                pass
            finally:
                self.tasks.remove(task)

        self.scheduler.spawn(task, run)
        return task

    @property
    def is_running(self) -> bool:
        return not self.is_dead and self.stopped_until <= self.scheduler.now

    def kill(self, why: str) -> None:
        """End the process where it stands; its threads learn that as soon as they run."""
        if self.is_dead:
            return
        self.trace.add(self.scheduler.now, self.name, "killed", why)
        self.is_dead = True
        self.stopped_until = 0.0
        for task in self.tasks:
            self.scheduler.wake(task)

    def stop_for(self, seconds: float) -> None:
        """Stop it, as SIGSTOP does, and have it go on after that time."""
        self.stopped_until = max(self.stopped_until, self.scheduler.now + seconds)
        self.trace.add(self.scheduler.now, self.name, "stopped", f"for {seconds:.3f} s")
        self.when_stopped(seconds)

    def check(self) -> None:
        if self.is_dead:
            raise Killed

    def stir(self) -> None:
        """Have the main thread, if it waits for records or for nothing in particular, go on."""
        if self.main_waits is not None:
            self.scheduler.wake(self.main_waits)

    # The clock

    def now_ms(self) -> int:
        return EPOCH_MS + self.skew_ms + int(self.scheduler.now * 1000)

    def monotonic(self) -> float:
        return self.scheduler.now

    def limit(self, seconds: float) -> None:
        """Do nothing: steps take no time here."""

    def jitter(self) -> float:
        return self.network.random.uniform(0.5, 1.0)


@dataclass(eq=False, slots=True)
class _Call(Generic[Result]):
    """One call under way."""

    name: str
    effect: Callable[[], Result]
    fate: Fate
    task: Task
    asked_at: float
    result: Any = None
    error: Exception | None = None
    is_done: bool = False
    is_given_up: bool = False
    waits_until: float | None = None
    has_resorted: bool = False


@dataclass(eq=False)
class NetworkHook:
    """The hook of a simulated process: each call hands the baton on, and comes back when its answer does."""

    process: Process

    def call(self, name: str, effect: Callable[[], Result], *about: object) -> Result:
        process = self.process
        process.check()
        fate = process.network.fate(name)
        scheduler = process.scheduler
        process.trace.add(scheduler.now, scheduler.current.name, name, fate.name, about)
        if fate.kills == "before":
            self._die(fate)
        if fate.stops == "before":
            self._stop()
        if name in LOCAL and name != "flush":
            answer = effect()
            if fate.kills:
                self._die(fate)
            if fate.stops == "after":
                self._stop()
            return answer
        call = _Call(name, effect, fate, scheduler.current, scheduler.now)
        if fate.request_seconds is not None:
            scheduler.after(fate.request_seconds, partial(self._serve, call))
        if fate.kills == "under way":
            scheduler.after(process.network.random.uniform(0.0, 2.0) * (fate.request_seconds or 0.0), self._kill)
        return self._answer(call)

    def later(self, name: str, effect: Callable[[], bool]) -> None:
        scheduler = self.process.scheduler
        if name == "disconnect":
            scheduler.after(self._parting(), partial(_done, effect))
        else:
            scheduler.after(self.process.network.way(), partial(self._go_on, effect))

    def wait(self, seconds: float) -> None:
        process = self.process
        process.check()
        process.main_waits = process.scheduler.current
        process.scheduler.sleep(seconds)
        process.main_waits = None
        process.check()

    def _answer(self, call: _Call[Result]) -> Result:
        scheduler, process = self.process.scheduler, self.process
        until = call.asked_at + call.fate.given_up_seconds
        while not call.is_done and scheduler.now < until:
            scheduler.wait(until)
            process.check()
        call.is_given_up = True
        fate = call.fate
        error = call.error if call.is_done else error_of(call.name)
        if call.is_done and fate.kills == "after":
            self._die(fate)
        if fate.stops == "after":
            self._stop()
        if error is not None:
            process.trace.add(
                scheduler.now, scheduler.current.name, call.name, f"raised {type(error).__name__}: {error}"
            )
            raise error
        answer: Result = call.result
        return answer

    def _serve(self, call: _Call[Result]) -> None:
        """Have the server do what is asked, once it can; the caller may be gone by then."""
        try:
            call.result = call.effect()
        except Busy as busy:
            if self._waits_on(call, busy):
                return
        except Exception as error:  # noqa: BLE001 - the caller's
            call.error = error
        self._send_back(call)

    def _waits_on(self, call: _Call[Result], busy: Busy) -> bool:
        scheduler = self.process.scheduler
        at_database = call.name in DATABASE
        if call.waits_until is None:
            call.waits_until = scheduler.now + (LOCK_SECONDS_MAX if at_database else CALL_SECONDS_MAX)
        if scheduler.now < call.waits_until:
            # Where the client asks again and again, it stops when it gives up; a server's wait goes on.
            if at_database or not (call.is_given_up or self.process.is_dead):
                scheduler.after(BUSY_SECONDS, partial(self._serve, call))
            return True
        if busy.resort is not None and not call.has_resorted:
            busy.resort()
            call.has_resorted = True
            scheduler.after(0.0, partial(self._serve, call))
            return True
        call.error = busy.error
        return False

    def _send_back(self, call: _Call[Result]) -> None:
        if call.fate.answer_seconds is None:
            return

        def arrive() -> None:
            if not call.is_given_up:
                call.is_done = True
                self.process.scheduler.wake(call.task)

        self.process.scheduler.after(call.fate.answer_seconds, arrive)

    def _go_on(self, effect: Callable[[], bool]) -> None:
        """Do something of a client's own threads, which stop and end with the process."""
        process, scheduler = self.process, self.process.scheduler
        if process.is_dead:
            return
        if process.stopped_until > scheduler.now:
            scheduler.at(process.stopped_until, partial(self._go_on, effect))
            return
        try:
            if effect():
                scheduler.after(process.network.way(), partial(self._go_on, effect))
        except Busy:
            scheduler.after(BUSY_SECONDS, partial(self._go_on, effect))

    def _parting(self) -> float:
        """Draw how long a server goes without knowing that a client has gone."""
        if self.process.network.is_calm:
            return 0.001
        return self.process.network.random.choice([0.0, 0.001, 0.01, 1.0, 15.0])

    def _kill(self) -> None:
        self.process.kill("under way")

    def _stop(self) -> None:
        """Stop the process here, with all its threads, until it goes on."""
        self.process.stop_for(self.process.network.stop_seconds())
        self.process.scheduler.wait(self.process.stopped_until)
        self.process.check()

    def _die(self, fate: Fate) -> None:
        self.process.kill(fate.name)
        raise Killed


def _done(effect: Callable[[], bool]) -> None:
    effect()


@dataclass(eq=False)
class SimPending:
    """A call on a thread of its own."""

    process: Process
    error: BaseException | None = None
    is_done: bool = False
    waiters: list[Task] = field(default_factory=list)

    def result(self, wait_seconds: float) -> None:
        scheduler = self.process.scheduler
        until = scheduler.now + wait_seconds
        while not self.is_done and scheduler.now < until:
            self.waiters.append(scheduler.current)
            scheduler.wait(until)
            self.process.check()
        if not self.is_done:
            raise TimeoutError
        if self.error is not None:
            raise self.error


@dataclass(eq=False)
class SimBackground:
    """Threads of a process beside its main one."""

    process: Process
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def start(self, call: Callable[[], None]) -> SimPending:
        pending = SimPending(self.process)

        def run() -> None:
            try:
                call()
            except Killed:
                raise
            except BaseException as error:  # noqa: BLE001 - told to who waits for it
                pending.error = error
            pending.is_done = True
            for task in pending.waiters:
                self.process.scheduler.wake(task)
            self.process.stir()

        self.process.start(run, f"+{next(self._names)}")
        return pending
