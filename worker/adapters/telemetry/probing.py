"""What has to be asked for: rarely, on a thread of its own, and no more often than its cost allows."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog

from worker.ports import DatabaseRefused, DatabaseUnavailable, KafkaUnavailable

COST_SHARE: Final = 0.02
"""Which part of the time a question may take: one that takes a second is asked once in 50 s, whatever its interval."""

_LOOK_SECONDS: Final = 1.0
"""How soon it is looked again whether there is something to ask about."""

_CLOSE_SECONDS: Final = 1.0
_LOG = structlog.get_logger("worker.telemetry")
_AWAY: Final = (DatabaseRefused, DatabaseUnavailable, KafkaUnavailable)


@dataclass(frozen=True, slots=True)
class Probe:
    """One question, and how often it is asked, in seconds; `ask` says whether there was something to ask about."""

    name: str
    interval_seconds: float
    ask: Callable[[], bool]


class Probes:
    """Ask each question at its time, from `start` to `close`; `failed` is told what could not be asked."""

    def __init__(self, probes: Sequence[Probe], failed: Callable[[str, Exception], None]) -> None:
        self._probes: Final = probes
        self._failed: Final = failed
        self._due: Final = dict.fromkeys((probe.name for probe in probes), 0.0)
        self._closing: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="probes", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more; a question that is under way is left to itself."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def ask_due(self, now: float) -> float:
        """Ask what is due, and give when the next one is, in the seconds of `now`."""
        for probe in self._probes:
            if self._due[probe.name] > now or self._closing.is_set():
                continue
            begun = monotonic()
            was_asked = self._ask(probe)
            took = monotonic() - begun
            interval_seconds = probe.interval_seconds if was_asked else min(probe.interval_seconds, _LOOK_SECONDS)
            self._due[probe.name] = now + max(interval_seconds, took / COST_SHARE)
        return min(self._due.values())

    def _ask(self, probe: Probe) -> bool:
        try:
            return probe.ask()
        except _AWAY as error:
            # The metric tells it; the loop's own calls say the same in the log.
            _LOG.debug("probe_failed", what=probe.name, error=str(error))
            self._failed(probe.name, error)
        except Exception as error:  # noqa: BLE001 - A question that can't be asked must not end the others.
            _LOG.exception("probe_fault", what=probe.name)
            self._failed(probe.name, error)
        return True

    def _run(self) -> None:
        while not self._closing.is_set():
            due = self.ask_due(monotonic())
            self._closing.wait(max(0.05, due - monotonic()))
