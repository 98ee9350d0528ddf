"""Redrive dead letters, each exactly once: its record and its marker go out in one Kafka transaction.

To discard one is to send its marker alone.

All redrives of a deployment share one transactional id. Whoever begins fences the others by it, and ends what they had
open; only then the topic is read to its end, so that every marker that will ever be there of them is seen. A redrive
that was fenced, or killed, leaves nothing half done, and the next one goes on with what has no marker.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka.clients import CALL_TIMEOUT_SECONDS, KafkaConfig, describe, error_of, new_client
from worker.adapters.kafka.dead_letters import DeadLetterTopic, Extent
from worker.adapters.kafka.failures import REFUSED_RECORDS, REFUSED_TOPICS, Kind, kind_of, remedy
from worker.adapters.kafka.outbox import ALONE, BATCH_BYTES_MAX
from worker.adapters.kafka.topics import TopicAdmin
from worker.core.dead_letters import DeadLetter, Place, Selection, read_record
from worker.core.errors import SetupError, WorkerError
from worker.core.records import Output
from worker.core.redrives import Discarded, Redriven, Sending, Skipped, Survey, Target, discarded, redriven
from worker.ports import KafkaUnavailable

TRANSACTION_LETTERS_MAX: Final = 200
TRANSACTION_BYTES_MAX: Final = 4 * 1024 * 1024
STARTS_MAX: Final = 20
TRANSACTION_TIMEOUT_MS: Final = 20_000
"""Workers wait for what is open in their topic: a redrive that was killed must not hold it up for long."""

_DELIVERY_TIMEOUT_MS: Final = 15_000
_ABORT_TIMEOUT_SECONDS: Final = 10.0
_QUEUE_FULL_WAIT_SECONDS: Final = 1.0
_RECORD_BYTES_MAX: Final = 64 * 1024 * 1024
_CLIENT_FAILS: Final = (KafkaException, SystemError)


class RedriveFenced(WorkerError):
    """Another redrive of this deployment began, and this one may not go on."""


class RedriveUnknown(WorkerError):
    """A transaction did not end in a known commit; the markers tell what became of it."""


Journal = Callable[[DeadLetter], Output | None]
"""Gives the record of a dead letter whose bytes the topic could not take, if it is there still.

Raises: DatabaseUnavailable, DatabaseRefused.
"""


@dataclass(frozen=True, slots=True)
class RedrivePlan:
    """Say what to redrive, and whose: `topic` has the dead letters of the consumer group `group_id`.

    With `discards` they go nowhere, and count as done all the same.
    """

    config: KafkaConfig
    topic: str
    group_id: str
    selection: Selection
    letters_max: int | None = None
    discards: bool = False

    @property
    def transactional_id(self) -> str:
        """Name the one redrive of the deployment; it begins with the group's name, for ACLs."""
        return f"{self.group_id}-redrive"

    def reader(self) -> DeadLetterTopic:
        """Connect a reader of the topic."""
        return DeadLetterTopic(self.config, self.topic, self.transactional_id)

    def survey(self, reader: DeadLetterTopic, extent: Extent, already: int = 0) -> Survey:
        """Find what is to be redriven, of which so many are already.

        Raises: KafkaUnavailable; SetupError, if a dead letter is not there.
        """
        survey = Survey(self.selection, self.group_id, extent.firsts)
        for record in reader.read(self._starts(extent), extent.ends):
            survey.take(record)
        if survey.missing:
            names = ", ".join(map(str, survey.missing))
            raise SetupError(f"{self.topic} has no dead letter at {names}: see `worker dead-letters list --all`")
        if self.letters_max is not None:
            survey.cut(self.letters_max - already)
        return survey

    def _starts(self, extent: Extent) -> Mapping[int, int]:
        """Begin where the first of the named dead letters stands, or at the beginning."""
        places = self.selection.places
        if not places:
            return extent.firsts
        named = {place.partition for place in places} & extent.firsts.keys()
        first = {one: min(place.offset for place in places if place.partition == one) for one in named}
        return {one: max(offset, extent.firsts[one]) for one, offset in first.items()}


@dataclass(slots=True)
class Done:
    """What a redrive came to.

    `total` is what it found to do, `marked` what was redriven before; `topics` counts what went where, `foreign` what
    other consumer groups have to redrive; `skipped` has by reason how many could not be, and the first of them.
    """

    total: int = 0
    marked: int = 0
    topics: Counter[str] = field(default_factory=Counter)
    foreign: Mapping[str, int] = field(default_factory=dict)
    skipped: dict[str, tuple[int, Place]] = field(default_factory=dict)

    @property
    def redriven(self) -> int:
        """Count what was redriven."""
        return self.topics.total()

    @property
    def left(self) -> int:
        """Count what was wanted and could not be redriven."""
        return sum(count for count, _ in self.skipped.values()) + sum(self.foreign.values())

    def skip(self, skipped: Skipped) -> None:
        """Note one that can't be redriven."""
        count, first = self.skipped.get(skipped.why, (0, skipped.place))
        self.skipped[skipped.why] = count + 1, first


