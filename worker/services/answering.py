"""One service's loop: read a request, answer it, and commit, over and over, on one thread.

Answers are produced as they come; offsets are committed once the answers of all requests before them are
acknowledged. A service that dies in between answers again, with the same events: at least once.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event as Flag
from types import TracebackType
from typing import Any, Final, Self

import structlog

from worker.adapters.kafka.membership import GroupMember
from worker.adapters.kafka.producing import EventProducer
from worker.adapters.kafka.tailing import Received
from worker.adapters.kafka.topics import DEFAULT_RECORD_BYTES_MAX, TopicAdmin
from worker.core.codec import decode_record
from worker.core.errors import ExecutionFailure, InvalidEventError
from worker.core.events import Event
from worker.core.records import Headers, Output, Record
from worker.core.times import step_time
from worker.core.traces import traced
from worker.ports import KafkaUnavailable
from worker.services.connection import Connection
from worker.services.service import Attempt, Service, concerned
from worker.tracing import trace_handling

_LOG = structlog.get_logger("worker.services")
_TYPE_HEADER: Final = "ce_type"
_VERSIONS_TOLD_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class AnsweringConfig:
    """Bound one turn, between commits, and the waits."""

    requests_max: int = 500
    turn_seconds: float = 1.0
    read_wait_seconds: float = 0.2
    retry_first_seconds: float = 0.2
    retry_max_seconds: float = 10.0


class Answering:
    """Answer the requests of one service until `stopping` is set; brokers that are away are waited for.

    `siblings` are the services of the same type in this process, itself included. `serving` is set once partitions
    were assigned. `turned_at` is when it last turned, in seconds of the clock that never goes back, and `trouble`
    the name of what is wrong with the brokers.
    """

    def __init__(
        self,
        service: Service[..., Any],
        siblings: Sequence[Service[..., Any]],
        connection: Connection,
        stopping: Flag,
        config: AnsweringConfig,
    ) -> None:
        self.service: Final = service
        self.serving: Final = Flag()
        self.turned_at = time.monotonic()
        self.trouble: str | None = None
        self._siblings = siblings
        self._connection = connection
        self._stopping = stopping
        self._config = config
        self._failures = 0
        self._foreign_versions: set[str | None] = set()
        self._log = _LOG.bind(service=service.source, version=service.version)

    @property
    def group_id(self) -> str:
        """Name the consumer group: one for each version of a service.

        All processes of a group must answer the same requests, since each request reaches one of them. So neither
        what else runs in a process nor the version of another decides what is read: versions may be deployed side by
        side and apart, and a process may run any set of services.
        """
        return f"{self._connection.topics.prefix}.{self.service.source}.{self.service.version}"

    def run(self) -> None:
        """Answer until stopped."""
        while not self._stopping.is_set():
            try:
                self._serve()
            except KafkaUnavailable as error:
                self._back_off(error)

    def _back_off(self, error: KafkaUnavailable) -> None:
        config = self._config
        seconds = min(config.retry_first_seconds * 2**self._failures, config.retry_max_seconds)
        self._failures = min(self._failures + 1, 16)
        self.turned_at, self.trouble = time.monotonic(), type(error).__name__
        self._log.warning("kafka_unavailable", error=str(error), retry_in_seconds=round(seconds, 3))
        self._stopping.wait(seconds)

    def _serve(self) -> None:
        with _Line(self._connection, self.group_id, self._connection.topics.domain(self.service.domain)) as line:
            self._log.info("joining", group=self.group_id)
            while not self._stopping.is_set():
                self._turn(line)

    def _turn(self, line: "_Line") -> None:
        config = self._config
        self.turned_at = time.monotonic()
        received = line.member.read(config.read_wait_seconds)
        if line.member.is_assigned:
            self.serving.set()
        begun, taken = time.monotonic(), 0
        # Nothing may be read that is not taken before the offsets are committed.
        while received is not None:
            self._take(line, received)
            taken += 1
            over = taken >= config.requests_max or time.monotonic() - begun > config.turn_seconds
            received = None if over or self._stopping.is_set() else line.member.read(0)
        if not line.settle():
            self._stopping.wait(config.retry_first_seconds)
            return
        self._failures, self.trouble = 0, None

    def _take(self, line: "_Line", received: Received) -> None:
        record = received.record
        event = self._request(received)
        if event is None:
            return
        now = step_time(record.timestamp, time.time_ns() // 1_000_000, None)
        with trace_handling(self.service.contract.uri, event, self._place(received)) as trace:
            attempt = self.service.attempt(trace.event, now, error_stacks=self._connection.error_stacks)
            self._tell_failure(event, attempt)
            if attempt.failure is not None:
                trace.failed(attempt.failure.name, attempt.failure.message)
            for output in self._outputs(trace.event, now, attempt, line.record_bytes_max):
                with trace.sending(output.topic):
                    line.producer.send(output)

    def _place(self, received: Received) -> dict[str, str | int]:
        """Say for a trace where a request was read."""
        return {
            "messaging.destination.name": received.topic,
            "messaging.consumer.group.name": self.group_id,
            "messaging.destination.partition.id": str(received.record.partition),
            "messaging.kafka.offset": received.record.offset,
        }

    def _request(self, received: Received) -> Event | None:
        """Give the request of a record, if it is one, and for this service."""
        record = received.record
        if _is_anothers(record.headers, self.service.source):
            return None
        try:
            event = _decoded(record)
        except InvalidEventError as error:
            place = {"topic": received.topic, "partition": record.partition, "offset": record.offset}
            self._log.warning("record_skipped", **place, why=str(error))
            return None
        if not self.service.is_addressed(event):
            return None
        found = concerned(self._siblings, event)
        if found is None:
            self._tell_foreign_version(event)
        return event if found is self.service else None

    def _outputs(self, event: Event, now: int, attempt: Attempt, record_bytes_max: int) -> list[Output]:
        """Write the answers; where one is larger than the topic takes, a system error stands for all."""
        outputs = self._written(attempt)
        largest = max((output.size() for output in outputs), default=0)
        if largest <= record_bytes_max:
            return outputs
        text = (
            f"An answer takes up to {largest} bytes, and the topic {self._connection.topics.input} takes "
            f"{record_bytes_max} (max.message.bytes). Answer with less, or with where the data is."
        )
        refused = self.service.refuse(event, now, ExecutionFailure("AnswerTooLarge", text))
        self._tell_failure(event, refused)
        return [output for output in self._written(refused) if output.size() <= record_bytes_max]

    def _written(self, attempt: Attempt) -> list[Output]:
        return [self._connection.input_record(one.event) for one in attempt.events]

    def _tell_failure(self, event: Event, attempt: Attempt) -> None:
        if attempt.failure is None:
            return
        failure = attempt.failure
        stack = {"exc_info": failure.__cause__} if failure.__cause__ is not None and failure.stack else {}
        told = {"event_id": event.id, **traced(event), "error": failure.name, "why": failure.message}
        self._log.warning("request_failed", **told, **stack)

    def _tell_foreign_version(self, event: Event) -> None:
        """Say once of each version that it is left to another process."""
        if event.dataschema in self._foreign_versions or len(self._foreign_versions) >= _VERSIONS_TOLD_MAX:
            return
        self._foreign_versions.add(event.dataschema)
        why = "this process has no service of that version; its requests wait for a process that has"
        self._log.warning("version_left_to_others", dataschema=event.dataschema, why=why)


class _Line:
    """A connection to the brokers: requests in, answers out. Closed badly, it commits nothing."""

    def __init__(self, connection: Connection, group_id: str, topic: str) -> None:
        sizes = TopicAdmin(connection.kafka).record_bytes_max([connection.topics.input])
        self.record_bytes_max: Final = sizes.get(connection.topics.input, DEFAULT_RECORD_BYTES_MAX)
        self._broken = False
        self.producer: Final = EventProducer(connection.kafka, self.record_bytes_max)
        self.member: Final = GroupMember(connection.kafka, group_id, [topic], self._settle_before_leaving)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What was read and is not known to be answered is read again, by whoever has the partition then.
        self._broken = self._broken or error is not None
        self.member.close()

    def settle(self) -> bool:
        """See to it that all answers are there, then commit; tell whether that went well.

        Where it did not, the offsets are committed later, or what was read is read again. Raises: KafkaUnavailable,
        if an answer was lost.
        """
        try:
            self.producer.flush()
        except KafkaUnavailable:
            self._broken = True
            raise
        try:
            self.member.commit()
        except KafkaUnavailable as error:
            _LOG.info("commit_failed", error=str(error))
            return False
        return True

    def _settle_before_leaving(self) -> None:
        if not self._broken:
            self.settle()


def _decoded(record: Record) -> Event:
    if record.fault is not None:
        raise InvalidEventError(record.fault)
    return decode_record(record.value, record.headers)


def _is_anothers(headers: Headers, event_type: str) -> bool:
    """Tell from a header, without reading the value, that a record is an event of another type."""
    for name, value in headers:
        if name.lower() == _TYPE_HEADER:
            return value is not None and value != event_type.encode()
    return False
