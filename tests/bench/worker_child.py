"""The worker as a process of its own, as `worker run` runs it, that tells where its time went.

It tells when its first batch begins, and at its end the seconds per stage from there to the end of its last batch.
With the argument `in-turn`, its Kafka transactions do not run beside PostgreSQL's work. With `sampled-out`, it looks at
each event whether it is to be traced, and none is.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from time import perf_counter
from types import TracebackType
from typing import Any

from tests.bench.children import stop_at_end_of_input, tell
from worker.adapters.process.collector import spare_collector
from worker.adapters.process.threads import PendingCall
from worker.adapters.telemetry.batch_spans import BatchTracer, SpanNames
from worker.adapters.telemetry.board import Board
from worker.adapters.telemetry.instruments import Meters
from worker.adapters.telemetry.recorder import Names, Recorder
from worker.adapters.telemetry.sampling import Sampling
from worker.adapters.telemetry.tracers import Tracers
from worker.bootstrap import deploy, parts_of
from worker.logs import configure_logs
from worker.runtime.loop import Parts, Worker
from worker.runtime.stages import Stage, Stages, Timer
from worker.settings import load_settings

IN_TURN = "in-turn"
SAMPLED_OUT = "sampled-out"


class ClosingTimer(Timer):
    """Call `closed` at the end of each block."""

    __slots__ = ("_closed",)

    def __init__(self, closed: Callable[[], None]) -> None:
        super().__init__()
        self._closed = closed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._closed()


class RunStages(Stages):
    """Leave out the waits before the first batch and after the last."""

    def __init__(self) -> None:
        super().__init__()
        self._timers["kafka"] = ClosingTimer(self._close)
        self._begun = 0.0
        self._last: dict[str, Any] = {}

    def stage(self, name: Stage) -> Timer:
        if name == "decode" and not self._begun:
            self._begin()
        return super().stage(name)

    def told(self) -> dict[str, Any]:
        return self._last

    def _close(self) -> None:
        total = perf_counter() - self._begun
        self._last = {"seconds": self.seconds, "counts": dict(self.counts), "total_seconds": total}

    def _begin(self) -> None:
        tell(first=time.monotonic())
        self._begun = perf_counter()
        for timer in self._timers.values():
            timer.seconds = 0.0


class InTurn:
    """Make a call where it is begun: nothing runs beside the loop."""

    def start(self, call: Callable[[], None]) -> PendingCall:
        future: Future[None] = Future()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - Told to who asks for the result.
            future.set_exception(error)
        else:
            future.set_result(None)
        return PendingCall(future)


def idle_tracer(parts: Parts) -> BatchTracer:
    """Trace as is the default: what its own trace has sampled, and no event of the workload is."""
    recorder = Recorder(Meters({}, {}).instruments, Board(parts.clock), Names("", "", {}))
    return BatchTracer(Tracers([], Sampling.of({}), {}), recorder, SpanNames("", "", {}))


def main() -> None:
    """Run until the parent closes our standard input."""
    settings = load_settings().settings
    configure_logs("warning", "console")
    stages = RunStages()
    parts = replace(parts_of(deploy(settings)), stages=stages)
    if IN_TURN in sys.argv:
        parts = replace(parts, background=InTurn())
    if SAMPLED_OUT in sys.argv:
        parts = replace(parts, tracer=idle_tracer(parts))
    worker = Worker(parts)
    stop_at_end_of_input(worker.stop)
    spare_collector()
    worker.run()
    tell(**stages.told())


if __name__ == "__main__":
    main()
