"""One batch: arrivals in, everything that PostgreSQL is to keep and Kafka to publish out.

No I/O: the steps need nothing but what the batch read under its locks.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from time import perf_counter
from typing import Final, assert_never

import structlog

from worker.core.digests import content_digest
from worker.core.errors import ExecutionFailure
from worker.core.instances import Instance
from worker.core.outcomes import (
    CONSUMING,
    Advanced,
    Cancelled,
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
from worker.core.traces import traced
from worker.ports import Clock, JournalRow, Seen, StepTrace, StepTracer, Writes
from worker.runtime.arrivals import Addressed, Broken, Decoded
from worker.runtime.stages import Stages, Timer
from worker.runtime.telling import Trouble

LIMIT_SLACK: Final = 1 / 8
"""What a step may take beyond its bound: to set the limit anew costs as much as a good part of a step, so that it is
done only when this part of the bound has passed."""

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

    def bytes_of(self, outputs: Sequence[Output]) -> int | None:
        """Give what these outputs take; nothing, if they can't be published: `refusal` says why."""
        total = 0
        for output in outputs:
            size = output.size()
            if size > self.record_bytes_max.get(output.topic, -1):
                return None
            total += size
        return total

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
    tracer: StepTracer | None = None


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
    troubles: list[Trouble] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)
    _instances: dict[bytes, Instance] = field(default_factory=dict)
    _seen: dict[tuple[bytes, str, str], bytes] = field(default_factory=dict)
    _journal: list[JournalRow] = field(default_factory=list)
    _bytes: int = 0
    _clock_ms: int = 0
    _limit_due: float = 0.0
    _stepping: Timer = field(init=False)
    _encoding: Timer = field(init=False)
    _tracer: StepTracer | None = field(init=False)

    def __post_init__(self) -> None:
        self._tracer = self.setting.tracer
        self._stepping, self._encoding = self.setting.stages.stage("step"), self.setting.stages.stage("encode")
        self._clock_ms = self.setting.clock.now_ms()
        self._instances.update(self.found.instances)
        self._seen.update({(one.subject_digest, one.source, one.id): one.content_digest for one in self.found.seen})

    def run(self, decoded: Sequence[Decoded]) -> None:
        """Run the records of the batch, as far as it goes."""
        waiting, bytes_max = self.waiting, self.setting.bytes_max
        self._limit_due = 0.0 if self.setting.step_seconds_max else inf
        try:
            for index, one in enumerate(decoded):
                if self._bytes > bytes_max:
                    self.left = [later.record for later in decoded[index:] if later.record.partition not in waiting]
                    return
                if one.record.partition not in waiting:
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
            case Addressed():
                self._step(one)
            case Broken():
                self._dead_letter(one, one.outcome)
            case _:
                assert_never(one)

    def _step(self, one: Addressed) -> None:
        instance = self._instances.get(one.digest)
        seen = self._seen.get((one.digest, one.event.source, one.event.id))
        now = step_time(one.record.timestamp, self._clock_ms, instance.now if instance else None)
        request = StepRequest(one.event, one.subject, instance, seen, now)
        trace = None if self._tracer is None else self._tracer.begin(one.record, request, one.digest)
        if trace is not None:
            request = request._replace(trace=trace.headers)
        outcome, outputs = self._outcome(request, trace)
        if (
            isinstance(outcome, DeadLettered)
            and outcome.reason is DeadLetterReason.NO_MACHINE
            and self._waits(one, instance)
        ):
            self.waiting[one.record.partition] = one.record
            if trace is not None:
                trace.end(None)
            return
        if trace is not None:
            trace.end(outcome)
        self._keep(one, request, outcome, outputs)

    def _waits(self, one: Addressed, instance: Instance | None) -> bool:
        version = instance.version if instance else one.subject.version
        return self.waits(one.record, one.subject.name, version)

    def _outcome(self, request: StepRequest, trace: StepTrace | None) -> tuple[Outcome, tuple[Output, ...]]:
        begun = perf_counter()
        if begun >= self._limit_due:
            self._limit(begun)
        try:
            outcome = run_step(self.setting.host, request, None if trace is None else trace.tell)
            stepped = perf_counter()
            self._stepping.seconds += stepped - begun
            publishable = self._publishable(request, outcome)
            self._encoding.seconds += perf_counter() - stepped
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
            # A fault of ours must not stop the partition; the record is kept, and redriven once it is mended.
            # A worker's Ctrl-C arrives on a thread of its own (bootstrap): here somebody's function raised it.
            _LOG.exception("step_fault", machine=request.subject.name, **traced(request.event))
            return DeadLettered(DeadLetterReason.STEP_FAULT, type(error).__name__, "the step itself failed"), ()
        return publishable

    def _limit(self, now: float) -> None:
        """Have the process end if a step takes longer than it may, counted from now."""
        seconds = self.setting.step_seconds_max
        self._limit_due = now + seconds * LIMIT_SLACK
        self.setting.clock.limit(seconds * (1 + LIMIT_SLACK))

    def _publishable(self, request: StepRequest, outcome: Outcome) -> tuple[Outcome, tuple[Output, ...]]:
        outputs = self._outputs(outcome)
        size = self.limits.bytes_of(outputs)
        if size is None:
            return self._refused(request, outcome, outputs)
        self._bytes += size
        return outcome, outputs

    def _refused(
        self, request: StepRequest, outcome: Outcome, outputs: tuple[Output, ...]
    ) -> tuple[Outcome, tuple[Output, ...]]:
        refusal = self.limits.refusal(outputs)
        if isinstance(refusal, ExecutionFailure):
            outcome = failed_step(self.setting.host, request, refusal)
            outputs = self._outputs(outcome)
            refusal = self.limits.refusal(outputs)
        if refusal is None:
            self._bytes += sum(output.size() for output in outputs)
            return outcome, outputs
        if isinstance(refusal, DeadLettered):
            return refusal, ()
        return DeadLettered(DeadLetterReason.NO_TOPIC, refusal.name, refusal.message), ()

    def _outputs(self, outcome: Outcome) -> tuple[Output, ...]:
        match outcome:
            case Advanced():
                return self.setting.router.outputs(outcome.emitted)
            case Failed() | Cancelled():
                return self.setting.router.outputs((outcome.emitted,))
            case Unexpected() | Duplicate() | Ignored() | DeadLettered():
                return ()
            case _:
                assert_never(outcome)

    def _keep(self, one: Addressed, request: StepRequest, outcome: Outcome, outputs: tuple[Output, ...]) -> None:
        if isinstance(outcome, DeadLettered):
            self._dead_letter(one, outcome)
            return
        event, before = one.event, request.instance
        name, reason, error_name, error_message = _told(outcome)
        states_after = revision = definition_hash = None
        if isinstance(outcome, _CHANGING):
            after = self._instances[one.digest] = outcome.instance
            states_after, revision = after.snapshot.configuration, after.revision
            plan = self.setting.host.plan(after.source, after.version)
            definition_hash = plan.definition_hash if plan else None
        elif isinstance(outcome, Failed):
            self.troubles.append(Trouble("step_failed", one.record, outcome.error_name, None, event, one.subject))
        content, consumed = content_digest(event), isinstance(outcome, CONSUMING)
        if consumed:
            self._seen[one.digest, event.source, event.id] = content
        row = JournalRow(
            one.record,
            name,
            request.now,
            consumed,
            one.digest,
            one.key,
            event.source,
            event.id,
            event.type,
            content,
            reason,
            error_name,
            error_message,
            before.snapshot.configuration if before else None,
            states_after,
            revision,
            definition_hash,
            outputs,
        )
        self._add(row)

    def _dead_letter(self, one: Decoded, outcome: DeadLettered) -> None:
        record, event = one.record, one.event
        dead_letter = self.setting.router.dead_letter(record, outcome, self._clock_ms)
        if self.limits.refusal((dead_letter,)) is not None:
            dead_letter = self.setting.router.dead_letter_without_bytes(record, outcome, self._clock_ms)
        row = JournalRow(
            record=record,
            outcome="dead_lettered",
            now=self._clock_ms,
            subject_digest=one.digest if isinstance(one, Addressed) else None,
            event_key=one.key if isinstance(one, Addressed) else None,
            event_source=event.source if event else None,
            event_id=event.id if event else None,
            event_type=event.type if event else None,
            content_digest=content_digest(one.event) if isinstance(one, Addressed) else None,
            reason=outcome.reason.value,
            error_name=outcome.error_name,
            error_message=clean_text(outcome.error_message),
            outputs=(dead_letter,),
        )
        self.dead_letters[outcome.reason.value] += 1
        subject = one.subject if isinstance(one, Addressed) else None
        self.troubles.append(Trouble("dead_letter", record, outcome.error_name, outcome.reason.value, event, subject))
        self._bytes += dead_letter.size()
        self._add(row)

    def _add(self, row: JournalRow) -> None:
        record = row.record
        self._journal.append(row)
        self.next_offsets[record.partition] = record.offset + 1
        self._bytes += len(record.value or b"")
        self.setting.stages.counts[row.outcome] += 1


_CHANGING: Final = (Advanced, Cancelled)
"""The outcomes with another instance than before."""

_Told = tuple[str, str | None, str | None, str | None]

_ADVANCED: Final[_Told] = ("advanced", None, None, None)
_DUPLICATE: Final[_Told] = ("duplicate", None, None, None)


def _told(outcome: Advanced | Unexpected | Failed | Cancelled | Duplicate | Ignored) -> _Told:
    """Give what the journal tells of an outcome: its name and reason, and an error's name and message."""
    match outcome:
        case Advanced():
            return _ADVANCED
        case Unexpected(expected=expected):
            text = f"nothing waits for this event; expected: {', '.join(expected) or 'none'}"
            return "unexpected", None, None, clean_text(text)
        case Failed(error_name=name, error_message=text):
            return "failed", None, name, clean_text(text)
        case Cancelled(error_name=name, error_message=text):
            return "cancelled", None, name, text
        case Duplicate():
            return _DUPLICATE
        case Ignored(reason=reason):
            return "ignored", reason.value, None, None
        case _:
            assert_never(outcome)
