"""Where a worker's time goes: seconds per stage, and what was counted beside it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

Stage = Literal["poll", "decode", "postgres", "step", "encode", "kafka"]
STAGES: tuple[Stage, ...] = ("poll", "decode", "postgres", "step", "encode", "kafka")


class Stages:
    """Add up seconds per stage, and counts: batches, records, outputs, and outcomes by kind."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
        self.counts: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Count the time of a block to a stage."""
        begun = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += perf_counter() - begun
