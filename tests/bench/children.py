"""Processes that do the work: they print lines of JSON, and end when their standard input is closed.

So none of them outlives the bench, whatever ends it.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tests.bench.site import ROOT

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0


def tell(**fields: Any) -> None:
    """Print one line for the parent."""
    print(json.dumps(fields), flush=True)


def stop_at_end_of_input(stop: Callable[[], None]) -> None:
    """Call `stop`, on a thread, once the parent has closed our standard input or is gone."""

    def wait() -> None:
        sys.stdin.read()
        stop()

    threading.Thread(target=wait, daemon=True).start()


class Child:
    """Run a module of the bench as a process of its own for as long as the context lasts."""

    def __init__(
        self, module: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # A terminal's Ctrl-C reaches it through us alone.
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_input()
        try:
            self._popen.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def told(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> dict[str, Any]:
        """Wait for the next line. Raises: RuntimeError, if the process ended instead; queue.Empty."""
        line = self._lines.get(timeout=timeout_seconds)
        if not line:
            message = f"{self._popen.args!r} ended with {self._popen.wait()}"
            raise RuntimeError(message)
        fields: dict[str, Any] = json.loads(line)
        return fields

    def stop(self) -> dict[str, Any]:
        """Have it end, and give the last that it says."""
        self._close_input()
        return self.told(STOP_TIMEOUT_SECONDS)

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(b"")

    def _close_input(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
