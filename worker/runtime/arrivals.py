"""Arrivals: the records of a batch as events of instances, or as what is wrong with them. No I/O, and no state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from worker.core.codec import decode_record
from worker.core.digests import event_key, subject_digest
from worker.core.errors import InvalidControlError, InvalidEventError, InvalidSubjectError
from worker.core.events import Event
from worker.core.frozen import maker_of
from worker.core.outcomes import DeadLettered, DeadLetterReason
from worker.core.records import Record
from worker.core.subjects import SubjectContent, decode_subject
from worker.ports import Wanted


@dataclass(frozen=True, slots=True)
class Addressed:
    """A record that is an event of an instance."""

    record: Record
    event: Event
    subject: SubjectContent
    digest: bytes
    key: int


_addressed: Final = maker_of(Addressed)


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that is no event, or whose subject can't be decoded."""

    record: Record
    event: Event | None
    outcome: DeadLettered


Decoded = Addressed | Broken

Condemned = Mapping[tuple[int, int], DeadLettered]
"""Records that become dead letters unseen, by partition and offset."""

NOBODY: Final[Condemned] = MappingProxyType({})


def decode(record: Record, condemned: Condemned = NOBODY) -> Decoded:
    """Decode a record as far as it goes. One that is condemned is not even looked at."""
    if condemned:
        verdict = condemned.get((record.partition, record.offset))
        if verdict is not None:
            return Broken(record, None, verdict)
    if record.fault is not None:
        outcome = DeadLettered(DeadLetterReason.INVALID_EVENT, InvalidEventError.__name__, record.fault)
        return Broken(record, None, outcome)
    try:
        event = decode_record(record.value, record.headers)
    except InvalidEventError as error:
        is_control = isinstance(error, InvalidControlError)
        reason = DeadLetterReason.INVALID_CONTROL if is_control else DeadLetterReason.INVALID_EVENT
        return Broken(record, None, DeadLettered(reason, type(error).__name__, str(error)))
    try:
        subject = decode_subject(event.subject)
    except InvalidSubjectError as error:
        return Broken(record, event, DeadLettered(DeadLetterReason.INVALID_SUBJECT, type(error).__name__, str(error)))
    return _addressed(record, event, subject, subject_digest(event.subject), event_key(event))


def wanted(decoded: Sequence[Decoded], next_offsets: Mapping[int, int]) -> Wanted:
    """Say what a batch has to lock and read."""
    addressed = [one for one in decoded if isinstance(one, Addressed)]
    return Wanted(
        next_offsets=next_offsets,
        digests=list({one.digest: None for one in addressed}),
        event_keys=list({one.key: None for one in addressed}),
    )
