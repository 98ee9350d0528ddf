"""Processes that do the work: they print lines of JSON, and end when their standard input is closed.

So none of them outlives the bench, whatever ends it.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 90.0
STOP_TIMEOUT_SECONDS = 30.0
LOOK_SECONDS = 0.02


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
    """Run a command as a process of its own for as long as the context lasts."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._popen = subprocess.Popen(
            command,
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

    def told(self, timeout_seconds: float) -> dict[str, Any] | None:
        """Wait for the next line; none may come. Raises: RuntimeError, if the process ended instead."""
        try:
            line = self._lines.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        if not line:
            raise RuntimeError(f"{self._popen.args!r} ended with {self._popen.wait()}")
        fields: dict[str, Any] = json.loads(line)
        return fields

    def stop(self) -> dict[str, Any]:
        """Have it end, and give the last that it says. Raises: queue.Empty, if it does not end."""
        self._close_input()
        last = b"{}"
        while line := self._lines.get(timeout=STOP_TIMEOUT_SECONDS):
            last = line
        fields: dict[str, Any] = json.loads(last)
        return fields

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(b"")

    def _close_input(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()


def python(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Child:
    """Run a module of the bench."""
    return Child([sys.executable, "-m", module, *arguments], environment)


class Crew:
    """Children that share the work, for as long as the context lasts."""

    def __init__(self, start: Callable[[], Child], processes: int) -> None:
        self._start = start
        self._processes = processes
        self._children: list[Child] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._children += [stack.enter_context(self._start()) for _ in range(self._processes)]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self._children]

    def first(self) -> float:
        """Wait until one of them has its first event, and say when that was. Raises: TimeoutError; RuntimeError."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            for child in self._children:
                if told := child.told(LOOK_SECONDS):
                    return float(told["first"])
        raise TimeoutError(f"no first event within {START_TIMEOUT_SECONDS:g} s")

    def rss_megabytes_max(self) -> float:
        """Add up the most memory that each has had so far."""
        return sum(_rss_kilobytes(pid, "VmHWM") for pid in self.pids) / 1024

    def rss_megabytes(self) -> float:
        """Add up the memory that each has now."""
        return sum(_rss_kilobytes(pid, "VmRSS") for pid in self.pids) / 1024

    def stop(self) -> dict[str, Any]:
        """Have them end, and give the last that the first of them says."""
        told = [child.stop() for child in self._children]
        return told[0]


def _rss_kilobytes(pid: int, which: str) -> int:
    # Not what getrusage says, which is the parent's if that was larger when it made the process.
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status[which].split()[0])
