"""One batch: arrivals in, everything that PostgreSQL is to keep and Kafka to publish out.

No I/O: the steps need nothing but what the batch read under its locks.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import structlog

from worker.core.digests import content_digest
from worker.core.errors import ExecutionFailure
from worker.core.instances import Instance
from worker.core.outcomes import (
    Advanced,
    DeadLettered,
    DeadLetterReason,
    Duplicate,
    Failed,
    Ignored,
    Outcome,
    Unexpected,
)
from worker.core.records import Output, Record
from worker.core.routing import Router
from worker.core.step import Host, StepRequest, failed_step, run_step
from worker.core.texts import clean_text
from worker.core.times import step_time
from worker.ports import Clock, JournalRow, Seen, Writes
from worker.runtime.arrivals import Addressed, Broken, Decoded
from worker.runtime.stages import Stages

_LOG = structlog.get_logger("worker.batch")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the brokers take: the largest record of each topic, in bytes. A topic that is not here does not exist.

    `last_found` names the topics that the last look at the brokers found; without a look, all.
    """

    record_bytes_max: Mapping[str, int]
    last_found: frozenset[str] | None = None

    @property
    def smallest(self) -> int:
        """Give the largest size that every topic takes."""
        return min(self.record_bytes_max.values())

    def looked_again(self, found: Mapping[str, int]) -> "Limits":
        """Go by what was found now. A topic is given up when two looks in a row missed it: a broker may be behind."""
        before = self.record_bytes_max.keys() if self.last_found is None else self.last_found
        missed_once = {topic: size for topic, size in self.record_bytes_max.items() if topic in before}
        return Limits({**missed_once, **found}, frozenset(found))

    def refusal(self, outputs: Sequence[Output]) -> DeadLettered | ExecutionFailure | None:
        """Say why these outputs can't be published, if they can't."""
        for output in outputs:
            limit = self.record_bytes_max.get(output.topic)
            if limit is None:
                text = (
                    f"topic {output.topic} does not exist, or no machine declares its domain; "
                    "create it, declare the domain, and restart the workers"
                )
                return DeadLettered(DeadLetterReason.NO_TOPIC, "NoTopic", text)
            size = output.size()
            if size > limit:
                text = f"an emitted event of {size} bytes is too large for topic {output.topic}, which takes {limit}"
                return ExecutionFailure("EventTooLarge", text)
        return None


