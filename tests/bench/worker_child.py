"""The worker as a process of its own, as `worker run` runs it, that tells where its time went.

It tells when its first batch begins, and at its end the seconds per stage from there to the end of its last batch.
"""

import time
from collections.abc import Iterator
from contextlib import _GeneratorContextManager, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.bench.children import stop_at_end_of_input, tell
from worker.bootstrap import build_worker, deploy
from worker.logs import configure_logs
from worker.runtime.stages import Stage, Stages
from worker.settings import load_settings


class RunStages(Stages):
    """Leave out the waits before the first batch and after the last."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = 0.0
        self._last: dict[str, Any] = {}

    def stage(self, name: Stage) -> _GeneratorContextManager[None]:
        """Count the time of a block to a stage; most blocks are one event's, so nothing is put around those."""
        if name == "decode" and not self._begun:
            self._begin()
        return self._closing_stage(name) if name == "kafka" else super().stage(name)

    def told(self) -> dict[str, Any]:
        return self._last | {"rss_kilobytes_max": _rss_kilobytes_max()}

    @contextmanager
    def _closing_stage(self, name: Stage) -> Iterator[None]:
        with super().stage(name):
            yield
        total = perf_counter() - self._begun
        self._last = {"seconds": dict(self.seconds), "counts": dict(self.counts), "total_seconds": total}

    def _begin(self) -> None:
        tell(first=time.monotonic())
        self._begun = perf_counter()
        self.seconds = dict.fromkeys(self.seconds, 0.0)


def _rss_kilobytes_max() -> int:
    # Not what getrusage says, which is the parent's if that was larger when it made this process.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0])


def main() -> None:
    """Run until the parent closes our standard input."""
    settings = load_settings().settings
    configure_logs("warning", "console")
    worker = build_worker(deploy(settings))
    stages = worker.stages = RunStages()
    stop_at_end_of_input(worker.stop)
    worker.run()
    tell(**stages.told())


if __name__ == "__main__":
    main()
