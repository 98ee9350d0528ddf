"""Where a worker's time goes: seconds per stage, and what was counted beside it."""

from collections import Counter
from time import perf_counter
from types import TracebackType
from typing import Literal

Stage = Literal["poll", "decode", "postgres", "step", "encode", "kafka"]
STAGES: tuple[Stage, ...] = ("poll", "decode", "postgres", "step", "encode", "kafka")


class Timer:
    """Add up the seconds of the blocks that it stands around, one after the other."""

    # A class and no generator: it stands around every step.
    __slots__ = ("_begun", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds += perf_counter() - self._begun


class Stages:
    """Time by stage, and counts: batches, records, outputs, and outcomes by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._timers = {name: Timer() for name in STAGES}

    def stage(self, name: Stage) -> Timer:
        """Give the timer of a stage."""
        return self._timers[name]

    @property
    def seconds(self) -> dict[Stage, float]:
        """Give the seconds of each stage so far."""
        return {name: timer.seconds for name, timer in self._timers.items()}