@dataclass(frozen=True, slots=True)
class Setting:
    """What all batches of a worker share. `step_seconds_max` bounds one step: beyond it the process ends."""

    host: Host
    router: Router
    clock: Clock
    stages: Stages
    bytes_max: int
    step_seconds_max: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a batch read: the events that were consumed before, and instances by subject digest."""

    seen: Sequence[Seen]
    instances: Mapping[bytes, Instance]


@dataclass(slots=True)
class Run:
    """The steps of one batch, over what it read. `run` goes record by record, in partition and offset order.

    It stops where inputs and outputs pass the bytes of a batch, and leaves a partition at a record that `waits` for a
    version of its machine: what was not applied is in `left`, and the waiting records in `waiting`, by partition.
    """

    setting: Setting
    limits: Limits
    found: Found
    waits: Callable[[Record, str, str], bool]
    left: list[Record] = field(default_factory=list)
    waiting: dict[int, Record] = field(default_factory=dict)
    dead_letters: Counter[str] = field(default_factory=Counter)
    next_offsets: dict[int, int] = field(default_factory=dict)
    _instances: dict[bytes, Instance] = field(default_factory=dict)
    _seen: dict[tuple[bytes, str, str], bytes] = field(default_factory=dict)
    _journal: list[JournalRow] = field(default_factory=list)
    _bytes: int = 0
    _clock_ms: int = 0

    def __post_init__(self) -> None:
        self._clock_ms = self.setting.clock.now_ms()
        self._instances.update(self.found.instances)
        self._seen.update({(one.subject_digest, one.source, one.id): one.content_digest for one in self.found.seen})

    def run(self, decoded: Sequence[Decoded]) -> None:
        """Run the records of the batch, as far as it goes."""
        try:
            for index, one in enumerate(decoded):
                if self._bytes > self.setting.bytes_max:
                    self.left = [
                        later.record for later in decoded[index:] if later.record.partition not in self.waiting
                    ]
                    return
                if one.record.partition not in self.waiting:
                    self._run(one)
        finally:
            self.setting.clock.limit(0)

    @property
    def applied(self) -> list[Record]:
        """Give the records that were run."""
        return [row.record for row in self._journal]

    def writes(self, published_offsets: Mapping[int, int]) -> Writes:
        """Give what PostgreSQL is to keep; `published_offsets` are those of all the batch's partitions."""
        before = self.found.instances
        after = [(digest, one) for digest, one in self._instances.items() if one is not before.get(digest)]
        return Writes(
            created=[(digest, one) for digest, one in after if digest not in before],
            changed=[(digest, one, before[digest].revision) for digest, one in after if digest in before],
            journal=self._journal,
            next_offsets=self.next_offsets,
            published_offsets={number: published_offsets[number] for number in self.next_offsets},
        )

    def outputs(self) -> list[tuple[int, Output]]:
        """Give what Kafka is to publish, each with the partition that it comes of, in the order of the records."""
        return [(row.record.partition, output) for row in self._journal for output in row.outputs]

    def _run(self, one: Decoded) -> None:
        match one:
            case Broken():
                self._dead_letter(one.record, one.outcome, self._identity(one))
            case Addressed():
                self._step(one)
            case _:
                assert_never(one)

    def _step(self, one: Addressed) -> None:
        instance = self._instances.get(one.digest)
        identity = (one.digest, one.event.source, one.event.id)
        now = step_time(one.record.timestamp, self._clock_ms, instance.now if instance else None)
        request = StepRequest(one.event, one.subject, instance, self._seen.get(identity), now)
        self.setting.clock.limit(self.setting.step_seconds_max)
        outcome, outputs = self._outcome(request)
        if (
            isinstance(outcome, DeadLettered)
            and outcome.reason is DeadLetterReason.NO_MACHINE
            and self._waits(one, instance)
        ):
            self.waiting[one.record.partition] = one.record
            return
        self._keep(one, request, outcome, outputs)

    def _waits(self, one: Addressed, instance: Instance | None) -> bool:
        version = instance.version if instance else one.subject.version
        return self.waits(one.record, one.subject.name, version)

    def _outcome(self, request: StepRequest) -> tuple[Outcome, tuple[Output, ...]]:
        try:
            with self.setting.stages.stage("step"):
                outcome = run_step(self.setting.host, request)
            with self.setting.stages.stage("encode"):
                return self._publishable(request, outcome)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
            # A fault of ours must not stop the partition; the record is kept, and redriven once it is mended.
            # A worker's Ctrl-C arrives on a thread of its own (bootstrap): here somebody's function raised it.
            _LOG.exception("step_fault")
            return DeadLettered(DeadLetterReason.STEP_FAULT, type(error).__name__, "the step itself failed"), ()

    def _publishable(self, request: StepRequest, outcome: Outcome) -> tuple[Outcome, tuple[Output, ...]]:
        outputs = self._outputs(outcome)
        refusal = self.limits.refusal(outputs)
        if isinstance(refusal, ExecutionFailure):
            outcome = failed_step(self.setting.host, request, refusal)
            outputs = self._outputs(outcome)
            refusal = self.limits.refusal(outputs)
        if refusal is None:
            return outcome, outputs
        if isinstance(refusal, DeadLettered):
            return refusal, ()
        return DeadLettered(DeadLetterReason.NO_TOPIC, refusal.name, refusal.message), ()

    def _outputs(self, outcome: Outcome) -> tuple[Output, ...]:
        match outcome:
            case Advanced():
                return self.setting.router.outputs(outcome.emitted)
            case Failed():
                return self.setting.router.outputs((outcome.emitted,))
            case Unexpected() | Duplicate() | Ignored() | DeadLettered():
                return ()
            case _:
                assert_never(outcome)

    def _keep(self, one: Addressed, request: StepRequest, outcome: Outcome, outputs: tuple[Output, ...]) -> None:
        if isinstance(outcome, DeadLettered):
            self._dead_letter(one.record, outcome, self._identity(one))
            return
        known = self._identity(one) | _told(outcome)
        if request.instance:
            known["states_before"] = request.instance.snapshot.configuration
        if isinstance(outcome, Advanced):
            self._instances[one.digest] = outcome.instance
            known["definition_hash"] = self._definition_hash(outcome.instance)
        consumed = isinstance(outcome, CONSUMING)
        if consumed:
            self._seen[one.digest, one.event.source, one.event.id] = known["content_digest"]
        self._add(one.record, now=request.now, consumed=consumed, outputs=outputs, **known)

    def _dead_letter(self, record: Record, outcome: DeadLettered, identity: dict[str, Any]) -> None:
        dead_letter = self.setting.router.dead_letter(record, outcome, self._clock_ms)
        if self.limits.refusal((dead_letter,)) is not None:
            dead_letter = self.setting.router.dead_letter_without_bytes(record, outcome, self._clock_ms)
        self.dead_letters[outcome.reason.value] += 1
        self._add(
            record,
            outcome="dead_lettered",
            now=self._clock_ms,
            reason=outcome.reason.value,
            error_name=outcome.error_name,
            error_message=clean_text(outcome.error_message),
            outputs=(dead_letter,),
            **identity,
        )

    def _identity(self, one: Decoded) -> dict[str, Any]:
        """Give what the journal keeps to find an event by."""
        if one.event is None:
            return {}
        known: dict[str, Any] = {
            "event_source": one.event.source,
            "event_id": one.event.id,
            "event_type": one.event.type,
        }
        if isinstance(one, Addressed):
            digests = {"subject_digest": one.digest, "event_key": one.key}
            known |= digests | {"content_digest": content_digest(one.event)}
        return known

    def _definition_hash(self, instance: Instance) -> bytes | None:
        hosted = self.setting.host.registry.resolve(instance.source, instance.version)
        return hosted.machine.definition_hash if hosted else None

    def _add(self, record: Record, *, outcome: str, outputs: tuple[Output, ...], **known: Any) -> None:
        self._journal.append(JournalRow(record=record, outcome=outcome, outputs=outputs, **known))
        self.next_offsets[record.partition] = record.offset + 1
        self._bytes += len(record.value or b"") + sum(output.size() for output in outputs)
        self.setting.stages.counts[outcome] += 1


CONSUMING = (Advanced, Unexpected, Failed)
"""The outcomes that make a second coming of the event a duplicate."""


def _told(outcome: Advanced | Unexpected | Failed | Duplicate | Ignored) -> dict[str, Any]:
    """Give what the journal tells of an outcome."""
    match outcome:
        case Advanced(instance=instance):
            after = instance.snapshot.configuration
            return {"outcome": "advanced", "states_after": after, "revision": instance.revision}
        case Unexpected(expected=expected):
            text = f"nothing waits for this event; expected: {', '.join(expected) or 'none'}"
            return {"outcome": "unexpected", "error_message": clean_text(text)}
        case Failed(error_name=name, error_message=text):
            return {"outcome": "failed", "error_name": name, "error_message": clean_text(text)}
        case Duplicate():
            return {"outcome": "duplicate"}
        case Ignored(reason=reason):
            return {"outcome": "ignored", "reason": reason.value}
        case _:
            assert_never(outcome)
