"""What the ports' calls come to in metrics: one method for each thing that happens, none of them once a record."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

import structlog

from worker.adapters.telemetry import metrics
from worker.adapters.telemetry.board import Board
from worker.adapters.telemetry.health import DATABASE, KAFKA
from worker.adapters.telemetry.instruments import Instruments
from worker.core.outcomes import DeadLetterReason, IgnoredReason
from worker.core.records import Output
from worker.ports import DatabaseRefused, DatabaseUnavailable, JournalRow, LoopView, Upkept, Writes

P = ParamSpec("P")

_LOG = structlog.get_logger("worker.telemetry")
_SYSTEM: Final = "kafka"
_POSTGRESQL: Final = "postgresql"
_KIND: Final = attrgetter("outcome", "reason", "definition_hash", "states_before", "states_after")
_TOPIC: Final = attrgetter("topic")
_DATABASE_AWAY: Final = (DatabaseUnavailable, DatabaseRefused)
ENDED: Final = "(ended)"
_REASONS: Final = {
    **{reason.value: metrics.DEAD_LETTERS for reason in DeadLetterReason},
    **{reason.value: metrics.IGNORED for reason in IgnoredReason},
}
_BEGINNINGS: Final = (
    *((metrics.EVENTS, outcome.strip("`")) for outcome in metrics.OUTCOME.values.split(", ")),
    *((metric, reason) for reason, metric in _REASONS.items()),
    *((metrics.REBALANCES, what) for what in ("assigned", "revoked", "lost")),
    *((metrics.PUBLICATIONS, how) for how in ("committed", "aborted", "unknown")),
    *((metrics.PRODUCERS, what) for what in ("replaced", "fenced")),
    *((metrics.UPKEEP_CHANGES, what.strip("`")) for what in metrics.CHANGE.values.split(", ")),
)
"""Counters that begin at zero: Prometheus takes a counter that appears with a value for one that did not move."""


class Faulty(Protocol):
    """What may have faults of its own."""

    def fault(self, where: str, error: Exception) -> None:
        """Tell of one."""
        ...


S = TypeVar("S", bound=Faulty)


def harmless(method: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """Have a fault of the telemetry's own told in the log, once of a kind: it must not stop a partition."""

    def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - Whatever it is: see above.
            self.fault(method.__name__, error)

    return guarded


@dataclass(frozen=True, slots=True)
class Names:
    """What labels are taken from: the input topic, the group, and each machine's name and version by its hash."""

    input_topic: str
    group_id: str
    machines: Mapping[bytes, tuple[str, str]]


