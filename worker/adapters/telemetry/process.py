"""What the process takes of the machine."""

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc/self")
_PAGE_BYTES: Final = resource.getpagesize()
_MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024


def cpu_seconds() -> Mapping[str, float]:
    """Give the CPU time so far, by mode."""
    times = os.times()
    return {"user": times.user, "system": times.system}


def memory_bytes() -> int:
    """Give the resident memory; where the system does not tell, the most that it has been."""
    try:
        return int((_PROC / "statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES


def open_files() -> int | None:
    """Count the open file descriptors, where the system tells them."""
    return _entries("fd")


def threads() -> int | None:
    """Count the threads, those that Python does not know of included, where the system tells them."""
    return _entries("task")


def _entries(folder: str) -> int | None:
    try:
        return sum(1 for _ in (_PROC / folder).iterdir())
    except OSError:
        return None
