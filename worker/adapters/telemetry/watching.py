"""The ports, looked at from outside: each call goes on to the adapter, and is counted and timed.

Nothing is changed on the way, and what an adapter raises is raised. A batch costs some ten records of metrics,
however many events it has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Final, ParamSpec, TypeVar

from worker.adapters.telemetry.batch_spans import BatchTracer
from worker.adapters.telemetry.recorder import Recorder
from worker.core.instances import Instance
from worker.core.records import Output, Record
from worker.ports import (
    Claim,
    Consumer,
    Database,
    KafkaFatal,
    KafkaUnavailable,
    Membership,
    MembershipRefused,
    Position,
    Positions,
    PublicationUnknown,
    Publisher,
    Rebalances,
    Seen,
    Standing,
    Unpublished,
    Upkept,
    Wanted,
    Writes,
)
from worker.runtime.loop import Parts

T = TypeVar("T")
P = ParamSpec("P")
Told = Callable[[str, float, Exception | None], None]


def watched(parts: Parts, recorder: Recorder, tracer: BatchTracer | None = None) -> Parts:
    """Give a worker's parts with the recorder, and the tracer if there is one, looking at them."""
    return replace(
        parts,
        positions=WatchedPositions(parts.positions, recorder),
        database=WatchedDatabase(parts.database, recorder, tracer),
        publisher=WatchedPublisher(parts.publisher, recorder, tracer),
        consumer=WatchedConsumer(parts.consumer, recorder),
        observer=recorder,
        housekeep=WatchedUpkeep(parts.housekeep, recorder),
        tracer=tracer,
    )


def _both(first: Callable[P, None], second: Callable[P, None] | None) -> Callable[P, None]:
    """Tell two what one is told."""
    if second is None:
        return first

    def tell(*args: P.args, **kwargs: P.kwargs) -> None:
        first(*args, **kwargs)
        second(*args, **kwargs)

    return tell


def timed(told: Told, operation: str, call: Callable[[], T]) -> T:
    """Make a call, and tell its time and what it raised."""
    begun = perf_counter()
    try:
        result = call()
    except Exception as error:
        told(operation, perf_counter() - begun, error)
        raise
    told(operation, perf_counter() - begun, None)
    return result


class WatchedDatabase:
    """Time a batch's transaction, and count it once it is committed."""

    def __init__(self, inner: Database, recorder: Recorder, tracer: BatchTracer | None) -> None:
        self._inner: Final = inner
        self._recorder: Final = recorder
        self._called: Final = _both(recorder.called_database, None if tracer is None else tracer.called_database)
        self._begun = 0.0
        self._writes: Writes | None = None

    def lock(self, owner: str, wanted: Wanted) -> Sequence[Seen]:
        """Open the transaction."""
        self._begun, self._writes = perf_counter(), None
        return timed(self._called, "lock", lambda: self._inner.lock(owner, wanted))

    def read(self, digests: Sequence[bytes]) -> Mapping[bytes, Instance]:
        """Read instances."""
        return timed(self._called, "read", lambda: self._inner.read(digests))

    def is_coming(self, source: str, version: str) -> bool:
        """Tell whether a version is coming."""
        return timed(self._called, "is_coming", lambda: self._inner.is_coming(source, version))

    def write(self, writes: Writes) -> None:
        """Write everything."""
        timed(self._called, "write", lambda: self._inner.write(writes))
        self._writes = writes

    def commit(self) -> None:
        """COMMIT."""
        timed(self._called, "commit", self._inner.commit)
        if self._writes is not None:
            self._recorder.applied(self._writes, perf_counter() - self._begun)
            self._writes = None

    def roll_back(self) -> None:
        """Drop the open transaction."""
        self._inner.roll_back()

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()


class WatchedUpkeep:
    """Note what the upkeep did."""

    def __init__(self, inner: Callable[[], Upkept | None], recorder: Recorder) -> None:
        self._inner: Final = inner
        self._recorder: Final = recorder

    def __call__(self) -> Upkept | None:
        """Do what is due."""
        begun = perf_counter()
        try:
            done = self._inner()
        except Exception as error:
            self._recorder.upkeep_failed(perf_counter() - begun, error)
            raise
        if done is not None:
            self._recorder.upkept(done)
        return done


