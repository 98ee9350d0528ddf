"""Turn emitted events and dead letters into records for topics. Pure: the journal keeps what this gives."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from worker.core.codec import ContentMode, encode_record
from worker.core.domains import DEFAULT_DOMAIN
from worker.core.errors import InvalidSubjectError
from worker.core.outcomes import DeadLettered, DomainedEvent
from worker.core.records import Headers, Output, Record, output_of
from worker.core.registry import MachineRegistry
from worker.core.subjects import decode_subject
from worker.core.texts import clean_text

_ADDED = "dlq-"
"""What the names of a dead letter's own headers begin with."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Name the topics of one deployment, all below one prefix."""

    prefix: str

    @property
    def input(self) -> str:
        """Name the topic that the worker reads."""
        return f"{self.prefix}.input"

    @property
    def dead_letters(self) -> str:
        """Name the topic of the records that can't be processed."""
        return f"{self.prefix}.dlq"

    def domain(self, domain: str) -> str:
        """Name the topic of a domain's bucket."""
        return f"{self.prefix}.{domain}"


@dataclass(frozen=True, slots=True)
class Router:
    """Route what comes of records: each domain's bucket to its topic, hosted orchestrators' events to the input.

    `group_id` and `version` go into the dead letters' headers.
    """

    topics: Topics
    registry: MachineRegistry
    group_id: str
    version: str
    content_mode: ContentMode = ContentMode.STRUCTURED

    def outputs(self, emitted: Sequence[DomainedEvent]) -> tuple[Output, ...]:
        """Give the records of these events, in their order."""
        outputs: list[Output] = []
        domain_topic = self.topics.domain
        for one in emitted:
            key, value, headers = encode_record(one.event, self.content_mode, one.data_text)
            outputs += [output_of(domain_topic(domain), key, value, headers) for domain in one.domains]
            if is_for_hosted(one, self.registry):
                outputs.append(output_of(self.topics.input, key, value, headers))
        return tuple(outputs)

    def dead_letter(self, record: Record, outcome: DeadLettered, now: int) -> Output:
        """Keep a record byte for byte, with the reason in added headers. `now` is in milliseconds."""
        headers = record.headers + self._reason(record, outcome, now)
        return Output(self.topics.dead_letters, record.key, record.value, headers)

    def dead_letter_without_bytes(self, record: Record, outcome: DeadLettered, now: int) -> Output:
        """Stand for a record too large for the topic: its bytes stay in the journal, its digest tells them."""
        headers = (*self._reason(record, outcome, now), _digest(record.value))
        return Output(self.topics.dead_letters, None, None, headers)

    def refused_output(self, output: Output, outcome: DeadLettered, cause: tuple[int, int], now: int) -> Output:
        """Keep an output that its topic, named in a header, does not take; `cause` is the input record's place.

        Of a dead letter only the headers that tell of it stay: its bytes are in the journal.
        """
        if output.topic == self.topics.dead_letters:
            told = tuple((name, value) for name, value in output.headers if name.startswith(_ADDED))
            return Output(output.topic, None, None, (*told, _digest(output.value)))
        partition, offset = cause
        place = {
            "dlq-topic": output.topic,
            "dlq-cause-topic": self.topics.input,
            "dlq-cause-partition": str(partition),
            "dlq-cause-offset": str(offset),
        }
        headers = output.headers + self._added(outcome, place, now)
        return Output(self.topics.dead_letters, output.key, output.value, headers)

    def _reason(self, record: Record, outcome: DeadLettered, now: int) -> Headers:
        place = {
            "dlq-topic": self.topics.input,
            "dlq-partition": str(record.partition),
            "dlq-offset": str(record.offset),
            "dlq-timestamp": str(record.timestamp),
        }
        return self._added(outcome, place, now)

    def _added(self, outcome: DeadLettered, place: dict[str, str], now: int) -> Headers:
        added = {
            "dlq-reason": outcome.reason.value,
            "dlq-error-class": outcome.error_name,
            "dlq-error-message": clean_text(outcome.error_message),
            **place,
            "dlq-consumer-group": self.group_id,
            "dlq-worker-version": self.version,
            "dlq-first-failure-time": str(now),
            "dlq-attempts": "1",
        }
        return tuple((name, value.encode()) for name, value in added.items())


def is_for_hosted(emitted: DomainedEvent, registry: MachineRegistry) -> bool:
    """Tell an event that a hosted orchestrator is to consume: `to` is hosted and named by the subject."""
    event = emitted.event
    if event.to is None or not registry.hosts(event.to) or DEFAULT_DOMAIN not in emitted.domains:
        return False
    try:
        return decode_subject(event.subject).name == event.to
    except InvalidSubjectError:
        return False


def _digest(value: bytes | None) -> tuple[str, bytes]:
    return f"{_ADDED}value-sha256", hashlib.sha256(value or b"").hexdigest().encode()