class Recorder:
    """Count, time and note. Calls return at once and never fail; those of a publication come from another thread."""

    def __init__(self, instruments: Instruments, board: Board, names: Names) -> None:
        self.board: Final = board
        self._instruments: Final = instruments
        self._names: Final = names
        self._told: set[tuple[str, str]] = set()
        for metric, value in _BEGINNINGS:
            instruments.add(metric, 0, value)

    def fault(self, where: str, error: Exception) -> None:
        """Tell of a fault of the telemetry's own."""
        kind = where, type(error).__name__
        if kind not in self._told:
            self._told.add(kind)
            _LOG.error("telemetry_fault", where=where, exc_info=error)

    # The loop

    @harmless
    def turned(self, view: LoopView) -> None:
        """Note a turn."""
        self.board.turned(view)

    @harmless
    def failed(self, what: str, error: Exception) -> None:
        """Count what is tried again."""
        self._instruments.add(metrics.RETRIES, 1, what, type(error).__name__)

    # PostgreSQL

    @harmless
    def called_database(self, operation: str, seconds: float, error: Exception | None) -> None:
        """Note one call to PostgreSQL."""
        self._instruments.record(metrics.DATABASE_SECONDS, seconds, _POSTGRESQL, operation, _name(error))
        if isinstance(error, _DATABASE_AWAY):
            self.board.failed(DATABASE, error)
        else:
            self.board.answered(DATABASE)

    @harmless
    def applied(self, writes: Writes, seconds: float) -> None:
        """Count a batch that PostgreSQL has, and note its records' times; `seconds` is from its locks on."""
        journal = writes.journal
        add = self._instruments.add
        self._instruments.record(metrics.BATCH_RECORDS, len(journal))
        self._instruments.record(metrics.PROCESSED, seconds, _SYSTEM, "process")
        told = _Told(self._names.machines)
        for kind, count in Counter(map(_KIND, journal)).items():
            told.take(count, *kind)
        for outcome, count in told.outcomes.items():
            add(metrics.EVENTS, count, outcome)
        for reason, count in told.reasons.items():
            add(_REASONS[reason], count, reason)
        for entered, count in told.entries.items():
            add(metrics.STATE_ENTRIES, count, *entered)
        for partition, (oldest_ms, newest_ms) in _times(journal).items():
            self.board.applied(partition, writes.next_offsets[partition], oldest_ms, newest_ms)

    # Kafka

    @harmless
    def polled(self, records: int) -> None:
        """Count the records of one poll."""
        if records:
            self._instruments.add(
                metrics.CONSUMED, records, _SYSTEM, "poll", self._names.input_topic, self._names.group_id
            )
            self.board.answered(KAFKA)

    @harmless
    def kafka_failed(self, error: Exception) -> None:
        """Note that Kafka can't be reached."""
        self.board.failed(KAFKA, error)

    @harmless
    def rebalanced(self, what: str) -> None:
        """Count a rebalance."""
        self._instruments.add(metrics.REBALANCES, 1, what)

    @harmless
    def went_on(self, partition: int) -> None:
        """Note that a partition is read from an offset now."""
        self.board.went_on(partition)

    @harmless
    def sent(self, outputs: Sequence[Output]) -> None:
        """Count outputs that were handed to the producer."""
        for topic, count in Counter(map(_TOPIC, outputs)).items():
            self._instruments.add(metrics.SENT, count, _SYSTEM, "send", topic)

    @harmless
    def called_kafka(self, operation: str, seconds: float, error: Exception | None) -> None:
        """Note one call of a publication."""
        self._instruments.record(metrics.MESSAGING_SECONDS, seconds, _SYSTEM, operation, _name(error))

    @harmless
    def publication_ended(self, how: str) -> None:
        """Count how a Kafka transaction ended."""
        self._instruments.add(metrics.PUBLICATIONS, 1, how)

    @harmless
    def published(self, next_offsets: Mapping[int, int]) -> None:
        """Note that what was applied below these offsets is visible."""
        self.board.answered(KAFKA)
        for partition, offset in next_offsets.items():
            age = self.board.published(partition, offset)
            if age is not None:
                self._instruments.record(metrics.EVENT_AGE, age)

    @harmless
    def producer(self, what: str) -> None:
        """Count what became of a producer."""
        self._instruments.add(metrics.PRODUCERS, 1, what)

    # Upkeep

    @harmless
    def upkept(self, done: Upkept) -> None:
        """Note a call of the upkeep, and count what it changed if it was this worker's to do."""
        self.board.upkept(done.idle_seconds)
        if done.seconds is not None:
            self._instruments.record(metrics.UPKEEP_SECONDS, done.seconds, "")
        for what, count in done.changes.items():
            self._instruments.add(metrics.UPKEEP_CHANGES, count, what)

    @harmless
    def upkeep_failed(self, seconds: float, error: Exception) -> None:
        """Note an upkeep that failed."""
        self._instruments.record(metrics.UPKEEP_SECONDS, seconds, _name(error))

    # Probes

    @harmless
    def probe_failed(self, what: str, error: Exception) -> None:
        """Count a look that failed."""
        self._instruments.add(metrics.PROBE_FAILURES, 1, what, type(error).__name__)


class _Told:
    """Sum up a journal by kinds of rows: there are few kinds in a batch, however many rows."""

    __slots__ = ("_machines", "entries", "outcomes", "reasons")

    def __init__(self, machines: Mapping[bytes, tuple[str, str]]) -> None:
        self._machines = machines
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.entries: Counter[tuple[str, str, str]] = Counter()

    def take(  # noqa: PLR0913 - They are the columns of a row.
        self,
        count: int,
        outcome: str,
        reason: str | None,
        definition: bytes | None,
        before: tuple[str, ...] | None,
        after: tuple[str, ...] | None,
    ) -> None:
        """Take so many rows of one kind."""
        self.outcomes[outcome] += count
        if reason in _REASONS:
            self.reasons[reason] += count
        machine = self._machines.get(definition) if definition is not None else None
        if machine is None or after is None:
            return
        # A chart that has come to its end is in no state any more.
        for state in after or (ENDED,):
            if before is None or state not in before:
                self.entries[*machine, state] += count


def _times(journal: Sequence[JournalRow]) -> dict[int, tuple[int, int]]:
    """Give the timestamps of each partition's first and last record, in one pass."""
    records = [row.record for row in journal]
    newest = {record.partition: record.timestamp for record in records}
    oldest = {record.partition: record.timestamp for record in reversed(records)}
    return {partition: (oldest[partition], newest[partition]) for partition in newest}


def _name(error: Exception | None) -> str:
    return "" if error is None else type(error).__name__