class WatchedPositions:
    """Time what is asked of positions."""

    def __init__(self, inner: Positions, recorder: Recorder) -> None:
        self._inner: Final = inner
        self._called: Final = recorder.called_database

    def positions(self, partitions: Sequence[int]) -> Mapping[int, Position]:
        """Read rows."""
        return timed(self._called, "positions", lambda: self._inner.positions(partitions))

    def insert_positions(self, positions: Sequence[Position]) -> None:
        """Begin partitions."""
        timed(self._called, "insert_positions", lambda: self._inner.insert_positions(positions))

    def claim(self, found: Sequence[Position], claim: Claim) -> None:
        """Take rows."""
        timed(self._called, "claim", lambda: self._inner.claim(found, claim))

    def release(self, owner: str, published_offsets: Mapping[int, int]) -> None:
        """Give rows back."""
        timed(self._called, "release", lambda: self._inner.release(owner, published_offsets))

    def unpublished(self, partition: int, start: int, end: int) -> Sequence[Unpublished]:
        """Read outputs."""
        return timed(self._called, "unpublished", lambda: self._inner.unpublished(partition, start, end))

    def note_attempt(self, owner: str, partition: int, offset: int) -> int:
        """Note an attempt."""
        return timed(self._called, "note_attempt", lambda: self._inner.note_attempt(owner, partition, offset))


class WatchedRebalances:
    """Count rebalances."""

    def __init__(self, inner: Rebalances, recorder: Recorder) -> None:
        self._inner: Final = inner
        self._recorder: Final = recorder

    def assigned(self, partitions: Sequence[int]) -> None:
        """Own these."""
        self._recorder.rebalanced("assigned")
        self._inner.assigned(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Give these back."""
        self._recorder.rebalanced("revoked")
        self._inner.revoked(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """Forget these."""
        self._recorder.rebalanced("lost")
        self._inner.lost(partitions)


class WatchedConsumer:
    """Count what is polled, and note outages."""

    def __init__(self, inner: Consumer, recorder: Recorder) -> None:
        self._inner: Final = inner
        self._recorder: Final = recorder

    def join(self, rebalances: Rebalances) -> None:
        """Join the group."""
        self._inner.join(WatchedRebalances(rebalances, self._recorder))

    def poll(self, records_max: int, wait_seconds: float) -> Sequence[Record]:
        """Poll."""
        try:
            records = self._inner.poll(records_max, wait_seconds)
        except (KafkaUnavailable, KafkaFatal) as error:
            self._recorder.kafka_failed(error)
            raise
        if records:
            self._recorder.polled(len(records))
        return records

    def go_on(self, partition: int, offset: int) -> None:
        """Read this partition from this offset."""
        self._recorder.went_on(partition)
        self._inner.go_on(partition, offset)

    def pause(self, partitions: Sequence[int]) -> None:
        """Stop reading these."""
        self._inner.pause(partitions)

    def membership(self) -> Membership:
        """Give the proof of membership."""
        return self._inner.membership()

    def topic_id(self) -> str:
        """Give the topic's identity."""
        return self._inner.topic_id()

    def standings(self, partitions: Sequence[int]) -> Mapping[int, Standing]:
        """Ask Kafka how partitions stand."""
        return self._inner.standings(partitions)

    def close(self) -> None:
        """Leave the group."""
        self._inner.close()


class WatchedPublisher:
    """Time and count publications."""

    def __init__(self, inner: Publisher, recorder: Recorder, tracer: BatchTracer | None) -> None:
        self._inner: Final = inner
        self._recorder: Final = recorder
        self._called: Final = _both(recorder.called_kafka, None if tracer is None else tracer.called_kafka)
        self._producer: Final = _both(recorder.producer, None if tracer is None else tracer.producer)
        self._next_offsets: Mapping[int, int] = {}

    def send(self, outputs: Sequence[Output]) -> None:
        """Begin a transaction."""
        self._call("send", lambda: self._inner.send(outputs))
        self._recorder.sent(outputs)

    def send_offsets(self, next_offsets: Mapping[int, int], membership: Membership) -> None:
        """Add the offsets."""
        self._next_offsets = next_offsets
        self._call("send_offsets", lambda: self._inner.send_offsets(next_offsets, membership))

    def abort(self) -> None:
        """Abort."""
        self._call("abort", self._inner.abort)
        self._recorder.publication_ended("aborted")

    def commit(self) -> None:
        """Commit."""
        self._call("commit", self._inner.commit)
        self._recorder.publication_ended("committed")
        self._recorder.published(self._next_offsets)

    def replace(self, batch_bytes_max: int) -> None:
        """Put a fresh producer in place."""
        self._inner.replace(batch_bytes_max)
        self._producer("replaced")

    def fence(self, transactional_id: str) -> None:
        """Fence another's producer."""
        self._inner.fence(transactional_id)
        self._producer("fenced")

    def close(self) -> None:
        """Drop the producer."""
        self._inner.close()

    def _call(self, operation: str, call: Callable[[], None]) -> None:
        try:
            timed(self._called, operation, call)
        except MembershipRefused:
            # An abort follows, which is counted.
            raise
        except PublicationUnknown:
            self._recorder.publication_ended("unknown")
            raise