class Redrive:
    """Do what a plan says. `watch` is told of each batch; `done` tells how far it came, whatever is raised."""

    def __init__(self, plan: RedrivePlan, journal: Journal, watch: Callable[[Done], None]) -> None:
        self.done = Done()
        self._plan = plan
        self._journal = journal
        self._watch = watch
        self._admin = TopicAdmin(plan.config)
        self._targets: dict[str, Target | None] = {}
        self._batch_bytes_max = BATCH_BYTES_MAX
        self._refused_topics: dict[str, str] = {}
        self._refused_letters: dict[Place, str] = {}

    def run(self) -> Done:
        """Redrive until nothing of the plan is left that can be.

        Raises: RedriveFenced, RedriveUnknown, KafkaUnavailable, SetupError, and what the journal raises.
        """
        for _ in range(STARTS_MAX):
            try:
                self._attempt()
            except _Refused as refused:
                # Nothing of that batch went out. A fresh producer fences whoever came in between, so all is read anew.
                self._refused_topics |= refused.topics
                if self._batch_bytes_max == ALONE:
                    self._refused_letters |= refused.letters
                elif refused.letters:
                    # Brokers refuse records that come together for one of them, or for what they are together.
                    self._batch_bytes_max = ALONE
            else:
                return self.done
        raise KafkaUnavailable("the brokers refused records again and again; see the brokers' logs")

    def _attempt(self) -> None:
        producer = _Producer(self._plan.config, self._plan.transactional_id, self._batch_bytes_max)
        with self._plan.reader() as reader:
            survey = self._plan.survey(reader, reader.extent(), self.done.redriven)
            self.done.foreign = survey.foreign
            self.done.skipped.clear()
            self.done.total = self.done.redriven + len(survey)
            self.done.marked = survey.marked - self.done.redriven
            self._watch(self.done)
            for batch in _batches(self._prepared(reader, survey)):
                producer.send(batch)
                for one in batch:
                    self.done.topics[one.letter.original.topic] += 1
                self._watch(self.done)

    def _prepared(self, reader: DeadLetterTopic, survey: Survey) -> Iterator[Redriven | Discarded]:
        for record in reader.read(*survey.spans()):
            if record.offset not in survey.pending[record.partition]:
                continue
            letter = read_record(record)
            assert isinstance(letter, DeadLetter)
            prepared = self._prepare(letter)
            if isinstance(prepared, Skipped):
                self.done.skip(prepared)
            else:
                yield prepared

    def _prepare(self, letter: DeadLetter) -> Redriven | Discarded | Skipped:
        if self._plan.discards:
            return discarded(letter, self._plan.topic, time.time_ns() // 1_000_000)
        topic = letter.original.topic
        target = self._target(topic)
        refused = self._refused_letters.get(letter.place) or self._refused_topics.get(topic)
        if target is None:
            return Skipped(letter.place, f"its topic {topic or '(none)'} does not exist; create it and redrive again")
        if refused is not None:
            return Skipped(letter.place, refused)
        original = letter.original if letter.value_digest is None else self._journal(letter)
        if original is None:
            return Skipped(letter.place, "its bytes were in the journal alone, and are gone from it")
        return redriven(letter, original, self._plan.topic, target, time.time_ns() // 1_000_000)

    def _target(self, topic: str) -> Target | None:
        if topic not in self._targets:
            self._targets[topic] = self._looked_up(topic)
        return self._targets[topic]

    def _looked_up(self, topic: str) -> Target | None:
        if not topic or self._admin.missing([topic]):
            return None
        return Target(self._admin.partitions(topic), self._admin.record_bytes_max([topic])[topic])


def _batches(prepared: Iterator[Redriven | Discarded]) -> Iterator[list[Redriven | Discarded]]:
    """Put together what goes in one transaction: so many, and of so many bytes, or one."""
    batch: list[Redriven | Discarded] = []
    size = 0
    for one in prepared:
        if batch and (len(batch) == TRANSACTION_LETTERS_MAX or size + one.size > TRANSACTION_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.size
    if batch:
        yield batch


class _Refused(Exception):
    """Brokers refuse records for good: of these dead letters, or all that go to these topics. Nothing went out."""

    def __init__(self, letters: dict[Place, str], topics: dict[str, str]) -> None:
        super().__init__()
        self.letters = letters
        self.topics = topics


class _Producer:
    """The transactional producer of one attempt; making it fences those before. Raises: KafkaUnavailable."""

    def __init__(self, config: KafkaConfig, transactional_id: str, batch_bytes_max: int) -> None:
        properties = config.client(
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            message_timeout_ms=_DELIVERY_TIMEOUT_MS,
            partitioner="murmur2_random",
            message_max_bytes=_RECORD_BYTES_MAX,
            # The brokers hold a whole batch against the topic's limit.
            batch_size=batch_bytes_max,
            linger_ms=1,
            retry_backoff_ms=10,
            metadata_recovery_strategy="none",
        )
        # Who is fenced says so in one message of its own.
        self._client = new_client(Producer, properties | {"log_level": 0})
        try:
            self._client.init_transactions(CALL_TIMEOUT_SECONDS)
        except KafkaException as exception:
            error = error_of(exception)
            raise KafkaUnavailable(f"no redrive can begin: {describe(error)}{remedy(error)}") from exception

    def send(self, batch: list[Redriven | Discarded]) -> None:
        """Publish all of a batch with its markers, or nothing. Raises: RedriveFenced, RedriveUnknown, _Refused."""
        deliveries = _Deliveries()
        try:
            self._client.begin_transaction()
            for one in batch:
                if isinstance(one, Redriven):
                    self._produce(one.record, deliveries.keeper(one))
                self._produce(one.marker, deliveries.keeper(None))
            self._client.flush(CALL_TIMEOUT_SECONDS)
            if not deliveries.errors:
                self._client.commit_transaction(CALL_TIMEOUT_SECONDS)
                return
        except _CLIENT_FAILS as exception:
            deliveries.errors.append((None, error_of(exception)))
        except BaseException:
            # An interrupt too: what is left open holds up whoever reads the topics.
            self._abort()
            raise
        raise deliveries.fault(self._abort())

    def _produce(self, sending: Sending, keep: Callable[[KafkaError | None, Message], None]) -> None:
        output = sending.output
        partition = -1 if sending.partition is None else sending.partition  # -1: as the partitioner has it.
        headers: list[tuple[str, str | bytes | None]] = list(output.headers)
        for last_try in (False, True):
            try:
                self._client.produce(
                    output.topic,
                    value=output.value,
                    key=output.key,
                    headers=headers,
                    partition=partition,
                    on_delivery=keep,
                )
            except BufferError as error:
                if last_try:
                    raise RedriveUnknown("the producer's queue stays full: the brokers don't take records") from error
                self._client.poll(_QUEUE_FULL_WAIT_SECONDS)
            else:
                return

    def _abort(self) -> KafkaError | None:
        """End the transaction; where that fails, the brokers do it, or the next redrive. Give what was wrong."""
        try:
            self._client.abort_transaction(_ABORT_TIMEOUT_SECONDS)
        except _CLIENT_FAILS as exception:
            self._client.purge()
            return error_of(exception)
        return None


@dataclass(slots=True)
class _Deliveries:
    """What went wrong with one transaction, and with which of its dead letters; None: with none of them alone."""

    errors: list[tuple[Redriven | None, KafkaError]] = field(default_factory=list)

    def keeper(self, one: Redriven | None) -> Callable[[KafkaError | None, Message], None]:
        """Give what is to be told of a delivery; None: a marker's."""

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self.errors.append((one, error))

        return delivered

    def fault(self, at_the_end: KafkaError | None) -> Exception:
        """Say what was wrong, given what ended the transaction: the client calls many a fault just fatal before."""
        told = [error for _, error in self.errors] + ([at_the_end] if at_the_end else [])
        if any(kind_of(error) is Kind.FENCED for error in told):
            return RedriveFenced(
                "another redrive of this consumer group began, and fenced this one; nothing is redriven twice. "
                "Let that one end, then run this again if something is left"
            )
        if refused := self._refused():
            return refused
        return RedriveUnknown(
            f"{describe(told[0])}{remedy(told[0])}; whether the last records went out is not known here. "
            "Run the same command again: what was redriven is not redriven twice"
        )

    def _refused(self) -> _Refused | None:
        letters, topics = {}, {}
        for one, error in self.errors:
            if one is None:
                continue
            topic = one.letter.original.topic
            if error.code() in REFUSED_RECORDS:
                letters[one.letter.place] = REFUSED_RECORDS[error.code()].format(topic)
            elif error.code() in REFUSED_TOPICS:
                topics[topic] = REFUSED_TOPICS[error.code()].format(topic)
        return _Refused(letters, topics) if letters or topics else None
