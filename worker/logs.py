"""Log lines: an event name and fields, one line each, on standard error; no record data in them.

What libraries log takes the same form. A line that comes again and again is told so many times a minute; the next one
after that says how many were not told.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

LINES_MAX: Final = 60
"""How many lines of one event and level are written within `WINDOW_SECONDS`."""

WINDOW_SECONDS: Final = 60.0

_IDENTITY: Final[dict[str, str]] = {}


def configure_logs(level: str, form: str) -> None:
    """Set the one way logs are written. `form` is `console` or `json`."""
    numeric = logging.getLevelNamesMapping()[level.upper()]
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    own: list[Processor] = [
        structlog.processors.add_log_level,
        Repeats(),
        structlog.contextvars.merge_contextvars,
        _identified if form == "json" else _as_is,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*own, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *own],
            processors=[ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(numeric, logging.ERROR), handlers=[handler])


def identify(**fields: str) -> None:
    """Have every line of this process name it, where lines are JSON: they are read together with other processes'."""
    _IDENTITY.clear()
    _IDENTITY.update(fields)


@dataclass(slots=True)
class Repeats:
    """Let so many lines of one event and level through in a window of time; count the others."""

    lines_max: int = LINES_MAX
    window_seconds: float = WINDOW_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    _windows: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Pass a line on, or drop it."""
        key = str(event.get("event")), str(event.get("level"))
        with self._lock:
            untold = self._untold(key, self.monotonic())
        if untold is None:
            raise structlog.DropEvent
        return event if not untold else {**event, "untold": untold}

    def _untold(self, key: tuple[str, str], now: float) -> int | None:
        """Say how many lines were dropped before this one; None if it is dropped, too."""
        begun, lines = self._windows.get(key, (now, 0))
        if now - begun >= self.window_seconds:
            self._windows[key] = now, 1
            return max(0, lines - self.lines_max)
        self._windows[key] = begun, lines + 1
        return 0 if lines < self.lines_max else None


def _identified(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**event, **_IDENTITY}


def _as_is(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return event
