"""The machine's time, and the process's own end: the runtime's `Clock` port."""

import faulthandler
import random
import signal
import time


class SystemClock:
    """Tell the machine's time; end the process, with its stacks on standard error, when a step takes too long."""

    def __init__(self) -> None:
        # By a signal's default action, after the stacks: no handler of Python's runs while a loop in C holds the
        # interpreter, and neither does a thread.
        faulthandler.register(signal.SIGALRM, chain=True)

    def now_ms(self) -> int:
        """Give milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Give seconds of a clock that never goes back."""
        return time.monotonic()

    def limit(self, seconds: float) -> None:
        """End this process in so many seconds unless called again before; 0: never."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def jitter(self) -> float:
        """Give a random factor between 0.5 and 1."""
        return random.uniform(0.5, 1.0)  # noqa: S311 - Spreads retries; nothing is secret in it.
