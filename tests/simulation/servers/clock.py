"""Time that a test moves, and calls beside the loop that run when a test lets them."""

from collections.abc import Callable

from tests.simulation.servers.faults import Killed


class FakeClock:
    """A clock that the test moves. `limited` is the last limit that was set, in seconds; 0: none."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._begun_ms = now_ms
        self.seconds = 0.0
        self.limited = 0.0
        self.jitter_factor = 1.0

    def now_ms(self) -> int:
        return self._begun_ms + int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    def limit(self, seconds: float) -> None:
        self.limited = seconds

    def jitter(self) -> float:
        return self.jitter_factor

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


class FakePending:
    """A call that runs when its background, or whoever waits for it, lets it."""

    def __init__(self, call: Callable[[], None], background: "FakeBackground") -> None:
        self._call = call
        self._background = background
        self._error: BaseException | None = None
        self.is_done = False

    def run(self) -> None:
        if self.is_done:
            return
        self.is_done = True
        try:
            self._call()
        except Killed:
            raise
        except BaseException as error:  # noqa: BLE001 - a thread's fault is told to who waits for it
            self._error = error

    def result(self, wait_seconds: float) -> None:
        if not self.is_done and self._background.stuck:
            self._background.wait(wait_seconds)
            raise TimeoutError
        self.run()
        if self._error is not None:
            raise self._error


class FakeBackground:
    """Run calls at once; while `held`, when `run` is called or somebody waits for one; while `stuck`, not even then."""

    def __init__(self, wait: Callable[[float], None] = lambda _: None) -> None:
        self.wait = wait
        self.held = False
        self.stuck = False
        self.pending: list[FakePending] = []

    def start(self, call: Callable[[], None]) -> FakePending:
        pending = FakePending(call, self)
        self.pending.append(pending)
        if not (self.held or self.stuck):
            self.run()
        return pending

    def run(self) -> None:
        """Run what waits, in its order."""
        while self.pending:
            self.pending.pop(0).run()
