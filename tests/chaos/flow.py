"""What goes in and what comes out while a run lasts: a producer, a reader, and what PostgreSQL has applied."""

import threading
import time
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

from tests.chaos.history import History
from tests.chaos.records import Place, place_of, text_digest
from tests.chaos.script import Planned, Script
from tests.chaos.site import Site

BACKLOG_MAX = 3_000
IN_FLIGHT_MAX = 2_000
PAUSE_SECONDS = 0.05
SAMPLE_SECONDS = 0.5
READ_AT_ONCE = 2_000
JOIN_SECONDS = 30.0
FLUSH_SECONDS = 120.0
CLIENT: dict[str, Any] = {
    "reconnect.backoff.max.ms": 1000,
    "topic.metadata.refresh.interval.ms": 5000,
    "log_level": 2,
}


@dataclass(slots=True)
class Looping:
    """Something that goes round in a thread of its own until it is closed; what it raised, `close` raises."""

    _closing: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _error: BaseException | None = field(default=None, init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after its present round. Raises: what the thread ended with."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self.turn()
            self.finish()
        except BaseException as error:  # noqa: BLE001 - told by `close`
            self._error = error

    def turn(self) -> None:
        """Go round once, for a second at most."""
        raise NotImplementedError

    def finish(self) -> None:
        """Do what is left to do."""


@dataclass(slots=True)
class Reader(Looping):
    """See every record of every topic as soon as it is committed, once."""

    site: Site
    history: History
    produced: Callable[[Place], bool]
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    input_ends: dict[int, int] = field(default_factory=dict)
    seen_at: "dict[int, array[float]]" = field(default_factory=lambda: defaultdict(lambda: array("d")))
    _client: Consumer = field(init=False)
    _more: list[TopicPartition] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._client = Consumer(
            {
                **CLIENT,
                "bootstrap.servers": self.site.cluster.bootstrap_servers,
                "group.id": "chaos-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 100,
            }
        )
        self.watch(range(self.site.partitions))

    def watch(self, partitions: range) -> None:
        """Read these partitions of every topic too."""
        self._more += [
            TopicPartition(topic, number, OFFSET_BEGINNING) for topic in self.site.all_topics for number in partitions
        ]

    @property
    def outputs(self) -> int:
        return sum(count for (topic, _), count in self.counts.items() if topic != self.site.topics.input)

    def turn(self) -> None:
        if self._more:
            more, self._more = self._more, []
            self._client.incremental_assign(more)
        came: set[int] = set()
        for message in self._client.consume(READ_AT_ONCE, 0.1):
            error = message.error()
            if error is None:
                self._take(message, came)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET or error.fatal():
                self.history.add("reader", why=error.str())
        now = time.time()
        for partition in came:
            self.seen_at[partition].append(now)

    def finish(self) -> None:
        self._client.close()

    def _take(self, message: Message, came: set[int]) -> None:
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        self.counts[topic, partition] += 1
        told: dict[str, Any] = {"place": f"{partition}/{offset}", "subject": text_digest(_bytes(message.key())).hex()}
        headers: dict[str, Any] = dict(message.headers() or ())
        told["id"] = (headers.get("ce_id") or b"").decode()
        if topic != self.site.topics.input:
            came.add(partition)
            self.history.add("output", topic=topic, **told)
            return
        self.input_ends[partition] = offset + 1
        if not self.produced(place_of(partition, offset)):
            self.history.add("input", topic=topic, **told)


@dataclass(slots=True)
class Progress(Looping):
    """Look at what PostgreSQL has applied. A partition's `idle` times are those at which all of it was applied."""

    site: Site
    ends: Callable[[], dict[int, int]]
    applied: dict[int, int] = field(default_factory=dict)
    idle: "dict[int, array[float]]" = field(default_factory=lambda: defaultdict(lambda: array("d")))
    samples: list[tuple[float, int]] = field(default_factory=list)

    @property
    def backlog(self) -> int:
        """Say how many offsets are not applied, as far as is known."""
        return sum(self._backlogs().values())

    def turn(self) -> None:
        with suppress(psycopg.Error), self.site.connect() as connection:
            connection.execute("SET statement_timeout = '2s'")
            while not self._closing.wait(SAMPLE_SECONDS):
                rows = connection.execute("SELECT partition, next_offset FROM positions").fetchall()
                self._note(dict(rows))
        self._closing.wait(PAUSE_SECONDS)

    def is_idle(self, partition: int, start: float, end: float) -> bool:
        """Tell whether at some time between these nothing was left to apply."""
        times = self.idle.get(partition, array("d"))
        found = bisect_left(times, start)
        return found < len(times) and times[found] <= end

    def _note(self, applied: dict[int, int]) -> None:
        self.applied, now = applied, time.time()
        backlogs = self._backlogs()
        self.samples.append((now, sum(applied.values())))
        for partition, backlog in backlogs.items():
            if backlog <= 0:
                self.idle[partition].append(now)

    def _backlogs(self) -> dict[int, int]:
        return {partition: end - self.applied.get(partition, 0) for partition, end in self.ends().items()}


@dataclass(slots=True)
class Feeder(Looping):
    """Send the script's records, a bounded number ahead of the workers. `sent` has each record's outcome to be."""

    site: Site
    history: History
    script: Script
    backlog: Callable[[], int]
    sent: dict[Place, tuple[str, str | None]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _client: Producer = field(init=False)

    def __post_init__(self) -> None:
        self._client = Producer(
            {
                **CLIENT,
                "bootstrap.servers": self.site.cluster.bootstrap_servers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 5,
            }
        )

    def turn(self) -> None:
        self._client.poll(0)
        if self.backlog() >= BACKLOG_MAX or len(self._client) >= IN_FLIGHT_MAX:
            self._client.poll(PAUSE_SECONDS)
            return
        for planned in self.script.block():
            self._send(planned)
            self._client.poll(0)

    def finish(self) -> None:
        if left := self._client.flush(FLUSH_SECONDS):
            self.failures.append(f"{left} records were not taken within {FLUSH_SECONDS:g} s")

    def _send(self, planned: Planned) -> None:
        record = planned.record
        self._client.produce(
            self.site.topics.input,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            on_delivery=lambda error, message: self._delivered(planned, error, message),
        )

    def _delivered(self, planned: Planned, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failures.append(f"{planned.id}: {error.str()}")
            return
        partition, offset = message.partition() or 0, message.offset() or 0
        self.sent[place_of(partition, offset)] = planned.outcome
        self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)
        self.history.add(
            "produced",
            place=f"{partition}/{offset}",
            id=planned.id,
            kind=planned.kind,
            subject=text_digest(planned.record.key).hex(),
        )


@dataclass(slots=True)
class Flow:
    """The three of them."""

    feeder: Feeder
    reader: Reader
    progress: Progress

    @classmethod
    def through(cls, site: Site, script: Script, history: History) -> "Flow":
        def ends() -> dict[int, int]:
            known = feeder.ends.keys() | reader.input_ends.keys()
            return {one: max(feeder.ends.get(one, 0), reader.input_ends.get(one, 0)) for one in known}

        progress = Progress(site, ends)
        feeder = Feeder(site, history, script, lambda: progress.backlog)
        reader = Reader(site, history, lambda place: place in feeder.sent)
        return cls(feeder, reader, progress)

    @property
    def parts(self) -> Iterator[Looping]:
        yield from (self.progress, self.reader, self.feeder)

    def start(self) -> None:
        for part in self.parts:
            part.start()


def _bytes(key: object) -> bytes:
    return key if isinstance(key, bytes) else b""
